"""The training loop: inner steps without pause, and after each of them a turn of all that goes on beside it.

What it runs is built in `peer/training/setup.py`.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, field

from minigpt.dataset import Batches
from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.power import Breather, Rest, Watch
from peer.device.processes import StopSignal
from peer.inner.batch_size import step_within_memory
from peer.inner.compiling import Compiling
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import lr_of_next_step
from peer.joining.shared_text import SharedText
from peer.network.handle import Network
from peer.outer.events import CaughtUp, Event, RoundClosed
from peer.outer.interface import OuterLoop
from peer.training.announcements import Announcements
from peer.training.epochs import Epochs
from peer.training.round_log import RoundLog
from peer.training.saver import Saver
from peer.wire import Role

LAST_EXCHANGE_SECONDS = 40.0  # that a device which is done waits until what it has trained is in the anchor
NAP_SECONDS = 0.25  # longest pause between two looks at what the swarm is due, and at Ctrl+C


@dataclass(kw_only=True)
class Trainer:
    """One device's part in a run, from its first step to its last checkpoint. What it runs comes ready made.

    :param shared_text: the text that others share and this device trains on; None where it has its own
    :param deadline: of `time.monotonic`, after which it ends by itself; None for never
    :param rounds: of this device, after which it ends by itself; None for no end
    :param epochs: of the swarm, after which it ends by itself
    """

    inner: InnerLoop
    outer: OuterLoop
    batches: Batches
    settings: Settings
    shared_text: SharedText | None
    saver: Saver
    compiling: Compiling
    power: Watch
    breather: Breather
    round_log: RoundLog
    announcements: Announcements
    network: Network
    display: Display
    stop: StopSignal
    deadline: float | None
    rounds: int | None
    epochs: Epochs
    _rest: Rest | None = field(default=None, init=False)  # from training, under way

    def train(self) -> None:
        """Train until Ctrl+C, or until its time, rounds or epochs are over, and keep the state.

        Raises OutOfMemory, and NetworkError: see `OuterLoop.tick`.
        """
        self.power.start()
        try:
            with self.display.training():
                self._loop()
        finally:
            self.power.stop()
            self.compiling.stop()
            self.display.note("saving …")
            self.saver.save(wait=True)
            self.outer.stop()
            self.round_log.finish(self.stop)

    def _loop(self) -> None:
        self.round_log.begin_round(deepcopy(self.outer.anchor_model))
        first_round, first_step = self.outer.progress.round, self.inner.steps
        while not self._over(first_round):
            left = self._sequences_left()
            if left == 0:  # as it seems: others may turn up who have more text
                time.sleep(NAP_SECONDS)
            elif not self._rests():
                self._step(left)
            if self.shared_text is not None:
                self.shared_text.update(self.network.view.notices)
            self._look_after_the_swarm()
            self.compiling.poll()
            self.round_log.poll()
            self.announcements.show_progress(self.round_log.current)
        if self._is_done and not self.stop.received:
            self._finish(first_step)

    def _over(self, first_round: int) -> bool:
        return (
            self.stop.received
            or (self.deadline is not None and time.monotonic() > self.deadline)
            or (self.rounds is not None and self.outer.progress.round - first_round >= self.rounds)
            or self._is_done
        )

    @property
    def _is_done(self) -> bool:
        """Return whether the epochs are over. Without epochs nothing is counted: this is asked after every step."""
        return self.epochs.epochs is not None and self.epochs.over(self._trained, time.monotonic())

    @property
    def _trained(self) -> int:
        """Return the sequences that the swarm has trained in this run, as `training.epochs` counts them.

        With synchronous averaging those of full rounds: what goes into a round that is not closed is lost.
        """
        is_synchronous = self.settings.swarm.averaging == "sync"
        return self.outer.progress.samples if is_synchronous else self.outer.trained_by_all

    def _sequences_left(self) -> int | None:
        """Return how many sequences the swarm is still to train; None if without end."""
        if self.epochs.epochs is None:
            return None
        self.epochs.update(self.network.view.notices)
        return self.epochs.left(self._trained)

    def _finish(self, first_step: int) -> None:
        """Say that the epochs are over, and leave nothing of what was trained behind.

        In company it goes into a last exchange or two; alone it becomes a last round, however short.
        """
        already = " already" if self.inner.steps == first_step else ""
        self.display.note(
            f"the swarm has trained on its text {self.epochs}{already}: done (training.epochs; raise it for more)"
        )
        self.outer.resume()  # who rests is in no exchange
        deadline = time.monotonic() + LAST_EXCHANGE_SECONDS
        while (
            self.outer.standing.offered
            and any(other.role == Role.TRAINING and not other.paused for other in self.outer.others)
            and not self.stop.received
            and time.monotonic() < deadline
        ):
            self._look_after_the_swarm()
            time.sleep(NAP_SECONDS)
        if (closed := self.outer.finish()) is not None:
            self._take_in(closed)

    def _rests(self) -> bool:
        """Take a nap instead of a step where the device is to be spared; return True then.

        The nap is short, for the swarm is looked after all the same.
        """
        before, self._rest = self._rest, self.power.rest
        if self._rest is None:
            self.outer.resume()
        else:
            self.outer.pause(self._rest.why)
        if self._rest is not None and (before is None or before.cause is not self._rest.cause):
            self.display.note(f"training rests: {self._rest.why}; it goes on {self._rest.until}")
        elif before is not None and self._rest is None:
            self.display.note("training goes on")
        if self._rest is not None:
            time.sleep(NAP_SECONDS)
            self.round_log.current.rested(NAP_SECONDS)
            return True
        left = self.breather.left(time.monotonic())
        time.sleep(min(NAP_SECONDS, left))
        return left > NAP_SECONDS

    def _step(self, left: int | None) -> None:
        """Make an inner step of `left` sequences at most, and count it."""
        if left is not None and self.settings.swarm.averaging == "background":  # else full rounds count
            self.batches.shorten(left)
        started = time.monotonic()
        own = self.inner.updates * self.batches.batch_size
        rates = lr_of_next_step(self.settings.training, self.outer.trained_by_all, own, self.outer.lr_factor)
        loss, sequences = step_within_memory(self.inner, rates.lr, rates.embedding_lr, self.batches, self.display.note)
        self.breather.worked(started, time.monotonic())
        self.outer.trained(sequences)
        self.round_log.current.add(loss, sequences * self.inner.model.seq_len)

    def _look_after_the_swarm(self) -> None:
        """Let the outer loop do what is due, and take in what happened, one thing after the other."""
        events = self.outer.tick(self.round_log.current.tokens_per_second)
        while True:
            started = time.monotonic()
            self.saver.poll()
            event = next(events, None)
            self.round_log.current.waited(time.monotonic() - started + self.inner.take_waited_seconds())
            self.announcements.poll()
            if event is None:
                return
            self._take_in(event)

    def _take_in(self, event: Event) -> None:
        """Save the state where others need that to follow us, and tell of what happened."""
        if isinstance(event, RoundClosed):
            self.round_log.close_round(event)
            anchor = deepcopy(self.outer.anchor_model)
            if self.outer.needs_checkpoint or self.saver.is_due:
                self.saver.save(copy=anchor)
            self.round_log.begin_round(anchor)
            return
        if isinstance(event, CaughtUp):
            self.saver.save()  # others can follow us only from a state that is on the disk
        self.announcements.say(event)

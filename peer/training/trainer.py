"""The training loop: inner steps without pause, and after each of them a turn of all that goes on beside it.

What it runs is built in `peer/training/setup.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from minigpt.dataset import Batches
from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.event_log import KnownLine
from peer.device.power import Breather, Cause, Rest, Watch
from peer.device.processes import StopSignal
from peer.device.sensors import StuckSensors
from peer.device.wishes import Wishes
from peer.inner.batch_size import step_within_memory
from peer.inner.compiling import Compiling
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import lr_of_next_step
from peer.inner.regularization import Regularization
from peer.joining.shared_text import SharedText
from peer.network.handle import Network
from peer.outer.events import CaughtUp, Event, RoundClosed
from peer.outer.interface import OuterLoop
from peer.training.announcements import Announcements
from peer.training.divergence import Recovery
from peer.training.epochs import Epochs
from peer.training.going_back import GoingBack
from peer.training.health import Health
from peer.training.learnt import Learnt
from peer.training.new_exports import NewExports
from peer.training.round_log import RoundLog
from peer.training.saver import Saver
from peer.training.status import Status
from peer.wire import Role

LAST_EXCHANGE_SECONDS = 40.0  # that a device which is done waits until what it has trained is in the anchor
NAP_SECONDS = 0.25  # longest pause between two looks at what the swarm is due, and at Ctrl+C


@dataclass(kw_only=True)
class Trainer:  # attributes: all that goes on beside the steps, each a part of its own, comes together here
    """One device's part in a run, from its first step to its last checkpoint. What it runs comes ready made.

    :param shared_text: the text that others share and this device trains on; None where it has its own
    :param deadline: of `time.monotonic`, after which it ends by itself; None for never
    :param rounds: of this device, after which it ends by itself; None for no end
    :param epochs: of the swarm, after which it ends by itself
    :param learnt: says when nothing is left to gain, so that it rests
    :param new_exports: for whose sake it ends, to be started anew with them
    """

    inner: InnerLoop
    outer: OuterLoop
    batches: Batches
    settings: Settings
    shared_text: SharedText | None
    saver: Saver
    going_back: GoingBack
    compiling: Compiling
    power: Watch
    breather: Breather
    recovery: Recovery
    health: Health
    sensors: StuckSensors
    round_log: RoundLog
    announcements: Announcements
    status: Status
    wishes: Wishes
    network: Network
    display: Display
    stop: StopSignal
    deadline: float | None
    rounds: int | None
    epochs: Epochs
    learnt: Learnt
    new_exports: NewExports
    _rest: Rest | None = field(default=None, init=False)  # from training, under way

    def train(self) -> None:
        """Train until Ctrl+C, or until its time, rounds or epochs are over, and keep the state.

        Raises OutOfMemory, DamagedAnchor, and NetworkError: see `OuterLoop.tick`.
        """
        self.power.start()
        try:
            with self.display.training():
                self._loop()
        finally:
            self.power.stop()
            self.compiling.stop()
            self.display.note(KnownLine("saving …", "saving"))
            self.saver.save(wait=True)
            self.outer.stop()
            self.round_log.finish(self.stop)

    def _loop(self) -> None:
        self.round_log.begin_round(self.inner.averaged_model)
        first_round, first_step = self.outer.progress.round, self.inner.steps
        while not self._over(first_round):
            self.epochs.update(self.network.view.notices, time.monotonic())
            left = self._sequences_left()
            if left == 0:  # as it seems: others may have trained less, or have more text
                time.sleep(NAP_SECONDS)
            elif not self._rests():
                self._step(left)
            if self.shared_text is not None:
                self.shared_text.update(self.network.view.notices)
            self._look_after_the_swarm()
            self.compiling.poll()
            self._judge()
            self._heed_wishes()
            self.status.poll(self._rest)
            if self._rest is None:
                self.announcements.show_progress(self.round_log.current)
        if self._is_done and not self.stop.received:
            self._finish(first_step)

    def _over(self, first_round: int) -> bool:
        return (
            self.stop.received
            or self.new_exports.came
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
        return self.outer.progress.samples if self._is_synchronous else self.outer.trained_by_all

    @property
    def _is_synchronous(self) -> bool:
        return self.settings.swarm.averaging == "sync"

    def _sequences_left(self) -> int | None:
        """Return how many sequences are left for this device, until it hears of the others again; None if without end.

        With synchronous averaging those of all: a round is made together, and is not closed while somebody waits.
        """
        if self.epochs.epochs is None:
            return None
        left = self.epochs.left(self._trained)
        if left is None or self._is_synchronous:
            return left
        return self.epochs.part(left, self.round_log.current.tokens_per_second)

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
        self.health.poll()
        spared = self.wishes.rest or self.health.rest or self.power.rest
        before, self._rest = self._rest, spared or self.learnt.rest(self.outer.others)
        for line in self.sensors.look(self.power.reading, self._rest):
            self.display.note(line)
        if self._rest is None:
            self.outer.resume()
        else:
            self.outer.pause(self._rest.why)
        if self._rest is not None and (before is None or before.cause is not self._rest.cause):
            if self._rest.cause is Cause.LEARNT and self.learnt.sentence:
                self.display.note(self.learnt.sentence)
            why, until = self._rest.why, self._rest.until
            line = f"training rests: {why}; it goes on {until}"
            self.display.note(KnownLine(line, "training_rests", why=why, until=until))
            if self._rest.cause is Cause.LEARNT and (closed := self.outer.finish()) is not None:
                self._take_in(closed)  # whoever joins meanwhile is given all that was learnt
        elif before is not None and self._rest is None:
            self.display.note(KnownLine("training goes on", "training_goes_on"))
        if self._rest is not None:
            if self._rest.cause is Cause.LEARNT:
                self.new_exports.look()
            time.sleep(NAP_SECONDS)
            self.round_log.current.rested(NAP_SECONDS)
            return True
        left = self.breather.left(time.monotonic())
        time.sleep(min(NAP_SECONDS, left))
        return left > NAP_SECONDS

    def _judge(self) -> None:
        """Take in what was found of a state, and have the next one judged where its turn has come."""
        verdict = self.round_log.poll()
        if verdict is not None:
            self.status.judged(verdict)
        if verdict is not None and verdict.held_out is not None:
            self.learnt.judged(verdict.progress, verdict.held_out)
            self.outer.judged(verdict.held_out.nats)
        if self.learnt.meet(self.outer.others) and self._rest is not None:
            self.display.note("there is a text that was not here before: something to learn")
        self.outer.tell(self.learnt.judgement)
        trained = self.outer.progress.samples + self.outer.standing.offered  # no claims of others: a lie stops nobody
        if self._rest is None and self.learnt.wants_verdict(trained):
            self.round_log.judge(self.inner.averaged_model, trained, self.learnt.share(trained))

    def _heed_wishes(self) -> None:
        """Do what the owner has asked for since the last turn."""
        self.breather.keep_to(self.wishes.share_of_time)
        if self.wishes.take("checkpoint"):
            self.saver.save()
            self.display.note(KnownLine("saving …", "saving"))
        if self.wishes.take("sync"):
            self.outer.hurry()
        if self.going_back.poll():
            self.recovery.begin()
            self.round_log.begin_round(self.inner.averaged_model, self.learnt.share(self.outer.progress.samples))

    def _step(self, left: int | None) -> None:
        """Make an inner step of `left` sequences at most, and count it."""
        if left is not None and not self._is_synchronous:  # else full rounds count
            self.batches.shorten(left)
        started = time.monotonic()
        self.inner.regularization = Regularization.after(self._trained / max(1, self.epochs.sequences))
        own = self.inner.updates * self.batches.batch_size
        lr = lr_of_next_step(self.settings.training, self.outer.trained_by_all, own, self.recovery.lr_share)
        loss, sequences = step_within_memory(self.inner, lr, self.batches, self.display.note)
        self.breather.worked(started, time.monotonic())
        self.outer.trained(sequences)
        self.inner.average.add(sequences, self.outer.trained_by_all)
        self.epochs.trained(sequences)
        self.round_log.current.add(loss, sequences * self.inner.model.seq_len)
        if self.health.stepped(loss):
            self.recovery.stepped(loss)

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
            self.status.round_closed(event)
            self.round_log.close_round(event)
            if self.outer.needs_checkpoint or self.saver.is_due:
                self.saver.save()
            self.round_log.begin_round(self.inner.averaged_model, self.learnt.share(self.outer.progress.samples))
            return
        if isinstance(event, CaughtUp):
            self.inner.average.begin()
            self.recovery.begin()
            self.going_back.keep(event)
            self.saver.save()  # others can follow us only from a state that is on the disk
        self.announcements.say(event)

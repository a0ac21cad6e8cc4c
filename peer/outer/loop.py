"""The outer loop in the background: the order in which a device meets, catches up, exchanges and closes rounds.

Alone, a device simply trains, and its anchor is what it was at the end of the last round. In company the anchor is a
state of its own (`peer/state/anchor.py`), which every exchange moves by what peers have moved; a round closes when
`samples_per_round` sequences have gone into it. Nothing here waits for the network.

This file decides what is done when. Each thing is done by a part that owns what it changes: `peers.py` knows who is
here, `averager_process.py` keeps an averager on the network, `exchanging.py` has the exchange in flight,
`catching_up.py` takes what was missed, `exchange_schedule.py` says how often and how precisely, and `outer_state.py`
moves the anchor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch

from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import lr_factor
from peer.network.handle import Network
from peer.network.node import View
from peer.outer.averager import PseudoGradientAverager
from peer.outer.averager_process import AveragerProcess
from peer.outer.catching_up import CatchingUp, NewerAnchor, NotTaken
from peer.outer.events import CaughtUp, Event, Reconnected, RoundClosed, Setback
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.exchanging import Exchanging, NotExchanged, reason
from peer.outer.interface import ExchangeReport
from peer.outer.outer_state import OuterState, StartingPoint, Tally
from peer.outer.peers import REUNION_SECONDS, Peers
from peer.outer.traffic import Traffic
from peer.state.means import Mean
from peer.swarm.grouping import (
    can_exchange,
    expected_group,
    groupmates,
    in_company,
    somebody_falters,
    wait_for_somebody,
)
from peer.wire import MAX_COUNT, Notice, Role

PAUSE_SECONDS = 1.0  # after a failed exchange or transfer


class BackgroundOuterLoop:
    """Moves the anchor by exchanges that run while the inner loop trains; see `OuterLoop` in `interface.py`.

    :param inner: the device's own training, whose parameters follow the anchor
    :param averager: for as many numbers as the anchor has
    :param me: our notice, with everything in it that does not change
    :param checkpoints: the folder of all runs, where means and newer anchors are kept
    """

    def __init__(
        self,
        inner: InnerLoop,
        start: StartingPoint,
        averager: PseudoGradientAverager,
        *,
        me: Notice,
        network: Network,
        settings: Settings,
        checkpoints: Path,
    ):
        self.inner, self.network = inner, network
        self.state = OuterState(inner, start, settings)
        progress = self.state.progress
        self._samples_per_round = settings.swarm.samples_per_round
        self._run_folder = checkpoints / progress.run
        self._me = me
        self._peers = Peers(me.run_id)
        self._process = AveragerProcess(network, averager, me.run_id)
        self._schedule = ExchangeSchedule(self.state.anchor.size)
        self._exchanging = Exchanging(self._process, self._schedule)
        self._catching_up = CatchingUp(network, checkpoints, progress.run, self.state.anchor.size, start.missed)
        self._saved_samples = progress.samples  # behind the newest checkpoint on the disk
        # sequences behind the first anchor that others can follow by means; None while we are alone
        self._shared_from: int | None = progress.samples
        self._paused = ""  # why this device does not train now
        self._ready = False  # to exchange
        self._moved_at = time.monotonic()  # when the anchor did last
        self._not_before = 0.0  # after a setback

    # ------------------------------------------------------------------ what is done when

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        """Do what is due, and yield what happened, each thing when it has just happened."""
        view = self._post(tokens_per_second)
        if self._process.renew():
            yield self._reconnected()
            return
        self._peers.update(view.notices)
        yield from happened(self._peers.shun(self._process.averager.complaints()))
        self.state.contributions.update(self.others)
        if self._exchanging.under_way:
            yield from happened(self._look_after_exchange())
            return
        if self._catching_up.under_way:
            yield from happened(self._look_after_transfer())
        while self._catching_up.has_means:  # a round that closes is told before the next mean moves its anchor
            yield from happened(self._take_mean())
        if not self._catching_up.under_way and time.monotonic() >= self._not_before:
            yield from happened(self._decide(view.suspected))

    def _decide(self, suspected: frozenset[str]) -> Event | None:
        """Catch up, exchange, or close a round alone: whichever is due, with nothing under way."""
        me = self._notice()
        donor = None if self._paused else self._catching_up.ahead(me, self.others)  # who rests catches up afterwards
        if donor is not None:
            self._catching_up.begin(donor, me, self.is_shared)
        elif in_company(me, self.others) and can_exchange(me, self.others):
            self._peers.met()
            if not self.is_shared:
                return self._share()
            if not self._paused:
                return self._exchange_when_ready(me, suspected)
            self._ready = False
        elif self.is_shared:
            if self._peers.is_gone:
                self._shared_from = None
        elif self.state.pseudo_gradient.samples >= self._samples_per_round:
            return self._close_round_alone()
        return None

    def _exchange_when_ready(self, me: Notice, suspected: frozenset[str]) -> Event | None:
        """Exchange with everybody at our anchor, once we and any of them are ready to."""
        now, last_group = time.monotonic(), self._peers.last_group
        mates = expected_group(me, self.others, self._peers.recent_group)
        if not mates and self._peers.has_just_caught_up:
            return None  # whoever gave the means that we took is at our anchor, or ahead: their notices are older
        waits = wait_for_somebody(mates, self.others, suspected)
        due = self._moved_at + self._schedule.pause_with(mates, waits)
        if now < due + REUNION_SECONDS and somebody_falters(mates, self.others, suspected):
            return None
        self._ready = now >= due
        if self._ready and (not mates or any(mate.ready or mate.peer in last_group for mate in mates)):
            return self._give(mates)
        return None

    # ------------------------------------------------------------------ exchanging

    def _give(self, mates: list[Notice]) -> Event | None:
        """Begin the next exchange with those at our anchor; without any of them it is over at once."""
        with self._schedule.costs():
            given = self.state.pseudo_gradient.give(lambda seconds: self._schedule.bits(seconds, len(mates) + 1))
        if given is None:
            return None
        if mates:
            self._exchanging.begin(given, self.progress.lineage, self._notice(), mates)
            return None
        payload = self.state.anchor.agree_alone(given.payload)
        samples = {self._me.peer: given.samples}
        return self._move(Mean(self.progress.lineage, samples, min(given.steps, MAX_COUNT), payload))

    def _look_after_exchange(self) -> Event | None:
        """Move the anchor, where the exchange in flight has come to a mean.

        While we look for a group, the others may have found theirs without us: then their mean is what we need.
        """
        if self._exchanging.looks_for_a_group and self._catching_up.ahead(self._notice(), self.others) is not None:
            self._exchanging.cancel()
        try:
            mean = self._exchanging.poll(self._me.peer)
        except NotExchanged as error:
            return self._set_back(str(error))
        return None if mean is None else self._move(mean)

    def _move(self, mean: Mean) -> Event | None:
        """Move the anchor by the mean of an exchange that we gave to, and keep the mean for others."""
        given = self.state.pseudo_gradient.given
        assert given is not None, "who exchanges has given"
        event: Event | None
        with self._schedule.costs():
            try:
                event = self._advance(mean)
            except ValueError as error:
                return self._set_back(f"an exchange was of no use ({error})")
            try:
                mean.save(self._run_folder)
            except OSError as error:
                self._shared_from = self.progress.samples  # our checkpoint does not lead on from before it any more
                event = event or Setback(f"a mean could not be kept for others: {error.strerror}")
        self._peers.exchanged(mean.samples)
        self._schedule.anchor_moved(given.bits)
        return event

    def _advance(self, mean: Mean) -> RoundClosed | None:
        """Move the anchor by a mean. Raise ValueError, with the anchor as it was, for one that cannot be."""
        closed = self.state.advance(mean, self._me.peer)
        self._moved_at, self._ready = time.monotonic(), False
        return None if closed is None else self._round_closed(closed)

    def _round_closed(self, tally: Tally) -> RoundClosed:
        """Return the event of a round that has closed with this tally: our name and the others', and our share."""
        others = sorted(self._peers.name_of(peer) for peer in tally.peers if peer != self._me.peer)
        return RoundClosed([self._me.name, *others], tally.share(self._me.peer))

    def _set_back(self, why: str) -> Setback:
        """Rest for a moment before anything new begins; return the event that tells why."""
        self._not_before = time.monotonic() + PAUSE_SECONDS
        return Setback(f"{why}; it is tried again")

    # ------------------------------------------------------------------ catching up

    def _look_after_transfer(self) -> Event | None:
        """Take the newer anchor, where the transfer has brought one; means are taken one by one."""
        try:
            newer = self._catching_up.poll()
        except NotTaken as error:
            return self._set_back(str(error))
        return None if newer is None else self._take(newer)

    def _take_mean(self) -> Event | None:
        """Move the anchor by the first of the means that we had missed."""
        self._peers.fell_behind()
        try:
            closed = self._advance(self._catching_up.next_mean())
        except ValueError as error:  # MeanErrors are
            self._catching_up.stray()
            return self._set_back(f"what was missed could not be taken: {reason(error)}")
        self._moved_at = 0.0  # whoever is at this anchor has waited for us
        self._peers.caught_up()
        return closed

    def _take(self, newer: NewerAnchor) -> CaughtUp:
        """Take a newer anchor, which others can follow by means from now on."""
        self._shared_from, self._moved_at = newer.progress.samples, time.monotonic()
        training = sum(other.role == Role.TRAINING and not other.paused for other in self.others)
        return self.state.take(newer, training, self._schedule.pause)

    # ------------------------------------------------------------------ alone, and no longer alone

    def _close_round_alone(self) -> RoundClosed | None:
        """Let what we are now become the anchor, and a round be over; None where our parameters are no numbers."""
        return RoundClosed([self._me.name], 1.0) if self.state.close_round_alone() else None

    def _share(self) -> RoundClosed | None:
        """Let the anchor be a state of its own from now on, for somebody came; it begins with what we are now.

        For whoever is at our anchor it is one already: both began with it, or had lost sight of each other.
        """
        if groupmates(self._notice(), self.others):
            self._shared_from = self.progress.samples
            return None
        closed = self._close_round_alone()
        self._shared_from, self._moved_at = self.progress.samples, time.monotonic()
        self.state.begin()
        return closed

    # ------------------------------------------------------------------ what we say of ourselves

    def _post(self, tokens_per_second: float) -> View:
        """Post our notice; return what the network knows."""
        step_seconds = self.inner.step_seconds
        update = {"tokens_per_second": tokens_per_second, "step_seconds": step_seconds, "role": Role.TRAINING}
        self._me = self._me.model_copy(update=update)
        return self.network.post(self._notice())

    def _notice(self) -> Notice:
        """Return our notice as of now."""
        return self._me.model_copy(
            update={
                "round": self.progress.round,
                "lineage": self.progress.lineage,
                "trained": self.progress.samples,
                "offered": self.state.pseudo_gradient.samples,
                "pause": self._schedule.pause,
                "ready": self._ready,
                "paused": self._paused,
                "reachable": self.network.view.reachable,
                "sharing": not self.needs_checkpoint,
            }
        )

    def _reconnected(self) -> Reconnected:
        """Go on with the averager of a new network part."""
        self._exchanging.forget()
        self._me = self._me.model_copy(update={"peer": self.network.peer})
        return Reconnected(self.network.address.host)

    # ------------------------------------------------------------------ what the trainer and the saver ask and tell

    @property
    def anchor_model(self) -> MiniGPT:
        return self.state.anchor_model

    @property
    def progress(self) -> Progress:
        return self.state.progress

    @property
    def standing(self) -> Standing:
        return self.state.standing

    @property
    def others(self) -> list[Notice]:
        return self._peers.others

    @property
    def is_shared(self) -> bool:
        """True where the anchor is a state of its own, which others follow."""
        return self._shared_from is not None

    @property
    def needs_checkpoint(self) -> bool:
        """True where no means that are kept lead from our newest checkpoint to our anchor."""
        return self._shared_from is None or self._saved_samples < self._shared_from

    @property
    def trained_by_all(self) -> int:
        """The sequences that the swarm has trained in this run; nobody is believed more than a round of them."""
        mates = groupmates(self._notice(), self.others)
        offered = sum(min(mate.offered, self._samples_per_round) for mate in mates)
        return self.progress.samples + self.state.pseudo_gradient.samples + offered

    @property
    def round_progress(self) -> int:
        return self.trained_by_all - self.state.tally.began_at

    @property
    def lr_factor(self) -> float:
        mates = expected_group(self._notice(), self.others, self._peers.last_group) if self.is_shared else []
        if not mates:
            return 1.0
        return lr_factor([self._me.tokens_per_second, *(mate.tokens_per_second for mate in mates)])

    @property
    def exchange_report(self) -> ExchangeReport:
        me = self._notice()
        balance = self._schedule.balance(torch.get_num_threads())
        return ExchangeReport(self._exchanging.seconds, balance, [me, *groupmates(me, self.others)])

    @property
    def traffic(self) -> Traffic:
        return self._process.traffic

    def trained(self, sequences: int) -> None:
        self.state.pseudo_gradient.trained(sequences)

    def checkpoint_saved(self, samples: int) -> None:
        self._saved_samples = samples

    def pause(self, why: str) -> None:
        self._paused = why

    def resume(self) -> None:
        self._paused = ""

    def finish(self) -> RoundClosed | None:
        is_alone = not any(other.role == Role.TRAINING for other in self.others)
        return self._close_round_alone() if is_alone and self.state.pseudo_gradient.samples else None

    def stop(self) -> None:
        """End the averager's process. An exchange in flight is given a moment to serve the others."""
        self._exchanging.stop()
        self._process.stop()


def happened(event: Event | None) -> Iterator[Event]:
    """Yield the event, if there is one."""
    if event is not None:
        yield event

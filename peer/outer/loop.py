"""The outer loop in the background: the order in which a device meets, catches up, exchanges and closes rounds.

Alone, a device simply trains, and its anchor is what it was at the end of the last round. In company the anchor is a
state of its own (`peer/state/anchor.py`), which every exchange moves by what peers have moved; a round closes when
`samples_per_round` sequences have gone into it. Nothing here waits for the network.

This file decides what is done when. Each thing is done by a part that owns what it changes: `peers.py` knows who is
here, `averager_process.py` keeps an averager on the network, `exchanging.py` has the exchange in flight,
`catching_up.py` takes what was missed, `exchange_schedule.py` says how often and precisely, `outer_state.py` moves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.loop import InnerLoop
from peer.network.handle import Network
from peer.network.node import View
from peer.outer.averager import PseudoGradientAverager
from peer.outer.averager_process import AveragerProcess
from peer.outer.catching_up import CatchingUp, NewerAnchor, NotTaken
from peer.outer.doubts import Doubts
from peer.outer.events import CaughtUp, Event, Reconnected, RoundClosed, Setback, happened
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.exchanging import Exchanging, NotExchanged, reason
from peer.outer.interface import ExchangeReport
from peer.outer.judge import Judge
from peer.outer.leaving_out import LeavingOut
from peer.outer.newcomers import Newcomers
from peer.outer.offers import Offers
from peer.outer.outer_state import OuterState, StartingPoint, Tally
from peer.outer.peers import REUNION_SECONDS, Peers
from peer.outer.scrutiny import Scrutiny
from peer.outer.traffic import Traffic
from peer.state.earlier import WentBack
from peer.state.means import Mean
from peer.swarm.grouping import (
    can_exchange,
    expected_group,
    groupmates,
    holds_us_up,
    in_company,
    mates_among,
    somebody_falters,
    wait_for_somebody,
)
from peer.wire import MAX_COUNT, Judgement, Notice, Role


class BackgroundOuterLoop:  # attributes: all parts that move the anchor, and what only their order decides
    """Moves the anchor by exchanges that run while the inner loop trains; see `OuterLoop` in `interface.py`.

    :param inner: the device's own training, whose parameters follow the anchor
    :param averager: for as many numbers as the anchor has
    :param me: our notice, with everything in it that does not change
    :param checkpoints: the folder of all runs, where means and newer anchors are kept
    :param judge: of states from elsewhere
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
        judge: Judge | None = None,
    ):
        self.inner, self.network = inner, network
        self.state = OuterState(inner, start, settings)
        progress = self.state.progress
        self._samples_per_round = settings.swarm.samples_per_round
        self._run_folder = checkpoints / progress.run
        self._me = me
        self._peers = Peers(me.run_id)
        self._offers = Offers(self.progress.lineage, self._samples_per_round)
        self._process = AveragerProcess(network, averager, me.run_id)
        self._schedule = ExchangeSchedule(self.state.anchor.size)
        self._doubts, self._newcomers, seq_len = Doubts(), Newcomers(), settings.training.dataset.seq_len
        self._exchanging = Exchanging(self._process, self._schedule, self._doubts, self._newcomers, seq_len)
        self._leaving_out = LeavingOut(self._exchanging, self._peers, self._process, self.state)
        size, judge = self.state.anchor.size, judge or Judge(inner)
        self._scrutiny = Scrutiny(inner, judge, self._doubts, me.peer, start)
        self._catching_up = CatchingUp(network, checkpoints, progress.run, size, start.missed, self._doubts)
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
        me = self._notice()
        self._peers.update(view.notices, lambda other: self._scrutiny.leaves_out(other, me, self.state.contributions))
        self._newcomers.took(view.took)
        self._newcomers.hold_up(False)
        self.network.know(self._known)
        yield from self._leaving_out.look(self._me.peer, self._known)
        if self._leaving_out.has_parted():
            self._shared_from = None
            yield from happened(self._close_round_alone())
        self.state.contributions.update(self.others)
        self._offers.update(self.others, self.progress.samples, self.state.pseudo_gradient.samples)
        if self._exchanging.under_way:
            yield from happened(self._look_after_exchange())
            return
        if self._catching_up.under_way:
            yield from happened(self._look_after_transfer())
        while self._catching_up.has_means:  # a round that closes is told before the next mean moves its anchor
            yield from happened(self._take_mean())
        if time.monotonic() >= self._not_before:
            yield from happened(self._decide(view.suspected))

    def _decide(self, suspected: frozenset[str]) -> Event | None:
        """Catch up, exchange, or close a round alone: whichever is due, with no exchange under way."""
        me = self._notice()
        # who rests catches up afterwards
        donor = None if self._paused else self._catching_up.ahead(me, self.others)
        if donor is not None:
            if why := self._scrutiny.disbelief(donor, me) or self._scrutiny.refusal_of_others(donor, self.others):
                return self._refuse(donor, why)
            if self._scrutiny.waits_for_others(donor, self.others):
                donor = None
        if self._catching_up.under_way and not self._catching_up.gives_way_to(donor):
            if holds_us_up(me, self.others, self._trusted, self._known):
                return None
        elif donor is not None:
            self._catching_up.begin(donor, me)
            return None
        if in_company(me, self.others) and can_exchange(me, self.others):
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
        here = expected_group(me, self.others, self._peers.recent_group)
        newcomers = self._on_the_way
        awaited = frozenset(mate.peer for mate in here if self._doubts.awaits(mate.peer))
        mates = mates_among(here, awaited, self._known, newcomers)
        if not mates and self._peers.has_just_caught_up:
            return None  # whoever gave the means that we took is at our anchor, or ahead: their notices are older
        coming = [other for other in self.others if other not in here]
        if mates:  # without any, there is no exchange to be held up
            coming = [other for other in coming if other.peer in self._known | newcomers]
        self._newcomers.are_awaited = any(other.peer in newcomers for other in coming)
        waits = wait_for_somebody(mates, [*mates, *coming], suspected)
        due = self._moved_at + self._schedule.pause_with(mates, waits, self._trusted)
        self._newcomers.hold_up(now < due and now >= self._due_without_newcomers(mates, coming, suspected))
        if now < due + REUNION_SECONDS and somebody_falters(mates, self.others, suspected, self._trusted):
            return None
        self._ready = now >= due
        if self._ready and (not mates or any(mate.ready or mate.peer in last_group for mate in mates)):
            return self._give(mates)
        return None

    def _due_without_newcomers(self, mates: list[Notice], coming: list[Notice], suspected: frozenset[str]) -> float:
        """Return when we would exchange with those that we know, were nobody else here: never, where that is nobody."""
        known = [mate for mate in mates if mate.peer in self._known]
        known_coming = [other for other in coming if other.peer in self._known]
        if not known or wait_for_somebody(known, [*known, *known_coming], suspected):
            return math.inf
        return self._moved_at + self._schedule.longest_pause(known, self._trusted)

    # ------------------------------------------------------------------ exchanging

    def _give(self, mates: list[Notice]) -> Event | None:
        """Begin the next exchange with those at our anchor; without any of them it is over at once."""
        with self._schedule.costs():
            given = self.state.pseudo_gradient.give(lambda seconds: self._schedule.bits(seconds, len(mates) + 1))
        if given is None:
            return None
        if mates:
            self._exchanging.begin(given, self.progress.lineage, self._notice(), mates, self._awake)
            return None
        payload = self.state.anchor.agree_alone(given.payload)
        samples = {self._me.peer: given.samples}
        return self._move(Mean(self.progress.lineage, samples, min(given.steps, MAX_COUNT), payload))

    def _look_after_exchange(self) -> Event | None:
        """Move the anchor, where the exchange in flight has come to a mean.

        While we look for a group, the others may have found theirs without us: then their mean is what we need.
        """
        me = self._notice()
        is_ahead = self._catching_up.ahead(me, self.others) is not None
        is_behind = is_ahead and holds_us_up(me, self.others, self._trusted, self._known)
        if self._exchanging.looks_for_a_group and is_behind:
            self._exchanging.cancel()
        try:
            mean = self._exchanging.poll(self._me.peer, self._awake)
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
        self._offers.anchor_moved(self.progress.lineage, mean.samples)
        self._moved_at, self._ready = time.monotonic(), False
        return None if closed is None else self._round_closed(closed)

    def _round_closed(self, tally: Tally) -> RoundClosed:
        """Return the event of a round that has closed with this tally: our name and the others', and our share."""
        others = sorted(self._peers.name_of(peer) for peer in tally.peers if peer != self._me.peer)
        shares = {peer: tally.share(peer) for peer in tally.peers}
        return RoundClosed([self._me.name, *others], tally.share(self._me.peer), shares)

    def _set_back(self, why: str) -> Setback:
        """Rest for a moment before anything new begins; return the event that tells why."""
        self._not_before = time.monotonic() + self._exchanging.pause
        return Setback(f"{why}; it is tried again")

    # ------------------------------------------------------------------ catching up

    def _look_after_transfer(self) -> Event | None:
        """Take the newer anchor, where the transfer has brought one; means are taken one by one."""
        try:
            newer = self._catching_up.poll()
        except NotTaken as error:
            return Setback(f"{error}; it is tried again")  # and meanwhile all else goes on
        has_moved = self._catching_up.began_at != self.progress.lineage  # meanwhile, and perhaps beyond that
        if not self._catching_up.has_means and (newer is None or (has_moved and newer.state <= self._notice().state)):
            return None
        try:
            means = [] if newer is not None else self._catching_up.means_here()
            donor = self._catching_up.donor
            why = self._leaving_out.objection(self._me.peer, means)
            if why := why or self._scrutiny.objection(self.state, newer, means, donor):
                self._catching_up.refuse()
                return self._refuse(donor, why)
            self._catching_up.approve()
        except (ValueError, OSError) as error:  # MeanErrors are
            self._catching_up.stray()
            return self._set_back(f"what was missed could not be taken: {reason(error)}")
        return None if newer is None else self._take(newer)

    def _refuse(self, donor: Notice, why: str) -> Setback | None:
        """Go on without a peer whose newer state is not taken; return the event that tells why, once for each peer."""
        if not self._scrutiny.refused(donor):
            return None
        return Setback(f"the newer state of {donor.name} is not taken: {why}; training goes on without {donor.name}")

    def _take_mean(self) -> Event | None:
        """Move the anchor by the first of the means that we had missed."""
        try:
            mean = self._catching_up.next_mean()
            if mean.previous != self.progress.lineage:  # we have moved meanwhile
                self._catching_up.forget()
                return None
            self._peers.fell_behind()
            closed = self._advance(mean)
        except ValueError as error:  # MeanErrors are
            self._catching_up.stray()
            return self._set_back(f"what was missed could not be taken: {reason(error)}")
        self._moved_at = 0.0  # whoever is at this anchor has waited for us
        self._peers.caught_up()
        return closed

    def _take(self, newer: NewerAnchor) -> CaughtUp:
        """Take a newer anchor, which others can follow by means from now on."""
        self._shared_from, self._moved_at = newer.progress.samples, time.monotonic()
        event = self.state.take(newer, len(self._awake), self._schedule.pause)
        self._offers.begin(self.progress.lineage)
        return event

    # ------------------------------------------------------------------ alone, and no longer alone

    def _close_round_alone(self) -> RoundClosed | None:
        """Let what we are now become the anchor, and a round be over; None where our parameters are no numbers."""
        if not self.state.close_round_alone():
            return None
        self._offers.begin(self.progress.lineage)
        return RoundClosed([self._me.name], 1.0, {self._me.peer: 1.0})

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
                "pause": self._schedule.pause_to_tell(self._newcomers.are_awaited),
                "ready": self._ready,
                "paused": self._paused,
                "reachable": self.network.view.reachable,
                "sharing": not self.needs_checkpoint,
                "at_odds": self._exchanging.findings.at_odds,
                "judges": self._scrutiny.judge.can_tell,
                "refuses": self._scrutiny.refuses,
                "went_back": self._scrutiny.went_back.time,
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
    def _awake(self) -> list[Notice]:
        """The other peers of our run that train now."""
        return [other for other in self.others if other.role == Role.TRAINING and not other.paused]

    @property
    def _trusted(self) -> frozenset[str]:
        """The peer ids of those whose claims have held so far."""
        return frozenset(other.peer for other in self.others if self._doubts.trusts(other.peer))

    @property
    def _known(self) -> frozenset[str]:
        """The peer ids of those that have moved the anchor with us."""
        return frozenset(other.peer for other in self.others if self._doubts.knows(other.peer))

    @property
    def _on_the_way(self) -> frozenset[str]:
        """The peer ids of strangers that may hold us up, for they are on the way."""
        pause = self._schedule.pause
        strangers = (other.peer for other in self.others if not self._doubts.knows(other.peer))
        return frozenset(peer for peer in strangers if self._newcomers.has(peer, pause))

    @property
    def is_shared(self) -> bool:
        return self._shared_from is not None

    @property
    def needs_checkpoint(self) -> bool:
        """True where no means that are kept lead from our newest checkpoint to our anchor."""
        return self._shared_from is None or self._saved_samples < self._shared_from

    @property
    def trained_by_all(self) -> int:
        """The sequences that the swarm has trained in this run, as far as others are believed."""
        own = self.state.pseudo_gradient
        by_ahead = self._offers.ahead + own.samples - (own.given.samples if own.given is not None else 0)
        return max(self.progress.samples + own.samples + self._offers.samples, by_ahead)

    @property
    def round_progress(self) -> int:
        return self.trained_by_all - self.state.tally.began_at

    @property
    def exchange_report(self) -> ExchangeReport:
        me = self._notice()
        mates = groupmates(me, self.others)
        group = [me, *mates] if len(mates) == len(self._awake) else []  # who waits for somebody tells a longer pause
        return ExchangeReport(self._exchanging.seconds, self._schedule.balance(torch.get_num_threads()), group)

    @property
    def traffic(self) -> Traffic:
        return self._process.traffic

    def trained(self, sequences: int) -> None:
        self.state.pseudo_gradient.trained(sequences)
        self._scrutiny.trained(sequences)

    def judged(self, loss: float) -> None:
        self._scrutiny.judge.learnt(loss)

    def go_back(self) -> bool:
        if self._is_in_an_exchange():
            return False
        self.state.go_back()
        return True

    def return_to(
        self, parameters: Sequence[Tensor], progress: Progress, standing: Standing, went_back: WentBack
    ) -> bool:
        if self._is_in_an_exchange():
            return False
        self.state.return_to(parameters, progress, standing)
        self._offers.begin(self.progress.lineage)
        self._catching_up.drop()
        self._scrutiny.go_back(went_back)
        self._peers.fell_behind()
        self._shared_from, self._moved_at = None, time.monotonic()
        return True

    def _is_in_an_exchange(self) -> bool:
        """Return whether a group has what we gave, and its mean comes in a moment; who only looks for one, looks on."""
        if self._exchanging.looks_for_a_group:
            self._exchanging.cancel()
        return self._exchanging.under_way

    def checkpoint_saved(self, samples: int) -> None:
        self._saved_samples = samples

    def tell(self, judgement: Judgement) -> None:
        self._me = self._me.model_copy(update={"judgement": judgement})

    def hurry(self) -> None:
        self._moved_at = 0.0

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

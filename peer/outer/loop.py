"""The outer loop: the anchor all peers agree on, and how it moves, alone or with the swarm.

Alone, a peer simply trains, and its anchor is what it was at the end of the last round. In company the anchor is a
state of its own (`peer/state/anchor.py`) that every exchange moves by what peers have moved; a round closes when
`samples_per_round` sequences have gone into it. Exchanges run in the background, and nothing here waits for the
network. How often they come is decided in `peer/outer/exchange_schedule.py`, what was missed comes by
`peer/outer/catching_up.py`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hivemind.averaging.control import StepControl
from torch import Tensor

from minigpt import checkpoint
from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import lr_factor
from peer.network.handle import Network
from peer.outer.averager import MATCHMAKING_SECONDS, MAX_GROUP, SHUN_SECONDS, PseudoGradientAverager
from peer.outer.catching_up import CatchingUp, Means, NotTaken, State
from peer.outer.events import CaughtUp, Event, Reconnected, RoundClosed, Setback
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.pseudo_gradient import PseudoGradient
from peer.state.anchor import Anchor, follow, snapshot, steps_of
from peer.state.contributions import Contributions
from peer.state.means import MAX_COUNT, Mean, load
from peer.swarm.grouping import (
    can_exchange,
    expected_group,
    groupmates,
    in_company,
    is_quorum,
    somebody_falters,
    wait_for_somebody,
)
from peer.swarm.membership import MAX_MEMBERS
from peer.swarm.notice import Notice, Role

PAUSE_SECONDS = 1.0  # after a failed exchange or transfer
GRACE_SECONDS = 4.0  # in which notices catch up with an exchange
# That the anchor stays as it is when everybody else has gone silent: they may be back, and then the means that were
# missed are enough. After a cut of a moment it took up to 14 s until they were heard again.
REUNION_SECONDS = 30.0
LONGEST_TICK_SECONDS = 5.0  # of them that pass from one tick to the next: longer ones, a device has slept through
MEET_SECONDS = 10.0  # the same at the start, when others may hold the checkpoint that we begin with
MAX_PATIENCE = 60.0  # that a group waits for somebody, however long it says that its steps take


class OuterLoop:
    """Holds the anchor and moves it; `tick` after every inner step.

    :param inner: the peer's own training, which is moved along with the anchor
    :param anchor: a second model, on the CPU, that holds the parameters the swarm agreed on
    :param averager: for as many numbers as the swarm's state has
    :param standing: where we were when the anchor was saved, if it is a checkpoint of our own
    :param missed: files of means that lead on from the anchor, in order
    :param me: our notice, with everything in it that does not change
    """

    def __init__(
        self,
        *,
        inner: InnerLoop,
        anchor: MiniGPT,
        averager: PseudoGradientAverager,
        progress: Progress,
        me: Notice,
        network: Network,
        settings: Settings,
        checkpoints: Path,
        standing: Standing,
        missed: list[Path],
    ):
        if missed:  # what was trained went into the first of them
            standing = standing.model_copy(update={"offered": 0, "beside": 0, "steps": 0})
        self.inner, self.anchor, self.network = inner, anchor.eval(), network
        self.progress = replace(progress, lineage=progress.anchor_name)
        self.settings, self._checkpoints = settings, checkpoints
        self.swarm = Anchor(anchor, settings.training.lr)
        self.contributions = Contributions(standing)
        self.pseudo_gradient = PseudoGradient(inner, self.swarm, standing)
        self.others: list[Notice] = []  # of our run, training or about to
        self.saved_samples = progress.samples  # behind the newest checkpoint on the disk; who writes them sets it
        self.exchange_seconds = 0.0  # of the last one, once its group was there
        self.paused = ""  # why this device does not train now; who trains sets it
        self._me = me
        self._run_folder = checkpoints / progress.run
        self._averager = averager
        self._starts = network.starts  # of the network part that it stands on
        self._traffic_before = (0, 0)  # bytes sent and received by averagers before it
        self._shared_from: int | None = progress.samples  # sequences behind the first anchor that others can follow
        self._exchange: _Exchange | None = None
        self._catching_up = CatchingUp(network, checkpoints, progress.run, self.swarm.size)
        self._schedule = ExchangeSchedule(self.swarm.size)
        self._names: dict[str, str] = {}  # by peer id, of those who have left as well
        self._shunned: dict[str, float] = {}  # peers that sent nonsense, and until when
        self._round: dict[str, int] = {}  # sequences in this round by peer id
        self._last_group: tuple[list[str], float] = ([], 0.0)
        self._alone_seconds = REUNION_SECONDS - MEET_SECONDS  # without company, while we were awake to see it
        self._ticked_at = time.monotonic()
        self._not_before = 0.0  # after a setback
        self._moved_at = time.monotonic()  # when the anchor did last
        self._caught_up_at = -math.inf  # when we last took means that we had missed
        self._ready = False  # to exchange
        self._round_start = self.progress.samples
        self._missed = missed  # means that are here, and that our anchor has not been moved by yet
        self._remember_anchor()

    @property
    def shared(self) -> bool:
        """Whether the anchor is a state of its own, which others follow."""
        return self._shared_from is not None

    @property
    def sharing(self) -> bool:
        """Whether our checkpoint leads to our anchor by means that are kept, so that others can follow us from it."""
        return self._shared_from is not None and self.saved_samples >= self._shared_from

    @property
    def standing(self) -> Standing:
        """What to keep with a checkpoint of now, so that whoever goes on from it knows what others have of us."""
        own = self.pseudo_gradient
        return Standing(
            own=self.contributions.own,
            offered=own.samples,
            beside=own.beside,
            steps=own.steps,
            met=self.contributions.met,
        )

    @property
    def bytes_sent(self) -> int:
        return self._traffic_before[0] + self._averager.bytes_sent + self.network.view.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self._traffic_before[1] + self._averager.bytes_received + self.network.view.bytes_received

    @property
    def lr_factor(self) -> float:
        """What the company of others does to the learning rate."""
        mates = expected_group(self._notice(), self.others, self._last_group[0]) if self.shared else []
        if not mates:
            return 1.0
        return lr_factor([self._me.tokens_per_second, *(mate.tokens_per_second for mate in mates)])

    @property
    def group(self) -> list[Notice]:
        """Those at our anchor, ourselves among them."""
        me = self._notice()
        return [me, *groupmates(me, self.others)]

    @property
    def balance(self) -> tuple[float, float] | None:
        """What exchanges take from this device's speed, and what they bring it; None where that is not known yet."""
        return self._schedule.balance(torch.get_num_threads())

    @property
    def trained_by_all(self) -> int:
        """Sequences trained by the swarm in this run, as far as we know."""
        mates = groupmates(self._notice(), self.others)
        most = self.settings.swarm.samples_per_round  # that anybody is believed
        return self.progress.samples + self.pseudo_gradient.samples + sum(min(mate.offered, most) for mate in mates)

    @property
    def round_progress(self) -> int:
        """Those of them that belong to the round at hand."""
        return self.trained_by_all - self._round_start

    def trained(self, sequences: int) -> None:
        """The inner loop has made a step of so many sequences."""
        self.pseudo_gradient.samples += sequences

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        """Do what is due, and give out what happened, each thing when it has just happened."""
        self._me = self._me.model_copy(
            update={
                "tokens_per_second": tokens_per_second,
                "step_seconds": self.inner.step_seconds,
                "role": Role.TRAINING,
            }
        )
        view = self.network.post(self._notice())
        if not self._averager.is_alive():
            self.network.start_again()  # p2pd would not let a new averager take the place of a dead one
        if self._starts != self.network.starts:
            yield self._reconnect()
            return
        now = time.monotonic()
        present = [other for other in view.notices if other.run_id == self._me.run_id]
        here = {other.peer: other.name for other in present}
        self._names = here if len(self._names) > MAX_MEMBERS else {**self._names, **here}
        if complaints := self._shun(now):
            yield complaints
        self.others = [other for other in present if self._shunned.get(other.peer, 0.0) < now]
        self.contributions.update(self.others)
        self._alone_seconds += min(now - self._ticked_at, LONGEST_TICK_SECONDS)
        self._ticked_at = now
        if self._exchange is not None:
            self._look_after(self._exchange)
            if self._exchange.control.done():
                yield from happened(self._finish_exchange(self._exchange))
            return
        if self._catching_up.under_way:
            yield from happened(self._catch_up())
        while self._missed:  # a round that closes is told before the next mean moves its anchor
            yield from happened(self._take_mean())
        if not self._catching_up.under_way and time.monotonic() >= self._not_before:
            yield from happened(self._decide(view.suspected))

    def _decide(self, suspected: frozenset[str]) -> Event | None:
        """With nothing under way: catch up, exchange, or close a round."""
        now, me = time.monotonic(), self._notice()
        ahead = None if self.paused else self._catching_up.ahead(me, self.others)  # who rests catches up afterwards
        if ahead is not None:
            self._catching_up.begin(ahead, me, self.shared)
        elif in_company(me, self.others) and can_exchange(me, self.others):
            self._alone_seconds = 0.0
            if not self.shared:
                return self._share()
            if self.paused:
                self._ready = False
                return None
            return self._exchange_when_ready(me, now, suspected)
        elif self.shared:
            if self._alone_seconds > REUNION_SECONDS:
                self._shared_from = None
        elif self.pseudo_gradient.samples >= self.settings.swarm.samples_per_round:
            return self._close_alone()
        return None

    def _exchange_when_ready(self, me: Notice, now: float, suspected: frozenset[str]) -> Event | None:
        """With everybody at our anchor, once we and any of them are ready to."""
        group, at = self._last_group
        mates = expected_group(me, self.others, group if now < at + GRACE_SECONDS else ())
        if not mates and now < self._caught_up_at + GRACE_SECONDS:
            return None  # notices are older than the means that we took: who gave them stands here, or is ahead
        waits = wait_for_somebody(mates, self.others, suspected)
        due = self._moved_at + self._schedule.pause_with(mates, waits)
        if now < due + REUNION_SECONDS and somebody_falters(mates, self.others, suspected):
            return None
        self._ready = now >= due
        if self._ready and (not mates or any(mate.ready or mate.peer in group for mate in mates)):
            return self._give(mates)
        return None

    def _reconnect(self) -> Reconnected:
        """The averager stands on a network part that is no more: have a new one."""
        sent, received = self._traffic_before
        self._traffic_before = sent + self._averager.bytes_sent, received + self._averager.bytes_received
        if self._averager.is_alive():
            self._averager.kill()  # its shutdown would wait for p2pd
        self._averager.join(1.0)  # leaves no zombie
        self._averager = PseudoGradientAverager(self.swarm.size, self.network.dht, self._me.run_id)
        self._starts, self._exchange = self.network.starts, None
        self._me = self._me.model_copy(update={"peer": self.network.peer})
        return Reconnected(self.network.address.split("/")[2])

    def finish(self) -> RoundClosed | None:
        """Alone, make what was trained since the last round the anchor, though the round is not full."""
        alone = not any(other.role == Role.TRAINING for other in self.others)
        return self._close_alone() if alone and self.pseudo_gradient.samples else None

    def stop(self) -> None:
        """End the averager's process. An exchange in flight is given a moment to serve the others."""
        deadline = time.monotonic() + 2
        while self._exchange is not None and not self._exchange.control.done() and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._exchange is not None and not self._exchange.control.done():
            self._exchange.control.cancel()
        if self._averager.is_alive():
            self._averager.shutdown()
        if self._averager.is_alive():
            self._averager.kill()

    # ------------------------------------------------------------------ deciding is in membership.py; doing is here

    def _notice(self) -> Notice:
        return self._me.model_copy(
            update={
                "round": self.progress.round,
                "anchor": self.progress.lineage,
                "trained": self.progress.samples,
                "offered": self.pseudo_gradient.samples,
                "pause": self._schedule.pause,
                "ready": self._ready,
                "paused": self.paused,
                "reachable": self.network.view.reachable,
                "sharing": self.sharing,
            }
        )

    def _shun(self, now: float) -> Setback | None:
        """Who sent nonsense since the last tick is nobody to us for a while, and is named."""
        complaints = self._averager.complaints()
        for peer, _ in complaints:
            self._shunned[peer] = now + SHUN_SECONDS
        if not complaints:
            return None
        what = ", and ".join(f"{self._names.get(peer, peer[-6:])} sent {what}" for peer, what in complaints)
        return Setback(f"{what}: exchanges go on without it for {SHUN_SECONDS / 60:.0f} minutes")

    def _share(self) -> RoundClosed | None:
        """Somebody came: from now on the anchor is a state of its own, beginning with what we are now.

        For whoever stands where we stand it is one already: both began with it, or have lost sight of each other.
        """
        if groupmates(self._notice(), self.others):
            self._shared_from = self.progress.samples
            return None
        closed = self._close_alone()
        self._follow_from_here()
        return closed

    def _follow_from_here(self) -> None:
        self._shared_from = self.progress.samples
        self._missed = []
        self._moved_at = time.monotonic()
        self.pseudo_gradient.begin()
        self._remember_anchor()

    def _give(self, mates: list[Notice]) -> Event | None:
        """Begin the next exchange with those at our anchor; without any of them it is over at once."""
        with self._schedule.costs():
            given = self.pseudo_gradient.give(lambda seconds: self._schedule.bits(seconds, len(mates) + 1))
        if given is None:
            return None
        if not mates:
            mean = self.swarm.agree_alone(given.code)
            return self._move(mean, {self._me.peer: given.samples}, min(given.steps, MAX_COUNT))
        slowest = max([self.inner.step_seconds, *(mate.step_seconds for mate in mates)])
        moved = self._averager.bytes_sent + self._averager.bytes_received
        control = self._averager.exchange(
            given.code,
            lineage=self.progress.lineage,
            samples=given.samples,
            weight=given.weight,
            steps=given.steps,
            group_size=min(len(mates) + 1, MAX_GROUP),
            # a phone looks up only between two long steps
            patience=min(MAX_PATIENCE, max(MATCHMAKING_SECONDS, 2 * slowest + 2)),
            reachable=self.network.view.reachable,
        )
        self._exchange = _Exchange(control, moved, self._averager.processor_seconds)
        return None

    def _look_after(self, exchange: _Exchange) -> None:
        """While we look for a group the others may have found theirs without us: then their mean is what we need."""
        if exchange.control.done() or exchange.control.began_allreduce:
            return
        if self._catching_up.ahead(self._notice(), self.others) is not None:
            exchange.control.cancel()

    def _finish_exchange(self, exchange: _Exchange) -> Event | None:
        self._exchange = None
        try:
            gathered = {peer.to_base58(): given for peer, given in exchange.control.result().items()}
            samples = {peer: int(given["samples"]) for peer, given in gathered.items()}
            count = steps_of([(int(given["weight"]), int(given["steps"])) for given in gathered.values()])
            # of as many as the best informed of them expected: so all of a group come to the same conclusion
            expected = max(min(int(given["group_size"]), MAX_GROUP) for given in gathered.values())
            if not is_quorum(len(samples), expected):
                raise ValueError(f"{len(samples)} of {expected} devices came")
        except CancelledError:  # by us
            return None
        except (Exception, asyncio.CancelledError) as error:  # the latter by hivemind
            return self._set_back(f"an exchange did not come together ({_reason(error)})")
        self.exchange_seconds = self._averager.seconds
        moved = self._averager.bytes_sent + self._averager.bytes_received - exchange.moved
        cost = self._averager.processor_seconds - exchange.processor_seconds
        own = samples.get(self._me.peer, 0)
        self._schedule.exchanged(moved, self.exchange_seconds, cost, (sum(samples.values()) - own) / max(1, own))
        return self._move(self._averager.mean(gathered.values()), samples, min(max(1, count), MAX_COUNT))

    def _move(self, code: Tensor, samples: dict[str, int], count: int) -> Event | None:
        """The exchange at our anchor has a mean: move the anchor by it, and keep it for others."""
        assert self.pseudo_gradient.given is not None, "who exchanges has given"
        bits, mean = self.pseudo_gradient.given.bits, Mean(self.progress.lineage, samples, count, code)
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
        self._last_group = (list(samples), time.monotonic())
        self._schedule.anchor_moved(bits)
        return event

    def _set_back(self, reason: str) -> Setback:
        self._not_before = time.monotonic() + PAUSE_SECONDS
        return Setback(f"{reason}; it is tried again")

    @torch.no_grad()
    def _advance(self, mean: Mean) -> RoundClosed | None:
        """One step of the anchor, as everybody takes it; our own parameters follow. Raises ValueError: see `move`."""
        own, samples = self.pseudo_gradient, mean.samples.get(self._me.peer, 0)
        is_in_it = own.given is not None and self._me.peer in mean.samples
        before = [] if is_in_it else snapshot(self.swarm.parameters)
        self.swarm.move(mean.code, mean.count)
        if is_in_it:
            own.arrived()
        else:
            own.missed(mean, before, samples)
        self._moved_at, self._ready = time.monotonic(), False
        for peer, contributed in mean.samples.items():
            self._round[peer] = self._round.get(peer, 0) + contributed
        self.contributions.own += samples
        had, per_round = self.progress.samples, self.settings.swarm.samples_per_round
        has = had + sum(mean.samples.values())
        self.progress = replace(self.progress, samples=has, lineage=mean.lineage)
        self._remember_anchor()
        self.contributions.together(mean.samples)
        return self._close() if has // per_round > had // per_round else None

    def _remember_anchor(self) -> None:
        """Our anchor is another one now."""
        self.contributions.remember_anchor(
            self.progress.lineage, self.progress.samples, self.pseudo_gradient.given_until
        )

    def _close(self) -> RoundClosed:
        """The round is over."""
        anchor = checkpoint.parameter_hash(dict(self.anchor.named_parameters()))
        self.progress = replace(self.progress, round=self.progress.round + 1, anchor=anchor)
        own = self._round.pop(self._me.peer, 0)
        total = own + sum(self._round.values())
        others = sorted(self._names.get(peer, peer[-6:]) for peer in self._round)
        self._round, self._round_start = {}, self.progress.samples
        return RoundClosed([self._me.name, *others], own / max(1, total))

    def _close_alone(self) -> RoundClosed | None:
        """What we are now becomes the anchor."""
        if not all(math.isfinite(parameter.detach().sum()) for parameter in self.inner.parameters):
            self.inner.reset(self.swarm.parameters)
            self.pseudo_gradient.drop()
            return None
        self.swarm.begin(self.inner.parameters)
        anchor = checkpoint.parameter_hash(dict(self.anchor.named_parameters()))
        own = self.pseudo_gradient
        samples = self.progress.samples + own.samples
        self.contributions.own += own.samples
        round = self.progress.round + 1
        self.progress = replace(self.progress, round=round, samples=samples, anchor=anchor, lineage=anchor)
        own.drop()
        self._round, self._round_start = {}, samples
        self._remember_anchor()
        return RoundClosed([self._me.name], 1.0)

    # ------------------------------------------------------------------ catching up

    def _catch_up(self) -> Event | None:
        try:
            arrived = self._catching_up.poll()
        except NotTaken as error:
            return self._set_back(str(error))
        if isinstance(arrived, Means):
            self._missed = arrived.paths
        elif isinstance(arrived, State):
            return self._take_state(arrived)
        return None

    def _take_mean(self) -> Event | None:
        """Move the anchor by the first of the means that are here."""
        self._last_group = ([], 0.0)  # we are not in step with them yet
        try:
            closed = self._advance(load(self._missed.pop(0), self.swarm.size))
        except ValueError as error:  # HistoryErrors are
            self._missed = []
            self._catching_up.stray()
            return self._set_back(f"what was missed could not be taken: {_reason(error)}")
        self._moved_at, self._caught_up_at = 0.0, time.monotonic()  # whoever is at this anchor has waited for us
        return closed

    @torch.no_grad()
    def _take_state(self, newer: State) -> CaughtUp:
        """Take the newer anchor; what was trained beside it stays as far as it was not trained there as well.

        It counts then as if it had not been in our anchor either: it is in what we say next. Where it does not fit the
        newer anchor it is given up.
        """
        own, before, progress = self.pseudo_gradient, snapshot(self.swarm.parameters), newer.progress
        met = self.contributions.last_with(newer.donor.peer)
        apart = self.contributions.take_back(newer.donor.peer)
        own.samples += apart
        others = sum(other.role == Role.TRAINING and not other.paused for other in self.others)
        missed = (progress.samples - met.samples) / max(1, others)  # sequences of each of them
        parallel = min(1.0, own.samples / max(1.0, missed))
        self.swarm.begin([newer.parameters[name] for name, _ in self.anchor.named_parameters()])
        follow(self.inner.parameters, self.swarm, before, 1 - parallel)
        self.progress = replace(progress, step=self.progress.step, lineage=progress.anchor_name)
        self._round, self._round_start = {}, progress.samples
        self._follow_from_here()
        if own.samples and not own.fits():
            return CaughtUp(newer.donor.name, 0, own.give_up())
        pause = round(self._schedule.pause / max(self.inner.step_seconds, 1e-3))
        own.reach_back(self.inner.steps - met.steps, max(1, pause))
        self._remember_anchor()
        return CaughtUp(newer.donor.name, apart, 0)


@dataclass(frozen=True)
class _Exchange:
    """An exchange in flight."""

    control: StepControl
    moved: int  # bytes in all exchanges before it
    processor_seconds: float  # of all exchanges before it


def happened(event: Event | None) -> Iterator[Event]:
    if event is not None:
        yield event


def _reason(error: BaseException) -> str:
    text = str(error).removeprefix("Unable to run All-Reduce: ") or type(error).__name__
    return text.splitlines()[0][:160]

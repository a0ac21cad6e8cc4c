"""One exchange at a time: what a device gives goes to its group, and the group's mean comes back, in the background."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from hivemind.averaging.control import StepControl
from torch import Tensor

from data.terminal import printable
from peer.outer.averager import MATCHMAKING_SECONDS, MAX_GROUP
from peer.outer.averager_process import AveragerProcess
from peer.outer.doubts import Doubts
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.findings import Findings
from peer.outer.leaders import Company
from peer.outer.newcomers import Newcomers
from peer.outer.pair import Pair
from peer.outer.pseudo_gradient import Given
from peer.state.agreement import capped
from peer.state.anchor import credited, steps_of
from peer.state.answers import Answers
from peer.state.codec import bits_of
from peer.state.means import Mean
from peer.swarm.grouping import is_quorum
from peer.wire import MAX_COUNT, Notice

MAX_PATIENCE = 60.0  # seconds that a group waits for somebody, however long that one says that its steps take
PAUSE_SECONDS = 1.0  # after a failed exchange or transfer
NAMING_SECONDS = 4.0  # after a wrong answer: in which notices tell who else has had one
LAST_SECONDS = 2.0  # in which an exchange in flight may still serve the others when we stop


class NotExchanged(Exception):
    """An exchange came to nothing; the message says why."""


@dataclass(frozen=True)
class Flight:
    """An exchange in flight, and what exchanges had cost before it."""

    control: StepControl
    lineage: str  # of the anchor that its mean is to move
    awaited: list[str]  # ids of the peers that are waited for
    began: float  # of `time.monotonic`
    moved: int  # bytes, to and fro
    processor_seconds: float
    speed: float  # tokens a second of this device


class Exchanging:
    """Begins exchanges, looks after the one in flight, and tells the schedule what it has cost."""

    def __init__(
        self,
        process: AveragerProcess,
        schedule: ExchangeSchedule,
        doubts: Doubts,
        newcomers: Newcomers,
        seq_len: int,
    ):
        self.seconds = 0.0  # that the last exchange took, once its group was there
        self._complaints: list[str] = []  # peers that claim what they cannot have trained
        self.findings, self.pair = Findings(seq_len), Pair()
        self._process, self._schedule, self._doubts, self._newcomers = process, schedule, doubts, newcomers
        self._flight: Flight | None = None
        self._last: Flight | None = None  # the newest exchange
        self._doubted: tuple[str, frozenset[str]] = ("", frozenset())  # an anchor, and who answered wrongly there

    @property
    def pause(self) -> float:
        """The seconds in which nothing new begins after a setback: others say what they have seen meanwhile."""
        return NAMING_SECONDS if self._last is not None and self._last.lineage == self._doubted[0] else PAUSE_SECONDS

    @property
    def under_way(self) -> bool:
        """True while an exchange is in flight."""
        return self._flight is not None

    def begin(self, given: Given, lineage: str, me: Notice, mates: Sequence[Notice], company: Sequence[Notice]) -> None:
        """Begin an exchange with peers at our anchor.

        :param lineage: of the anchor
        :param me: our notice
        :param mates: those that are waited for
        :param company: all others that train in our run: who of them stands where may have changed
        """
        averager = self._process.averager
        trusted = [mate.step_seconds for mate in mates if self._doubts.trusts(mate.peer)]
        slowest = max([me.step_seconds, *trusted])
        moved, awaited = averager.traffic.total, [mate.peer for mate in mates]
        control = averager.exchange(
            given.payload,
            lineage=lineage,
            samples=given.samples,
            weight=given.weight,
            steps=given.steps,
            group_size=min(len(mates) + 1, MAX_GROUP),
            # a phone looks up only between two long steps
            patience=min(MAX_PATIENCE, max(MATCHMAKING_SECONDS, 2 * slowest + 2)),
            company=self._company(me, awaited, company),
            reachable=me.reachable,
        )
        self._flight = self._last = Flight(
            control, lineage, awaited, time.monotonic(), moved, averager.processor_seconds, me.tokens_per_second
        )

    def _company(self, me: Notice, awaited: Collection[str], company: Sequence[Notice]) -> Company:
        """Return the others as an exchange is to take them; see `begin`.

        Strangers do not lead us where we wait for somebody that we know, and one of us can be reached and so lead.
        """
        everybody = frozenset(other.peer for other in company)
        known = frozenset(filter(self._doubts.knows, everybody))
        one_can_lead = me.reachable or any(other.reachable for other in company if other.peer in known)
        leaders = known if one_can_lead and not known.isdisjoint(awaited) else everybody
        return Company(everybody, frozenset(awaited), leaders, most=1 + sum(map(self._doubts.awaits, everybody)))

    @property
    def looks_for_a_group(self) -> bool:
        """True while the exchange in flight has no group yet."""
        return self._flight is not None and not (self._flight.control.done() or self._flight.control.began_allreduce)

    def cancel(self) -> None:
        """Give the exchange in flight up."""
        if self._flight is not None:
            self._flight.control.cancel()

    def poll(self, me: str, company: Sequence[Notice]) -> Mean | None:
        """Return the mean that the exchange in flight came to; None while it is in flight, or where it was given up.

        Raise NotExchanged where it came to nothing.

        :param me: our peer id
        :param company: all others that train in our run
        """
        if self._flight is None or not self._flight.control.done():
            return None
        flight, self._flight = self._flight, None
        try:
            declared = {peer.to_base58(): given for peer, given in flight.control.result().items()}
            said = {peer: (int(given["samples"]), int(given["weight"])) for peer, given in declared.items()}
            samples, steps = credited(said), _steps(declared.values())
            self._charge(flight, samples)
            self._doubts.exchanged(samples, flight.awaited)
            if not is_quorum(len(samples), expected := self._expected(declared, me, company)):
                self._doubts.in_vain(samples, (other.peer for other in company))
                raise ValueError(f"{len(samples)} of {expected} devices came")
            self._check_what_they_claim(said, company, flight.speed)
        except CancelledError:  # by `cancel`
            return None
        except (Exception, asyncio.CancelledError) as error:  # the latter by hivemind
            raise NotExchanged(f"an exchange did not come together ({reason(error)})") from error
        self._doubts.moved(peer for peer in samples if peer != me)
        self._measure(flight, samples, me)
        payload = self._process.averager.mean(declared.values())
        return Mean(flight.lineage, samples, min(max(1, steps), MAX_COUNT), payload)

    def look_at_others(self, me: str, parameters: Callable[[], list[Tensor]]) -> None:
        """Take in what this device has seen of what others gave.

        :param me: our peer id
        :param parameters: returns a copy of ours
        """
        for reduced in self._process.averager.reduced():
            others = [peer for peer in reduced.group if peer != me]
            if reduced.wrong:
                self._answered_wrongly(reduced.wrong, others)
            if reduced.has_judged:
                self.findings.reduced(others, reduced.at_odds)
            if len(others) != 1:
                self.pair.forget()
                continue
            self.pair.answered(others[0], bool(reduced.wrong))
            if reduced.look is not None:
                self.pair.exchanged(others[0], reduced.look, parameters)

    def _answered_wrongly(self, wrong: frozenset[str], others: Sequence[str]) -> None:
        """Take in an exchange in which reducers have answered with what is no mean.

        It moves no anchor here; but it came together, so all others in it are known as after one that did. What the
        mean leads to is not asked of who made it.
        """
        self.findings.answered_wrongly(wrong)
        for peer in wrong:
            self._doubts.broken(peer)
        if self._last is not None:
            self._doubted = (self._last.lineage, wrong)
            if is_quorum(len(others) + 1, len(self._last.awaited) + 1):
                self._doubts.moved(peer for peer in others if peer not in wrong)

    def objects_to(self, mean: Mean, given: Given | None, me: str) -> bool:
        """Return whether a mean that moves our anchor is one that reducers answered wrongly who are left out for it.

        Who weighed too little to tell has moved by it. As long as no others than us say so of the reducer, we follow.

        :param given: what we gave at our anchor
        """
        lineage, wrong = self._doubted
        is_doubted = mean.previous == lineage and any(map(self.findings.leaves_out, wrong))
        if given is None or me not in mean.samples or not is_doubted:
            return False
        share = given.weight / max(1, given.weight + sum(mean.samples.values()) - mean.samples[me])
        bits, mean_bits = (
            bits_of(len(payload), self._process.averager.size) for payload in (given.payload, mean.payload)
        )
        assert bits is not None and mean_bits is not None, "both were checked"
        answers = Answers()
        answers.begin(bits, mean_bits, min(share, 0.5))
        return answers.are_wrong(given.payload, mean.payload)

    def take_complaints(self) -> list[str]:
        """Return the peers that gave more sequences than they can have trained, since this was last called."""
        complaints, self._complaints = self._complaints, []
        return complaints

    def _check_what_they_claim(self, said: dict[str, tuple[int, int]], company: Sequence[Notice], speed: float) -> None:
        """Raise ValueError where somebody gives more sequences than it can have trained.

        It is complained of when it does so again: devices are busy now and then, and a notice may be old.

        :param speed: tokens a second of this device
        """
        if found := self.findings.too_much(said, company, speed, time.monotonic()):
            self._complaints += [peer for peer, is_again in found.items() if is_again]
            raise ValueError("a device says that it has trained more than it can have")

    def _charge(self, flight: Flight, came: Collection[str]) -> None:
        """Let newcomers pay for the time that an exchange with those that we know has waited for them in vain."""
        knows_somebody = any(map(self._doubts.knows, flight.awaited))
        if knows_somebody and any(not self._doubts.knows(peer) and peer not in came for peer in flight.awaited):
            self._newcomers.cost(max(0.0, time.monotonic() - flight.began - self._process.averager.seconds))

    def _expected(self, declared: dict[str, Any], me: str, company: Sequence[Notice]) -> int:
        """Return how many were to come to an exchange: as many as the best informed of it expected.

        So all of a group come to the same conclusion. But what strangers declare is believed only where we know nobody
        of it, and there are no more than there are: one of them may have made that up.
        """
        known = [given for peer, given in declared.items() if self._doubts.knows(peer)]
        believed = [*known, declared[me]] if known and me in declared else list(declared.values())
        most = min(MAX_GROUP, 1 + sum(self._doubts.counts(other.peer) for other in company))
        return min(most, max(int(given["group_size"]) for given in believed))

    def _measure(self, flight: Flight, samples: dict[str, int], me: str) -> None:
        """Tell the schedule what a successful exchange has cost, and brought."""
        averager, own = self._process.averager, samples.get(me, 0)
        self.seconds = averager.seconds
        self._schedule.exchanged(
            averager.traffic.total - flight.moved,
            self.seconds,
            averager.processor_seconds - flight.processor_seconds,
            (sum(samples.values()) - own) / max(1, own),
        )

    def forget(self) -> None:
        """Forget the exchange in flight: the averager that made it is no more."""
        self._flight = None

    def stop(self) -> None:
        """End the exchange in flight, after a moment in which it may still serve the others."""
        deadline = time.monotonic() + LAST_SECONDS
        while self._flight is not None and not self._flight.control.done() and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._flight is not None and not self._flight.control.done():
            self._flight.control.cancel()


def _steps(declared: Collection[Mapping[str, Any]]) -> int:
    """Return how many steps the anchor makes of what peers declared."""
    steps = [int(given["steps"]) for given in declared]
    return steps_of(zip(capped([int(given["weight"]) for given in declared], steps), steps))


def reason(error: BaseException) -> str:
    """Return one line of what an error says, without what hivemind puts before it."""
    text = str(error).removeprefix("Unable to run All-Reduce: ") or type(error).__name__
    return printable(text.splitlines()[0])[:160]

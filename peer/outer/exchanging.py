"""One exchange at a time: what a device gives goes to its group, and the group's mean comes back, in the background."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

from hivemind.averaging.control import StepControl

from data.terminal import printable
from peer.outer.averager import MATCHMAKING_SECONDS, MAX_GROUP
from peer.outer.averager_process import AveragerProcess
from peer.outer.exchange_schedule import ExchangeSchedule
from peer.outer.pseudo_gradient import Given
from peer.state.anchor import steps_of
from peer.state.means import Mean
from peer.swarm.grouping import is_quorum
from peer.wire import MAX_COUNT, Notice

MAX_PATIENCE = 60.0  # seconds that a group waits for somebody, however long that one says that its steps take
LAST_SECONDS = 2.0  # in which an exchange in flight may still serve the others when we stop


class NotExchanged(Exception):
    """An exchange came to nothing; the message says why."""


@dataclass(frozen=True)
class Flight:
    """An exchange in flight, and what exchanges had cost before it."""

    control: StepControl
    lineage: str  # of the anchor that its mean is to move
    moved: int  # bytes, to and fro
    processor_seconds: float


class Exchanging:
    """Begins exchanges, looks after the one in flight, and tells the schedule what it has cost."""

    def __init__(self, process: AveragerProcess, schedule: ExchangeSchedule):
        self.seconds = 0.0  # that the last exchange took, once its group was there
        self._process, self._schedule = process, schedule
        self._flight: Flight | None = None

    @property
    def under_way(self) -> bool:
        """True while an exchange is in flight."""
        return self._flight is not None

    def begin(self, given: Given, lineage: str, me: Notice, mates: Sequence[Notice]) -> None:
        """Begin an exchange with peers at our anchor.

        :param lineage: of the anchor
        :param me: our notice
        """
        averager = self._process.averager
        slowest = max([me.step_seconds, *(mate.step_seconds for mate in mates)])
        moved = averager.traffic.total
        control = averager.exchange(
            given.payload,
            lineage=lineage,
            samples=given.samples,
            weight=given.weight,
            steps=given.steps,
            group_size=min(len(mates) + 1, MAX_GROUP),
            # a phone looks up only between two long steps
            patience=min(MAX_PATIENCE, max(MATCHMAKING_SECONDS, 2 * slowest + 2)),
            reachable=me.reachable,
        )
        self._flight = Flight(control, lineage, moved, averager.processor_seconds)

    @property
    def looks_for_a_group(self) -> bool:
        """True while the exchange in flight has no group yet."""
        return self._flight is not None and not (self._flight.control.done() or self._flight.control.began_allreduce)

    def cancel(self) -> None:
        """Give the exchange in flight up."""
        if self._flight is not None:
            self._flight.control.cancel()

    def poll(self, me: str) -> Mean | None:
        """Return the mean that the exchange in flight came to; None while it is in flight, or where it was given up.

        Raise NotExchanged where it came to nothing.

        :param me: our peer id
        """
        if self._flight is None or not self._flight.control.done():
            return None
        flight, self._flight = self._flight, None
        try:
            declared = {peer.to_base58(): given for peer, given in flight.control.result().items()}
            samples = {peer: int(given["samples"]) for peer, given in declared.items()}
            steps = steps_of([(int(given["weight"]), int(given["steps"])) for given in declared.values()])
            # as many as the best informed of them expected, so that all of a group come to the same conclusion
            expected = max(min(int(given["group_size"]), MAX_GROUP) for given in declared.values())
            if not is_quorum(len(samples), expected):
                raise ValueError(f"{len(samples)} of {expected} devices came")
        except CancelledError:  # by `cancel`
            return None
        except (Exception, asyncio.CancelledError) as error:  # the latter by hivemind
            raise NotExchanged(f"an exchange did not come together ({reason(error)})") from error
        self._measure(flight, samples, me)
        payload = self._process.averager.mean(declared.values())
        return Mean(flight.lineage, samples, min(max(1, steps), MAX_COUNT), payload)

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


def reason(error: BaseException) -> str:
    """Return one line of what an error says, without what hivemind puts before it."""
    text = str(error).removeprefix("Unable to run All-Reduce: ") or type(error).__name__
    return printable(text.splitlines()[0])[:160]

"""The decisions: who is here, who founds the run, whose state is newest, who is who.

Plain values in, plain values out; no socket, no clock, no torch, so that every case can be tested in a line.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from peer.wire import Notice, Role

SILENCE_SECONDS = 8.0  # a peer that has said nothing for so long has left
SUSPICION_SECONDS = 4.0  # and after so long it may have
FUTURE_SECONDS = 4.0  # what was said further in the future than clocks of one swarm differ was not said honestly
MAX_MEMBERS = 4096  # kept in mind at once; more is somebody playing tricks


@dataclass(frozen=True)
class Heard:
    """A peer has said something of itself, at `said` in the swarm's time (seconds)."""

    notice: Notice
    said: float


@dataclass(frozen=True)
class Passed:
    """It is `now` in the swarm's time (seconds)."""

    now: float


@dataclass(frozen=True)
class Members:
    """The members of the swarm, as far as this device has heard: the state that `apply` takes from event to event."""

    newest: Mapping[str, Heard] = field(default_factory=dict)  # by peer id; goodbyes too, until they are old
    now: float = -math.inf

    @property
    def here(self) -> list[Notice]:
        """Return everybody who has not said goodbye and is not silent for too long, in an order all agree on."""
        newest = sorted(self.newest.items())
        return [heard.notice for _, heard in newest if heard.notice.role != Role.LEFT]

    @property
    def suspected(self) -> frozenset[str]:
        """Return the peer ids of those among them that are silent for so long that they may have left."""
        return frozenset(notice.peer for notice in self.here if self.silence(notice.peer) > SUSPICION_SECONDS)

    def silence(self, peer: str) -> float:
        """Return the seconds since a peer last said something."""
        return self.now - self.newest[peer].said


def apply(members: Members, event: Heard | Passed) -> Members:
    """Return the members after an event. Words may come late and out of order: the newest of a peer counts, once."""
    if isinstance(event, Passed):
        began, until = event.now - SILENCE_SECONDS, event.now + FUTURE_SECONDS  # the clock may have been set back
        kept = {peer: heard for peer, heard in members.newest.items() if began < heard.said <= until}
        return Members(kept, event.now)
    known = members.newest.get(event.notice.peer)
    is_news = event.said > known.said if known is not None else len(members.newest) < MAX_MEMBERS
    if not is_news or event.said > members.now + FUTURE_SECONDS:
        return members
    return replace(members, newest={**members.newest, event.notice.peer: event})


class Start(enum.Enum):
    """The next thing that a peer without a state of its own does."""

    LOOK = "look on"
    WAIT = "wait for the founder"
    JOIN = "join"
    KNOCK = "knock at a locked run"
    FOUND = "found"


def decide_start(me: Notice, others: Iterable[Notice], looked_long_enough: bool) -> Start:
    """Choose to join whoever has a state, or to let the founder found: of several, the one with the lowest peer id."""
    others = list(others)
    if any(other.has_state for other in others):
        return Start.JOIN
    founders = [other.peer for other in others if other.role == Role.FOUNDING]
    if me.role == Role.FOUNDING:
        return Start.WAIT if founders and min(founders) < me.peer else Start.FOUND
    if founders:
        return Start.WAIT
    if not looked_long_enough:
        return Start.LOOK
    lower = [other.peer for other in others if other.role == Role.LOOKING and other.peer < me.peer]
    return Start.WAIT if lower else Start.FOUND


def can_give(me: Notice, other: Notice) -> bool:
    """Return whether a peer is one to take state from: of two that accept no connection none reaches the other."""
    return other.has_state and (me.reachable or other.reachable)


def newer_state(me: Notice, others: Iterable[Notice]) -> Notice | None:
    """Return the peer of our run with the newest state, if it is newer than ours."""
    same_run = [other for other in others if can_give(me, other) and other.run_id == me.run_id]
    newest = max(same_run, key=lambda other: other.state, default=None)
    return newest if newest is not None and newest.state > me.state else None


def pauses_changed(before: Iterable[Notice], now: Iterable[Notice]) -> list[Notice]:
    """Return who rests now and did not before, or did and no longer does."""
    rested = {notice.peer for notice in before if notice.paused}
    return [notice for notice in now if bool(notice.paused) != (notice.peer in rested)]


def came_and_left(before: Iterable[Notice], now: Iterable[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Return who is in `now` and was not in `before`, and who was and is no longer."""
    old, new = {notice.peer: notice for notice in before}, {notice.peer: notice for notice in now}
    came = [notice for peer, notice in new.items() if peer not in old]
    return came, [notice for peer, notice in old.items() if peer not in new]


def is_earlier_twin(other: Notice, me: Notice) -> bool:
    """Return whether the other one has our identity, and we, who started later, are to take another."""
    return other.peer == me.peer and (other.started, other.address) < (me.started, me.address)

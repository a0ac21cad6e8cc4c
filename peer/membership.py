"""What decides: who is here, who founds the run, who exchanges with whom, whose state is newest.

Plain values in, plain values out; no socket, no clock, no torch, so that every case can be tested in a line.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minigpt.checkpoint.manifest import Count

SILENCE_SECONDS = 8.0  # a peer that has said nothing for so long has left
SUSPICION_SECONDS = 4.0  # and after so long it may have
FUTURE_SECONDS = 4.0  # what was said further in the future than clocks of one swarm differ was not said honestly
MAX_MEMBERS = 4096  # kept in mind at once; more is somebody playing tricks


class Role(enum.StrEnum):
    """What a peer is doing; the order is that of a peer's life."""

    LOOKING = "looking"  # for a run to join
    FOUNDING = "founding"  # preparing a new run, because nobody had one
    JOINING = "joining"  # taking settings, tokenizer and state from a donor
    RELAYING = "relaying"  # keeping the newest state for others, without text to train on
    TRAINING = "training"
    LEFT = "left"  # a goodbye


Base58 = Annotated[str, Field(min_length=1, max_length=64, pattern="^[1-9A-HJ-NP-Za-km-z]+$")]  # a peer id
State = tuple[int, int, str]  # (sequences behind it, round, lineage): see Notice.state


class Notice(BaseModel):
    """What a peer says of itself on the swarm's notice board (a DHT key with one subkey an address and a short expiry).

    Comes from the network: everything is bounded, and what does not fit is no notice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    peer: Base58
    name: str = Field(min_length=1, max_length=64)
    address: str = Field(max_length=100, pattern=r"^(/ip4/[0-9]+(\.[0-9]+){3}/tcp/[0-9]+/p2p/\w+)?$")  # multiaddr
    role: Annotated[Role, Field(strict=False)]
    started: float = Field(default=0.0, ge=0, lt=1e12, allow_inf_nan=False)  # in the swarm's time, seconds
    run_id: str = Field(default="", max_length=64)
    round: Count = 0
    anchor: str = Field(default="", max_length=64)  # lineage of the parameters the swarm agreed on
    trained: Count = 0  # sequences behind the anchor, of the whole swarm
    offered: Count = 0  # sequences this peer has trained since the anchor
    reachable: bool = True  # others can open a connection to it
    sharing: bool = False  # its newest checkpoint leads to its anchor of now, by means that it has kept
    gives_text: bool = False  # it was started with --share-data
    tokens_per_second: float = Field(default=0.0, ge=0, lt=1e12, allow_inf_nan=False)
    ready: bool = False  # to exchange at its anchor
    pause: float = Field(default=0.0, ge=0, lt=1e4, allow_inf_nan=False)  # seconds that it needs between exchanges
    step_seconds: float = Field(default=0.0, ge=0, lt=1e6, allow_inf_nan=False)
    paused: str = Field(default="", max_length=64)  # why it does not train now, such as "battery at 9 %"

    @property
    def has_state(self) -> bool:
        """Whether it has a state of the run to give."""
        return self.role in (Role.RELAYING, Role.TRAINING)

    @property
    def state(self) -> State:
        """Orders states of one run: more training behind it, then the later round, then any order all agree on."""
        return (self.trained, self.round, self.anchor)


def parse_notice(address: str, value: object) -> Notice | None:
    """The notice that a peer left under its own address; None if it is not one, or speaks for somebody else."""
    try:
        notice = Notice.model_validate(value)
    except ValidationError:
        return None
    is_its_own = notice.address == address and address.endswith(f"/p2p/{notice.peer}")
    return notice if is_its_own and (notice.name + notice.paused).isprintable() else None


def is_earlier_twin(other: Notice, me: Notice) -> bool:
    """Whether the other one has our identity, and we, who started later, are to take another."""
    return other.peer == me.peer and (other.started, other.address) < (me.started, me.address)


def with_distinct_names(others: list[Notice], me: Notice | None) -> list[Notice]:
    """The others; of devices with one name the first to start keeps it, the next ones are "name (2)", "name (3)"."""
    known = others if me is None else [*others, me]
    counts: dict[str, int] = {}
    names: dict[str, str] = {}
    for notice in sorted(known, key=lambda notice: (notice.started, notice.peer)):
        count = counts[notice.name] = counts.get(notice.name, 0) + 1
        names[notice.peer] = notice.name if count == 1 else f"{notice.name} ({count})"
    return [notice.model_copy(update={"name": names[notice.peer]}) for notice in others]


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
    """Who is in the swarm, as far as this device has heard: the state that `apply` takes from event to event."""

    newest: Mapping[str, Heard] = field(default_factory=dict)  # by peer id; goodbyes too, until they are old
    now: float = -math.inf

    @property
    def here(self) -> list[Notice]:
        """Everybody who has not said goodbye and is not silent for too long, in an order all agree on."""
        newest = sorted(self.newest.items())
        return [heard.notice for _, heard in newest if heard.notice.role != Role.LEFT]

    @property
    def suspected(self) -> frozenset[str]:
        """Peer ids of those among them that are silent for so long that they may have left without a goodbye."""
        return frozenset(notice.peer for notice in self.here if self.silence(notice.peer) > SUSPICION_SECONDS)

    def silence(self, peer: str) -> float:
        """Seconds since a peer last said something."""
        return self.now - self.newest[peer].said


def apply(members: Members, event: Heard | Passed) -> Members:
    """The members after an event. Words may come late and out of order: the newest of a peer counts, once."""
    if isinstance(event, Passed):
        kept = {peer: heard for peer, heard in members.newest.items() if event.now < heard.said + SILENCE_SECONDS}
        return Members(kept, event.now)
    known = members.newest.get(event.notice.peer)
    is_news = event.said > known.said if known is not None else len(members.newest) < MAX_MEMBERS
    if not is_news or event.said > members.now + FUTURE_SECONDS:
        return members
    return replace(members, newest={**members.newest, event.notice.peer: event})


class Start(enum.Enum):
    """What a peer without a state of its own does next."""

    LOOK = "look on"
    WAIT = "wait for the founder"
    JOIN = "join"
    FOUND = "found"


def decide_start(me: Notice, others: Iterable[Notice], looked_long_enough: bool) -> Start:
    """Join whoever has a state; let the founder found; of several at once, the one with the lowest peer id founds."""
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
    """Whether a peer is one to take state from: of two that accept no connection none reaches the other."""
    return other.has_state and (me.reachable or other.reachable)


def can_exchange(me: Notice, others: Iterable[Notice]) -> bool:
    """Whether an exchange can come about, now or soon: all in it have to reach somebody who puts the parts together."""
    able = [other for other in others if other.reachable and not other.paused]
    return me.reachable or in_company(me, able)


def groupmates(me: Notice, others: Iterable[Notice]) -> list[Notice]:
    """The others that stand at our anchor: those we can exchange with. Who rests is not waited for."""
    return [
        other
        for other in others
        if not other.paused and other.role == Role.TRAINING and (other.run_id, other.anchor) == (me.run_id, me.anchor)
    ]


def in_company(me: Notice, others: Iterable[Notice]) -> bool:
    """Somebody of our run is here, or is taking our state: the anchor has to be one that they can follow."""
    return any(other.run_id == me.run_id and other.role in (Role.JOINING, Role.TRAINING) for other in others)


def expected_group(me: Notice, others: Iterable[Notice], last_group: Iterable[str]) -> list[Notice]:
    """Whom the next exchange is to be with.

    `last_group` are the peer ids of an exchange so short ago that notices may not have caught up with it: who was in it
    stands where we stand, or will in a moment.
    """
    others, last_group = list(others), set(last_group)
    mates = {mate.peer: mate for mate in groupmates(me, others)}
    for other in others:
        if other.peer in last_group and other.role == Role.TRAINING and other.run_id == me.run_id and not other.paused:
            mates[other.peer] = other
    return list(mates.values())


def somebody_falters(mates: list[Notice], others: Iterable[Notice], suspected: frozenset[str]) -> bool:
    """Whether somebody may have left who matters to where the anchor goes: it speaks again in a moment, or is gone.

    Without mates everybody matters: the anchor would move on alone, while the silent others may go on elsewhere.
    """
    return any(other.peer in suspected for other in mates or others)


def wait_for_somebody(mates: list[Notice], others: Iterable[Notice], suspected: frozenset[str]) -> bool:
    """Whether somebody is on the way to our anchor, which had better move rarely until they are here.

    A joiner counts only where there are no mates: it has the means of a while to take anyway. Who rests does not come,
    nor who may have left. Where most of a group are ready to go on, they have not heard of who comes: whoever waited
    without them would be on the way next.
    """
    awake = [other for other in others if not other.paused and other.peer not in suspected]
    training = [other for other in awake if other.role == Role.TRAINING]
    somebody_comes = len(mates) < len(training) if mates else bool(awake)
    return somebody_comes and not is_quorum(sum(mate.ready for mate in mates), len(mates) + 1)


def is_quorum(came: int, expected: int) -> bool:
    """Whether so many of the expected peers may move the anchor: two groups that both may would split the swarm."""
    return 2 * came > expected


def newer_state(me: Notice, others: Iterable[Notice]) -> Notice | None:
    """The peer of our run with the newest state, if it is newer than ours."""
    same_run = [other for other in others if can_give(me, other) and other.run_id == me.run_id]
    newest = max(same_run, key=lambda other: other.state, default=None)
    return newest if newest is not None and newest.state > me.state else None


def pauses_changed(before: Iterable[Notice], now: Iterable[Notice]) -> list[Notice]:
    """Who rests now and did not before, or did and no longer does."""
    rested = {notice.peer for notice in before if notice.paused}
    return [notice for notice in now if bool(notice.paused) != (notice.peer in rested)]


def came_and_left(before: Iterable[Notice], now: Iterable[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Who is in `now` and was not in `before`, and who was and is no longer."""
    old, new = {notice.peer: notice for notice in before}, {notice.peer: notice for notice in now}
    came = [notice for peer, notice in new.items() if peer not in old]
    return came, [notice for peer, notice in old.items() if peer not in new]

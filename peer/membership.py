"""What decides: who is here, who founds the run, when a round closes, whose state is newest.

Plain values in, plain values out; no socket, no clock, no torch, so that every case can be tested in a line.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Role(enum.StrEnum):
    """What a peer is doing; the order is that of a peer's life."""

    LOOKING = "looking"  # for a run to join
    FOUNDING = "founding"  # preparing a new run, because nobody had one
    JOINING = "joining"  # taking settings, tokenizer and state from a donor
    TRAINING = "training"
    LEFT = "left"  # a goodbye


Count = Annotated[int, Field(ge=0, lt=2**53)]
State = tuple[int, int, str]  # (sequences behind it, round, anchor hash): see Notice.state


class Notice(BaseModel):
    """What a peer says of itself on the swarm's notice board (a DHT key with one subkey a peer and a short expiry).

    Comes from the network: everything is bounded, and what does not fit is no notice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    peer: str = Field(min_length=10, max_length=100, pattern="^[A-Za-z0-9]+$")  # peer id in base58
    name: str = Field(min_length=1, max_length=64)
    address: str = Field(max_length=200)  # multiaddr
    role: Annotated[Role, Field(strict=False)]
    run_id: str = Field(default="", max_length=64)
    round: Count = 0
    anchor: str = Field(default="", max_length=64)  # hash of the parameters the swarm agreed on
    trained: Count = 0  # sequences behind the anchor, of the whole swarm
    offered: Count = 0  # sequences this peer has trained since the anchor
    exchanging: bool = False
    tokens_per_second: float = Field(default=0.0, ge=0, lt=1e12, allow_inf_nan=False)
    step_seconds: float = Field(default=0.0, ge=0, lt=1e6, allow_inf_nan=False)

    @property
    def state(self) -> State:
        """Orders states of one run: more training behind it, then the later round, then any order all agree on."""
        return (self.trained, self.round, self.anchor)


def parse_notice(peer: str, value: object) -> Notice | None:
    """The notice that `peer` left under its own subkey; None if it is not one, or speaks for somebody else."""
    try:
        notice = Notice.model_validate(value)
    except ValidationError:
        return None
    return notice if notice.peer == peer and notice.name.isprintable() else None


class Start(enum.Enum):
    """What a peer without a state of its own does next."""

    LOOK = "look on"
    WAIT = "wait for the founder"
    JOIN = "join"
    FOUND = "found"


def decide_start(me: Notice, others: Iterable[Notice], looked_long_enough: bool) -> Start:
    """Join whoever trains; let the founder found; of several that look or found at once, the lowest peer id founds."""
    others = list(others)
    if any(other.role == Role.TRAINING for other in others):
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


def groupmates(me: Notice, others: Iterable[Notice]) -> list[Notice]:
    """The others that stand at our round and anchor: those we can exchange with."""
    return [
        other
        for other in others
        if other.role == Role.TRAINING and (other.run_id, other.round, other.anchor) == (me.run_id, me.round, me.anchor)
    ]


def is_catching_up(me: Notice, other: Notice) -> bool:
    """The other is on its way to our state: taking it for the first time, or for having missed a round."""
    if other.run_id != me.run_id:
        return False
    return other.role == Role.JOINING or (other.role == Role.TRAINING and other.state < me.state)


def round_is_over(me: Notice, others: Iterable[Notice], samples_per_round: int) -> bool:
    """The swarm has trained a round's worth of sequences since the anchor, or a mate has seen that already.

    While somebody is taking our state the round stays open, up to four times its length: were it closed, what they
    take would be old before it has arrived. Nobody idles for that; more is trained within the round.
    """
    others = list(others)
    mates = groupmates(me, others)
    if any(mate.exchanging for mate in mates):
        return True
    waiting = any(is_catching_up(me, other) for other in others)
    offered = me.offered + sum(mate.offered for mate in mates)
    return offered >= samples_per_round * (4 if waiting else 1)


def newer_state(me: Notice, others: Iterable[Notice]) -> Notice | None:
    """The peer of our run with the newest state, if it is newer than ours."""
    same_run = [other for other in others if other.role == Role.TRAINING and other.run_id == me.run_id]
    newest = max(same_run, key=lambda other: other.state, default=None)
    return newest if newest is not None and newest.state > me.state else None


def came_and_left(before: Iterable[Notice], now: Iterable[Notice]) -> tuple[list[Notice], list[Notice]]:
    """Who is in `now` and was not in `before`, and who was and is no longer."""
    old, new = {notice.peer: notice for notice in before}, {notice.peer: notice for notice in now}
    came = [notice for peer, notice in new.items() if peer not in old]
    return came, [notice for peer, notice in old.items() if peer not in new]

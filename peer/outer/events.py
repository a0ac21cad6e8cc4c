"""The events in an outer loop that people are told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RoundClosed:
    """A round is over, and the anchor moved."""

    peers: list[str]  # names, our own first
    share: float  # of the round's sequences that were ours
    shares: Mapping[str, float] = field(default_factory=dict, compare=False)  # of each by peer id, where it is known


@dataclass(frozen=True)
class CaughtUp:
    """Others were ahead; their anchor is ours now."""

    donor: str  # its name
    apart: int  # sequences of ours, in our anchor and not in the donor's, that are kept
    given_up: int  # sequences of all that we had to give, where it did not fit that anchor; else 0
    before: int = field(default=0, compare=False)  # sequences behind our anchor until then
    peer: str = field(default="", compare=False)  # the donor's id


@dataclass(frozen=True)
class Setback:
    """Something did not work. It cost nothing but time, and is tried again."""

    reason: str


@dataclass(frozen=True)
class Reconnected:
    """The network part of this device had died, or was at an address that is no longer its own; a new one runs."""

    address: str  # IPv4


Event = RoundClosed | CaughtUp | Setback | Reconnected


def happened(event: Event | None) -> Iterator[Event]:
    """Yield the event, if there is one."""
    if event is not None:
        yield event

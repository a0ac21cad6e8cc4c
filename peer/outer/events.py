"""What happens in an outer loop that people are told of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoundClosed:
    """A round is over, and the anchor moved."""

    peers: list[str]  # names, our own first
    share: float  # of the round's sequences that were ours


@dataclass(frozen=True)
class CaughtUp:
    """Others were ahead; their anchor is ours now."""

    donor: str
    apart: int  # sequences of ours that went into our anchor since we last stood where the donor stood, and are kept
    given_up: int  # all that we had to say, where it did not fit


@dataclass(frozen=True)
class Setback:
    """Something did not work, cost nothing but time, and is tried again."""

    reason: str


@dataclass(frozen=True)
class Reconnected:
    """The network part of this device had died, or stood at an address that is no longer its own; a new one runs."""

    address: str  # IPv4


Event = RoundClosed | CaughtUp | Setback | Reconnected

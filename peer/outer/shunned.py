"""Peers that are left alone for a while: they sent what cannot be, or claimed what they could not show."""

from __future__ import annotations

import time

SHUN_SECONDS = 600.0  # for what no honest software sends


class Shunned:
    """A set of peer ids, each of which leaves it by itself when its time is over."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # by peer id, on the clock of time.monotonic

    def add(self, peer: str, seconds: float) -> None:
        """Shun the peer for so many seconds from now."""
        self._until[peer] = time.monotonic() + seconds

    def __contains__(self, peer: str) -> bool:
        until = self._until.get(peer)
        return until is not None and time.monotonic() <= until

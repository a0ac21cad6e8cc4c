"""The newcomers: strangers that have taken something from us lately, and the time that all of them together may cost.

Our anchor moves more rarely for whoever is on the way to it, and an exchange waits for whoever has just come: an honest
device on a slow link needs that. Anybody can say that it is on the way. But who is has taken a state or means, and
those who gave them know it. So a stranger that has taken nothing from us holds us up by nothing; and those that have
hold us up for a share of our time at most, however many they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from peer.swarm.membership import MAX_MEMBERS

# In which whoever has taken something is on the way: so many of our pauses, and so many seconds at least. A slow link
# takes minutes, and pauses are long where there is much to take.
WAY_PAUSES, WAY_SECONDS = 20, 30.0
# That newcomers may hold us up at once: so many of our pauses, and so many seconds at least; and the share of the time
# in the long run. Who has used it up waits until a part of it has grown again: a little of it is of no use to anybody.
MOST_PAUSES, MOST_SECONDS = 20, 60.0
SHARE = 0.05
PART_AGAIN = 1 / 3


class Newcomers:
    """Who is on the way to us, and the time that they have cost."""

    def __init__(self) -> None:
        self.are_awaited = False  # one of them at least is on the way to our anchor, which moves more rarely
        self._took: dict[str, float] = {}  # when a peer took something from us, by peer id
        self._spent = 0.0  # seconds that they have held us up, less what has grown again
        self._counted = time.monotonic()  # until when both are counted
        self._is_held_up = False  # since then
        self._is_used_up = False

    def took(self, times: Mapping[str, float]) -> None:
        """Take in when peers took a state or means from us, by peer id."""
        if len(self._took) > MAX_MEMBERS:
            self._took = {}  # somebody plays tricks
        self._took.update(times)

    def has(self, peer: str, pause: float) -> bool:
        """Return whether a stranger is a newcomer that may hold us up now.

        :param pause: seconds that we need between two exchanges
        """
        self._count()
        most = max(MOST_SECONDS, MOST_PAUSES * pause)
        self._is_used_up = self._spent > (most * (1 - PART_AGAIN) if self._is_used_up else most)
        took = self._took.get(peer, -math.inf)
        return not self._is_used_up and time.monotonic() < took + max(WAY_SECONDS, WAY_PAUSES * pause)

    def hold_up(self, held_up: bool) -> None:
        """Take in whether newcomers hold us up from now on."""
        self._count()
        self._is_held_up = held_up

    def cost(self, seconds: float) -> None:
        """Take in that an exchange has waited so long for newcomers that did not come."""
        self._spent += seconds

    def _count(self) -> None:
        """Count the time since it was counted last."""
        passed, self._counted = time.monotonic() - self._counted, time.monotonic()
        self._spent = max(0.0, self._spent + (passed if self._is_held_up else -SHARE * passed))

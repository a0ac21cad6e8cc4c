"""Those that a group may have and that lead it: it begins when its leader says so, and one that does not is left.

A leader may wait for somebody who is late, and that is no fault. But whoever looks for a group is on the board
(`matchmaking.py`) for all to see: where everybody is there, a group has nobody to wait for.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from peer.outer.shunned import Shunned

# That a leader may take where everybody has come, and as long as the last exchange took at least: busy devices and
# slow links need more.
BEGIN_SECONDS = 1.0
LOOKS = 2  # at the board, one after the other, at which everybody has to be there
# In which one that did not begin leads us no more and is not waited for; twice as long each further time.
STALLED_SECONDS, LONGEST_SECONDS = 60.0, 960.0


@dataclass(frozen=True)
class Company:
    """The others as one exchange is to take them; all are peer ids."""

    everybody: frozenset[str]  # that trains in our run, wherever it stands
    awaited: frozenset[str]  # the group waits for them; others may come as well
    leaders: frozenset[str]  # they may lead us, and say how many are to come; nobody else is asked for a place
    most: int  # peers that can be in the group as far as we know, whatever others expect

    def without(self, peers: Collection[str]) -> Company:
        """Return the company without those, where they come by themselves: they neither lead nor are waited for."""
        gone = frozenset(peers)
        return Company(self.everybody, self.awaited - gone, self.leaders - gone, self.most - len(self.awaited & gone))


class Following:
    """One group of another leader that we are in, while it does not begin.

    :param others: peer ids of all others that train in our run, the leader among them: one that is not at our anchor
        may come there, and the leader know of it
    :param exchange_seconds: that the last exchange took, once its group was there
    """

    def __init__(self, others: Collection[str], exchange_seconds: float):
        self._others, self._patience = frozenset(others), max(BEGIN_SECONDS, exchange_seconds)
        self._began, self._complete = time.monotonic(), 0

    @property
    def is_worth_a_look(self) -> bool:
        """True once the leader has had its time."""
        return len(self._others) > 1 and time.monotonic() > self._began + self._patience

    def is_to_be_left(self, looking: Collection[str]) -> bool:
        """Return whether the group has nobody to wait for, and the leader does not begin.

        :param looking: peer ids of those that look for a group
        """
        self._complete = self._complete + 1 if self._others <= frozenset(looking) else 0
        return self._complete >= LOOKS


class StallingLeaders:
    """The leaders that did not begin, by peer id, each for a while."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._now = Shunned()

    def add(self, peer: str) -> None:
        """Take in that a leader did not begin."""
        times = self._times[peer] = self._times.get(peer, 0) + 1
        self._now.add(peer, min(LONGEST_SECONDS, STALLED_SECONDS * 2 ** min(times - 1, 10)))

    @property
    def now(self) -> frozenset[str]:
        """The peer ids of those that lead nobody now."""
        return frozenset(peer for peer in self._times if peer in self._now)

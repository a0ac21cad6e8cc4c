"""The doubts of this device about its peers: they grow with each claim that was not kept, and fade with others.

Whoever says to be ahead has a state to give, and whoever stands at our anchor comes to an exchange. Anybody can say so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable

from peer.outer.shunned import Shunned
from peer.swarm.membership import MAX_MEMBERS

# In which a state that could not be taken is not asked for again, and somebody who does not come to exchanges is not
# waited for; twice as long each further time.
DOUBT_SECONDS, AWAY_SECONDS = 10.0, 20.0
WRITING_SECONDS = 1.0  # the same for a state that its donor has not written yet: that takes a moment
LONGEST_SECONDS = 320.0
# In which nothing counts of a peer whose newer state was looked at and not taken. Strangers that come in its place are
# not asked either for a while, twice as long each further time: to look at a state costs a step or two.
REFUSED_SECONDS, REFUSED_KNOWN_SECONDS = 3600.0, 600.0  # the latter of one that we know: it may only have gone astray
NEXT_STRANGER_SECONDS, LONGEST_STRANGER_SECONDS = 5.0, 40.0
IMPLAUSIBLE_SECONDS = 300.0  # the same of a peer that claims more than can be, which time may mend
ABSENCES = 2  # from exchanges, of a stranger, after which it is not waited for
# In which no exchange comes about for want of strangers, until they count no more among
# those of whom more than half have to come. A swarm that starts on busy devices needs some tries, and is to stay one.
IN_VAIN_SECONDS = 60.0
MOST_DOUBLED = 10
STRANGE_AGAIN = 4  # absences in a row, after which a peer is one that never was in an exchange with us


class Doubts:
    """What became of the claims of each peer, by peer id."""

    def __init__(self) -> None:
        self._broken: dict[str, int] = {}  # claims that were not kept, less those that were
        self._absences: dict[str, int] = {}  # from exchanges that a peer was expected in, since it was last in one
        self._in_vain_since = math.inf  # of `time.monotonic`: the first exchange in a row to which too few came
        self._known: set[str] = set()
        self._no_donors, self._not_awaited, self._not_counted, self._refused = (Shunned() for _ in range(4))
        self._refusals, self._strangers_after = 0, -math.inf  # less those that were taken; of `time.monotonic`

    def knows(self, peer: str) -> bool:
        """Return whether a peer has moved our anchor with us, and still comes to exchanges; else it is a stranger."""
        return peer in self._known

    def forget_known(self) -> None:
        """Take all others for strangers: we have left them."""
        self._known = set()

    def trusts(self, peer: str) -> bool:
        """Return whether what a peer says may hold us up: we know it, and it owes us nothing."""
        return peer in self._known and not self._broken.get(peer)

    def asks(self, peer: str) -> bool:
        """Return whether a peer is to be asked for the state that it claims to have."""
        waits = peer not in self._known and time.monotonic() < self._strangers_after
        return peer not in self._no_donors and peer not in self._refused and not waits

    def awaits(self, peer: str) -> bool:
        """Return whether a peer that stands at our anchor is to be waited for."""
        return peer not in self._not_awaited

    def counts(self, peer: str) -> bool:
        """Return whether a peer is one of those of whom more than half have to come to an exchange."""
        return peer not in self._not_counted

    def broken(self, peer: str, seconds: float = DOUBT_SECONDS) -> None:
        """Take in that a peer could not show the state that it claims to have."""
        self._make_room()
        count = self._broken[peer] = min(MOST_DOUBLED, self._broken.get(peer, 0) + 1)
        self._no_donors.add(peer, min(LONGEST_SECONDS, seconds * 2 ** (count - 1)))

    def kept(self, peer: str) -> None:
        """Take in that a peer has given the state that it claimed to have."""
        self._broken[peer] = self._broken.get(peer, 0) // 2

    def refuses(self, peer: str) -> bool:
        """Return whether the newer state of a peer was looked at and not taken."""
        return peer in self._refused

    def implausible(self, peer: str) -> None:
        """Take in that a peer claims more than can be."""
        self._refused.add(peer, IMPLAUSIBLE_SECONDS)
        self._known.discard(peer)

    def refused(self, peer: str) -> None:
        """Take in that the newer state of a peer was looked at and is not taken."""
        self._make_room()
        self._refused.add(peer, REFUSED_KNOWN_SECONDS if peer in self._known else REFUSED_SECONDS)
        self._known.discard(peer)
        self._refusals = min(MOST_DOUBLED, self._refusals + 1)
        pause = min(LONGEST_STRANGER_SECONDS, NEXT_STRANGER_SECONDS * 2 ** (self._refusals - 1))
        self._strangers_after = time.monotonic() + pause

    def taken(self) -> None:
        """Take in that a newer state was looked at and taken."""
        self._refusals //= 2

    def exchanged(self, came: Collection[str], awaited: Iterable[str]) -> None:
        """Take in who came to an exchange, whether it moved the anchor or not, and who was waited for."""
        self._make_room()
        for peer in came:
            self._absences.pop(peer, None)
            self.kept(peer)
        for peer in awaited:
            if peer in came:
                continue
            count = self._absences[peer] = min(MOST_DOUBLED, self._absences.get(peer, 0) + 1)
            if peer in self._known and count < STRANGE_AGAIN:
                continue
            if count >= ABSENCES:
                self._known.discard(peer)
                self._not_awaited.add(peer, min(LONGEST_SECONDS, AWAY_SECONDS * 2 ** (count - ABSENCES)))

    def moved(self, came: Iterable[str]) -> None:
        """Take in that enough peers have come to an exchange, these: from now on we know them."""
        self._in_vain_since = math.inf
        self._known.update(came)

    def in_vain(self, came: Collection[str], counted: Iterable[str]) -> None:
        """Take in that too few of those that count have come to an exchange."""
        now = time.monotonic()
        self._in_vain_since = min(self._in_vain_since, now)
        if now > self._in_vain_since + IN_VAIN_SECONDS:
            for peer in counted:
                if peer not in came and peer not in self._known:
                    self._not_counted.add(peer, LONGEST_SECONDS)

    def _make_room(self) -> None:
        if max(map(len, (self._broken, self._absences, self._known))) > MAX_MEMBERS:
            self._broken, self._absences, self._known = {}, {}, set()  # somebody plays tricks

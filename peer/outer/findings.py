"""The findings of this device about what others give: who is at odds with the group, and who claims too much.

What is at odds does not count in the mean at once, by the reducer of each part (`peer/state/agreement.py`). To name a
device and to leave it out for a while takes more: this device has seen it twice, or once and another one as well, or
more than half of the others that it knows say so in their notices. One device's word is not enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from peer.swarm.membership import MAX_MEMBERS
from peer.wire import MOST_LEFT_OUT, Notice

REMEMBERED = 4  # exchanges of a peer of which this device reduced a part
ENOUGH = 2  # of them with a peer at odds, that this device names it by itself
SOME = 2  # others whose word is needed where this device has seen nothing
PLAUSIBLE = 4.0  # times the sequences that a peer can have trained at the speed that its notices say
SLACK_SECONDS = 3.0  # of training, by which it may be wrong
LEFT_OUT_SECONDS = 600.0  # twice as long each further time
MOST_DOUBLED = 5
UNDOES = "gives what undoes what the others learn, or noise"
UNDOES_OURS = "gives what undoes what this device learns, or noise"
SAID_OF_US = (
    "the other devices leave out what this one gives: it does not agree with what they learn. "
    "Is its memory or its GPU broken? Start it again"
)
TOO_MUCH = "says that it has trained more than it can have"


class Findings:
    """What this device has seen of each peer, by peer id.

    :param seq_len: tokens of a sequence
    """

    def __init__(self, seq_len: int):
        self._seq_len = seq_len
        self._seen: dict[str, deque[bool]] = {}  # whether it was at odds, of the exchanges that we reduced a part of
        self._is_said_of_us = False
        self._times: dict[str, int] = {}  # that it was left out
        # of those that gave: when they last did, sequences a second, and sequences that they may give beyond those
        self._paces: dict[str, tuple[float, float, float]] = {}

    def reduced(self, group: Iterable[str], at_odds: Collection[str]) -> None:
        """Take in an exchange of these peers, of which this device has reduced a part."""
        self._make_room()
        for peer in group:
            self._seen.setdefault(peer, deque(maxlen=REMEMBERED)).append(peer in at_odds)

    @property
    def at_odds(self) -> tuple[str, ...]:
        """The peers that were at odds lately as far as this device has seen itself, for its notice."""
        return tuple(sorted(peer for peer, seen in self._seen.items() if any(seen)))[:MOST_LEFT_OUT]

    def to_leave_out(self, others: Sequence[Notice], known: Collection[str]) -> list[str]:
        """Return the peers among others that are to be named, and to be left out for a while.

        :param known: ids of those that have moved the anchor with us
        """
        return [other.peer for other in others if self._is_enough(other.peer, others, known)]

    def is_said_of_us(self, me: str, others: Sequence[Notice], known: Collection[str]) -> bool:
        """Return whether more than half of those that we know say that it is us who are at odds.

        While they do, it is returned once.
        """
        words, said_before = _words(me, others, known), self._is_said_of_us
        self._is_said_of_us = words >= SOME and 2 * words > len(known)
        return self._is_said_of_us and not said_before

    def _is_enough(self, peer: str, others: Sequence[Notice], known: Collection[str]) -> bool:
        seen, words = sum(self._seen.get(peer, ())), _words(peer, others, known)
        judges = len(set(known) - {peer})
        return seen >= ENOUGH or bool(seen and words) or (words >= SOME and 2 * words > judges)

    def left_out(self, peer: str) -> float:
        """Take in that a peer is left out from now on, and return for how many seconds."""
        self._make_room()
        self._seen.pop(peer, None)
        times = self._times[peer] = min(MOST_DOUBLED, self._times.get(peer, 0) + 1)
        return LEFT_OUT_SECONDS * 2 ** (times - 1)

    def too_much(self, samples: Mapping[str, int], notices: Iterable[Notice], now: float) -> list[str]:
        """Return the peers that give more sequences in an exchange than they can have trained since we know them.

        Of the first exchange with a peer that cannot be said: it may have been alone for long.

        :param samples: sequences by peer id, as they say
        :param now: of `time.monotonic`
        """
        self._make_room()
        found = []
        for notice in (notice for notice in notices if notice.peer in samples):
            since, pace, may = self._paces.get(notice.peer, (now, 0.0, 0.0))
            if pace:
                most = PLAUSIBLE * pace * max(SLACK_SECONDS, now - since)
                may = min(may + PLAUSIBLE * pace * (now - since), most) - samples[notice.peer]
                if may < 0:
                    found.append(notice.peer)
            pace = max(pace, notice.tokens_per_second / self._seq_len)
            self._paces[notice.peer] = (now, pace, max(0.0, may) if since < now else PLAUSIBLE * pace * SLACK_SECONDS)
        return found

    def _make_room(self) -> None:
        if max(len(self._seen), len(self._times), len(self._paces)) > MAX_MEMBERS:
            self._seen, self._times, self._paces = {}, {}, {}  # somebody plays tricks


def _words(peer: str, others: Iterable[Notice], known: Collection[str]) -> int:
    """Return how many of those that we know say in their notices that a peer is at odds with them."""
    return sum(other.peer in known and other.peer != peer and peer in other.at_odds for other in others)

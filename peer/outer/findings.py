"""The findings of this device about what others give: who is at odds with the group, and who claims too much.

What is at odds does not count in the mean, by the reducer of each part (`peer/state/agreement.py`). To name a device
and to leave it out for a while takes more: more than half of this device and the others that it knows have seen it, as
they say in their notices. So one device's word is never enough, and all leave it out at about the same time: were it
left out by some and not by others, there would be two groups, and in a small one nobody is outvoted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from peer.outer.shunned import Shunned
from peer.swarm.membership import MAX_MEMBERS
from peer.wire import MOST_LEFT_OUT, Notice

REMEMBERED = 4  # exchanges of a peer of which this device reduced a part
SOME = 2  # devices that must have seen it, and more than half of those that can
PLAUSIBLE = 4.0  # times the sequences that weigh, that a peer can have trained at the speed that its notices say
SLACK_SECONDS = 3.0  # of training, by which it may be wrong
FAR_MORE = 100.0  # times as many: of a time apart, or made up
MANY = 3  # of these in a row are made up
LEFT_OUT_SECONDS = 600.0  # twice as long each further time
MOST_DOUBLED = 5
UNDOES = "gives what undoes what the others learn, or noise"
UNDOES_OURS = "gives what undoes what this device learns, or noise"
SAID_OF_US = (
    "the other devices leave out what this one gives: it does not agree with what they learn. "
    "Is its memory or its GPU broken? Start it again"
)
WRONG_MEAN = "part of the mean that it moved by is none of what this device gave"
TOO_MUCH = "says that it has trained more than it can have"


@dataclass
class Pace:
    """How much a peer may have trained, by the speed that its notices say, or by ours: it may just have begun."""

    since: float  # when it gave last
    fastest: float = 0.0  # sequences a second
    may: float = 0.0  # sequences beyond what it has given
    refused: int = 0  # exchanges in a row
    many: int = 0  # times that it gave far more than can be, fewer by one with each exchange in which it did not

    def exceeds(self, samples: int, weight: int, now: float) -> bool:
        """Take in what it gives now; return whether that is more than it can have trained."""
        seconds, self.since = now - self.since, now
        if not self.fastest:
            return False
        slack = PLAUSIBLE * self.fastest * max(SLACK_SECONDS, seconds)
        self.may = min(self.may + PLAUSIBLE * self.fastest * seconds, slack) - weight
        exceeds, self.may = self.may < -slack, max(-slack, self.may)
        is_far_more = samples - weight > FAR_MORE * self.fastest * max(SLACK_SECONDS, seconds)
        self.many = self.many + 1 if is_far_more else max(0, self.many - 1)
        is_refused = exceeds or self.many >= MANY
        self.refused = self.refused + 1 if is_refused else 0
        return is_refused


class Findings:
    """What this device has seen of each peer, by peer id.

    :param seq_len: tokens of a sequence
    """

    def __init__(self, seq_len: int):
        self._seq_len = seq_len
        self._seen: dict[str, deque[bool]] = {}  # whether it was at odds, of the exchanges that we reduced a part of
        self._is_said_of_us = False
        self._times: dict[str, int] = {}  # that it was left out
        self._named = Shunned()  # those that are left out now
        self._paces: dict[str, Pace] = {}

    def reduced(self, group: Iterable[str], at_odds: Collection[str]) -> None:
        """Take in an exchange of these peers, of which this device has reduced a part."""
        self._make_room()
        for peer in group:
            self._seen.setdefault(peer, deque(maxlen=REMEMBERED)).append(peer in at_odds)

    def answered_wrongly(self, reducers: Collection[str]) -> None:
        """Take in that reducers answered with what is no mean, where this device gave to it."""
        self.reduced(reducers, reducers)

    @property
    def at_odds(self) -> tuple[str, ...]:
        """The peers that this device has seen at odds lately, or has named, for its notice: others need its word."""
        named = {peer for peer in self._times if peer in self._named}
        return tuple(sorted(named | {peer for peer, seen in self._seen.items() if any(seen)}))[:MOST_LEFT_OUT]

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
        say_so = _words(peer, others, known) + any(self._seen.get(peer, ()))
        judges = len(set(known) - {peer}) + 1
        return say_so >= SOME and 2 * say_so > judges

    def leaves_out(self, peer: str) -> bool:
        """Return whether a peer is left out now."""
        return peer in self._named

    def left_out(self, peer: str) -> float:
        """Take in that a peer is left out from now on, and return for how many seconds."""
        self._make_room()
        self._seen.pop(peer, None)
        times = self._times[peer] = min(MOST_DOUBLED, self._times.get(peer, 0) + 1)
        seconds = LEFT_OUT_SECONDS * 2 ** (times - 1)
        self._named.add(peer, seconds)
        return seconds

    def too_much(
        self, given: Mapping[str, tuple[int, int]], notices: Iterable[Notice], own: float, now: float
    ) -> dict[str, bool]:
        """Return the peers that give more in an exchange than they can have trained, and whether they are to be named.

        What weighs was trained since the peer gave last. Sequences that do not weigh may be of a time apart, and as
        many as it likes: once, and not again and again. Of the first exchange with a peer nothing can be said. A notice
        may be of a bad moment, so whoever is as fast as this device is believed.

        :param given: sequences and those of them that weigh by peer id, as each says
        :param own: tokens a second of this device
        :param now: of `time.monotonic`
        """
        self._make_room()
        found = {}
        for notice in (notice for notice in notices if notice.peer in given):
            speed = notice.tokens_per_second / self._seq_len
            pace = self._paces.setdefault(notice.peer, Pace(now))
            if pace.fastest:
                pace.fastest = max(pace.fastest, speed, own / self._seq_len)
            if pace.exceeds(*given[notice.peer], now):
                found[notice.peer] = pace.refused > 1
            pace.fastest = pace.fastest or speed
        return found

    def _make_room(self) -> None:
        if max(len(self._seen), len(self._times), len(self._paces)) > MAX_MEMBERS:
            self._seen, self._times, self._paces = {}, {}, {}  # somebody plays tricks


def _words(peer: str, others: Iterable[Notice], known: Collection[str]) -> int:
    """Return how many of those that we know say in their notices that a peer is at odds with them."""
    return sum(other.peer in known and other.peer != peer and peer in other.at_odds for other in others)

"""What the changes of a household come to together: who belongs to it, and under which key.

Changes are a set that only grows, each signed and with what its author knew before, so they form a graph of causes. Two
devices put their sets together and read the same from them, in whatever order they have met (a CRDT). A change counts

- if its author is a member by the changes that it knew, which count themselves;
- and if nobody, without knowing it, ejects its author: who was ejected could make up changes of before, and hand them
  to a member that was away. What it did before, and was known to who ejected it, stays. Of two that eject each other,
  neither knowing of the other, both are out: nobody can tell which was first.

So ejections decide on each other. Those count that no other undecided one could undo (the well-founded semantics, Van
Gelder et al. 1991); where that leaves a circle, as of two that eject each other, all of the circle count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from peer.wire_household import ADMITTING, MAX_EPOCH, MAX_KNOWN, Change

EPOCHS_AT_ONCE = 2**20  # that another household may be ahead of ours; more was made up, so that no key can follow


@dataclass(frozen=True)
class Outcome:
    """What changes come to.

    :param counts: peer id -> how often it was let in and ejected: odd for a member
    :param newest: the change that brought the key of now; None where no change counts
    :param is_known: somebody who was ejected since knows that key
    """

    counts: dict[str, int]
    newest: Change | None
    is_known: bool


class History:
    """Changes in order of their causes. Sets of changes are integers, with a bit for each by its place in that order.

    :param first: id of the lock that they go back to
    """

    def __init__(self, changes: Iterable[Change], first: str):
        self._first = first
        self.changes = _in_order(changes)
        self._places = {change.id: place for place, change in enumerate(self.changes)}
        self._past: list[int] = []
        self._named: dict[str, list[tuple[int, int]]] = {}  # peer id -> place and count of each change about it
        self._epochs: list[int] = []  # the largest of each change and those before it
        self._sound = 0
        for place, change in enumerate(self.changes):
            known = [self._places[id] for id in change.known]
            past = 0
            for cause in known:
                past |= self._past[cause] | 1 << cause
            epoch = max((self._epochs[cause] for cause in known), default=0)
            self._past.append(past)
            self._epochs.append(epoch)
            if self._is_sound(change, past, epoch):
                self._sound |= 1 << place
                self._epochs[place] = max(epoch, change.epoch)
                for peer, count in change.counts:
                    self._named.setdefault(peer, []).append((place, count))
        self._later = [0] * len(self.changes)  # those that knew of each
        for place, past in enumerate(self._past):
            for cause in _places(past):
                self._later[cause] |= 1 << place
        self._ejections = self._all(lambda change: change.kind == "eject")
        self._ejections_of: dict[str, int] = {}
        for place in _places(self._ejections):
            ejected = self.changes[place].counts[0][0]
            self._ejections_of[ejected] = self._ejections_of.get(ejected, 0) | 1 << place
        self._locks = self._all(lambda change: not change.known)

    def _all(self, is_one: Callable[[Change], bool]) -> int:
        return sum(1 << place for place, change in enumerate(self.changes) if is_one(change))

    def next_count(self, peer: str, is_member: bool) -> int:
        """Return the count by which a change makes a device a member, or none, above what does not count as well."""
        return _next(self._count(peer, self._sound), is_member)

    @property
    def epoch(self) -> int:
        """The largest epoch of all that is said."""
        return max(self._epochs, default=0)

    def newest(self, author: str) -> tuple[str, ...]:
        """Return the ids of the changes that no other one knew of, at most MAX_KNOWN.

        What makes the author a member comes first, and then ejections: a change without these would not count.
        """
        older = 0
        for past in self._past:
            older |= past
        about_author = sum(1 << place for place, _ in self._named.get(author, []))
        last = [
            (not (self._past[place] | 1 << place) & about_author, change.kind != "eject", change.id)
            for place, change in enumerate(self.changes)
            if not older >> place & 1
        ]
        return tuple(id for _, _, id in sorted(last)[:MAX_KNOWN])

    def causes(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """Return some of the changes with all that was known before them."""
        wanted = 0
        for change in changes:
            place = self._places[change.id]
            wanted |= self._past[place] | 1 << place
        return tuple(self.changes[place] for place in _places(wanted))

    @cached_property
    def outcome(self) -> Outcome:
        """What the changes come to."""
        applied, forced = self._applied()
        valid = self._valid(applied, forced) & (applied | ~self._ejections)
        with_key = [place for place in _places(valid) if self.changes[place].epoch]
        peers = {peer for place in _places(valid) for peer, _ in self.changes[place].counts}
        counts = {peer: self._count(peer, valid) for peer in sorted(peers)}
        if not with_key:
            return Outcome(counts, None, False)
        newest = max(with_key, key=lambda place: (self.changes[place].epoch, self.changes[place].key_hash))
        later = applied & ~(self._past[newest] | 1 << newest)
        return Outcome(counts, self.changes[newest], bool(later))

    # ------------------------------------------------------------------ which changes count

    def _is_sound(self, change: Change, past: int, epoch: int) -> bool:
        """Return whether a change goes on from what it says to have known.

        :param epoch: the largest of that
        """
        before = past & self._sound
        if any(count != _next(self._count(peer, before), count % 2 == 1) for peer, count in change.counts):
            return False
        if not change.known:
            return change.kind == "lock" and change.epoch <= MAX_EPOCH // 2  # so that others can follow
        return change.epoch in (0, epoch + 1)

    def _count(self, peer: str, among: int) -> int:
        return max((count for place, count in self._named.get(peer, []) if among >> place & 1), default=0)

    def _valid(self, applied: int, forced: int) -> int:
        """Return the changes that count where these ejections do, and no other ones.

        :param forced: ejections that count in any case
        """
        valid = founding = self._founding(applied)
        for place, change in enumerate(self.changes):
            if not (self._sound & ~self._locks) >> place & 1:
                continue
            before = self._past[place] & valid & (applied | ~self._ejections)
            count = self._count(change.author, before)
            if forced >> place & 1 or (count % 2 and not self._is_undone(place, count, applied)):
                valid |= 1 << place
        return valid | founding

    def _founding(self, applied: int) -> int:
        """Return the locks of an open run that count: the first, and those by whom it names, made at the same time.

        The first one cannot be undone: else who ejects its author could undo the household.
        """
        reached, wanted = 0, [self._places[self._first]] if self._first in self._places else []
        while wanted:
            place = wanted.pop()
            is_first = self.changes[place].id == self._first
            if reached >> place & 1 or not self._sound >> place & 1:
                continue
            if not is_first and self._is_undone(place, 1, applied):
                continue
            reached |= 1 << place
            named = {peer for peer, _ in self.changes[place].counts}
            wanted += [lock for lock in _places(self._locks) if self.changes[lock].author in named]
        return reached

    def _is_undone(self, place: int, count: int, applied: int) -> bool:
        """Return whether one of these ejections, made without knowing it, undoes a change.

        It does if it ends the membership in which its author made it. Who comes in by a key, or by being here when an
        open run is locked, does so by nobody's word, and while nobody is ejected alone.
        """
        change = self.changes[place]
        unaware = applied & ~self._later[place]
        if _is_by_nobody(change) and unaware & ~self._past[place]:
            return True
        ejections = _places(unaware & self._ejections_of.get(change.author, 0) & ~(1 << place))
        return any(self.changes[ejection].counts[0][1] > count for ejection in ejections)

    # ------------------------------------------------------------------ which ejections count

    def _applied(self) -> tuple[int, int]:
        """Return the ejections that count, and those of them that count because they are part of a circle."""
        forced = 0
        while True:
            applied = forced
            while True:
                perhaps = self._valid(applied, forced) & self._ejections
                surely = self._valid(perhaps, forced) & self._ejections | forced
                if surely == applied:
                    break
                applied = surely
            undecided = perhaps & ~applied
            if not undecided:
                return applied, forced
            forced = applied | self._circle(undecided)

    def _circle(self, undecided: int) -> int:
        """Return those of some ejections that nothing could undo but what they could undo themselves."""
        places = list(_places(undecided))
        against = {place: self._could_undo(place, undecided) for place in places}
        is_growing = True
        while is_growing:  # until each has those against it, those against them, and so on
            is_growing = False
            for place in places:
                more = against[place]
                for other in _places(more):
                    more |= against[other]
                is_growing = is_growing or more != against[place]
                against[place] = more
        circle = 0
        for place in places:
            if all(against[other] >> place & 1 for other in _places(against[place])):
                circle |= 1 << place
        return circle

    def _could_undo(self, place: int, undecided: int) -> int:
        """Return which ejections could undo one, or something that makes its author a member."""
        could = 0
        for cause in _places(self._rests_on(place)):
            change = self.changes[cause]
            ejections = undecided if _is_by_nobody(change) else self._ejections_of.get(change.author, 0)
            could |= undecided & ejections & ~self._later[cause]
        return could & ~(1 << place)

    def _rests_on(self, place: int) -> int:
        """Return a change with all that may make its author a member."""
        rests_on, wanted = 0, [place]
        while wanted:
            cause = wanted.pop()
            if rests_on >> cause & 1:
                continue
            rests_on |= 1 << cause
            author = self.changes[cause].author
            if self._locks >> cause & 1:
                wanted += [] if self.changes[cause].id == self._first else list(_places(self._locks))
                continue
            for other in _places(self._past[cause]):
                change = self.changes[other]
                if change.kind in ADMITTING and any(peer == author for peer, _ in change.counts):
                    wanted.append(other)
        return rests_on


def _in_order(changes: Iterable[Change]) -> list[Change]:
    """Return changes, each once and after those that it knew of; without those before which something is missing."""
    waiting = {change.id: change for change in changes}
    order: dict[str, Change] = {}
    while True:
        ready = [change for change in waiting.values() if all(id in order for id in change.known)]
        if not ready:
            return list(order.values())
        for change in sorted(ready, key=lambda change: change.id):
            order[change.id] = waiting.pop(change.id)


def _is_by_nobody(change: Change) -> bool:
    """Return whether a change makes members of devices that no person has let in one by one."""
    return change.kind == "welcome" or (change.kind == "lock" and bool(change.known))


def _next(count: int, is_member: bool) -> int:
    """Return the smallest count from that one on that says whether a device is a member."""
    return count if count % 2 == is_member else count + 1


def _places(changes: int) -> Iterator[int]:
    """Yield the places of a set of changes, in order."""
    while changes:
        lowest = changes & -changes
        yield lowest.bit_length() - 1
        changes ^= lowest


@lru_cache(64)
def history_of(changes: tuple[Change, ...], first: str) -> History:
    """Return changes with what they come to, which is worked out once."""
    return History(changes, first)

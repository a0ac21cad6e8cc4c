"""The share of this device's training that others have: after a time apart it knows what it has to give.

Every anchor that was ours is remembered with what of ours was in it. A peer may be seen at one of them, by its notice
or because it gave to the mean that led there. Then it has that much of us, and goes its own way from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from minigpt.checkpoint.manifest import Standing
from peer.wire import Notice, Role

MAX_ANCHORS = 10_000
MAX_KEPT = 500  # peers that a checkpoint keeps


@dataclass(frozen=True)
class Entry:
    """An anchor of ours."""

    samples: int  # sequences behind it, of the whole swarm
    own: int  # of ours in it
    steps: int  # of ours until then


class Contributions:
    """Remembers what went from this device into its anchors, and at which of them each peer was last seen.

    :param standing: the record that was kept with the checkpoint that we go on from
    """

    def __init__(self, standing: Standing):
        self.own = standing.own  # of our sequences are in the anchor
        self._here = Entry(0, self.own, 0)
        self._anchors: dict[str, Entry] = {}  # by lineage
        self._seen = {peer: Entry(*met) for peer, met in standing.met.items()}
        self._moved_with = dict(standing.moved_with)

    @property
    def met(self) -> dict[str, tuple[int, int, int]]:
        """The anchors where peers were last seen, (samples, own, steps) by peer id, as a checkpoint keeps them."""
        last = sorted(self._seen.items(), key=lambda seen: seen[1].samples)[-MAX_KEPT:]
        return {peer: astuple(entry) for peer, entry in last}

    @property
    def moved_with(self) -> dict[str, float]:
        """When peers have last moved the anchor with us, in this start or an earlier one: `time.time` by peer id."""
        return dict(list(self._moved_with.items())[-MAX_KEPT:])

    def has_moved_with(self, peer: str) -> bool:
        """Return whether a peer has ever moved the anchor with us."""
        return peer in self._moved_with

    def remember_anchor(self, lineage: str, samples: int, steps: int, own: int = 0) -> None:
        """Remember our anchor of now.

        :param samples: sequences behind it, of the whole swarm
        :param steps: of ours until then
        :param own: sequences of ours that have gone into it since the one before
        """
        self.own += own
        self._here = self._anchors[lineage] = Entry(samples, self.own, steps)
        if len(self._anchors) > MAX_ANCHORS:
            del self._anchors[next(iter(self._anchors))]

    def update(self, notices: Iterable[Notice]) -> None:
        """Take in which peers are at an anchor that is or was ours."""
        for notice in notices:
            if notice.role == Role.TRAINING and (entry := self._anchors.get(notice.lineage)) is not None:
                self._seen[notice.peer] = entry

    def together(self, peers: Iterable[str], with_us: bool = False) -> None:
        """Take in that these peers are at our anchor of now, and whether we have moved it with them."""
        peers = list(peers)
        self._seen.update(dict.fromkeys(peers, self._here))
        for peer in peers if with_us else ():
            self._moved_with.pop(peer, None)
            self._moved_with[peer] = time.time()  # the last one is the last in it
        if len(self._moved_with) > MAX_ANCHORS:
            self._moved_with = self.moved_with
        if len(self._seen) > MAX_ANCHORS:
            self._seen = {peer: Entry(*met) for peer, met in self.met.items()}

    def last_with(self, peer: str) -> Entry:
        """Return the anchor where a peer was last seen; one that never was is taken to have all of ours."""
        return self._seen.get(peer, self._here)

    def take_back(self, peer: str) -> int:
        """Take the peer's anchor for ours; return how many sequences of ours are in no anchor any more."""
        apart = max(0, self.own - self.last_with(peer).own)
        self.own -= apart
        return apart

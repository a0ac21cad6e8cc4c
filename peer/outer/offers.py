"""The sequences that others have trained and our anchor does not hold yet, as far as their notices tell.

What a peer says that it offers is on top of its own anchor, and around every exchange some have moved and others have
not, or their notices are from before. So what was said at an anchor that was ours counts less what has gone into ours
since. Of an anchor ahead of ours, it is known how much is behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peer.wire import Notice, Role

# Times as many sequences as we have trained since the anchor, or a round if that is more: another one is believed to
# have trained so many. Where exchanges are rare or rounds short, several rounds are trained beside one anchor.
MOST_TIMES = 10
MAX_ANCHORS = 100  # of ours that are remembered; at the shortest pause between exchanges that is a minute's


class Offers:
    """Counts what others have trained beside our anchor.

    :param lineage: of our anchor
    :param samples_per_round: that each of the others is believed to offer in any case
    """

    def __init__(self, lineage: str, samples_per_round: int):
        self.ahead = 0  # sequences of the swarm, as those say who are ahead of us
        self._samples_per_round = samples_per_round
        self._offered: dict[str, int] = {}  # sequences that are not in our anchor, by peer id
        self._gone_in: dict[str, dict[str, int]] = {lineage: {}}  # since each anchor of ours, by lineage and peer id

    @property
    def samples(self) -> int:
        """The sequences that others offer, and that are not in our anchor."""
        return sum(self._offered.values())

    def update(self, others: Iterable[Notice], samples: int, own: int) -> None:
        """Take in the notices of all others that are here; who is not has nothing to offer any more.

        :param samples: sequences behind our anchor
        :param own: sequences that we have trained since
        """
        most = max(self._samples_per_round, MOST_TIMES * own)
        before, self._offered = self._offered, {}
        beside: dict[str, int] = {}  # at each anchor that is ahead of ours: sequences that are not behind ours
        for other in others:
            if other.role == Role.TRAINING and other.lineage in self._gone_in:
                gone_in = self._gone_in[other.lineage].get(other.peer, 0)
                self._offered[other.peer] = min(max(0, other.offered - gone_in), most)
                continue
            if other.peer in before:
                self._offered[other.peer] = before[other.peer]
            if other.role == Role.TRAINING and other.trained > samples:
                known = beside.get(other.lineage, other.trained - samples)
                beside[other.lineage] = known + other.offered
        self.ahead = samples + min(most, max(beside.values(), default=0))

    def anchor_moved(self, lineage: str, samples: Mapping[str, int]) -> None:
        """Take in that our anchor has moved by a mean with so many sequences of each peer, by peer id."""
        for peer, offered in self._offered.items():
            self._offered[peer] = max(0, offered - samples.get(peer, 0))
        for gone_in in self._gone_in.values():
            for peer, given in samples.items():
                gone_in[peer] = gone_in.get(peer, 0) + given
        self._gone_in[lineage] = {}
        if len(self._gone_in) > MAX_ANCHORS:
            del self._gone_in[next(iter(self._gone_in))]

    def begin(self, lineage: str) -> None:
        """Begin at an anchor that came about otherwise: nobody knows what of the others it holds."""
        self._offered, self._gone_in = {}, {lineage: {}}

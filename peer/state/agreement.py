"""The agreement of what peers give: each contribution is held against all others before it counts.

A reducer sees everybody's numbers of its parts. Of two contributions it takes two figures, which cost next to nothing:

- the **cosine** of the whole part. Honest ones learn the same, so theirs is above zero, if only by hundredths; of two
  with other texts it is about zero. Who gives the opposite of what the others learn, or drags them somewhere, is below.
- the **likeness**: the mean square of the cosines of blocks of 1,024 numbers, in what chance alone would make it.
  Random numbers have 1. Two that learn a language have more, and with other texts too: some blocks say the same, some
  the opposite.

Both are small near the end of training, when most of a movement is noise. So nobody is measured by a fixed bar: the
median of the group is the measure, and what earlier parts and exchanges have said counts as well. How long a
contribution may be, and whether it is the opposite in one part alone, is told by the cosine of this part: what a peer
gave elsewhere or before does not excuse it (docs/log.md, "long and next to nothing in common"). Of two peers neither
is the measure of the other (`peer/outer/pair.py`). What honest devices and bad ones have in these figures was measured
first: docs/log.md, "averages that one bad member cannot ruin". Krum (arXiv 1703.02757) and FLTrust (arXiv 2012.13995)
look for the same agreement, by distances and with a trusted root.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, median_high

import torch
from torch import Tensor

from peer.state.codec import BLOCK

LONGEST = 4.0  # times the median length of the group: what is longer is made as short
NOT_AGREED = 1.5  # the same, for its weight, of one that does not go where the others go: honest ones had 1.27
AGREED = 0.9  # of the group's cosine: who has it may be as long as LONGEST
LONGEST_BLOCK = 8.0  # the same of a block, in usual ones of that median: honest ones had 2.7 at most (docs/log.md)
OPPOSED = 0.6  # times the group's cosine, below zero: who is there undoes what the others learn
LEAST_OPPOSED = 0.03  # a cosine of that at least, below zero
LEAST_UNDONE = 0.06  # the same in one part alone, where honest ones had got down to 0.04
UNLIKE = 0.02  # of the group's likeness beyond chance: who has less says nothing of what the others learn
DEVIATIONS = 2.0  # of chance, by which it must be less
DEVIATIONS_AGREED = 3.0  # of chance, above which the group's cosine must be: its members agree
KEPT = 0.8  # of what was seen so far that still counts beside the next exchange
FEWEST_BLOCKS = 16  # that moved, in a part: of fewer, chance says as much as the peers
STILL = 1e-6  # of the mean square of a part: a block of less has not moved
MOST_PAIRS = 2**13  # that are remembered; of a group of 64 there are 2,016


def figures(parts: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return the cosines (n, n) and the likenesses (n, n) of n contributions, and how many blocks these are of.

    :param parts: (n, N) float32, N a multiple of BLOCK
    """
    count = len(parts)
    blocks = parts.view(count, -1, BLOCK).transpose(0, 1)
    products = blocks @ blocks.transpose(1, 2)  # (blocks, n, n)
    squares = products.diagonal(dim1=1, dim2=2)
    moved = (squares > STILL * squares.mean(0)).all(1)
    if not moved.any():
        return torch.zeros(count, count), torch.ones(count, count), 0.0
    products, lengths = products[moved], squares[moved].sqrt()
    whole, by_block = products.sum(0), products / (lengths[:, :, None] * lengths[:, None, :])
    length = whole.diagonal().sqrt()
    return whole / (length[:, None] * length), by_block.square().mean(0) * BLOCK, float(moved.sum())


def shortened(blocks: Tensor, moved: Tensor) -> list[float]:
    """Return the share of each contribution at which neither it nor a block of it is far longer than is usual here.

    :param blocks: (n, B), the lengths of each contribution's blocks
    :param moved: (n, B), which of these have moved: the last part of a model has few, and padding
    """
    lengths, longest = blocks.norm(dim=1).tolist(), blocks.amax(1).tolist()
    usual = median(lengths)
    usual_block = usual / math.sqrt(max(1, median_high(moved.sum(1).tolist())))
    if not usual:
        return [1.0] * len(lengths)
    return [
        min(1.0, LONGEST * usual / length, LONGEST_BLOCK * usual_block / block) if length else 1.0
        for length, block in zip(lengths, longest)
    ]


def supported(cosines: list[list[float]], lengths: list[float], weights: Sequence[float], blocks: float) -> list[float]:
    """Return the share of each of three or more contributions that counts in one part, by how far it goes with them.

    Noise takes part in the length and not in the cosine. So the length that is allowed falls with the square of the
    cosine, down to what is usual; the noise in a contribution is then never twice as long as is usual. A fast device
    among slow ones whose learning rates still rise is much longer than they are, and goes where they go. What plainly
    undoes the part has a share of 0, but never half of the group. Where the members do not agree, all have 1.

    :param cosines: (n, n) of this part alone
    :param weights: in the mean: fewer sequences are a shorter way, whose steps are longer by up to the root of that
    :param blocks: that the cosines are of
    """
    cosine = _medians(cosines)
    common = median(cosine)
    if common < DEVIATIONS_AGREED / math.sqrt(blocks * BLOCK):
        return [1.0] * len(cosine)
    shares = []
    for own, length, weight in zip(cosine, lengths, weights):
        usual = median(other * max(1.0, math.sqrt(more / weight)) for other, more in zip(lengths, weights))
        times = max(NOT_AGREED, LONGEST * min(1.0, max(0.0, own) / (AGREED * common)) ** 2)
        shares.append(min(1.0, times * usual / length) if length else 1.0)
    undoing = [index for index, own in enumerate(cosine) if own < -max(LEAST_UNDONE, OPPOSED * common)]
    if 2 * len(undoing) < len(cosine):
        shares = [0.0 if index in undoing else share for index, share in enumerate(shares)]
    return shares


def _medians(pairs: list[list[float]]) -> list[float]:
    """Return the median of the figures of each with the others, of the figures (n, n) of all pairs."""
    members = range(len(pairs))
    return [median_high(pairs[i][j] for j in members if j != i) for i in members]


def comparable(moved: Tensor) -> list[int]:
    """Return the indices of those that have moved in enough of the same blocks to be held against each other.

    Who has moved in a few alone cannot be, and keeps nobody else from it.

    :param moved: (n, B), which blocks of each contribution have moved
    """
    members = sorted(range(len(moved)), key=lambda index: int(moved[index].sum()), reverse=True)
    while len(members) > 2 and moved[members].all(0).sum() < FEWEST_BLOCKS:
        members.pop()
    return sorted(members)


@dataclass(frozen=True)
class Look:
    """The figures of what two gave in one exchange."""

    cosine: float
    likeness: float
    blocks: float  # that they are of


class Agreement:
    """The figures of each pair of peers, over the parts that this device has reduced, and who is out by them."""

    def __init__(self) -> None:
        self._figures: dict[frozenset[str], tuple[float, float, float]] = {}  # sums over blocks, and blocks
        self._out: set[str] = set()
        self.has_judged = False  # a part of this exchange
        self._pair: list[Look] = []  # of the parts of this exchange, where two gave
        self._lock = threading.Lock()  # parts are put together in threads

    def begin(self) -> None:
        """Begin the next exchange: what was seen so far counts for less."""
        with self._lock:
            if len(self._figures) > MOST_PAIRS:
                self._figures.clear()
            self._figures = {pair: (c * KEPT, s * KEPT, n * KEPT) for pair, (c, s, n) in self._figures.items()}
            self._out, self.has_judged = set(), False
            self._pair = []

    @property
    def out(self) -> frozenset[str]:
        """The peers whose contributions to parts of this exchange did not count."""
        with self._lock:
            return frozenset(self._out)

    @property
    def look(self) -> Look | None:
        """The figures of all parts of this exchange, where it was one of two; None where there are none."""
        with self._lock:
            blocks = sum(look.blocks for look in self._pair)
            if not blocks:
                return None
            cosine, likeness = (
                sum(value * look.blocks for look, value in zip(self._pair, values)) / blocks
                for values in zip(*((look.cosine, look.likeness) for look in self._pair))
            )
        return Look(cosine, likeness, blocks)

    def shares(self, peers: Sequence[str], parts: Tensor, weights: Sequence[float]) -> list[float]:
        """Return the share of each contribution to a part that counts: 0 where its peer is at odds with the others.

        Of one that is longer than its agreement with the others allows, it is less than 1.

        :param peers: ids of those that give
        :param parts: (n, N) float32, what they give
        :param weights: of each in the mean, above 0
        """
        if len(peers) < 2:
            return [1.0] * len(peers)
        blocks = parts.view(len(peers), -1, BLOCK).norm(dim=2)
        moved = blocks.square() > STILL * blocks.square().mean(1, keepdim=True)
        shares = shortened(blocks, moved)
        if len(peers) == 2:
            self._look_at_two(parts)
        members = comparable(moved)
        if len(members) < 3:
            return shares
        cosines, likenesses, common = figures(parts if len(members) == len(peers) else parts[members])
        names = [peers[index] for index in members]
        lengths = blocks[members].norm(dim=1).tolist()
        supports = supported(cosines.tolist(), lengths, [weights[index] for index in members], common)
        for index, share in zip(members, supports):
            shares[index] = min(shares[index], share)
        with self._lock:
            out = at_odds(*self._with_what_was_seen(names, cosines.tolist(), likenesses.tolist(), common))
            self.has_judged = True
            self._out |= {names[index] for index in out}
        for index in out:
            shares[members[index]] = 0.0
        return shares

    def _look_at_two(self, parts: Tensor) -> None:
        cosines, likenesses, blocks = figures(parts)
        if blocks >= FEWEST_BLOCKS:
            with self._lock:
                self.has_judged = True
                self._pair.append(Look(float(cosines[0, 1]), float(likenesses[0, 1]), blocks))

    def _with_what_was_seen(
        self, peers: Sequence[str], cosines: list[list[float]], likenesses: list[list[float]], blocks: float
    ) -> tuple[list[list[float]], list[list[float]], float]:
        """Take in the figures of one more part; return all of them put together, and of how many blocks they are."""
        seen = blocks
        for i, one in enumerate(peers):
            for j, other in enumerate(peers[:i]):
                pair = frozenset((one, other))
                cosine, likeness, count = self._figures.get(pair, (0.0, 0.0, 0.0))
                cosine, likeness = cosine + blocks * cosines[i][j], likeness + blocks * likenesses[i][j]
                count += blocks
                self._figures[pair] = (cosine, likeness, count)
                cosines[i][j] = cosines[j][i] = cosine / count
                likenesses[i][j] = likenesses[j][i] = likeness / count
                seen = max(seen, count)
        return cosines, likenesses, seen


def at_odds(cosines: list[list[float]], likenesses: list[list[float]], blocks: float) -> frozenset[int]:
    """Return who of three or more is at odds with the group: never as many as half of it.

    Each is described by the median of its figures with the others, and the group by the median of its members: one bad
    member moves neither. Where the members have nothing in common, nobody is at odds.

    :param cosines: (n, n), `likenesses` as well
    :param blocks: that they are of
    """
    members = range(len(cosines))
    cosine, likeness = _medians(cosines), [value - 1 for value in _medians(likenesses)]
    common, alike = median(cosine), median(likeness)
    chance = math.sqrt(2 / blocks)  # the deviation of a likeness of random numbers
    opposed = max(LEAST_OPPOSED, OPPOSED * common)
    agreed = common > DEVIATIONS_AGREED / math.sqrt(blocks * BLOCK)
    out = frozenset(
        i for i in members if (agreed and cosine[i] < -opposed) or likeness[i] + DEVIATIONS * chance < UNLIKE * alike
    )
    return out if 2 * len(out) < len(cosines) else frozenset()


def capped(weights: Sequence[float], steps: Sequence[int]) -> list[float]:
    """Return the weights in a mean of three or more: nobody has more than half of it who made no more steps.

    Who made more steps in the same time is the faster device, and may have as many times as much.

    :param steps: in which the sequences of each were trained
    """
    if sum(weight > 0 for weight in weights) < 3:
        return list(weights)
    total, first, second = sum(weights), *sorted(steps, reverse=True)[:2]
    most = [max(1.0, count / max(1, second if count == first else first)) for count in steps]
    return [min(weight, times * (total - weight)) for weight, times in zip(weights, most)]

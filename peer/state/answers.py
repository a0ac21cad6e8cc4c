"""The answers of reducers: each part of a mean is held against what this device itself has given to it.

A reducer sees what all give, and the others see its answer alone. But each of them knows to the last bit what it has
given itself, and how much that weighs. Two figures tell whether an answer can be a mean that this went into:

- the **projection** of the answer on what was given. Of movement most is noise that no two share
  (`peer/state/agreement.py`), so a mean goes the way of each device about as far as its weight in it.
- how far **what is left for all others**, once our own share is taken off, goes against what was given. Honest others
  hardly undo it. Made-up numbers do: what is taken off them was never in them.

What honest others can undo depends on how long their movement is. A device that has just begun gives far less than
they do, so that is taken from the means of lately, its own parts among them, and not from the answer alone. How long an
answer may be is bounded by these as well. Of the numbers some blocks are looked at, which the reducer cannot foresee.
Who weighs little in a mean cannot tell. What honest reducers answer was measured first: docs/log.md, "a reducer that
lies".
"""

from __future__ import annotations

import math
import random
from collections import deque

import torch
from torch import Tensor

from peer.state.codec import BLOCK, PART, STEPS, decoded_blocks, payload_bytes

BLOCKS = PART // BLOCK
SAMPLE = 128  # blocks of a part, whose numbers are looked at
LEAST = 0.5  # of our weight, that is left of what we gave. Measured: 0.94 and more, 0.67 where we weigh a seventh
MOST_UNDONE = 0.16  # the cosine below zero, which two got down to 0.12 of that learnt small texts by heart
DEVIATIONS = 5.0  # of chance, by which it must be beyond these
STILL = 1e-3  # of a step, root mean square: a block of less has not moved
FEWEST_EQUAL = 8.0  # blocks that moved alike, of these: of fewer nothing can be told
REMEMBERED, FEWEST = 32, 4  # parts that tell how long the movement of the others is
LONGER = 2.0  # times that, which it may be this time
LONGEST, A_STEP = 2.5, 1.0  # times the means of lately or what we gave; honest parts had 0.9 of a step at most


class Answers:
    """Looks at the parts of means; remembers how long they have been."""

    def __init__(self) -> None:
        self._bits, self._mean_bits, self._share = 2, 4, 0.0
        self._blocks = torch.arange(SAMPLE)
        self._lengths: deque[float] = deque(maxlen=REMEMBERED)  # of parts, in steps
        self._left: deque[float] = deque(maxlen=REMEMBERED)  # the same of what they left for others

    def begin(self, bits: int, mean_bits: int, share: float) -> None:
        """Begin the next mean.

        :param bits: a number, of what this device gives
        :param mean_bits: a number, of the mean
        :param share: of this device in the weight of all that give
        """
        self._bits, self._mean_bits, self._share = bits, mean_bits, share
        self._blocks = torch.tensor(sorted(random.SystemRandom().sample(range(BLOCKS), SAMPLE)))

    def are_wrong(self, given: Tensor, mean: Tensor) -> bool:
        """Return whether a part of a whole mean is wrong, of the payloads of all parts; see `is_wrong`."""
        parts = zip(given.split(payload_bytes(PART, self._bits)), mean.split(payload_bytes(PART, self._mean_bits)))
        return any(self.is_wrong(*part) for part in parts)

    def is_wrong(self, given: Tensor, mean: Tensor) -> bool:
        """Return whether one part of the mean cannot be one to which this device gave that.

        :param given: the payload of what it gave, uint8
        :param mean: the payload of the answer, uint8
        """
        length, left = _length(mean, self._mean_bits), self._left_of(given, mean)
        longest = max(A_STEP, LONGEST * _length(given, self._bits), LONGEST * _usual(self._lengths))
        is_wrong = left is None or length > longest
        if left is not None and not is_wrong:
            self._lengths.append(length)
            self._left.append(left)
        return is_wrong

    def _left_of(self, given: Tensor, mean: Tensor) -> float | None:
        """Return how long what a part leaves for others is, in steps; None where it undoes ours, which is not in it."""
        own = decoded_blocks(given, self._bits, self._blocks).view(-1)
        answer = decoded_blocks(mean, self._mean_bits, self._blocks).view(-1)
        energies = own.view(SAMPLE, BLOCK).square().sum(1)
        energy, product, square = float(energies.sum()), float(own @ answer), float(answer @ answer)
        undone, size = self._share * energy - product, math.sqrt(len(own))
        left = math.sqrt(max(0.0, square - 2 * self._share * product + self._share**2 * energy))
        equal_ones = energy**2 / max(1e-30, float(energies.square().sum()))  # Kish's effective number
        if energy > STILL**2 * BLOCK and equal_ones >= FEWEST_EQUAL:
            may_be = LONGER * size * _usual(self._left)
            others = min(left, may_be) if may_be else left
            chance = DEVIATIONS * math.sqrt(energy) / size * others
            lacks_ours = product + chance < LEAST * self._share * energy
            if lacks_ours and undone > MOST_UNDONE * math.sqrt(energy) * others + chance:
                return None
        return left / size


def _length(part: Tensor, bits: int) -> float:
    """Return about the root mean square of a part, from the steps of its blocks alone."""
    return float(part[: 2 * BLOCKS].view(torch.float16).float().square().mean().sqrt()) / STEPS[bits]


def _usual(lengths: deque[float]) -> float:
    """Return a usual one of these, which a bad reducer that answers most of them cannot make long; 0 for too few."""
    return sorted(lengths)[len(lengths) // 4] if len(lengths) >= FEWEST else 0.0

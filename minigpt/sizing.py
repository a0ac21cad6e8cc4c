"""How large a model should be: what a size will have learnt after so much training, as plain arithmetic.

The law has the form of Hoffmann et al. (Chinchilla, arXiv 2203.15556), and where training passes over a text often,
that of Muennighoff et al. (arXiv 2305.16264). It counts text in bytes, so that vocabularies compare. Its numbers are
fitted by `python -m benchmarks.sizes`, which prints them as they stand below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Size:
    """The size of a model's layers."""

    d_model: int
    nhead: int
    num_layers: int

    @property
    def parameters(self) -> int:
        """The parameters of the layers, about, without those of the embedding."""
        return 12 * self.num_layers * self.d_model**2

    def operations(self, vocab_size: int) -> int:
        """Return the operations that a token takes to learn from, about, with the output layer."""
        return 6 * (self.parameters + vocab_size * self.d_model)


@dataclass(frozen=True)
class Law:
    """Held-out bits per byte:

        floor + size / N ** size_exponent + text * M ** lag_exponent * (V / 8000) ** vocab_exponent / D ** text_exponent

    of a model with N parameters in its layers (M in millions) and a vocabulary of V, after D bytes of text. A larger
    model learns more in the end, and more slowly at first. Text that is seen again teaches less: all passes after the
    first are worth `passes` of it at most.
    """

    floor: float
    size: float
    size_exponent: float
    text: float
    text_exponent: float
    lag_exponent: float
    vocab_exponent: float
    passes: float

    def bits_per_byte(self, size: Size, vocab_size: int, trained: float, text: float) -> float:
        """Return what held-out text will take after `trained` bytes, with a text of `text` bytes to train on."""
        lag = (size.parameters / 1e6) ** self.lag_exponent * (vocab_size / 8000) ** self.vocab_exponent
        by_text = self.text * lag / saturated(trained, text, self.passes) ** self.text_exponent
        return self.floor + self.size / size.parameters**self.size_exponent + by_text


def saturated(amount: float, first: float, rest: float) -> float:
    """Return what an amount is worth of which `first` counts in full, and the rest `rest` times that at most."""
    if amount <= first:
        return amount
    return first * (1 + rest * -math.expm1(-(amount / first - 1) / rest))


SIZES = {  # by name, the smallest first
    "small": Size(256, 4, 4),
    "medium": Size(384, 6, 6),
    "guide": Size(512, 8, 6),
    "large": Size(768, 12, 12),
}
VOCABULARIES = (4000, 8000)  # in fewer pieces there may be no room for all characters of a long text

LAW = Law(  # misses its 26 points, of three sizes in their first four minutes on film reviews, by 1.3 %, at most 3.4 %
    floor=0.6357,
    size=35.39,
    size_exponent=0.399,
    text=8.542,
    text_exponent=0.1398,
    lag_exponent=0.0324,
    vocab_exponent=0.053,  # not measured with this recipe, nor is the next one
    passes=15.4,  # of arXiv 2305.16264
)

BYTES_PER_PIECE = {2000: 2.9, 4000: 4.2, 8000: 4.56}  # of text, by the vocabulary
NOTABLE = 0.01  # what a larger model must gain, of the bits: a smaller one answers faster, and others fetch it sooner


def bytes_per_piece(vocab_size: int) -> float:
    """Return how many bytes of text a token stands for, about."""
    known = sorted(BYTES_PER_PIECE.items())
    for (fewer, low), (more, high) in pairwise(known):
        if vocab_size <= more:
            share = max(0.0, math.log(vocab_size / fewer) / math.log(more / fewer))
            return low + share * (high - low)
    return known[-1][1]


@dataclass(frozen=True)
class Outlook:
    """What a model of some size will have learnt after some time: held-out bits per byte, by passes over its text."""

    size: Size
    vocab_size: int
    bits: float
    passes: float


def look_out(size: Size, vocab_size: int, operations: float, text: int) -> Outlook:
    """Return what so many operations of training will teach a model that has `text` bytes of text, one at least."""
    trained = operations / size.operations(vocab_size) * bytes_per_piece(vocab_size)
    bits = LAW.bits_per_byte(size, vocab_size, max(1.0, trained), max(1, text))
    return Outlook(size, vocab_size, bits, trained / max(1, text))


def best(outlooks: Iterable[Outlook]) -> Outlook:
    """Return the one with the fewest bits; of those that are as good but for NOTABLE, the smallest."""
    by_size = sorted(outlooks, key=lambda outlook: outlook.size.operations(outlook.vocab_size))
    least = min(outlook.bits for outlook in by_size)
    return next(outlook for outlook in by_size if outlook.bits <= (1 + NOTABLE) * least)

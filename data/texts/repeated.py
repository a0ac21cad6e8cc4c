"""Long stretches that several texts have word for word: a forwarded message, a chain letter, a notice that was copied.

A model learns by heart what it reads often (Deduplicating training data, arXiv 2107.06499). Of lines that are there
more than once the first stay, where they have LONG letters and digits together: alone, or one after the other. What is
shorter is what people say, and stays.
"""

import re
from array import array

import numpy as np

from data.masking.tags import TAGS
from data.texts.hashes import hash64

LONG = 50  # letters and digits, as of a text that is compared by its likeness
MOST_LINES = 50  # of a stretch
_TAG = re.compile(f"<(?:{'|'.join(tag[1:] for tag in TAGS)})", re.IGNORECASE)  # ten photos are no letter
# As data.texts.duplicates.core_of has it, but for all lines of a text at once.
_BETWEEN = re.compile(r"[^\w\n]+")
_REPEATED = re.compile(r"([^\d\n])(?=\1)")


def stretches(text: str) -> tuple[list[int], list[int]]:
    """Return for each line of a text a hash of the stretch that begins with it, and how many lines that has.

    Both are 0 where what follows is too short to be one.
    """
    letters_alone = _BETWEEN.sub("", _TAG.sub("", text).replace("_", " ").lower())
    cores = _REPEATED.sub("", letters_alone).split("\n")
    hashes, lengths = [0] * len(cores), [0] * len(cores)
    letters, end = 0, 0  # of the lines from `start` until before `end`
    for start, core in enumerate(cores):
        while end < len(cores) and letters < LONG:
            letters += len(cores[end])
            end += 1
        if letters >= LONG and core and end - start <= MOST_LINES:
            hashes[start], lengths[start] = hash64("\n".join(cores[start:end])), end - start
        letters -= len(core)
    return hashes, lengths


class Stretches:
    """The stretches of many texts, in ten bytes a line."""

    def __init__(self) -> None:
        self._hashes, self._lengths = array("Q"), array("B")
        self._starts = array("Q", [0])  # of each text, in lines

    def add(self, hashes: list[int], lengths: list[int]) -> None:
        """Take in those of the next text."""
        self._hashes.extend(hashes)
        self._lengths.extend(lengths)
        self._starts.append(len(self._hashes))

    def repeated(self, kept: np.ndarray) -> "Repeated":
        """Return which lines to leave out: of each stretch, all but the first, among the texts that are `kept`."""
        hashes, starts = np.frombuffer(self._hashes, np.uint64), np.frombuffer(self._starts, np.uint64).astype(np.int64)
        text = np.repeat(np.arange(len(kept)), np.diff(starts))  # of each line
        places = np.flatnonzero(kept[text] & (hashes != 0))
        _, inverse, counts = np.unique(hashes[places], return_inverse=True, return_counts=True)
        left_out = np.zeros(len(hashes), dtype=bool)
        seen: set[int] = set()
        for place in places[counts[inverse] > 1]:
            if (key := int(hashes[place])) in seen:
                left_out[place : place + self._lengths[place]] = True
            seen.add(key)
        return Repeated(left_out, starts)


class Repeated:
    """The lines to leave out of many texts.

    :param left_out: (lines,) bool
    :param starts: (texts + 1,), where each text begins among the lines
    """

    def __init__(self, left_out: np.ndarray, starts: np.ndarray) -> None:
        self._left_out, self._starts = left_out, starts
        self.lines = int(left_out.sum())

    def whole_texts(self) -> np.ndarray:
        """Return of which texts nothing is left, (texts,) bool."""
        sums = np.concatenate([[0], np.cumsum(self._left_out)])
        lengths = np.diff(self._starts)
        return (np.diff(sums[self._starts]) == lengths) & (lengths > 0)

    def without(self, number: int, text: str) -> str:
        """Return that text without its lines that are to be left out."""
        left_out = self._left_out[self._starts[number] : self._starts[number + 1]]
        if not left_out.any():
            return text
        return "\n".join(line for line, is_out in zip(text.split("\n"), left_out, strict=True) if not is_out)

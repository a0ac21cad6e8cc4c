"""The choice of texts: each that is there twice, or nearly, counts once, and some are held out.

Texts of fewer than SHORT letters and digits are the same if these are, whatever stands between and however often one is
repeated (`ㅋㅋ!` is `ㅋㅋㅋㅋ`). Longer ones are compared by MinHash: of the runs of five letters in each, the smallest
under BANDS x ROWS hash functions; two texts are nearly the same if all ROWS of one band agree. Of pairs that share 95 %
of their runs, more than 99 % are found, of 80 % six in ten, and of 50 % one in fifty. All that is kept in memory of
a text are BANDS + 3 numbers.
"""

import re
from itertools import chain

import numpy as np

from data.texts.hashes import hash64

SHORT = 50  # letters and digits
BANDS, ROWS = 5, 8
RUN = 5  # letters
HELD_OUT = 10  # one conversation in so many is for validation
ENOUGH = 2_500  # characters held out: 500 tokens at least, in which a gain can be told from chance
TARGET, MOST = 4, 3  # where a tenth is less than that, it becomes a fourth of all characters, and never over a third
LEAST = 500  # characters: with fewer to be held out at most, nothing is worth being judged by them

_BETWEEN = re.compile(r"[\W_]+")
_REPEATED = re.compile(r"(\D)(?=\1)")  # all of a run but its last; nothing put in their place is quick
_random = np.random.default_rng(20261124)  # the same hash functions on every run
_FACTORS = _random.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _random.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(RUN)], dtype=np.uint64)
_MIX = np.array([pow(0xBF58476D1CE4E5B9, power, 2**64) for power in range(1, ROWS + 1)], dtype=np.uint64)


def core_of(text: str) -> str:
    """Return what texts are compared by: letters and digits, each once however often it is repeated."""
    return _REPEATED.sub("", _BETWEEN.sub("", text.lower()))


def likeness(text: str) -> list[int]:
    """Return BANDS numbers; texts that are nearly the same have one in common, at its place."""
    core = core_of(text)
    if len(core) < SHORT:
        return [hash64(core or text)] * BANDS
    letters = np.frombuffer(core.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    runs = np.zeros(len(letters) - RUN + 1, dtype=np.uint64)
    for place, power in enumerate(_POWERS):
        runs += letters[place : place + len(runs)] * power
    runs ^= runs >> np.uint64(29)
    hashes = _FACTORS[:, None] * runs  # (functions, runs): what is gone through is next to each other in memory
    hashes += _OFFSETS[:, None]
    hashes ^= hashes >> np.uint64(32)
    hashes *= _FACTORS[:, None]
    smallest = hashes.min(axis=1).reshape(BANDS, ROWS)
    return [int(band) for band in (smallest * _MIX).sum(axis=1, dtype=np.uint64)]


def keep(exact: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return which texts to keep, (texts,) bool: of each that is there more than once, the first.

    `exact` (texts) has a hash of each text and `bands` (texts, BANDS) its likeness. Also returns how many were repeated
    and how many nearly.
    """
    same = ~_first(exact)
    near = np.zeros(len(exact), dtype=bool)
    for band in bands.T:
        near |= ~_first(band)
    near &= ~same
    return ~(same | near), int(same.sum()), int(near.sum())


def _first(keys: np.ndarray) -> np.ndarray:
    """Return which keys are the first of their kind, (keys,) bool."""
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def held_out(conversation: np.ndarray, exact: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, int]:
    """Return which texts are for validation, (texts,) bool, and how many of them are beyond the usual tenth.

    A whole conversation goes one way or the other. Its first text's hash decides, so the same texts are always split
    the same way, and more texts later change little. Of two conversations or more, one is held out; of one, none is.

    Where that is too little to judge by, and there is enough text, more conversations are held out; where these are too
    long, or there is one alone, it is single texts.

    :param conversation: (texts,), the number of each text's conversation
    :param exact: (texts,), a hash of each text
    :param lengths: (texts,), in characters
    """
    numbers, first, inverse = np.unique(conversation, return_index=True, return_inverse=True)
    count = max(1, len(numbers) // HELD_OUT) if len(numbers) > 1 else 0
    order = np.argsort(exact[first], kind="stable")
    usual = np.isin(inverse, order[:count])
    total = int(lengths.sum())
    target = min(ENOUGH, total // TARGET)
    if target < LEAST or lengths[usual].sum() >= target:
        return usual, 0
    valid = usual.copy()
    texts_of = (np.flatnonzero(inverse == number) for number in order[count:])
    alone = (np.array([text]) for text in np.argsort(exact, kind="stable"))
    for texts in chain(texts_of, alone):
        more = valid.copy()
        more[texts] = True
        if lengths[more].sum() <= total // MOST:
            valid = more
        if lengths[valid].sum() >= target:
            break
    return valid, int((valid & ~usual).sum())

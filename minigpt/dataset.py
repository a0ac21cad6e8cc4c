"""From token ids to batches: `TextDataset`, the sequences that training takes, and `collate_fn`, which joins some.

Packed (the usual way): all texts one after another as one long row of ids, memory-mapped, cut into sequences of
`seq_len` with no gap. Padded (the guide's way): one text a sequence, filled up to the longest of the batch.

Sequences are numbered, from 0 to no end. Which one a number stands for follows from the seed, which is the device's
own, and has nothing to do with batch sizes or with other devices: whoever knows the next number can go on.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from minigpt import IGNORED, PADDING
from minigpt.encoding import no_text, open_ids, parse_text, read_texts, wrap

Batch: TypeAlias = tuple[Tensor, Tensor]  # input_ids and labels, each (B, T) int64

SHUFFLING_ROUNDS = 6


def shuffled(index: int, count: int, key: bytes) -> int:
    """Return the place of `index` of 0 … count - 1 in a pseudo-random order of them that follows from the key.

    Without a table, which for the 20 million sequences of 10 GB would be 160 MB: a Feistel network over the next square
    number, walked until it is back in range (Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002).
    """
    side = math.isqrt(count - 1) + 1
    while True:
        left, right = divmod(index, side)
        for round in range(SHUFFLING_ROUNDS):
            left, right = right, (left + digest(key, round, right)) % side
        index = left * side + right
        if index < count:
            return index


def digest(key: bytes, *numbers: int) -> int:
    """Return 64 pseudo-random bits that follow from the key and the numbers."""
    message = " ".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8, key=key).digest(), "little")


def seed_of(words: str) -> int:
    """Return a seed that follows from a device's and its run's names."""
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big")


def epoch_key(seed: int, epoch: int) -> bytes:
    """Return the key that an epoch's order follows from, 32 bytes."""
    return hashlib.blake2b(f"{seed} {epoch}".encode(), digest_size=32).digest()


class PackedRows:
    """Sequences cut from one long row of ids, in which the texts follow one another.

    The row is taken as a ring and every epoch begins to cut at another place, so that no two epochs have the same
    sequences and none is left short at the end. A row that is shorter than one sequence goes round several times.

    :param ids: (N,), N of one at least
    """

    def __init__(self, ids: np.ndarray, seq_len: int) -> None:
        self.ids, self.seq_len = ids, seq_len

    def __len__(self) -> int:
        return max(1, len(self.ids) // self.seq_len)

    def row(self, place: int, key: bytes) -> np.ndarray:
        """Return the seq_len + 1 ids at one of `len` places, in the epoch that `key` stands for."""
        start = digest(key) + place * self.seq_len
        ring = (start % len(self.ids) + np.arange(self.seq_len + 1)) % len(self.ids)
        return self.ids[ring].astype(np.int64)


class PaddedRows:
    """One text a sequence, cut at `seq_len`.

    All lines are checked once at the start; after that only where each begins is held in memory, in 8 bytes a text.
    """

    def __init__(self, jsonl: Path, tokenizer: Any, seq_len: int) -> None:
        self.jsonl, self.tokenizer, self.seq_len = jsonl, tokenizer, seq_len
        self.offsets = np.fromiter((text.offset for text in read_texts(jsonl)), dtype=np.int64)
        if not len(self.offsets):
            raise no_text(jsonl)
        self._file = jsonl.open("rb")

    def __len__(self) -> int:
        return len(self.offsets)

    def row(self, place: int, key: bytes) -> np.ndarray:
        """Return the ids of one text, seq_len + 1 at the most; the same in every epoch."""
        self._file.seek(self.offsets[place])
        text = parse_text(self._file.readline(), f"{self.jsonl} (changed since the start)")
        return np.array(wrap(self.tokenizer.encode(text))[: self.seq_len + 1], np.int64)


class TextDataset:
    """A device's texts as numbered sequences of ids, `len` of them an epoch, each epoch in another order.

    `TextDataset.packed` and `TextDataset.padded` open one.

    :param name: says which texts they are: numbers of one dataset mean nothing in another
    """

    def __init__(self, rows: PackedRows | PaddedRows, name: str, seed: int) -> None:
        self.rows, self.name, self.seed = rows, name, seed

    @classmethod
    def packed(cls, ids_path: Path, seq_len: int, seed: int) -> Self:
        """Open the ids that `minigpt.encoding.encode` has written. Raises DatasetError."""
        return cls(PackedRows(open_ids(ids_path), seq_len), ids_path.name, seed)

    @classmethod
    def padded(cls, jsonl: Path, tokenizer: Any, seq_len: int, seed: int) -> Self:
        """Open a JSON Lines file of texts. Raises DatasetError, also for one line in it that is no text."""
        return cls(PaddedRows(jsonl, tokenizer, seq_len), f"{jsonl.name}, {jsonl.stat().st_size} bytes", seed)

    @property
    def is_packed(self) -> bool:
        """True if all sequences are equally long."""
        return isinstance(self.rows, PackedRows)

    def __len__(self) -> int:
        return len(self.rows)

    def sequence(self, number: int) -> np.ndarray:
        """Return the ids of sequence `number`, (T + 1,) int64 with T of seq_len at most. Raises DatasetError."""
        epoch, index = divmod(number, len(self))
        key = epoch_key(self.seed, epoch)
        return self.rows.row(shuffled(index, len(self), key), key)


class GrowingDataset(TextDataset):
    """A packed dataset over a file of bare ids to which more are added: once it has grown, it is cut and ordered anew.

    It has no sequence before it has grown for the first time.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], seq_len: int, seed: int) -> None:
        super().__init__(PackedRows(np.empty(0, dtype), seq_len), path.name, seed)
        self.path, self.dtype, self.seq_len = path, dtype, seq_len
        self.count = 0  # ids that it is cut from

    def grow(self, count: int) -> None:
        """Take in that the file has `count` ids now, one at least."""
        self.rows = PackedRows(np.memmap(self.path, self.dtype, mode="r", shape=(count,)), self.seq_len)
        self.count = count


def collate_fn(sequences: list[np.ndarray]) -> Batch:
    """Return (input_ids, labels) of some sequences, each (B, T) with T the length of the longest.

    Labels are the ids one step later. What shorter sequences are filled up with is PADDING in input_ids and IGNORED in
    labels.
    """
    longest = max(map(len, sequences)) - 1
    input_ids = torch.full((len(sequences), longest), PADDING)
    labels = torch.full((len(sequences), longest), IGNORED)
    for row, ids in enumerate(map(torch.from_numpy, sequences)):
        input_ids[row, : len(ids) - 1] = ids[:-1]
        labels[row, : len(ids) - 1] = ids[1:]
    return input_ids, labels


class Batches:
    """Endless batches of `batch_size` sequences, from the number `position` on, which is always that of the next one.

    A batch may reach over the end of an epoch.
    """

    def __init__(self, dataset: TextDataset, batch_size: int, position: int = 0) -> None:
        self.dataset, self.batch_size, self.position = dataset, batch_size, position
        self._most: int | None = None

    def resize(self, batch_size: int) -> None:
        """Give batches of so many sequences from now on."""
        self.batch_size = batch_size

    def shorten(self, most: int) -> None:
        """Give batches of at most so many sequences, one at least, from now on."""
        self._most = max(1, most)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        size = self.batch_size if self._most is None else min(self.batch_size, self._most)
        numbers = range(self.position, self.position + size)
        batch = collate_fn([self.dataset.sequence(number) for number in numbers])
        self.position = numbers.stop
        return batch

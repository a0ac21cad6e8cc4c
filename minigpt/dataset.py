"""From token ids to batches: the sequences that training takes.

Packed (the usual way): all texts one after another as one long row of ids, memory-mapped, cut into sequences of
`seq_len` with no gap. Padded (the guide's way): one text a sequence, filled up to the longest of the batch.

Sequences are numbered, from 0 to no end. Which one a number stands for follows from the seed, which is the device's
own, and has nothing to do with batch sizes or with other devices: whoever knows the next number can go on.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from minigpt import IGNORED, PADDING
from minigpt.encoding import no_text, open_ids, parse_text, read_texts, wrap

Batch: TypeAlias = tuple[Tensor, Tensor]  # input_ids and labels, each (B, T) int64

SHUFFLING_ROUNDS = 6


def shuffled(index: int, count: int, key: bytes) -> int:
    """Where `index` of 0 … count - 1 goes in a pseudo-random order of them that follows from the key.

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
    """64 pseudo-random bits that follow from the key and the numbers."""
    message = " ".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8, key=key).digest(), "little")


def seed_of(words: str) -> int:
    """A seed that follows from a device's and its run's names."""
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big")


def epoch_key(seed: int, epoch: int) -> bytes:
    """What an epoch's order follows from."""
    return hashlib.blake2b(f"{seed} {epoch}".encode(), digest_size=32).digest()


class Dataset(Protocol):
    """Numbered sequences, `len` of them an epoch, and how some of them become a batch."""

    name: str  # says which data it is: numbers of one dataset mean nothing in another

    def __len__(self) -> int: ...

    def sequence(self, number: int) -> Any: ...

    def collate_fn(self, sequences: list[Any]) -> Batch: ...


class Batches:
    """Endless batches of `batch_size` sequences, from the number `position` on, which is always that of the next one.

    A batch may reach over the end of an epoch.
    """

    def __init__(self, dataset: Dataset, batch_size: int, position: int = 0) -> None:
        self.dataset, self.batch_size, self.position = dataset, batch_size, position
        self._most: int | None = None

    def shorten(self, most: int) -> None:
        """Give batches of at most so many sequences, one at least, from now on."""
        self._most = max(1, most)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Batch:
        size = self.batch_size if self._most is None else min(self.batch_size, self._most)
        numbers = range(self.position, self.position + size)
        batch = self.dataset.collate_fn([self.dataset.sequence(number) for number in numbers])
        self.position = numbers.stop
        return batch


class PackedDataset:
    """Sequences of `seq_len` cut from one long row of ids, in which the texts follow one another.

    The row is taken as a ring and every epoch begins to cut at another place, so that no two epochs have the same
    sequences and none is left short at the end. A row that is shorter than one sequence goes round several times.
    """

    def __init__(self, ids_path: Path, seq_len: int, seed: int) -> None:
        self.ids = open_ids(ids_path)
        self.name, self.seq_len, self.seed = ids_path.name, seq_len, seed

    def __len__(self) -> int:
        """Sequences in an epoch."""
        return max(1, len(self.ids) // self.seq_len)

    def sequence(self, number: int) -> np.ndarray:
        """seq_len + 1 ids; every epoch is cut anew and in another order."""
        epoch, index = divmod(number, len(self))
        key = epoch_key(self.seed, epoch)
        start = digest(key) + shuffled(index, len(self), key) * self.seq_len
        return self.ids[(start % len(self.ids) + np.arange(self.seq_len + 1)) % len(self.ids)]

    @staticmethod
    def collate_fn(sequences: list[np.ndarray]) -> Batch:
        """Sequences of T + 1 ids to (input_ids, labels), each (B, T); labels are the ids one step later."""
        rows = torch.from_numpy(np.stack(sequences).astype(np.int64))  # (B, T + 1)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


class GrowingDataset(PackedDataset):
    """The same of a file of bare ids to which more are added. Whenever it has grown, it is cut and ordered anew."""

    def __init__(self, path: Path, dtype: np.dtype[Any], seq_len: int, seed: int) -> None:
        self.path, self.dtype = path, dtype
        self.name, self.seq_len, self.seed = path.name, seq_len, seed
        self.ids = np.empty(0, dtype)

    def grow(self, count: int) -> None:
        """From now on the file has so many ids, one at least."""
        self.ids = np.memmap(self.path, self.dtype, mode="r", shape=(count,))


class PaddedDataset:
    """One text a sequence: cut at `seq_len`, filled up with padding whose labels the loss leaves out.

    All lines are checked once at the start; after that only where each begins is held in memory, in 8 bytes a text.
    """

    def __init__(self, jsonl: Path, tokenizer: Any, seq_len: int, seed: int) -> None:
        self.jsonl, self.tokenizer, self.seq_len, self.seed = jsonl, tokenizer, seq_len, seed
        self.offsets = np.fromiter((text.offset for text in read_texts(jsonl)), dtype=np.int64)
        if not len(self.offsets):
            raise no_text(jsonl)
        self.name = f"{jsonl.name}, {jsonl.stat().st_size} bytes"
        self._file = jsonl.open("rb")

    def __len__(self) -> int:
        """Sequences in an epoch: the texts."""
        return len(self.offsets)

    def sequence(self, number: int) -> str:
        """A text; every epoch has another order."""
        epoch, index = divmod(number, len(self))
        self._file.seek(self.offsets[shuffled(index, len(self), epoch_key(self.seed, epoch))])
        return parse_text(self._file.readline(), f"{self.jsonl} (changed since the start)")

    def collate_fn(self, texts: list[str]) -> Batch:
        """Texts to (input_ids, labels), each (B, T) where T is the longest text's, at most seq_len.

        What is padding in input_ids is -100 in labels.
        """
        rows = [wrap(ids)[: self.seq_len + 1] for ids in self.tokenizer.encode(texts)]
        longest = max(len(row) for row in rows) - 1
        input_ids = torch.full((len(rows), longest), PADDING)
        labels = torch.full((len(rows), longest), IGNORED)
        for row, ids in enumerate(rows):
            input_ids[row, : len(ids) - 1] = torch.tensor(ids[:-1])
            labels[row, : len(ids) - 1] = torch.tensor(ids[1:])
        return input_ids, labels

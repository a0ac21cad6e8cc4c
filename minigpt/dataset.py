"""From texts to batches: `{"text": …}` lines, their token ids on disk, and the sequences that training takes.

Packed (the usual way): all texts one after another as one long file of ids, memory-mapped, cut into sequences of
`seq_len` with no gap. Padded (the guide's way): one text a sequence, filled up to the longest of the batch.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from minigpt import END_OF_TEXT, IGNORED, PADDING, START

Batch: TypeAlias = tuple[Tensor, Tensor]  # input_ids and labels, each (B, T) int64

TEXTS_AT_ONCE = 1024  # encoded together, which keeps all cores busy and memory flat


class DatasetError(ValueError):
    """Data that cannot be trained on; the message names the file and the line."""


def wrap(ids: list[int]) -> list[int]:
    """A text's ids between the control symbols that say where it starts and ends."""
    return [START, *ids, END_OF_TEXT]


def piece_bytes(tokenizer: Any, id: int) -> bytes:
    """The UTF-8 bytes that a token stands for: none for a control symbol, and maybe only a part of a character."""
    if tokenizer.is_control(id) or tokenizer.is_unknown(id):
        return b""
    piece: str = tokenizer.id_to_piece(id)
    if tokenizer.is_byte(id):
        return bytes([int(piece[1:-1], 16)])  # "<0xEC>"
    return piece.replace("▁", " ").encode()


def read_texts(jsonl: Path) -> Iterator[tuple[int, str]]:
    """The texts of a JSON Lines file one by one, each with the byte offset of its line. Empty lines are passed over.

    Raises DatasetError for a missing file and for a line that is not an object with a "text".
    """
    try:
        with jsonl.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield offset, parse_text(line, f"{jsonl} line {number}")
                offset += len(line)
    except OSError as error:
        raise DatasetError(f"{jsonl} cannot be read: {error.strerror}") from error


def parse_text(line: bytes, place: str) -> str:
    """The "text" of one line; `place` says in a DatasetError where it stands."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f'{place}: not valid JSON ({error}); every line must be {{"text": "…"}}') from error
    text = document.get("text") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise DatasetError(f'{place}: no "text"; every line must be {{"text": "…"}}')
    return text.encode(
        "utf-8", "replace"
    ).decode()  # a lone surrogate, which JSON can spell but UTF-8 cannot, becomes ?


def encode(
    jsonl: Path,
    tokenizer: Any,
    *,
    tokenizer_sha256: str,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the ids of all texts of `jsonl` into a .npy file beside it and return its path.

    The file's name holds a hash of the source (size and time of change) and of the tokenizer: as long as they stay, the
    file is used again; when they change, it is replaced. `progress` is called with (bytes read, bytes in all).

    Raises DatasetError: see `read_texts`; no text at all; no room on the disk.
    """
    try:
        source = jsonl.stat()
    except OSError as error:
        raise DatasetError(f"{jsonl} cannot be read: {error.strerror}") from error
    key = hashlib.sha256(f"{source.st_size} {source.st_mtime_ns} {tokenizer_sha256}".encode()).hexdigest()[:16]
    target = jsonl.with_name(f"{jsonl.stem}.ids-{key}.npy")
    if target.exists():
        return target
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        write_ids(temporary, jsonl, tokenizer, lambda done: progress(done, source.st_size) if progress else None)
        os.replace(temporary, target)
        if progress:
            progress(source.st_size, source.st_size)
    except OSError as error:
        raise DatasetError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    for stale in jsonl.parent.glob(f"{jsonl.stem}.ids-*.npy"):
        if stale != target:
            stale.unlink(missing_ok=True)
    return target


def write_ids(path: Path, jsonl: Path, tokenizer: Any, progress: Callable[[int], None]) -> None:
    """Stream the ids of all texts into a one-dimensional .npy file, whose header is filled in at the end."""
    dtype = np.dtype("<u2" if tokenizer.get_piece_size() <= 2**16 else "<u4")
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (0,)}
    texts = read_texts(jsonl)
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, header)
        start = file.tell()
        while some := list(islice(texts, TEXTS_AT_ONCE)):
            for ids in tokenizer.encode([text for _, text in some]):
                file.write(np.array(wrap(ids), dtype).tobytes())
            progress(some[-1][0])
        count = (file.tell() - start) // dtype.itemsize
        if not count:
            raise DatasetError(f'{jsonl} has no text in it; every line must be {{"text": "…"}}')
        file.seek(0)
        npy.write_array_header_1_0(file, {**header, "shape": (count,)})
        assert file.tell() == start, "numpy pads its header so that the shape can grow in place"
        file.flush()
        os.fsync(file.fileno())


def in_batches(sequences: Iterator[Any], batch_size: int, collate: Callable[[list[Any]], Batch]) -> Iterator[Batch]:
    """Endless batches of an endless iterator of sequences; a batch may reach over the end of an epoch."""
    while True:
        yield collate(list(islice(sequences, batch_size)))


class PackedDataset:
    """Sequences of `seq_len` cut from one long row of ids, in which the texts follow one another.

    The row is taken as a ring and every epoch begins to cut at another place, so that no two epochs have the same
    sequences and none is left short at the end. A row that is shorter than one sequence goes round several times.
    """

    def __init__(self, ids_path: Path, seq_len: int, seed: int) -> None:
        try:
            self.ids = np.load(ids_path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{ids_path} cannot be read ({error}); delete it, it will be made again") from error
        self.seq_len = seq_len
        self.seed = seed

    def __len__(self) -> int:
        """Sequences in an epoch."""
        return max(1, len(self.ids) // self.seq_len)

    def sequences(self) -> Iterator[np.ndarray]:
        """Endless sequences of seq_len + 1 ids, every epoch cut anew and in another order."""
        epoch = 0
        while True:
            random = np.random.default_rng((self.seed, epoch))
            first = int(random.integers(len(self.ids)))
            for index in random.permutation(len(self)):
                positions = first + int(index) * self.seq_len + np.arange(self.seq_len + 1)
                yield self.ids[positions % len(self.ids)]
            epoch += 1

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Endless (input_ids, labels), each (batch_size, seq_len) int64; labels are the ids one step later."""
        return in_batches(self.sequences(), batch_size, self.collate_fn)

    @staticmethod
    def collate_fn(sequences: list[np.ndarray]) -> Batch:
        """Sequences of T + 1 ids to (input_ids, labels)."""
        rows = torch.from_numpy(np.stack(sequences).astype(np.int64))  # (B, T + 1)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


class PaddedDataset:
    """One text a sequence: cut at `seq_len`, filled up with padding whose labels the loss leaves out.

    All lines are checked once at the start; after that only where each begins is held in memory.
    """

    def __init__(self, jsonl: Path, tokenizer: Any, seq_len: int, seed: int) -> None:
        self.jsonl, self.tokenizer, self.seq_len, self.seed = jsonl, tokenizer, seq_len, seed
        self.offsets = np.fromiter((offset for offset, _ in read_texts(jsonl)), dtype=np.int64)
        if not len(self.offsets):
            raise DatasetError(f'{jsonl} has no text in it; every line must be {{"text": "…"}}')

    def __len__(self) -> int:
        """Sequences in an epoch: the texts."""
        return len(self.offsets)

    def texts(self) -> Iterator[str]:
        """Endless texts, in another order every epoch."""
        epoch = 0
        with self.jsonl.open("rb") as file:
            while True:
                for index in np.random.default_rng((self.seed, epoch)).permutation(len(self)):
                    file.seek(self.offsets[index])
                    yield parse_text(file.readline(), f"{self.jsonl} (changed since the start)")
                epoch += 1

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Endless (input_ids, labels), each (batch_size, T) int64 where T is the longest text's, at most seq_len."""
        return in_batches(self.texts(), batch_size, self.collate_fn)

    def collate_fn(self, texts: list[str]) -> Batch:
        """Texts to (input_ids, labels), each (B, T); what is padding in input_ids is -100 in labels."""
        rows = [wrap(ids)[: self.seq_len + 1] for ids in self.tokenizer.encode(texts)]
        longest = max(len(row) for row in rows) - 1
        input_ids = torch.full((len(rows), longest), PADDING)
        labels = torch.full((len(rows), longest), IGNORED)
        for row, ids in enumerate(rows):
            input_ids[row, : len(ids) - 1] = torch.tensor(ids[:-1])
            labels[row, : len(ids) - 1] = torch.tensor(ids[1:])
        return input_ids, labels

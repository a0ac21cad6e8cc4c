"""From texts to token ids on disk: `{"text": …}` lines, and the row of ids that training maps into memory.

A file of 10 GB takes an hour or more and no more memory than a small one. What was done is noted beside the unfinished
ids every few seconds, so an interrupted encoding goes on from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from data.atomic import write_whole
from minigpt import END_OF_TEXT, START

TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 1024, 2**20  # encoded together, which keeps all cores busy and memory flat
COMMIT_BYTES = 2**23  # of the source, from one note of what is done to the next
POLL_SECONDS = 0.2  # where another process is at the same file


class DatasetError(ValueError):
    """Data that cannot be trained on; the message names the file and the line."""


class Text(NamedTuple):
    """A text of a JSON Lines file, and where it stands."""

    text: str
    line: int  # the first is 1
    offset: int  # bytes before its line
    end: int  # bytes before the next line


def wrap(ids: list[int]) -> list[int]:
    """Return a text's ids between the control symbols that say where it starts and ends."""
    return [START, *ids, END_OF_TEXT]


def piece_bytes(tokenizer: Any, id: int) -> bytes:
    """Return the UTF-8 bytes of a token: none for a control symbol, and maybe only a part of a character."""
    if tokenizer.is_control(id) or tokenizer.is_unknown(id):
        return b""
    piece: str = tokenizer.id_to_piece(id)
    if tokenizer.is_byte(id):
        return bytes([int(piece[1:-1], 16)])  # "<0xEC>"
    return piece.replace("▁", " ").encode()


def read_texts(jsonl: Path, offset: int = 0, line: int = 1) -> Iterator[Text]:
    """Yield the texts of a JSON Lines file, from a line on that begins at `offset`. Empty lines are passed over.

    Raises DatasetError for a missing file and for a line that is not an object with a "text".
    """
    try:
        with jsonl.open("rb") as file:
            file.seek(offset)
            for number, content in enumerate(file, start=line):
                end = offset + len(content)
                if content.strip():
                    yield Text(parse_text(content, f"{jsonl} line {number}"), number, offset, end)
                offset = end
    except OSError as error:
        raise DatasetError(f"{jsonl} cannot be read: {error.strerror}") from error


def parse_text(line: bytes, place: str) -> str:
    """Return the "text" of one line. Raises DatasetError, in which `place` says where it stands."""
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


def no_text(jsonl: Path) -> DatasetError:
    """Return the error for a file without any text."""
    return DatasetError(f'{jsonl} has no text in it; every line must be {{"text": "…"}}')


def id_type(vocab_size: int) -> np.dtype[Any]:
    """Return the type that ids are kept in: two bytes each, or four where the vocabulary needs them."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def open_ids(path: Path) -> np.ndarray:
    """Return the ids that `encode` has written, mapped into memory. Raises DatasetError."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); delete it, it will be made again") from error


def encode(
    jsonl: Path,
    tokenizer: Any,
    *,
    tokenizer_sha256: str,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the ids of all texts of `jsonl` into a .npy file beside it and return its path.

    The file's name holds a hash of the source (size and time of change) and of the tokenizer: as long as they stay, the
    file is used again; when they change, it is replaced. `progress` is called with (bytes read, bytes in all); what it
    raises, and any other end but an error, leaves what was done for the next call to go on from.

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
    unfinished = Unfinished(target, id_type(tokenizer.get_piece_size()))
    told = (lambda done: progress(done, source.st_size)) if progress else (lambda done: None)
    try:
        with unfinished.locked(lambda: told(0)):
            if not target.exists():  # nor has another process finished it while we waited
                write_ids(unfinished, jsonl, tokenizer, told)
        told(source.st_size)
    except OSError as error:
        unfinished.discard()
        raise DatasetError(f"{target} cannot be written: {error.strerror}") from error
    except DatasetError:
        unfinished.discard()
        raise
    for name in (f"{jsonl.stem}.ids-*", f".{jsonl.stem}.ids-*"):  # the latter of a process that was killed
        for stale in jsonl.parent.glob(name):
            if stale != target:
                stale.unlink(missing_ok=True)
    return target


def write_ids(unfinished: Unfinished, jsonl: Path, tokenizer: Any, progress: Callable[[int], None]) -> None:
    """Write the ids of all texts that are not in the file yet, and give it its name.

    Raises DatasetError and OSError.
    """
    done = unfinished.resume()
    texts = read_texts(jsonl, done.offset, done.line)
    while some := take_some(texts):
        for ids in tokenizer.encode([text.text for text in some]):
            unfinished.write(np.array(wrap(ids), unfinished.dtype).tobytes())
        last = some[-1]
        if last.end >= done.offset + COMMIT_BYTES:
            done = unfinished.commit(last.end, last.line + 1)
        progress(last.end)
    if not unfinished.count:
        raise no_text(jsonl)
    unfinished.finish()


def take_some(texts: Iterator[Text]) -> list[Text]:
    """Return the next texts that are encoded together; none at the end."""
    some: list[Text] = []
    characters = 0
    for text in texts:
        some.append(text)
        characters += len(text.text)
        if len(some) == TEXTS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
            break
    return some


class Done(NamedTuple):
    """The state of an encoding: what of the source the first `ids` cover, and their CRC-32."""

    offset: int  # of the first line that is not in them, in bytes
    line: int  # its number
    ids: int  # on the disk
    crc: int


class Unfinished:
    """A one-dimensional .npy file on its way to `target`, with a note of what of it is whole.

    Its name, which is the target's, ties it to one source and one tokenizer; what the note says is on the disk is
    believed only if it is there, with the CRC that it should have.
    """

    def __init__(self, target: Path, dtype: np.dtype[Any]) -> None:
        self.target, self.dtype = target, dtype
        self.path, self._note = target.with_suffix(".part"), target.with_suffix(".done")
        self.count = self._crc = self._start = 0
        self._file: BinaryIO

    @contextmanager
    def locked(self, wait: Callable[[], None]) -> Iterator[None]:
        """Give the block the file for itself; `wait` is called as long as another process has it."""
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as self._file:
            while True:
                try:
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    wait()
                    time.sleep(POLL_SECONDS)
            yield

    def resume(self) -> Done:
        """Go to the end of what is whole of the file, its beginning if nothing is; return how far that is."""
        self._write_header(0)
        done = self._read_note() or Done(0, 1, 0, 0)
        self._file.seek(self._start + done.ids * self.dtype.itemsize)
        self._file.truncate()
        self.count, self._crc = done.ids, done.crc
        return done

    def write(self, ids: bytes) -> None:
        """Add ids."""
        self._file.write(ids)
        self.count += len(ids) // self.dtype.itemsize
        self._crc = zlib.crc32(ids, self._crc)

    def commit(self, offset: int, line: int) -> Done:
        """Note that all ids of what stands before that line are on the disk, once they are."""
        self._sync()
        done = Done(offset, line, self.count, self._crc)
        write_whole(self._note, json.dumps(done), synced=False)
        return done

    def finish(self) -> None:
        """Tell in the header how many ids there are, and give the file its name."""
        self._write_header(self.count)
        self._sync()
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing behind."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _write_header(self, count: int) -> None:
        """Numpy pads its header, so that it has the same size whatever the count."""
        self._file.seek(0)
        shape = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (count,)}
        npy.write_array_header_1_0(self._file, shape)
        self._start = self._file.tell()

    def _read_note(self) -> Done | None:
        try:
            done = Done(*json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        crc, left = 0, done.ids * self.dtype.itemsize
        while left and (some := self._file.read(min(left, 2**20))):
            crc, left = zlib.crc32(some, crc), left - len(some)
        return done if not left and crc == done.crc else None

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

"""The cache: what was read of each file stays on the disk, so that an unchanged file is not read again.

For every chat of a file there are its messages, a JSON list `[second, sender's number, text]` a line, and a key of each
message, by which a second export of the same chat is found (`data/texts/overlaps.py`). They lie beside what is made of
them, hold what the exports hold, and go when the export goes.
"""

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np

from data.atomic import write_whole
from data.errors import DataError
from data.formats.companions import COMPANION
from data.formats.detect import detect
from data.formats.files import Source
from data.formats.messages import Counts, Message
from data.masking.names import mentioned
from data.texts.hashes import hash64

KEYS = np.dtype([("minute", "<i8"), ("said", "<u8"), ("said_by", "<u8")])
_KEY = struct.Struct("<qQQ")  # one of them, for which numpy takes ten times as long
_KEPT = re.compile(r"([0-9a-f]{32})(?:\.json|-\d+\.(?:jsonl|keys))")  # the names of what is kept of a file
_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_encode = json.JSONEncoder(ensure_ascii=False).encode
Said = tuple[int | None, str | None, str]  # second, sender, text


@dataclass(frozen=True)
class Chat:
    """One chat of one file, or its documents, which have no senders."""

    stem: str  # of its files in the cache
    messages: int
    senders: list[str]
    first: int | None  # seconds
    last: int | None


@dataclass
class Entry:
    """One file: its chats, and the counts of what was left out."""

    name: str
    format: str = ""
    chats: list[Chat] = field(default_factory=list)
    system: int = 0
    deleted: int = 0
    broken: list[int] = field(default_factory=list)
    records: int = 0
    odd: list[int] = field(default_factory=list)
    people: list[str] = field(default_factory=list)  # whom it names beside those who wrote
    identified: dict[str, bool] = field(default_factory=dict)  # id of who wrote -> whether it has a name of theirs
    refused: str = ""  # why it is of no use

    @property
    def messages(self) -> int:
        """The number of messages in all chats."""
        return sum(chat.messages for chat in self.chats)


class Cache:
    """The folder of the cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, source: Source, progress: Callable[[int], None] = lambda messages: None) -> Entry:
        """Return what the file holds, read now if it has changed or is new. Raises OSError if it cannot be kept.

        `progress` is told now and then how many messages of a chat have been read.
        """
        stem = _stem(source)
        try:
            kept = json.loads((self.folder / f"{stem}.json").read_text(encoding="utf-8"))
            if not kept["refused"]:  # what was missing may lie beside it by now
                return Entry(**{**kept, "chats": [Chat(**chat) for chat in kept["chats"]]})
        except (OSError, ValueError, TypeError, KeyError):
            pass
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # nothing in it is masked
        entry = Entry(source.name)
        counts = Counts()
        try:
            found = detect(source)
            entry.format = found.format.name
            messages = found.format.messages(source, counts)
            for number, (_, chat) in enumerate(groupby(messages, key=lambda message: message.chat)):
                entry.chats.append(self._write(f"{stem}-{number}", _noting(chat, counts.people), progress))
            if not entry.chats and entry.format != COMPANION:
                told = ": has no messages"
                if counts.broken:
                    told = f", line {counts.broken[0]}: is broken or far too long, and nothing else is there"
                raise DataError(f"{source.name}{told}")
        except DataError as error:
            entry.refused, entry.chats = str(error), []
        entry.system, entry.deleted, entry.broken = counts.system, counts.deleted, counts.broken
        entry.records, entry.odd, entry.people = counts.records, counts.odd, sorted(counts.people)
        entry.identified = counts.identified
        write_whole(self.folder / f"{stem}.json", _encode(asdict(entry)) + "\n")
        return entry

    def _write(self, stem: str, messages: Iterable[Message], progress: Callable[[int], None]) -> Chat:
        """Write the messages of one chat and their keys. Raises OSError, and DataError if they cannot be read."""
        senders: dict[str, int] = {}
        keys = _Keys()
        first = last = None
        count = 0
        with (
            (self.folder / f"{stem}.jsonl").open("w", encoding="utf-8", newline="\n") as lines,
            (self.folder / f"{stem}.keys").open("wb") as key_file,
        ):
            for count, message in enumerate(messages, 1):
                time = None if message.time is None else (message.time - _EPOCH) // _SECOND
                sender = message.sender
                number = None if sender is None else senders.setdefault(sender, len(senders))
                # JSON by hand, but for the text: the encoder is slow with lists
                lines.write(f"[{_number(time)}, {_number(number)}, {_encode(message.text)}]\n")
                if sender is not None:
                    key_file.write(keys.of(time, sender, message.text))
                if time is not None:
                    first = time if first is None else min(first, time)
                    last = time if last is None else max(last, time)
                if count % 10_000 == 1:
                    progress(count)
        return Chat(stem, count, list(senders), first, last)

    def messages(self, chat: Chat) -> Iterator[Said]:
        """Yield the messages of a chat, in their order."""
        with (self.folder / f"{chat.stem}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                time, number, text = json.loads(line)
                yield time, None if number is None else chat.senders[number], text

    def keys(self, chat: Chat) -> np.ndarray:
        """Return the keys of a chat's messages, (messages,) KEYS; of documents, none."""
        return np.fromfile(self.folder / f"{chat.stem}.keys", dtype=KEYS)

    def forget_others(self, sources: Iterable[Source]) -> None:
        """Remove what is kept of any other file."""
        stems = set(map(_stem, sources))
        for path in self.folder.glob("*"):
            kept = _KEPT.fullmatch(path.name)
            if kept is not None and kept[1] not in stems:
                with suppress(OSError):
                    path.unlink()


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _noting(messages: Iterable[Message], people: set[str]) -> Iterator[Message]:
    """Pass the messages through, adding to `people` whoever is mentioned in them with marks."""
    for message in messages:
        people.update(mentioned(message.text))
        yield message


def _stem(source: Source) -> str:
    return fingerprint([source.name, source.size, source.modified, code_version()])[:32]


class _Keys:
    """The keys of one chat's messages: minute, what was said in it for the n-th time, and by whom."""

    def __init__(self) -> None:
        self._minute = -1
        self._times: dict[int, int] = {}

    def of(self, time: int | None, sender: str, text: str) -> bytes:
        """Return the key of the next message, as KEYS has it."""
        minute = self._minute if time is None else time // 60
        if minute != self._minute:
            self._minute, self._times = minute, {}
        said = hash64(f"{minute} {' '.join(text.split())}")
        said_by = said ^ _sender_hash(sender)
        return _KEY.pack(minute, self._next(said), self._next(said_by))

    def _next(self, key: int) -> int:
        times = self._times[key] = self._times.get(key, 0) + 1
        return (key + times * 0x9E3779B97F4A7C15) % 2**64


@cache
def _sender_hash(sender: str) -> int:
    return hash64(sender)


def fingerprint(value: object) -> str:
    """Return a hash of what can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@cache
def code_version() -> str:
    """Return a hash of all code of data: what another version has read is read again."""
    files = code_files(Path(__file__).parents[1])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def code_files(package: Path) -> list[Path]:
    """Return the files of a package and of its rooms. The exports in data/raw may have code among them, which is none.

    They may also be many, so that they are not even looked through.
    """
    rooms = [package, *(room.parent for room in package.glob("*/__init__.py"))]
    return sorted(path for room in rooms for path in room.glob("*.py"))

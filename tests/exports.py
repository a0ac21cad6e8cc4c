"""Helpers of the tests of the exports' formats: an export written, and read as times, senders and texts."""

from datetime import datetime
from pathlib import Path

from data.formats.detect import detect
from data.formats.files import find
from data.formats.messages import Counts

Parsed = list[tuple[str, str | None, str]]


def parse(path: Path, content: str | bytes, encoding: str = "utf-8") -> tuple[str, Parsed, Counts]:
    """The format of a file with this content, its messages as (time, sender, text), and what was left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    (source,), refused, _ = find([path])
    assert not refused
    counts = Counts()
    found = detect(source)
    messages = [
        (shown(message.time), message.sender, message.text) for message in found.format.messages(source, counts)
    ]
    return found.format.name, messages, counts


def shown(time: datetime | None) -> str:
    """A time to compare, with seconds only if it has some."""
    if time is None:
        return ""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"

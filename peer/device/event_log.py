"""The lines of the terminal in a file, each with its time: `checkpoints/events.jsonl`, for whoever looks later.

A line that says a known thing has its kind and its values beside it, so that a page can say it in another language.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from data.atomic import write_whole

EVENTS = "events.jsonl"  # in the checkpoints folder
MOST_BYTES = 2_000_000  # then the older half of the lines goes
Value = str | int | float


class KnownLine(str):
    """A line in English, and what it says: its kind, such as "joined", and the values in it by name."""

    kind: str
    values: dict[str, Value]

    def __new__(cls, text: str, kind: str, **values: Value) -> KnownLine:
        line = super().__new__(cls, text)
        line.kind, line.values = kind, values
        return line

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it cross to another process as what it is."""
        return known_line, (str(self), self.kind, self.values)


def known_line(text: str, kind: str, values: Mapping[str, Value]) -> KnownLine:
    """Return a line whose values are at hand by name."""
    return KnownLine(text, kind, **values)


class EventLog:
    """Appends lines, on any thread, numbered across starts. What the disk does not take is left out."""

    def __init__(self, checkpoints: Path):
        self._path, self._adds = checkpoints / EVENTS, threading.Lock()
        lines = self._lines()
        self._n, self._ends_well = _last_number(lines), not lines or lines[-1].endswith(b"\n")

    def add(self, text: str, line: str = "") -> None:
        """Append a line.

        :param line: as it was said, where the text was changed for the terminal
        """
        line = line or text
        known = {"kind": line.kind, "values": line.values} if isinstance(line, KnownLine) else {}
        with self._adds, suppress(OSError):
            self._n += 1
            entry = {"n": self._n, "time": time.time(), "text": text, **known}
            content = ("" if self._ends_well else "\n") + json.dumps(entry, ensure_ascii=False) + "\n"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(content.encode(errors="replace"))
                size = file.seek(0, os.SEEK_END)
            self._ends_well = True
            if size > MOST_BYTES:
                lines = self._lines()
                write_whole(self._path, b"".join(lines[len(lines) // 2 :]), synced=False)

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines(keepends=True)
        except OSError:
            return []


def _last_number(lines: list[bytes]) -> int:
    """Return the number of the last line that is whole; 0 where there is none."""
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):
            return int(json.loads(line)["n"])
    return 0

"""Files of JSON lines that somebody else is writing: each line once, when it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 2**20  # of a line; a longer one is broken


class JsonLines:
    """Reads what is appended to a file. A line that is not whole yet waits; a broken one is passed over and counted."""

    def __init__(self, path: Path):
        self.path = path
        self.broken = 0
        self.problem = ""  # why the file cannot be read; "" too where there is none yet
        self._offset, self._file = 0, (0, 0)

    def has_begun_anew(self) -> bool:
        """Return whether the file is another one than before, or shorter; what is read next is its beginning then."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        before, self._file = self._file, (status.st_dev, status.st_ino)
        is_new = before not in ((0, 0), self._file) or status.st_size < self._offset
        if is_new:
            self._offset, self.broken = 0, 0
        return is_new

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects that have come since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                while (line := file.readline(MOST_BYTES)) and (line.endswith(b"\n") or len(line) == MOST_BYTES):
                    self._offset += len(line)
                    entry = _parsed(line)
                    if entry is None:
                        self.broken += bool(line.strip())
                    else:
                        yield entry
            self.problem = ""
        except FileNotFoundError:
            self.problem = ""
        except OSError as error:
            self.problem = f"{self.path.name} cannot be read: {error.strerror}"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None

"""The screen of the person at this device: plain lines, and on a terminal one bar that fills as the round goes on."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import segno
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column

LINE_SECONDS = 60.0  # between two lines of how far a round is, where nobody watches


class _Output:
    """Standard output that may fail: a terminal is closed, a disk is full, and training goes on without its lines."""

    def __init__(self, file: TextIO):
        self._file = file  # not sys.stdout, which is rich's own while there is a bar

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()


class Display:
    """Prints notes and round lines; a bar only where somebody watches a terminal."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without Hangul gets question marks
        output = None if sys.stdout is None else cast(TextIO, _Output(sys.stdout))
        self._console = Console(file=output, highlight=False, markup=False, soft_wrap=True, emoji=False)
        self._width = min(30, self._console.width // 4)  # of a bar; on a phone it is a short one
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=self._width, table_column=Column(min_width=self._width)),
            TextColumn("{task.fields[status]}", markup=False),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("", total=1, status="", visible=False)
        self._live = self._console.is_terminal
        self._next_line = time.monotonic() + LINE_SECONDS

    def note(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(text)
        self._console.file.flush()

    def invite(self, invite: str) -> None:
        """Print what to type on another device, and draw a code for its camera where a terminal can show one."""
        self.note(f"on the other devices:\n\n    .venv/bin/python -m peer --join {invite}\n")
        drawing = io.StringIO()
        segno.make(invite, micro=False).terminal(drawing, compact=True)
        wide_enough = self._console.width > drawing.getvalue().index("\n")
        if self._console.is_terminal and self._console.encoding.startswith("utf") and wide_enough:
            self._console.print(drawing.getvalue(), style="bright_white on black")  # whatever the terminal's own are

    @contextmanager
    def training(self) -> Iterator[None]:
        """Show the bar while the block runs."""
        if not self._live:
            yield
            return
        with self._bar:
            yield

    def progress(self, round: int, done: int, total: int, status: str) -> None:
        """Show how far the round is, in sequences of the whole swarm; where there is no bar, in a line a minute."""
        if not self._live and time.monotonic() > self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self.note(f"in round {round}: {done} of {total} sequences · {status}")
        if self._live:
            self._bar.update(
                self._task,
                description=f"round {round}",
                completed=min(done, total),
                total=total,
                status=status,
                visible=True,
            )

    @contextmanager
    def bytes(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show work on `total` bytes, such as a download; yield a function to tell how many are done."""
        self.note(f"{what} ({total / 1e6:.1f} MB) …")
        if not self._live:
            yield lambda done: None
            return
        columns = (BarColumn(bar_width=self._width), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)

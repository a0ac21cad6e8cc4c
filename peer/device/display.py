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

from data.terminal import as_called
from peer.device.event_log import EventLog, KnownLine

MARGINS = (4, 2)  # light modules around a QR code: as the standard has it, and as few as cameras still take
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
        self._log: EventLog | None = None

    def keep_lines(self, log: EventLog) -> None:
        """From now on keep the lines in a log as well."""
        self._log = log

    def note(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        text = as_called(line)
        self._console.print(text)
        self._console.file.flush()
        if self._log is not None:
            self._log.add(text, line)

    def once(self, text: str) -> None:
        """Print what is for the eyes of now alone, and is kept in no log: whoever has it can join, or look."""
        self._console.print(as_called(text))
        self._console.file.flush()

    def invite(self, invite: str) -> None:
        """Print what to type on another device, and draw a code for its camera."""
        lines = f"on the other devices:\n\n    .venv/bin/python -m peer --join {invite}\n"
        if not invite.startswith("CM1-"):
            lines += (
                "\nwhoever has it can join. Where others use a device as well, type --join - there, and the invite\n"
                "when it is asked for: else they see it in ps, and it stays in the shell's history\n"
            )
        self.once(lines)
        self._draw(invite)

    def code(self, link: str) -> None:
        """Print a link, and draw a code for the camera of another device."""
        self.once(f"\n    {link}\n")
        self._draw(link)

    def _draw(self, text: str) -> None:
        """Draw a QR code where the terminal can show one."""
        if not (self._console.is_terminal and self._console.encoding.startswith("utf")):
            return
        code = segno.make(text, micro=False)
        for margin in MARGINS:
            if code.symbol_size(border=margin)[0] < self._console.width:
                drawing = io.StringIO()
                code.terminal(drawing, border=margin, compact=True)
                self._console.print(drawing.getvalue(), style="bright_white on black")  # whatever the terminal's are
                return

    @contextmanager
    def training(self) -> Iterator[None]:
        """Show the bar while the block runs."""
        if not self._live:
            yield
            return
        with self._bar:
            yield

    def progress(self, round: int, done: int, total: int, status: str) -> None:
        """Show how far the round is, in sequences of the whole swarm; where there is no bar, in a line a minute.

        More may be trained than it takes, before the exchange that ends it: then it is as good as over.
        """
        done = min(done, total)
        if not self._live and time.monotonic() > self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            text = f"in round {round}: {done} of {total} sequences · {status}"
            self.note(KnownLine(text, "progress", round=round, done=done, total=total))
        if self._live:
            self._bar.update(
                self._task,
                description=f"round {round}",
                completed=done,
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

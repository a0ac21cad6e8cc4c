"""What the page knows: the files that training leaves, each line of them read once, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from peer.page.json_lines import JsonLines
from peer.page.models import Line, Lines, Mark, Metrics, PageNow, Sample, Samples, Snapshot
from peer.page.snapshot import SNAPSHOT, read_snapshot
from peer.page.table import MetricsTable

EVENTS, METRICS, SAMPLES = "events.jsonl", "metrics.jsonl", "samples.jsonl"
LOOK_SECONDS = 0.25  # between two looks, however many browsers ask
IDLE_SECONDS = 5.0  # between two looks while no browser does, so that the next one need not wait for all that is new
SLICE = 100  # lines that are read before others are answered: a few milliseconds
MOST_LINES, MOST_MARKS = 2000, 2000
MOST_SAMPLES = 600  # rounds of them; then every second of the older half is kept
MOST_NEW_ROWS = 2000  # that a browser which slept gets one by one


class Sources:
    """The newest of everything. `look` and `catch_up` read what is new; what it costs is a look at four files.

    :param checkpoints: the folder that the peer trains in
    """

    def __init__(self, checkpoints: Path):
        self.checkpoints = checkpoints
        self.stopped = False
        self.snapshot = read_snapshot(checkpoints)
        self.seen = 0  # snapshots so far
        self.lines: deque[Line] = deque(maxlen=MOST_LINES)
        self.samples: list[Sample] = []
        self.page = PageNow(started=time.time())
        self._marks: deque[Mark] = deque(maxlen=MOST_MARKS)
        self._table = MetricsTable("")
        self._events = JsonLines(checkpoints / EVENTS)
        self._rounds = JsonLines(checkpoints / METRICS)
        self._written = JsonLines(checkpoints / SAMPLES)
        self._samples_read = 0
        self._stamp: object = None
        self._looked_at = -1.0
        self._reads = asyncio.Lock()

    def look(self) -> None:
        """Take in what has come since the last look."""
        for _ in self._slices():
            pass

    async def catch_up(self) -> None:
        """Take in what has come since the last look, and let others be answered in between. A night has many lines."""
        async with self._reads:
            if time.monotonic() >= self._looked_at + LOOK_SECONDS:
                for _ in self._slices():
                    await asyncio.sleep(0)
                self._looked_at = time.monotonic()

    async def keep_up(self) -> None:
        """Catch up for ever, now and then."""
        while True:
            await self.catch_up()
            await asyncio.sleep(IDLE_SECONDS)

    def stop(self) -> None:
        """This device has stopped: say so to whoever looks."""
        self.stopped, self._stamp = True, None
        self._looked_at = -1.0

    def on_lan(self, is_open: bool) -> None:
        """The page is served on the LAN as well from now on, or no more: say so to whoever looks."""
        self.page = self.page.model_copy(update={"is_lan": is_open})
        self.seen += 1

    def now(self, page: PageNow) -> Snapshot:
        """Return the newest snapshot, as a browser that has this page gets it.

        After a start it has what was measured last, until that is measured anew.
        """
        snapshot = self.snapshot.after_the_end() if self.stopped else self.snapshot
        learning = snapshot.learning
        if learning.right_share is None and snapshot.run.id == self._table.run_id:
            learning = learning.model_copy(update=self._table.last_known())
        return snapshot.model_copy(update={"page": page, "learning": learning})

    def metrics(self, points: int) -> Metrics:
        """Return the whole run in so many points."""
        return self._told(self._table.thinned(points))

    def metrics_since(self, run_id: str, rows: int) -> Metrics:
        """Return the rounds after the first `rows`; all anew where they are of another run, or too many."""
        if run_id != self._table.run_id:
            return self.metrics(MOST_NEW_ROWS)
        return self._told(self._table.since(rows, MOST_NEW_ROWS))

    @property
    def rows(self) -> tuple[str, int]:
        """The id of the run, and how many of its rounds have been read."""
        return self._table.run_id, self._table.count

    def lines_since(self, n: int) -> Lines:
        """Return the lines after the one of that number, as far as they are kept."""
        newest = self.lines[-1].n if self.lines else 0
        return Lines(lines=[line for line in self.lines if line.n > n or n > newest], next=newest)

    def samples_since(self, n: int) -> Samples:
        """Return what was written after the sample of that number."""
        newest = self._samples_read
        return Samples(samples=[sample for sample in self.samples if sample.n > n or n > newest], next=newest)

    def _told(self, metrics: Metrics) -> Metrics:
        begin = next((time for time in metrics.time if time is not None), 0.0)
        marks = [mark for mark in self._marks if mark.time >= begin]
        problem = self._rounds.problem
        if not problem and self._rounds.broken:
            problem = f"{self._rounds.broken:,} lines of {METRICS} are broken, and left out"
        return metrics.model_copy(update={"marks": marks, "problem": problem})

    def _slices(self) -> Iterator[None]:
        """Take in what has come, a slice of it at a time."""
        self.look_at_snapshot()
        self._look_at_events()
        yield from self._look_at_run()

    def look_at_snapshot(self) -> None:
        """Take in the newest snapshot, and nothing else."""
        try:
            status = (self.checkpoints / SNAPSHOT).stat()
            stamp: object = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError:
            stamp = ()
        if stamp != self._stamp:
            self._stamp = stamp
            self.snapshot = read_snapshot(self.checkpoints)
            self.seen += 1

    def _look_at_events(self) -> None:
        if self._events.has_begun_anew():
            self.lines.clear()
            self._marks.clear()
        for entry in self._events.read():
            line = _line(entry)
            if line is None:
                continue
            self.lines.append(line)
            if line.kind in ("joined", "left"):
                name = str(line.values.get("name", ""))
                self._marks.append(Mark.model_validate({"time": line.time, "what": line.kind, "name": name}))

    def _look_at_run(self) -> Iterator[None]:
        run = self.snapshot.run
        if not run.name:
            return
        folder = self.checkpoints / run.name
        is_another = run.id != self._table.run_id or self._rounds.path.parent != folder
        if is_another:
            self._rounds, self._written = JsonLines(folder / METRICS), JsonLines(folder / SAMPLES)
        if is_another or self._rounds.has_begun_anew():
            self._table = MetricsTable(run.id)
        if is_another or self._written.has_begun_anew():
            self.samples, self._samples_read = [], 0
        for number, entry in enumerate(self._rounds.read(), start=1):
            if entry.get("run_id", run.id) == run.id:
                self._table.add(entry, self.snapshot.device.name)
            if number % SLICE == 0:
                yield
        for entry in self._written.read():
            if entry.get("run_id", run.id) == run.id:
                self._add_sample(entry)

    def _add_sample(self, entry: dict[str, Any]) -> None:
        try:
            sample = Sample.model_validate({**entry, "n": self._samples_read + 1})
        except ValidationError:
            return
        self._samples_read += 1
        self.samples.append(sample)
        if len(self.samples) > MOST_SAMPLES:
            half = len(self.samples) // 2
            self.samples = self.samples[:half:2] + self.samples[half:]


def _line(entry: dict[str, Any]) -> Line | None:
    try:
        return Line.model_validate(entry)
    except ValidationError:
        return None

"""The rounds of a run as columns, in little memory however long it was: plain values in, plain values out."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from peer.page.models import Column, Metrics

NEW_ROWS = 4096  # that are kept one by one; a power of two
MOST_OLD_ROWS = 12_000  # that stand for all before them
MOST_DEVICES = 256
LAST = ("time", "round", "tokens", "learning_rate", "bytes_sent", "bytes_received")  # of a stretch, the last value
KNOWN = ("valid_loss", "valid_bits_per_byte", "right_share")  # the last one that is known
MEAN = ("loss",)  # and speeds
COLUMNS = (*LAST, *KNOWN, *MEAN)
TRAFFIC = ("bytes_sent", "bytes_received")  # counted anew at every start of a peer
SPEED = "tokens_per_second"
# decimals; others: DIGITS
EXACT = {"time": 1, "round": 0, "tokens": 0, "bytes_sent": 0, "bytes_received": 0, SPEED: 1}
DIGITS = 6  # that count


class MetricsTable:
    """The rows of one run. `count` grows with every one of them; old ones may have been put together."""

    def __init__(self, run_id: str):
        self.run_id, self.count = run_id, 0
        self._old, self._group = 0, 1  # rows at the beginning that stand for so many rounds each, and for how many
        self._columns = {name: array("d") for name in COLUMNS}
        self._speeds: dict[str, array[float]] = {}  # tokens per second, by device
        self._moved = dict.fromkeys(TRAFFIC, (0.0, 0.0))  # the last count, and all before its start

    def __len__(self) -> int:
        return len(self._columns["time"])

    def add(self, entry: Mapping[str, Any], own_name: str) -> None:
        """Take in a line of metrics.jsonl.

        :param own_name: what to call this device, where the line does not say who trained how fast
        """
        for name, column in self._columns.items():
            column.append(self._in_all(name, number(entry.get(name))) if name in TRAFFIC else number(entry.get(name)))
        speeds = entry.get("speeds")
        if not isinstance(speeds, dict):
            speeds = {own_name: entry.get("tokens_per_second")}
        for name in speeds:
            if name not in self._speeds and len(self._speeds) < MOST_DEVICES:
                self._speeds[name] = array("d", [math.nan]) * (len(self) - 1)
        for name, column in self._speeds.items():
            column.append(number(speeds.get(name)))
        self.count += 1
        if len(self) - self._old >= 2 * NEW_ROWS:
            self._shorten()

    def _in_all(self, name: str, value: float) -> float:
        last, before = self._moved[name]
        if math.isnan(value):
            return last + before
        if value < last:
            before += last
        self._moved[name] = value, before
        return value + before

    def _shorten(self) -> None:
        """Put the older half of the new rows together as the old ones are, and these in half as many when need be."""
        self._put_together(self._old, self._old + NEW_ROWS, self._group)
        self._old += max(1, NEW_ROWS // self._group)
        if self._old > MOST_OLD_ROWS:
            self._put_together(0, self._old, 2)
            self._old, self._group = (self._old + 1) // 2, self._group * 2

    def _put_together(self, begin: int, end: int, group: int) -> None:
        """Let each `group` rows from one place to another be one."""
        edges = [*range(begin, end, group), end]
        for columns, as_name in ((self._columns, None), (self._speeds, SPEED)):
            for name, column in [*columns.items()]:
                together = array("d", stretches(as_name or name, column, edges))
                columns[name] = column[:begin] + together + column[end:]

    def thinned(self, points: int) -> Metrics:
        """Return all rows in so many points at most, the newest one last."""
        rows = len(self)
        points = max(1, min(points, rows))
        return self._metrics(0, [point * rows // points for point in range(points + 1)] if rows else [0], reset=True)

    def last_known(self) -> dict[str, float]:
        """Return what was measured last of what is not measured after every round, where it was, by name."""
        found = {name: next((x for x in reversed(self._columns[name]) if x == x), math.nan) for name in KNOWN}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def since(self, count: int, most: int) -> Metrics:
        """Return the rows after the first `count` ever; all anew where these are more than `most`, or not at hand."""
        new = self.count - count
        if not 0 <= new <= min(most, len(self) - self._old):
            return self.thinned(most)
        first = len(self) - new
        return self._metrics(first, list(range(first, len(self) + 1)))

    def _metrics(self, first: int, edges: list[int], reset: bool = False) -> Metrics:
        columns = {name: shown(name, stretches(name, column, edges)) for name, column in self._columns.items()}
        columns["time"] = rising(columns["time"])
        speeds = {name: shown(SPEED, stretches(SPEED, column, edges)) for name, column in self._speeds.items()}
        speeds = {name: column for name, column in speeds.items() if any(value is not None for value in column)}
        return Metrics.model_validate(
            {**columns, "run_id": self.run_id, "next": self.count, "reset": reset, "tokens_per_second": speeds}
        )


def number(value: object) -> float:
    """Return a number as a float, and NaN for whatever else stands in its place."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    return math.nan


def stretches(name: str, column: Sequence[float], edges: Sequence[int]) -> list[float]:
    """Return one value for each stretch of a column from one edge to the next, as its kind is put together."""
    if name in LAST:
        return [column[end - 1] for end in edges[1:]]
    found = []
    for begin, end in pairwise(edges):
        known = [value for value in column[begin:end] if value == value]  # NaN is not
        found.append(math.nan if not known else known[-1] if name in KNOWN else sum(known) / len(known))
    return found


def shown(name: str, values: Iterable[float]) -> Column:
    """Return values as JSON has them: no NaN, and no more digits than anybody sees."""
    if name in EXACT:
        decimals = EXACT[name] or None
        return [None if math.isnan(value) else round(value, decimals) for value in values]
    return [None if math.isnan(value) else float(f"{value:.{DIGITS}g}") for value in values]


def rising(times: Column) -> Column:
    """Return times that never fall: where the clock was set back, what is newer is believed."""
    backwards = accumulate(
        (math.inf if time is None else time for time in reversed(times)), lambda newer, older: min(newer, older)
    )
    return [None if math.isinf(time) else time for time in reversed(list(backwards))]

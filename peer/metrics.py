"""`checkpoints/RUN/metrics.jsonl`: one line a round, the source of every plot."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path


class RoundLine:
    """What adds up between two lines of metrics."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.tokens = 0
        self.waited_seconds = self.longest_wait_seconds = 0.0
        self._losses: list[float] = []

    def add(self, loss: float, tokens: int) -> None:
        self.tokens += tokens
        if not math.isnan(loss):
            self._losses.append(loss)

    def waited(self, seconds: float) -> None:
        """A step was held up by the swarm for so long: by the network, or by copies in and out of an exchange."""
        self.waited_seconds += seconds
        self.longest_wait_seconds = max(self.longest_wait_seconds, seconds)

    @property
    def loss(self) -> float:
        """Mean training loss, nats per token."""
        return sum(self._losses) / len(self._losses) if self._losses else math.nan

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / max(1e-9, time.monotonic() - self.started)


class Metrics:
    """Appends to metrics.jsonl, one JSON object a line."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, entry: dict[str, object]) -> None:
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in entry.items()
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite, ensure_ascii=False) + "\n")

"""`checkpoints/RUN/metrics.jsonl`: one line a round, the source of every plot; the same for TensorBoard, if asked for.

Beside it `samples.jsonl`: what the model wrote after rounds, always after the same prompts. Nobody else gets it.
With `python -m peer --join --tensorboard`, look at it with `tensorboard --logdir checkpoints`.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any


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

    def rested(self, seconds: float) -> None:
        """The device did not train for so long, to be spared: that is not its speed."""
        self.started += seconds

    @property
    def loss(self) -> float:
        """Mean training loss, nats per token."""
        return sum(self._losses) / len(self._losses) if self._losses else math.nan

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / max(1e-9, time.monotonic() - self.started)


class Metrics:
    """Appends to metrics.jsonl, one JSON object a line.

    :param tensorboard: write the same to `tensorboard/` beside it, with the swarm's tokens as the step
    """

    def __init__(self, path: Path, tensorboard: bool = False):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # an extra, and slow to import

            self._board = SummaryWriter(str(path.with_name("tensorboard")))

    def write(self, entry: dict[str, object]) -> None:
        """Raises OSError where the disk does not take it."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in entry.items()
        }
        append(self._path, finite)
        if self._board is not None:
            for key, value in finite.items():
                number = len(value) if isinstance(value, list) else value
                if isinstance(number, (int, float)) and key not in ("time", "tokens"):
                    self._board.add_scalar(key, number, entry["tokens"])
            self._board.flush()

    def write_samples(self, entry: dict[str, object], samples: list[dict[str, str]]) -> None:
        """What the model writes after the prompts, as of that line of metrics. Raises OSError."""
        known = {key: entry[key] for key in ("time", "run_id", "round", "checkpoint")}
        append(self._path.with_name("samples.jsonl"), {**known, "samples": samples})
        if self._board is not None:
            for number, sample in enumerate(samples):
                self._board.add_text(f"sample {number}", sample["prompt"] + sample["text"], entry["tokens"])


def append(path: Path, entry: dict[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")

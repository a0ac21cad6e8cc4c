"""`checkpoints/RUN/metrics.jsonl`: one line a round, the source of every plot; the same for TensorBoard, if asked for.

Beside it `samples.jsonl`: what the model wrote after rounds, always after the same prompts. Both stay on this device.
After `python -m peer --join --tensorboard`, look at them with `tensorboard --logdir checkpoints`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Metrics:
    """The files that measurements are appended to, one JSON object a line.

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
        """Append a line to metrics.jsonl. Raises OSError where the disk does not take it."""
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

    def write_samples(self, entry: dict[str, object], samples: Sequence[dict[str, str]]) -> None:
        """Append to samples.jsonl what the model writes after the prompts, at that line of metrics. Raises OSError."""
        known = {key: entry[key] for key in ("time", "run_id", "round", "checkpoint")}
        append(self._path.with_name("samples.jsonl"), {**known, "samples": samples})
        if self._board is not None:
            for number, sample in enumerate(samples):
                self._board.add_text(f"sample {number}", sample["prompt"] + sample["text"], entry["tokens"])


def append(path: Path, entry: dict[str, object]) -> None:
    """Append an entry to a file of JSON lines. Raises OSError.

    A line that a full disk or an end without warning has cut short is ended first, so that it is alone in being broken.
    """
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode())

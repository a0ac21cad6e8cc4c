"""The run that a device has come into: what training needs to begin."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from data.atomic import replacing
from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import TOKENIZER, Position
from minigpt.settings import Settings
from peer.joining.shared_text import SharedText


@dataclass(frozen=True)
class Run:
    """The run's settings, its tokenizer, and the state that this device goes on from.

    :param how: "resumed", "joined" or "founded"
    :param has_text: this device has text of its own to train on
    :param shared: the text of others, where it trains on that instead
    """

    settings: Settings
    tokenizer_model: Path
    start: Checkpoint
    how: str
    has_text: bool = True
    shared: SharedText | None = None

    def position(self) -> Position | None:
        """Return where this device was in a run that it resumes, if that was kept. Raises CheckpointError."""
        return self.start.position() if self.how == "resumed" else None


def keep_tokenizer(source: Path, run_folder: Path) -> Path:
    """Copy a tokenizer to where it stays as checkpoints are pruned, and return that place."""
    kept = run_folder / TOKENIZER
    if not kept.exists() or checkpoint.file_sha256(kept) != checkpoint.file_sha256(source):
        with replacing(kept, synced=False) as part:
            shutil.copyfile(source, part)
    return kept

"""The model that a server answers from, as the newest checkpoints have it. This is what brings torch."""

import os
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path

from minigpt.checkpoint import BEST
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import CHECKPOINTS, find_best, find_checkpoint, say
from minigpt.device import pick_device
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.openai_api import LoadedModel


class CurrentModel:
    """The best checkpoint's model, or the newest one's; `get` looks whether there is another one by now.

    It may be called in any thread.
    """

    def __init__(self, newest: bool = False, checkpoints: Path = CHECKPOINTS) -> None:
        self._newest, self._checkpoints = newest, checkpoints
        self._lock = threading.Lock()
        self._seen: set[object] | None = None
        self._loaded: LoadedModel | None = None
        self._problem = ""

    def get(self) -> LoadedModel:
        """Return it. A broken one is passed over, and what was there before stays. Raises CheckpointError for none."""
        with self._lock:
            there = checkpoint_files(self._checkpoints)
            if there != self._seen:  # looking at a broken one again and again would cost a hash of it every time
                self._seen = there
                try:
                    self._load()
                except CheckpointError as error:
                    self._problem = str(error)
                    say(self._problem)
            if self._loaded is None:
                raise CheckpointError(self._problem)
            return self._loaded

    def _load(self) -> None:
        folder = self._checkpoints
        found, which = (find_checkpoint(checkpoints=folder), "") if self._newest else find_best(folder)
        if self._loaded is None or self._loaded.checkpoint != found:
            model = InferenceModel(found.build_model().to(pick_device()))
            self._loaded = LoadedModel(found, model, found.load_tokenizer(), int(time.time()))
            which = which or f"round {found.progress.round}"
            say(f"model '{self._loaded.name}' of {found.progress.run_id} is {which}")


def checkpoint_files(checkpoints: Path = CHECKPOINTS) -> set[object]:
    """Return what is different as soon as any checkpoint is."""
    there: set[object] = {os.path.realpath(checkpoints / "latest")}
    for path in chain(checkpoints.glob("*/round-*/*"), checkpoints.glob(f"*/{BEST}/round-*/*")):
        with suppress(FileNotFoundError):  # pruned just now
            status = path.stat()
            there.add((path, status.st_size, status.st_mtime_ns))
    return there

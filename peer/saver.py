"""Checkpoints written beside the training, not in its way."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from minigpt import checkpoint
from minigpt.dataset import Batches
from minigpt.manifest import CheckpointError, Position
from minigpt.model import MiniGPT
from minigpt.settings import Settings, with_identity_of
from peer.display import Display
from peer.inner import InnerLoop
from peer.outer import OuterLoop
from peer.synchronous import SynchronousOuter


class Saver:
    """Writes checkpoints on a thread of its own, from copies, so that training goes on meanwhile."""

    def __init__(
        self,
        *,
        batches: Batches,
        inner: InnerLoop,
        outer: OuterLoop | SynchronousOuter,
        settings: Settings,
        tokenizer_model: Path,
        checkpoints: Path,
        display: Display,
    ):
        self._batches, self._inner, self._outer, self._display = batches, inner, outer, display
        self._settings = with_identity_of(Settings(), settings)  # paths are nobody else's business
        self._tokenizer_model, self._checkpoints = tokenizer_model, checkpoints
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[Path] | None = None
        self._pending_samples = -1
        self._again = False  # a newer state is to be saved as soon as that one is written

    def save(self, wait: bool = False, copy: MiniGPT | None = None) -> None:
        """Begin to save the newest state; while an earlier one is being written, its turn comes after that.

        :param copy: of the anchor as it is now, which nobody will change; made here if there is none
        """
        if self._pending is not None:
            if not (wait or self._pending.done()):
                self._again = True
                return
            self._report(self._pending)
        inner, outer = self._inner, self._outer
        copy = deepcopy(outer.anchor) if copy is None else copy
        anchor = {name: parameter.detach() for name, parameter in copy.named_parameters()}
        progress = replace(outer.progress, step=inner.steps, updates=inner.updates)
        if wait or self._again:  # perhaps in the middle of a round
            progress = replace(progress, anchor=checkpoint.parameter_hash(anchor))
        self._again = False
        own = {name: parameter.detach().cpu() for name, parameter in inner.model.named_parameters()}
        local = None  # alone, at the end of a round, the anchor is where we are
        if not all(torch.equal(parameter, anchor[name]) for name, parameter in own.items()):
            local = {name: (parameter - anchor[name]).to(torch.bfloat16) for name, parameter in own.items()}
        self._pending_samples = outer.progress.samples
        self._pending = self._thread.submit(
            checkpoint.save,
            self._checkpoints,
            progress,
            parameters=anchor,
            model_config=outer.anchor.hugging_face_config(),
            settings=self._settings,
            tokenizer_model=self._tokenizer_model,
            optimizer=inner.moments() or None,
            local=local,
            position=Position(
                dataset=self._batches.dataset.name, sequence=self._batches.position, standing=outer.standing
            ),
        )
        if wait:
            self._report(self._pending)

    def look(self) -> None:
        """Tell the outer loop which state is whole on the disk by now, so that others can be told."""
        if self._pending is not None and self._pending.done():
            self._report(self._pending)
            self._pending = None
            if self._again:
                self.save()

    def _report(self, pending: Future[Path]) -> None:
        try:
            pending.result()
            self._outer.saved_samples = self._pending_samples
        except CheckpointError as error:
            self._display.note(f"{error}; the earlier ones are as they were, and training goes on")

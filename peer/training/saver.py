"""Checkpoints written beside the training, not in its way.

A peer that is alone saves every round. In company an older checkpoint leads to the anchor of now by the means that are
kept as well (`peer/state/means.py`). Then it saves no more often than SHARE of the processor allows: rounds of many
devices are short, and a checkpoint is twice the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from minigpt import checkpoint
from minigpt.checkpoint.manifest import CheckpointError, Position
from minigpt.dataset import Batches
from minigpt.settings import Settings, with_identity_of
from peer.device.display import Display
from peer.inner.loop import InnerLoop
from peer.inner.self_test import changed_by_memory, held_by_anchor
from peer.outer.interface import OuterLoop

SHARE = 0.02  # of the processor's time
LONGEST_SECONDS = 120.0  # without a checkpoint: means are kept for a few times as long


class Saver:
    """Writes checkpoints on a thread of its own, from copies, so that training goes on meanwhile."""

    def __init__(
        self,
        inner: InnerLoop,
        outer: OuterLoop,
        batches: Batches,
        settings: Settings,
        display: Display,
        *,
        tokenizer_model: Path,
        checkpoints: Path,
    ):
        self._batches, self._inner, self._outer, self._display = batches, inner, outer, display
        self._settings = with_identity_of(Settings(), settings)  # paths are nobody else's business
        self._tokenizer_model, self._checkpoints = tokenizer_model, checkpoints
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[float] | None = None
        self._pending_samples = -1
        self._again = False  # a newer state is to be saved as soon as that one is written
        self._cores = torch.get_num_threads()
        self._began = self._due = 0.0  # the last one, and when the next one can be afforded

    @property
    def is_due(self) -> bool:
        """True once another checkpoint can be afforded."""
        return time.monotonic() >= self._due

    def save(self, wait: bool = False) -> None:
        """Begin to save the newest state. While an earlier one is being written, its turn comes after that.

        A state that memory has changed is not saved.

        :param wait: until it is on the disk
        """
        if self._pending is not None:
            if not (wait or self._pending.done()):
                self._again = True
                return
            self._report(self._pending)
            self._pending = None
        if changed_by_memory(held_by_anchor(self._outer.anchor_model)):
            return  # what is on the disk is whole, and the next self-test tells
        self._began, started = time.monotonic(), time.thread_time()
        self._due = self._began + LONGEST_SECONDS  # until it is known what it costs
        inner, outer = self._inner, self._outer
        anchor = {name: parameter.detach().clone() for name, parameter in outer.anchor_model.named_parameters()}
        progress = replace(outer.progress, step=inner.steps, updates=inner.updates)
        if wait or self._again:  # perhaps in the middle of a round
            progress = replace(progress, version=checkpoint.parameter_hash(anchor))
        self._again = False
        own = {name: parameter.detach().cpu() for name, parameter in inner.model.named_parameters()}
        local = None  # alone, at the end of a round, the anchor is where we are
        if not all(torch.equal(parameter, anchor[name]) for name, parameter in own.items()):
            local = {name: (parameter - anchor[name]).to(torch.bfloat16) for name, parameter in own.items()}
        average = None
        if wait:  # before that nobody goes on with it, but after an end without warning
            pairs = zip(own, inner.average.average, strict=True)
            average = {name: (parameter.cpu() - anchor[name]).to(torch.bfloat16) for name, parameter in pairs}
        self._pending_samples = outer.progress.samples
        write = partial(
            checkpoint.save,
            self._checkpoints,
            progress,
            parameters=anchor,
            model_config=outer.anchor_model.hugging_face_config(),
            settings=self._settings,
            tokenizer_model=self._tokenizer_model,
            optimizer=inner.moments() or None,
            local=local,
            average=average,
            position=Position(
                dataset=self._batches.dataset.name,
                sequence=self._batches.position,
                standing=outer.standing,
                averaged=inner.average.sequences,
            ),
        )
        self._pending = self._thread.submit(write_timed, write, time.thread_time() - started)
        if wait:
            self._report(self._pending)

    def finish(self) -> None:
        """Wait until what is being written is on the disk; nothing follows it."""
        if self._pending is not None:
            self._report(self._pending)
            self._pending, self._again = None, False

    def poll(self) -> None:
        """Tell the outer loop which state is whole on the disk by now, so that others can be told."""
        if self._pending is not None and self._pending.done():
            self._report(self._pending)
            self._pending = None
            if self._again:
                self.save()

    def _report(self, pending: Future[float]) -> None:
        try:
            cost = pending.result()
            self._due = self._began + min(LONGEST_SECONDS, cost / self._cores / SHARE)
            self._outer.checkpoint_saved(self._pending_samples)
        except CheckpointError as error:
            self._due = 0.0
            self._display.note(f"{error}; the earlier ones are as they were")


def write_timed(write: Callable[[], object], cost: float) -> float:
    """Write, on the thread; return the processor's seconds, `cost` of them spent before."""
    started = time.thread_time()
    write()
    return cost + time.thread_time() - started

"""A folder that has arrived, looked at before it is used: whole, of the right shapes, with numbers that can be."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import TOKENIZER, CheckpointError, Manifest
from minigpt.settings import run_id

LARGEST = 1e4  # parameter; trained ones are below ten


def verified(folder: Path) -> tuple[Checkpoint, dict[str, Tensor]]:
    """Return the state that was taken, and its parameters, after every check; if it fails one, the folder goes.

    Raises CheckpointError: shapes, finiteness and size of numbers, the anchor's hash, and that settings and tokenizer
    are those of the run.
    """
    try:
        state = checkpoint.read(folder)
        expected = run_id(state.settings, state.files[TOKENIZER].sha256)
        if state.progress.run_id != expected:
            raise CheckpointError(f"it claims to be of run {state.progress.run_id}, and is of {expected}")
        state.load_tokenizer()  # which the run id covers, and config.json's vocab_size has to fit
        parameters = state.parameters()
        if any(parameter.abs().max() > LARGEST for parameter in parameters.values()):
            raise CheckpointError(f"{folder}: its numbers are too large to be trained on")
        return state, parameters
    except CheckpointError:
        checkpoint.discard(folder)
        raise


def is_whole(folder: Path) -> bool:
    """Return whether that is a checkpoint with all that belongs to one."""
    try:
        checkpoint.read(folder)
    except CheckpointError:
        return False
    return True


def is_kept(folder: Path, manifest: Manifest) -> bool:
    """Return whether that very state is in `folder` already, ours or taken before."""
    try:
        return checkpoint.read_manifest(folder).progress == manifest.progress
    except CheckpointError:
        return False

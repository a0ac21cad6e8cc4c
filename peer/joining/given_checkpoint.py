"""The parameters that a founded run begins with: a checkpoint's, where `model.checkpoint` of the settings names one.

Only a checkpoint folder is ever loaded. The original guide's `checkpoints/latest.pt` is a pickle, which can run any
program when it is loaded: it is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import TOKENIZER, CheckpointError
from minigpt.settings import Settings, differences

FITTING = ("model.d_model", "model.nhead", "model.num_layers")  # what makes parameters those of another model


def given_checkpoint(settings: Settings, report: Callable[[str], None]) -> Checkpoint | None:
    """Return the checkpoint that `model.checkpoint` names; None, and a line to `report`, if it is passed over.

    Raises CheckpointError if it is a folder that is no whole checkpoint, or of another model than the settings'.
    """
    path = settings.model.checkpoint
    if path is None:
        return None
    if not path.is_dir():
        instead = "it is a file, and only a checkpoint folder can be trusted" if path.exists() else "it does not exist"
        report(f"model.checkpoint is {path}, which is passed over ({instead}): the run begins with a new model")
        return None
    given = checkpoint.read(path)
    different = [line for line in differences(settings, given.settings) if line.split(" ")[0] in FITTING]
    if different:
        raise CheckpointError(
            f"model.checkpoint is {path}, which is of another model than these settings: {'; '.join(different)}"
        )
    return given


def check_tokenizer(given: Checkpoint, tokenizer_model: Path) -> None:
    """Raise CheckpointError if the checkpoint's model was not trained with this tokenizer."""
    if checkpoint.file_sha256(tokenizer_model) != given.files[TOKENIZER].sha256:
        raise CheckpointError(
            f"model.checkpoint is {given.folder}, which was trained with another tokenizer than {tokenizer_model}: "
            f"set tokenizer.model_path to {given.folder / TOKENIZER}"
        )

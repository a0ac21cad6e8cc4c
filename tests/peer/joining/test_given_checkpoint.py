"""`model.checkpoint`: what a run may begin with, and what is passed over or refused."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt import checkpoint
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.settings import Settings
from peer.joining.given_checkpoint import check_tokenizer, given_checkpoint
from tests.tiny import SETTINGS, train_tokenizer


def settings(path: Path | str, **model: object) -> Settings:
    document = SETTINGS.model_dump()
    document["model"] |= {"checkpoint": path, **model}
    return Settings.model_validate(document)


def test_a_checkpoint_that_fits_is_what_the_run_begins_with(folder: Path, tokenizer_model: Path) -> None:
    notes: list[str] = []
    given = given_checkpoint(settings("checkpoints/latest", dropout=0.3), notes.append)
    assert given is not None and notes == []
    check_tokenizer(given, tokenizer_model)
    assert checkpoint.parameter_hash(given.parameters()) == checkpoint.read(folder).progress.version


def test_without_the_setting_nothing_is_looked_for(folder: Path) -> None:
    assert given_checkpoint(SETTINGS, pytest.fail) is None


class Trap:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize("kind", ["missing", "pickle", "torch"])
def test_the_guides_latest_pt_is_passed_over_with_a_line_and_never_unpickled(folder: Path, kind: str) -> None:
    path = Path("checkpoints/latest.pt")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif kind == "torch":
        torch.save({"model": Trap()}, path)
    notes: list[str] = []
    assert given_checkpoint(settings(path), notes.append) is None
    reason = "it does not exist" if kind == "missing" else "it is a file, and only a checkpoint folder can be trusted"
    assert notes == [
        f"model.checkpoint is checkpoints/latest.pt, which is passed over ({reason}): the run begins with a new model"
    ]
    assert not Path("sprung").exists()


def test_another_model_or_tokenizer_is_an_error_that_names_both(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        given_checkpoint(settings("checkpoints/latest", d_model=64, num_layers=3), pytest.fail)
    assert str(refused.value) == (
        "model.checkpoint is checkpoints/latest, which is of another model than these settings: "
        "model.d_model is 64 here and 32 there; model.num_layers is 3 here and 2 there"
    )
    given = given_checkpoint(settings("checkpoints/latest"), pytest.fail)
    assert given is not None
    other = train_tokenizer(tmp_path, 380)
    with pytest.raises(
        CheckpointError, match=f"another tokenizer than {re.escape(str(other))}: set tokenizer.model_path"
    ):
        check_tokenizer(given, other)


def test_a_folder_that_is_no_checkpoint_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is no checkpoint, but has some in it"):
        given_checkpoint(settings("checkpoints"), pytest.fail)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="is cut off or changed"):
        given_checkpoint(settings("checkpoints/latest"), pytest.fail)

"""Fixtures of giving and taking state: a donor's folder, and pieces so small that a model has some of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tokenizer
from minigpt import checkpoint
from minigpt.settings import run_id
from peer.state import fetching, serving
from tests.peer.state.donors import PIECE
from tests.tiny import SETTINGS, build_model, save_model, train_tokenizer


@pytest.fixture(scope="module")
def donor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`checkpoints/` of a donor that has trained a round, with moments and with what it learnt since."""
    root = tmp_path_factory.mktemp("donor")
    path = train_tokenizer(root)
    model = build_model(tokenizer.load(path).get_piece_size())
    parameters = dict(model.named_parameters())
    moments = {
        f"{moment}.{name}": torch.ones_like(p)
        for name, p in parameters.items()
        for moment in checkpoint.moments_of(name)
    }
    save_model(
        root,
        path,
        model,
        run_id=run_id(SETTINGS, checkpoint.file_sha256(path)),
        optimizer=moments,
        local={name: torch.ones_like(p) for name, p in parameters.items()},
    )
    return root


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fetching, serving):
        monkeypatch.setattr(module, "PIECE_BYTES", PIECE)

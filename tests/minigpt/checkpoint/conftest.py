"""Fixtures of the tests of checkpoints: a folder of them, and one checkpoint in it."""

from pathlib import Path

import pytest

from minigpt.model import MiniGPT
from tests.tiny import save_model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def folder(root: Path, tokenizer_model: Path, model: MiniGPT) -> Path:
    return save_model(root, tokenizer_model, model)

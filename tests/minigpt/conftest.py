"""Fixtures of the tests that ask a model: a model, and a parrot in the place of one."""

import pytest

from minigpt.inference.decoding import InferenceModel
from minigpt.model import MiniGPT
from tests.minigpt.parrot import Parrot


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> type[Parrot]:
    """Speaks in place of every model, and cannot be guessed."""
    monkeypatch.setattr("minigpt.inference.sampling.Decoding", Parrot)
    monkeypatch.setattr("minigpt.inference.sampling.what_followed", lambda ids, count: [])
    Parrot.lengths, Parrot.seen = [], []
    return Parrot


@pytest.fixture(scope="module")
def asked(model: MiniGPT) -> InferenceModel:
    return InferenceModel(model)

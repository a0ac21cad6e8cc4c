"""The states of our own that are kept when one of others is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tokenizer
from minigpt import checkpoint
from minigpt.checkpoint.manifest import Position
from peer.state.earlier import ABANDONED, EARLIER, MOST_KEPT, NEVER, EarlierStates, Taking, WentBack
from tests.tiny import build_model, save_model, train_tokenizer

RUN_ID = "cellmind-0123456789ab"
OURS = Position(dataset="d", sequence=1)


@pytest.fixture(scope="module")
def tokenizer_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"))


class States:
    """A run's folder, into which checkpoints of ours and of others come."""

    def __init__(self, root: Path, tokenizer_model: Path):
        self.root, self._tokenizer = root, tokenizer_model
        self._model = build_model(tokenizer.load(tokenizer_model).get_piece_size())
        self.earlier = EarlierStates(root / "cellmind")

    def save(self, round: int, position: Position | None = OURS) -> Path:
        return save_model(self.root, self._tokenizer, self._model, round=round, step=round, position=position)

    def take(self, samples: int, time: float) -> None:
        self.earlier.keep(RUN_ID, samples, Taking(donor="phone", time=time))


@pytest.fixture
def states(tmp_path: Path, tokenizer_model: Path) -> States:
    return States(tmp_path, tokenizer_model)


def test_our_last_state_outlives_pruning_and_can_be_gone_on_with(states: States) -> None:
    states.save(1)
    ours = states.save(2)
    states.save(3, position=None)  # of the device whose state is taken
    states.take(2 * 256, time=100.0)
    for round in range(4, 9):
        states.save(round)
    assert not ours.exists(), "it was pruned"
    found = states.earlier.newest()
    assert found is not None
    folder, taking, manifest = found
    assert (taking.donor, manifest.round, folder.parent.name) == ("phone", 2, EARLIER)
    assert checkpoint.read(folder).parameters()
    assert checkpoint.newest(states.root, "cellmind", run_id=RUN_ID).progress.round == 8  # type: ignore[union-attr]


def test_what_is_kept_is_no_other_state_than_that_of_before(states: States) -> None:
    states.save(3)
    states.take(2 * 256, time=100.0)
    assert states.earlier.newest() is None, "it has more behind it than our anchor had"
    states.take(3 * 256, time=100.0)
    states.take(3 * 256, time=200.0)
    (kept,) = states.earlier.all()
    assert kept[1].time == 100.0, "nothing of ours has come between the two"


def test_few_are_kept_and_spread_over_time(states: States) -> None:
    for round, time in enumerate((0.0, 1000.0, 1001.0, 1002.0, 5000.0), start=1):
        states.save(round)
        states.take(round * 256, time)
    assert [taking.time for _, taking in states.earlier.all()] == [5000.0, 1002.0, 0.0]
    assert len(states.earlier.all()) == MOST_KEPT
    assert len(list((states.root / "cellmind" / EARLIER).iterdir())) == 2 * MOST_KEPT


def test_who_has_gone_back_starts_from_there_and_finds_what_was_given_up_in_a_folder_apart(states: States) -> None:
    states.save(2)
    states.take(2 * 256, time=100.0)
    taken, newest = states.save(5, position=None), states.save(6)
    folder = states.earlier.all()[0][0]
    states.earlier.used(folder, checkpoint.read(folder).progress)
    assert checkpoint.newest(states.root, "cellmind", run_id=RUN_ID).progress.round == 2  # type: ignore[union-attr]
    assert not taken.exists() and (states.root / "cellmind" / ABANDONED / newest.name).is_dir()
    assert states.earlier.newest() is None, "the next time it goes further back"


def test_a_disk_without_links_gets_copies(states: States, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", link)
    states.save(1)
    states.take(256, time=1.0)
    assert checkpoint.read(states.earlier.all()[0][0]).parameters()


def test_going_back_is_remembered_and_nonsense_in_its_place_is_nothing(tmp_path: Path) -> None:
    assert WentBack.read(tmp_path) == NEVER
    WentBack(time=2.0, taken=1.0).write(tmp_path)
    assert WentBack.read(tmp_path) == WentBack(time=2.0, taken=1.0)
    (tmp_path / "went-back.json").write_text('{"time": "x"}')
    assert WentBack.read(tmp_path) == NEVER

"""Exports that come while a device rests."""

from pathlib import Path

import pytest

from data.prepare import prepare, prepared_from
from minigpt.settings import Settings
from peer.joining.prepare_text import is_made_of_raw
from peer.training import new_exports
from peer.training.new_exports import NewExports

CHAT = "Date,User,Message\n" + "".join(f"2024-03-15 15:{n:02},Minji,message number {n}\n" for n in range(40))


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new_exports, "LOOK_SECONDS", 0.0)
    folder = tmp_path / "data" / "raw"
    folder.mkdir(parents=True)
    (folder / "one.csv").write_text(CHAT)
    return folder


def looked(exports: NewExports, times: int = 3) -> NewExports:
    for _ in range(times):
        exports.look()
    return exports


def test_they_are_taken_once_they_are_no_longer_being_copied(raw: Path) -> None:
    said: list[str] = []
    exports = looked(NewExports(True, said.append))
    (raw / ".two.csv.part").write_text("hidden")
    assert not looked(exports).came
    (raw / "two.csv").write_text("Date,")
    looked(exports, 1)
    (raw / "two.csv").unlink()
    assert not looked(exports).came
    (raw / "two.csv").write_text(CHAT)
    assert not looked(exports, 1).came and not said
    assert looked(exports, 1).came
    assert said == ["there are new chats in data/raw: starting anew with them"]


def test_files_that_are_taken_away_are_no_new_ones(raw: Path) -> None:
    exports = NewExports(True, print)
    (raw / "one.csv").unlink()
    assert not looked(exports).came


def test_who_may_not_take_them_says_what_to_do_once(raw: Path) -> None:
    said: list[str] = []
    exports = NewExports(False, said.append)
    (raw / "two.csv").write_text(CHAT)
    assert not looked(exports, 9).came
    assert said == ["there are new chats in data/raw: clean them with python -m data, and start this device again"]


def test_only_a_text_that_was_made_of_data_raw_is_made_anew(raw: Path) -> None:
    settings = Settings()
    assert not is_made_of_raw(settings), "there is none"
    prepare(report=lambda line: None)
    assert prepared_from() == [Path("data/raw")] and is_made_of_raw(settings)
    mine = settings.training.dataset.model_copy(update={"path": Path("mine.jsonl")})
    training = settings.training.model_copy(update={"dataset": mine})
    assert not is_made_of_raw(settings.model_copy(update={"training": training}))
    prepare(raw / "one.csv", report=lambda line: None)
    assert not is_made_of_raw(settings), "it is made of something else"
    prepare(report=lambda line: None)
    Path("data/for-model-training/train.jsonl").write_text('{"text": "written by hand"}\n')
    assert prepared_from() == []

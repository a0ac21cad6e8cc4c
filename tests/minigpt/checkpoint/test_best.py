"""The best state by held-out loss: kept apart from the newest ones, and what is asked unless told otherwise."""

from pathlib import Path
from typing import Any

import pytest

from minigpt import cli
from minigpt.checkpoint import best, newest, read
from minigpt.checkpoint.manifest import HeldOutLoss, Position, parse_manifest
from minigpt.generate import main, parse_arguments
from minigpt.model import MiniGPT
from tests.tiny import build_model, save_model


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def root() -> Path:
    return Path("checkpoints")


def loss(nats: float) -> HeldOutLoss:
    return HeldOutLoss(nats=nats, bits=nats / 2)


def save_best(root: Path, tokenizer_model: Path, model: MiniGPT, nats: float, round: int = 1, **more: Any) -> Path:
    more.setdefault("position", Position(dataset="texts", sequence=0))
    return save_model(root, tokenizer_model, model, round=round, held_out=loss(nats), **more)


def test_it_is_never_pruned_and_no_newest_state(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    kept = save_best(root, tokenizer_model, model, 5.17)
    for round in range(2, 8):
        saved = save_model(root, tokenizer_model, model, round=round, keep=2)
    found, last = best(root, read(saved).progress), newest(root)
    assert found is not None and last is not None
    assert (found.folder, found.held_out, found.progress.round) == (kept.resolve(), loss(5.17), 1)
    assert (root / "best").resolve() == kept.resolve() and (root / "latest").resolve() == saved.resolve()
    assert last.progress.round == 7 and last.held_out is None
    assert len(list((root / "cellmind").glob("round-*"))) == 2
    assert "| held-out loss | 5.170 (2.585 bits/byte) |" in (kept / "README.md").read_text()
    assert not (kept / "optimizer.safetensors").exists()
    found.build_model()


def test_a_better_one_takes_its_place_whichever_round_it_is_of(
    root: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    other = save_best(root, tokenizer_model, model, 6.0, run="cellmind", run_id="cellmind-ba9876543210", round=9)
    for round, nats in ((4, 5.2), (6, 5.1), (5, 5.0), (5, 4.9)):  # the last one was judged on other texts
        kept = save_best(root, tokenizer_model, model, nats, round)
    assert sorted((root / "cellmind" / "best").iterdir()) == [kept, other]
    assert read(kept).held_out == loss(4.9)
    assert (root / "best").resolve() == kept.resolve()


def test_devices_of_before_read_the_manifest_of_any_other_state(folder: Path) -> None:
    content = (folder / "training.json").read_bytes()
    assert b"held_out" not in content and parse_manifest(content).held_out is None


@pytest.fixture
def three(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    """The run's rounds 2 and 3, and its best state, of round 2."""
    for round in (2, 3):
        save_model(root, tokenizer_model, build_model(model.vocab_size, seed=round), round=round)
    save_best(root, tokenizer_model, model, 5.174, round=2)


def test_the_best_one_is_asked_and_said(three: None, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["--prompt", "안녕", "--temperature", "0", "--max-new-tokens", "8"]
    answers = []
    for more in ([], ["--checkpoint", "checkpoints/best"], ["--newest"], ["--checkpoint", "checkpoints/latest"]):
        assert main([*ask, *more]) == 0
        captured = capsys.readouterr()
        answers.append(captured.out)
        assert captured.err == ("" if more else "round 2, held-out 5.17; the newest is round 3: --newest\n")
    assert answers[0] == answers[1] != answers[2] == answers[3]


def test_with_follow_it_is_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_arguments(["--prompt", "안녕", "--follow"]).newest
    assert parse_arguments(["--prompt", "안녕", "--from-swarm", "--newest"]).newest, "of a peer as well"
    assert not parse_arguments(["--prompt", "안녕"]).newest
    with pytest.raises(SystemExit):
        parse_arguments(["--prompt", "안녕", "--newest", "--checkpoint", "checkpoints/best"])
    assert "--checkpoint names a state and --newest another: choose one" in capsys.readouterr().err


def test_whose_word_it_is_that_a_state_is_the_best_one(root: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    taken = save_best(root, tokenizer_model, model, 5.174, round=2, position=None)
    save_model(root, tokenizer_model, model, round=2)
    assert cli.find_best()[1] == "round 2, held-out 5.17 by another device's word"
    save_best(root, tokenizer_model, model, 5.174, round=2)
    assert cli.find_best()[1] == "round 2, held-out 5.17" and not read(taken).is_taken


def test_it_is_served_until_there_is_a_better_one(
    root: Path, tokenizer_model: Path, model: MiniGPT, three: None, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvicorn")
    from minigpt.serving.current_model import CurrentModel

    current, newest = CurrentModel(), CurrentModel(newest=True)
    assert (current.get().checkpoint.progress.round, newest.get().checkpoint.progress.round) == (2, 3)
    save_model(root, tokenizer_model, build_model(model.vocab_size, seed=4), round=4)
    assert (current.get().checkpoint.progress.round, newest.get().checkpoint.progress.round) == (2, 4)
    save_best(root, tokenizer_model, build_model(model.vocab_size, seed=4), 5.0, round=4)
    assert current.get().checkpoint.progress.round == 4
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" is ")[2] for line in said] == [
        "round 2, held-out 5.17; the newest is round 3: --newest",
        "round 3",
        "round 4",
        "round 4, held-out 5.00",
    ]


def test_where_none_is_left_or_it_is_of_another_run_the_newest_is_asked(
    root: Path, tokenizer_model: Path, model: MiniGPT, three: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.find_best()[0].held_out == loss(5.174)
    newer = save_model(root, tokenizer_model, model, round=1, run="other", run_id="other-0123456789ab")
    assert cli.find_best() == (read(newer), "")
    save_best(root, tokenizer_model, model, 6.0, run="other", run_id="other-0123456789ab")
    assert cli.find_best()[1] == "round 1, held-out 6.00", "and it is the newest one"
    for file in (root / "other" / "best").glob("round-*/model.safetensors"):
        file.write_bytes(b"")
    assert cli.find_best() == (read(newer), "")
    assert "passed over" in capsys.readouterr().err

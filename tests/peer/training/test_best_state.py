"""The best state that a device keeps, from start to start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError, HeldOutLoss, Progress
from minigpt.dataset import TextDataset
from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT
from peer.joining.run import Run
from peer.training import setup
from peer.training.best_state import BestState
from peer.training.evaluator import Evaluator
from peer.training.learnt import Learnt
from peer.training.setup import open_best
from tests.lan import wait_until
from tests.tiny import LINES, SETTINGS, build_model, save_model, stand_in, write_jsonl


class Device:
    """A device with a run, as it is started again and again."""

    def __init__(self, folder: Path, tokenizer_model: Path, processor: Any):
        self.folder, self.tokenizer_model, self.processor = folder, tokenizer_model, processor
        self.checkpoints, self.said = folder / "checkpoints", list[str]()
        save_model(self.checkpoints, tokenizer_model, self.model(0))
        self.held_out = self.texts(LINES)

    def model(self, seed: int) -> MiniGPT:
        return build_model(self.processor.get_piece_size(), seed)

    def texts(self, lines: list[str]) -> HeldOut:
        return HeldOut.from_file(write_jsonl(self.folder / "valid.jsonl", lines), self.processor, seq_len=16)

    def start(self, dataset: str = "train") -> tuple[BestState | None, Learnt]:
        start = checkpoint.newest(self.checkpoints)
        assert start is not None
        run = Run(SETTINGS, self.tokenizer_model, start, "resumed")
        rows: Any = range(10)
        display: Any = stand_in(note=self.said.append)
        return open_best(run, TextDataset(rows, dataset, 0), self.held_out, None, self.checkpoints, False, display)

    def kept(self) -> Checkpoint:
        return checkpoint.read(self.checkpoints / "best")


@pytest.fixture
def device(tmp_path: Path, tokenizer_model: Path, processor: Any, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(setup, "FEWEST_TOKENS", 50)
    return Device(tmp_path, tokenizer_model, processor)


def progress(round: int) -> Progress:
    return Progress("cellmind", "cellmind-0123456789ab", round, round * 256, round * 64, "aa" * 32, "bb" * 32, 7)


def loss(nats: float) -> HeldOutLoss:
    return HeldOutLoss(nats=nats, bits=nats / 2)


def test_only_a_better_state_takes_its_place_also_after_a_restart(device: Device) -> None:
    best, _ = device.start()
    assert best is not None and best.parameters(device.said.append) is None
    for round, nats in ((1, 6.0), (2, 5.2), (3, 5.3)):
        best.judged(device.model(round), progress(round), loss(nats))
    again, learnt = device.start()
    assert again is not None and again.kept == best.kept and not device.said
    parameters = again.parameters(device.said.append)
    assert parameters is not None and parameters.keys() == dict(device.model(2).named_parameters()).keys()
    assert all(parameter.equal(parameters[name]) for name, parameter in device.model(2).named_parameters())
    again.judged(device.model(4), progress(4), loss(5.25))
    kept = device.kept()
    assert (kept.progress.round, kept.held_out) == (2, loss(5.2))
    assert kept.build_model().state_dict()["model.norm.weight"].equal(device.model(2).state_dict()["model.norm.weight"])
    assert set(kept.files) == {
        *("config.json", "model.safetensors", "position.json", "settings.json", "tokenizer.model"),
        "tokenizer_config.json",
    }
    learnt.judged(progress(4), loss(5.25))
    assert learnt.judgement == "learnt", "nothing was gained since, and it is not the first to tell"
    again.judged(device.model(5), progress(5), loss(5.1))
    assert device.kept().progress.round == 5


def test_on_other_held_out_texts_the_best_state_is_judged_anew(device: Device) -> None:
    best, _ = device.start()
    assert best is not None
    best.judged(device.model(1), progress(1), loss(0.5))  # better than anything on the new texts
    device.held_out = device.texts(LINES[::-1])
    again, learnt = device.start()
    assert again is not None and again.kept is not None
    nats, _ = device.held_out.evaluate(device.model(1))
    assert again.kept[1].nats == pytest.approx(nats)
    assert device.said == ["the texts are others than before: judging the best state, of round 1, anew"]
    assert device.kept().held_out == again.kept[1]
    learnt.judged(progress(9), loss(nats + 1))
    assert learnt.judgement == "", "there is something new to learn"
    device.start()
    assert len(device.said) == 1, "the new loss was kept"
    device.start(dataset="more texts")
    device.start(dataset="more texts")
    assert len(device.said) == 2


@pytest.mark.parametrize(("ours", "kept_round"), [(0.5, 1), (100.0, 7)], ids=["ours is better", "theirs is better"])
def test_what_another_device_called_its_best_is_judged_here(device: Device, ours: float, kept_round: int) -> None:
    best, _ = device.start()
    assert best is not None
    best.judged(device.model(1), progress(1), loss(ours))
    there = save_model(device.folder / "donor", device.tokenizer_model, device.model(7), round=7, held_out=loss(0.1))
    taken = device.kept().folder.with_name(there.name)
    there.rename(taken)
    again, learnt = device.start()
    assert again is not None and again.kept is not None and again.kept[0].round == kept_round
    nats, _ = device.held_out.evaluate(device.model(7))
    assert again.kept[1].nats == pytest.approx(min(ours, nats)), "and not what was claimed"
    assert device.said == ["it was the best one by another device's word: judging the best state, of round 7, anew"]
    assert device.kept().progress.round == kept_round and not device.kept().is_taken
    assert len(list(taken.parent.iterdir())) == 1
    device.start()
    assert len(device.said) == 1
    for round in (8, 9):
        learnt.judged(progress(round), loss(ours))
    assert learnt.judgement == "learnt", "its own best one counts since when it was"


def test_with_too_little_held_out_nothing_is_kept_and_that_is_said(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "FEWEST_TOKENS", 5_000)
    best, learnt = device.start()
    assert best is None and device.said[0].startswith(
        f"only {device.held_out.tokens} tokens are held out, and 5000 are"
    )
    for round in range(1, 9):
        learnt.judged(progress(round), loss(5.0))
    assert learnt.judgement == "" and learnt.rest([]) is None


def test_the_link_leads_to_no_other_run(device: Device) -> None:
    best, _ = device.start()
    assert best is not None
    best.judged(device.model(1), progress(1), loss(5.0))
    save_model(device.checkpoints, device.tokenizer_model, device.model(0), run="other", run_id="other-0123456789ab")
    device.start()
    assert not (device.checkpoints / "best").exists()
    save_model(device.checkpoints, device.tokenizer_model, device.model(0), round=3)
    device.start()
    assert device.kept().progress.round == 1


def test_the_evaluator_keeps_what_it_judged_and_says_where_it_cannot(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, _ = device.start()
    assert best is not None
    judge = Evaluator(device.held_out, best, device.processor, None)
    judge.begin(device.model(1), progress(1), samples=False)
    assert wait_until(judge.poll, 60)
    assert best.kept is not None and device.kept().held_out == best.kept[1]

    def full(*_: object, **__: object) -> None:
        raise CheckpointError("the checkpoint cannot be written: No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    monkeypatch.setattr(device.held_out, "evaluate", lambda *_: (0.5, 0.25))
    judge.begin(device.model(2), progress(2), samples=False)
    verdict = wait_until(judge.poll, 60)
    assert verdict is not None and verdict.problem.endswith("No space left on device")
    assert device.kept().progress.round == 1 == best.kept[0].round
    monkeypatch.setattr(device.held_out, "evaluate", lambda *_: (float("nan"), float("nan")))
    judge.begin(device.model(3), progress(3), samples=False)
    verdict = wait_until(judge.poll, 60)
    assert verdict is not None and verdict.held_out is None

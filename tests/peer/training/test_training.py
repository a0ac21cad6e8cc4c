"""The texts that a device trains on; and a run that goes on does so where it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

import tokenizer
from minigpt import PADDING, checkpoint
from minigpt.checkpoint.manifest import OPTIMIZER, Progress, Standing
from minigpt.dataset import Batches
from minigpt.model import MiniGPT
from peer.device.display import Display
from peer.device.processes import Stopped, StopSignal
from peer.inner.loop import InnerLoop
from peer.joining.run import Run
from peer.outer.events import Event, RoundClosed
from peer.outer.interface import ExchangeReport
from peer.outer.traffic import Traffic
from peer.state.earlier import WentBack
from peer.training.saver import Saver
from peer.training.setup import go_on_with_average, go_on_with_moments, open_batches
from peer.wire import Notice
from tests.lan import wait_until
from tests.tiny import LINES, SETTINGS, build_model, save_model, seal, stand_in, write_jsonl

ME = "QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"


class StillOuterLoop:
    """An outer loop in which nothing happens but what a test does."""

    standing = Standing()
    needs_checkpoint = True
    trained_by_all = round_progress = 0
    traffic = Traffic()
    is_shared = False
    exchange_report: ExchangeReport | None = None

    def __init__(self, anchor_model: MiniGPT, progress: Progress):
        self.anchor_model, self.progress = anchor_model, progress
        self.others: list[Notice] = []
        self.saved_samples = 0  # behind the newest checkpoint on the disk

    def trained(self, sequences: int) -> None: ...

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        return iter(())

    def go_back(self) -> bool:
        return True

    def return_to(self, parameters: Any, progress: Progress, standing: Standing, went_back: WentBack) -> bool:
        return True

    def checkpoint_saved(self, samples: int) -> None:
        self.saved_samples = samples

    def tell(self, judgement: str) -> None: ...

    def judged(self, loss: float) -> None: ...

    def hurry(self) -> None: ...
    def pause(self, why: str) -> None: ...

    def resume(self) -> None: ...

    def finish(self) -> RoundClosed | None:
        return None

    def stop(self) -> None: ...


class Device:
    """A device with its texts and a checkpoint, without the network."""

    def __init__(self, folder: Path, tokenizer_model: Path, **training: Any):
        self.folder, self.tokenizer_model = folder, tokenizer_model
        self.sentencepiece = tokenizer.load(tokenizer_model)
        write_jsonl(folder / "train.jsonl", LINES * 20)
        self.settings = self.with_training(**training)

    def with_training(self, batch_size: int = 4, **dataset: Any) -> Any:
        document = SETTINGS.model_dump()
        document["training"]["batch_size"] = batch_size
        document["training"]["dataset"] |= {"path": self.folder / "train.jsonl", **dataset}
        return type(SETTINGS).model_validate(document)

    def batches(self, how: str = "resumed", peer: str = ME, settings: Any = None, stop: Any = None) -> Batches:
        start = checkpoint.newest(self.folder)
        assert start is not None
        run = Run(settings or self.settings, self.tokenizer_model, start, how)
        return open_batches(
            run, self.sentencepiece, peer, Display(), stop or cast(StopSignal, SimpleNamespace(received=False))
        )

    def train(self, batches: Batches, steps: int) -> None:
        """Some steps, and a checkpoint as a peer leaves it at its end."""
        saver, inner, outer = self.saver(batches)
        for _ in range(steps):
            inner.step(1e-3)
        outer.progress = replace(outer.progress, samples=outer.progress.samples + 4 * steps)
        saver.save(wait=True)

    def saver(self, batches: Batches) -> tuple[Saver, InnerLoop, StillOuterLoop]:
        start = checkpoint.newest(self.folder)
        assert start is not None
        inner = InnerLoop(start.build_model(), batches, torch.device("cpu"), None)
        outer = StillOuterLoop(start.build_model(), start.progress)
        kept = {"tokenizer_model": self.tokenizer_model, "checkpoints": self.folder}
        return Saver(inner, outer, batches, self.settings, Display(), **kept), inner, outer


@pytest.fixture
def device(tmp_path: Path, tokenizer_model: Path) -> Device:
    device = Device(tmp_path, tokenizer_model)
    save_model(tmp_path, tokenizer_model, build_model(device.sentencepiece.get_piece_size()), round=0, step=0)
    return device


def rows(batches: Batches, count: int) -> list[list[int]]:
    """The next so many sequences, without what they are padded with."""
    some = islice(batches, count // batches.batch_size)
    return [[id for id in row.tolist() if id != PADDING] for input_ids, _ in some for row in input_ids]


@pytest.mark.parametrize("packed", [True, False])
def test_a_resumed_run_goes_on_with_the_sequence_that_would_have_followed(device: Device, packed: bool) -> None:
    device.settings = device.with_training(packed=packed)
    expected = rows(device.batches(), 60)
    device.train(device.batches(), steps=5)
    assert rows(device.batches(), 40) == expected[20:]
    smaller = device.with_training(batch_size=1, packed=packed)
    assert rows(device.batches(settings=smaller), 40) == expected[20:]
    device.train(device.batches(), steps=5)
    assert rows(device.batches(), 20) == expected[40:]


def of_another_model(moments: dict[str, torch.Tensor]) -> None:
    moments["exp_avg.model.norm.weight"] = torch.zeros(33)


def with_impossible_numbers(moments: dict[str, torch.Tensor]) -> None:
    moments["exp_avg_sq.model.norm.weight"][0] = -1.0


def of_an_unknown_optimizer(moments: dict[str, torch.Tensor]) -> None:
    moments["shampoo.model.norm.weight"] = moments.pop("exp_avg.model.norm.weight")


@pytest.mark.parametrize("change", [of_another_model, with_impossible_numbers, of_an_unknown_optimizer, None])
def test_moments_that_cannot_be_used_are_said_and_left_out(device: Device, change: Any) -> None:
    device.train(device.batches(), steps=4)
    start = checkpoint.newest(device.folder)
    assert start is not None
    moments = load_file(start.folder / OPTIMIZER)
    if change is None:
        (start.folder / OPTIMIZER).write_bytes(b"no moments at all")
    else:
        change(moments)
        save_file(moments, start.folder / OPTIMIZER)
    foreign = checkpoint.read(seal(start.folder))  # as another device may send it
    inner, said = InnerLoop(foreign.build_model(), device.batches(), torch.device("cpu"), None), list[str]()
    display: Any = stand_in(note=said.append)
    go_on_with_moments(inner, foreign, display)
    assert inner.updates == 0 and len(said) == 1 and OPTIMIZER in said[0]
    assert said[0].endswith("; the optimizer begins anew, and training goes on") and "\n" not in said[0]
    inner.step(1e-3)
    assert inner.updates == 1


def test_moments_of_our_own_and_of_the_recipe_before_go_on(device: Device) -> None:
    device.train(device.batches(), steps=4)
    start = checkpoint.newest(device.folder)
    assert start is not None
    moments = load_file(start.folder / OPTIMIZER)
    of_adamw = {name.replace("exp_avg.", "exp_avg_sq."): moment.abs() for name, moment in moments.items()}
    for kept in (moments, of_adamw | moments):
        save_file(kept, start.folder / OPTIMIZER)
        again = checkpoint.read(seal(start.folder))
        inner, said = InnerLoop(start.build_model(), device.batches(), torch.device("cpu"), None), list[str]()
        display: Any = stand_in(note=said.append)
        go_on_with_moments(inner, again, display)
        assert (inner.updates, said) == (4, [])


def test_the_weight_average_goes_on_after_a_start(device: Device) -> None:
    """What is judged after a start compares with what was judged before."""
    saver, inner, outer = device.saver(device.batches())
    for step in range(1, 9):
        inner.step(1e-2)
        inner.average.add(4, 400 + 4 * step)
    outer.progress = replace(outer.progress, samples=432)
    saver.save(wait=True)
    start = checkpoint.newest(device.folder)
    assert start is not None
    for how, goes_on in (("resumed", True), ("joined", False)):
        again, anchor = InnerLoop(start.build_model(), device.batches(), torch.device("cpu"), None), start.build_model()
        go_on_with_average(again, Run(device.settings, device.tokenizer_model, start, how), anchor)
        expected = inner.average.average if goes_on else again.parameters
        assert again.average.sequences == (inner.average.sequences if goes_on else 0)
        for found, wanted in zip(again.average.average, expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0.01)
    assert any((one - other).abs().max() > 0.05 for one, other in zip(inner.average.average, inner.parameters))


def test_every_device_has_an_order_of_its_own_and_new_texts_begin_elsewhere(device: Device) -> None:
    assert rows(device.batches(), 40) == rows(device.batches(), 40)
    assert rows(device.batches(), 40) != rows(device.batches(peer=ME[::-1]), 40)
    device.train(device.batches(), steps=5)
    assert device.batches().position == 20
    write_jsonl(device.folder / "train.jsonl", LINES * 10)
    changed = device.batches()
    start = checkpoint.newest(device.folder)
    assert start is not None
    assert changed.position == start.progress.samples


def test_ctrl_c_is_heeded_while_text_is_turned_into_tokens(device: Device) -> None:
    stop: Any = SimpleNamespace(received=True)
    with pytest.raises(Stopped):
        device.batches(stop=stop)


def test_a_round_that_closes_while_a_checkpoint_is_written_is_saved_after_it(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A joiner waits for it: the anchor of a round that was left out is one that nobody can follow from."""
    slow_disk, save = threading.Event(), checkpoint.save

    def save_slowly(*arguments: Any, **named: Any) -> Path:
        assert slow_disk.wait(30)
        return save(*arguments, **named)

    monkeypatch.setattr(checkpoint, "save", save_slowly)
    saver, _, outer = device.saver(device.batches())
    for samples in (300, 600, 900):
        outer.progress = replace(outer.progress, samples=samples, round=samples // 300)
        saver.save()
        saver.poll()
    assert outer.saved_samples == 0
    with torch.no_grad():
        next(outer.anchor_model.parameters()).add_(1.0)  # the next round has begun
    slow_disk.set()

    def written() -> bool:
        saver.poll()
        return outer.saved_samples == 900

    assert wait_until(written, 30)
    newest = checkpoint.newest(device.folder)
    assert newest is not None and newest.progress.samples == 900


def test_what_a_checkpoint_costs_decides_when_the_next_one_is_due(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.training.saver.SHARE", 1e-9)
    saver, *_ = device.saver(device.batches())
    assert saver.is_due
    saver.save(wait=True)
    assert not saver.is_due
    monkeypatch.setattr("peer.training.saver.SHARE", 1e9)
    saver.save(wait=True)
    assert saver.is_due


def test_after_a_checkpoint_that_failed_another_one_is_due(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Path:
        raise checkpoint.CheckpointError("no room")

    monkeypatch.setattr("peer.training.saver.SHARE", 1e-9)
    monkeypatch.setattr(checkpoint, "save", full)
    saver, _, outer = device.saver(device.batches())
    saver.save(wait=True)
    assert saver.is_due and outer.saved_samples == 0

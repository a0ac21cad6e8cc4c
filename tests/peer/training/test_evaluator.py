"""Models are judged on a thread that training goes before, and the best one is kept."""

import copy
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt import START
from minigpt.checkpoint.manifest import Progress
from minigpt.held_out import HeldOut
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.sampling import Sampling, generate, stream_text
from minigpt.memorization import Probe
from minigpt.model import MiniGPT
from peer.training import evaluator
from peer.training.evaluator import Evaluator, Verdict, openings
from tests.lan import wait_until
from tests.tiny import LINES, build_model, write_jsonl

PROGRESS = Progress("cellmind", "cellmind-0123456789ab", 3, 768, 50, "aa")


@pytest.fixture
def held_out(tmp_path: Path, processor: Any) -> HeldOut:
    return HeldOut.from_file(write_jsonl(tmp_path / "valid.jsonl", LINES), processor, seq_len=16)


@pytest.fixture
def anchor(processor: Any) -> Iterator[MiniGPT]:
    threads = torch.get_num_threads()
    yield build_model(processor.get_piece_size())
    assert torch.get_num_threads() == threads, "training's threads are its own"


def verdict_of(judge: Evaluator) -> Verdict:
    found: list[Verdict | None] = []

    def arrived() -> bool:
        found.append(judge.poll())
        return found[-1] is not None

    assert wait_until(arrived, 60)
    assert found[-1] is not None
    return found[-1]


def test_the_verdict_is_of_the_anchor_as_it_was(anchor: MiniGPT, held_out: HeldOut, processor: Any) -> None:
    expected = held_out.evaluate(anchor)
    said = list(generate(InferenceModel(anchor), [START], max_new_tokens=40, sampling=Sampling(seed=1)))
    judge = Evaluator(held_out, None, processor, None)
    judge.begin(copy.deepcopy(anchor), PROGRESS)  # as whoever trains does
    with torch.no_grad():
        for parameter in anchor.parameters():
            parameter.zero_()  # as training goes on
    verdict = verdict_of(judge)
    assert verdict.held_out is not None and verdict.progress == PROGRESS
    assert (verdict.held_out.nats, verdict.held_out.bits) == pytest.approx(expected)
    assert verdict.samples[0] == {"prompt": "", "text": "".join(stream_text(processor, said))}
    assert [LINES[number].startswith(sample["prompt"]) for number, sample in enumerate(verdict.samples[1:])] == [
        True
    ] * 2
    assert all(sample["prompt"] for sample in verdict.samples[1:])


def test_one_at_a_time_and_no_more_than_its_share(
    anchor: MiniGPT, held_out: HeldOut, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Evaluator(held_out, None, processor, None)
    assert judge.has_time() and not judge.busy
    judge.begin(anchor, PROGRESS)
    assert judge.busy and not judge.has_time() and not judge.has_time(1e9)
    verdict_of(judge)
    assert judge.has_time(), "at first often"
    monkeypatch.setattr(evaluator, "FIRST_SECONDS", 0.0)
    judge._since = time.monotonic()  # however long a busy machine has taken
    assert not judge.has_time(), "it took more than its share of the time since then"
    assert judge.has_time(1e9, more=1)
    monkeypatch.setattr(evaluator, "FIRST_SECONDS", judge._spent * 1.5)
    assert judge.has_time(0.0) and not judge.has_time(0.0, more=1)


def test_training_goes_first(
    anchor: MiniGPT, held_out: HeldOut, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def evaluate(*arguments: Any) -> tuple[float, float]:
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if sys.platform == "linux" else 0
        seen.append((niceness, torch.get_num_threads()))
        return 1.0, 1.0

    monkeypatch.setattr(held_out, "evaluate", evaluate)
    judge = Evaluator(held_out, None, processor, None)
    judge.begin(anchor, PROGRESS)
    verdict_of(judge)
    niceness = os.nice(0)
    assert seen == [(min(19, niceness + 5) if sys.platform == "linux" else 0, 1)]
    assert os.nice(0) == niceness


def test_without_held_out_texts_there_are_samples(anchor: MiniGPT, processor: Any) -> None:
    judge = Evaluator(None, None, processor, None)
    judge.begin(anchor, PROGRESS)
    verdict = verdict_of(judge)
    assert verdict.held_out is None and [sample["prompt"] for sample in verdict.samples] == [""]


def test_where_memory_runs_out_there_is_no_verdict_and_training_goes_on(
    anchor: MiniGPT, held_out: HeldOut, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*arguments: Any) -> None:
        torch.empty(2**60)

    monkeypatch.setattr(held_out, "evaluate", evaluate)
    judge = Evaluator(held_out, None, processor, None)
    judge.begin(anchor, PROGRESS)
    assert verdict_of(judge) == Verdict(PROGRESS)
    assert judge.has_time(), "the next one is judged again"


def test_samples_that_nobody_reads_are_not_made(anchor: MiniGPT, held_out: HeldOut, processor: Any) -> None:
    judge = Evaluator(held_out, None, processor, None)
    judge.begin(anchor, PROGRESS, samples=False)
    verdict = verdict_of(judge)
    assert verdict.held_out is not None and not verdict.samples


def test_judging_often_leaves_time_for_samples(
    anchor: MiniGPT, held_out: HeldOut, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Evaluator(held_out, None, processor, None)
    monkeypatch.setattr(evaluator, "SHARE", 0.0)
    for _ in range(3):
        judge.begin(anchor, PROGRESS, samples=False)
        verdict_of(judge)
    monkeypatch.setattr(evaluator, "FIRST_SECONDS", judge._spent / 2)
    assert not judge.has_time(0.0) and judge.has_time_to_write(), "small texts are judged in ten times the usual share"
    judge.begin(anchor, PROGRESS)
    assert not judge.has_time_to_write()
    verdict_of(judge)
    monkeypatch.setattr(evaluator, "FIRST_SECONDS", 0.0)
    assert not judge.has_time_to_write()


def test_openings_stay_within_their_text() -> None:
    ids = torch.tensor([[START, 9, 2, START, 10, 11, 12, 13], [14, 15, 16, 17, 2, START, 9, 9]])
    held_out = HeldOut(ids, ids, 100)
    assert openings(held_out) == [[START, 9], [START, 10, 11, 12, 13, 14, 15]]


def test_what_is_known_by_heart_is_tried_in_a_share_of_its_own(anchor: MiniGPT, processor: Any, tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "train.jsonl", LINES)
    opened: list[Path] = []

    def open_probe() -> Probe:
        opened.append(texts)
        return Probe.from_files(texts, tmp_path / "none.jsonl", processor, anchor.seq_len)

    judge = Evaluator(None, None, processor, None, open_probe=open_probe)
    judge._last, judge._since = 1.0, time.monotonic()
    judge.begin(anchor, PROGRESS)
    assert verdict_of(judge).memorized is None and not opened, "not at first"
    judge._since = time.monotonic() - 10_000_000
    judge.begin(anchor, PROGRESS, samples=False)
    assert verdict_of(judge).memorized is None
    for _ in range(2):
        judge.begin(anchor, PROGRESS)
        found = verdict_of(judge).memorized
        assert found is not None and 0 < found.lines <= len(LINES)
    assert opened == [texts] and judge._spent_probing > 0
    judge._spent_probing = 1e9
    judge.begin(anchor, PROGRESS)
    assert verdict_of(judge).memorized is None


def test_where_no_line_is_long_enough_nothing_is_tried(anchor: MiniGPT, processor: Any, tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "train.jsonl", ["네", "응"])
    judge = Evaluator(
        None, None, processor, None, open_probe=lambda: Probe.from_files(texts, texts, processor, anchor.seq_len)
    )
    judge._since = time.monotonic() - 10_000_000
    judge.begin(anchor, PROGRESS)
    assert verdict_of(judge).memorized is None

"""The line of a round: it waits for the verdict on its anchor, and has all that is measured."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from minigpt.memorization import Memorized
from minigpt.model import MiniGPT
from peer.outer.events import RoundClosed
from peer.outer.traffic import Traffic
from peer.training import round_log
from peer.training.evaluator import SHARE, Verdict
from peer.training.metrics import Metrics
from peer.training.round_log import RoundLog
from tests.tiny import stand_in

ANCHOR: Any = object()
PROGRESS = Progress("cellmind", "cellmind-1", 0, 0, 0, "aa")
VERDICT = Verdict(PROGRESS, HeldOutLoss(nats=2.5, bits=1.25), [{"prompt": "안", "text": "녕"}])


class Judge:
    """An evaluator whose verdict is there when a test says so."""

    def __init__(self) -> None:
        self.busy, self.willing = False, True
        self.samples: list[bool] = []
        self.writes = True
        self.progress: list[Progress] = []
        self.share, self.more = SHARE, 1  # that it has time for
        self.verdict: Verdict | None = None

    def has_time(self, share: float = SHARE, more: int = 0) -> bool:
        return self.willing and not self.busy and share >= self.share and more <= self.more

    def has_time_to_write(self) -> bool:
        return self.writes

    def begin(self, model: MiniGPT, progress: Progress, *, samples: bool = True) -> None:
        assert not self.busy
        self.busy = True
        self.samples.append(samples)
        self.progress.append(progress)

    def poll(self) -> Verdict | None:
        verdict, self.verdict = self.verdict, None
        if verdict is not None:
            self.busy = False
        return verdict


class Training:
    """A round log in a device that trains."""

    def __init__(self, folder: Path):
        self.folder, self.judge, self.said = folder, Judge(), list[str]()
        self.average = stand_in(sequences=0)
        inner = stand_in(steps=7, average=self.average, lr=3e-4, step_seconds=0.5, model=stand_in(seq_len=16))
        self.outer = stand_in(progress=PROGRESS, traffic=Traffic(10, 20), others=[])
        judge: Any = self.judge
        display = stand_in(note=self.said.append)
        self.log = RoundLog(inner, self.outer, judge, Metrics(folder / "metrics.jsonl"), display, 20)

    def round(self, *peers: str, trained: bool = True, share: float = SHARE) -> None:
        if trained:
            self.log.current.add(2.0, 64)
            self.log.current.add(4.0, 64)
            self.log.current.waited(0.25)
        before = self.outer.progress
        self.outer.progress = Progress(before.run, before.run_id, before.round + 1, before.samples + 8, 0, "bb")
        self.log.close_round(RoundClosed(["desk", *peers], 0.5))
        self.log.begin_round(lambda: ANCHOR, share)

    def lines(self, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def test_the_anchor_that_training_begins_with_is_judged_and_its_samples_are_not_made(training: Training) -> None:
    training.log.begin_round(lambda: ANCHOR)
    training.log.poll()
    assert not training.said
    training.judge.verdict = VERDICT
    training.log.poll()
    assert training.said == ["held-out loss at the start: 2.500 (1.250 bits/byte)"]
    assert training.judge.samples == [False] and not training.lines() and not training.lines("samples.jsonl")


@pytest.mark.parametrize(("samples", "averaged", "is_explained"), [(0, 0, False), (300, 0, True), (300, 30, False)])
def test_where_the_average_begins_anew_a_worse_start_is_no_damage(
    training: Training, samples: int, averaged: int, is_explained: bool
) -> None:
    training.outer.progress = replace(PROGRESS, samples=samples)
    training.average.sequences = averaged
    training.log.begin_round(lambda: ANCHOR)
    training.judge.verdict = VERDICT
    training.log.poll()
    assert ("those of rounds are lower" in training.said[0]) == is_explained


def test_a_round_whose_turn_has_not_come_copies_no_model(training: Training) -> None:
    made: list[int] = []
    training.judge.willing = False
    training.log.begin_round(lambda: made.append(1) or ANCHOR)  # type: ignore[func-returns-value]
    assert not made
    training.judge.willing = True
    training.log.begin_round(lambda: made.append(1) or ANCHOR)  # type: ignore[func-returns-value]
    assert made == [1]


def test_a_round_waits_for_the_verdict_on_its_anchor(training: Training) -> None:
    training.round("phone")
    assert not training.said and not training.lines(), "it is being judged"
    training.round()  # meanwhile another one ends
    training.judge.verdict = VERDICT
    training.log.poll()
    first, second = training.said
    assert first.startswith("round 1 · loss 3.000 · held-out 2.500 (1.250 bits/byte) · ")
    assert first.endswith(" tokens/s · with phone")
    assert second.startswith("round 2 · loss 3.000 · ") and second.endswith(" tokens/s · alone")
    judged, other = training.lines()
    assert set(judged) == {
        *("time", "run_id", "round", "checkpoint", "tokens", "loss", "learning_rate", "tokens_per_second"),
        *("waited_seconds", "longest_wait_seconds", "step_seconds", "bytes_sent", "bytes_received"),
        *("peers", "share", "anchor", "valid_loss", "valid_bits_per_byte", "right_share", "speeds"),
    }
    assert (judged["tokens"], judged["waited_seconds"], judged["valid_loss"]) == (8 * 16, 0.25, 2.5)
    assert judged["checkpoint"] == "round-00000001-step-00000007"
    assert "valid_loss" not in other and other["round"] == 2
    assert [line["round"] for line in training.lines("samples.jsonl")] == [1]
    assert training.judge.samples == [True]


def test_a_round_whose_anchor_is_not_judged_is_told_of_at_once(training: Training) -> None:
    training.judge.willing = False
    training.round(trained=False)
    assert training.said == ["round 1 · alone"], "this device has trained nothing in it"
    assert training.lines()[0]["loss"] is None


def test_states_between_two_rounds_are_judged_without_a_line(training: Training) -> None:
    models = 0

    def model() -> Any:
        nonlocal models
        models += 1
        return ANCHOR

    training.judge.share = 0.05
    training.log.judge(model, 300, SHARE)
    training.judge.more = 0
    training.log.judge(model, 300, 0.05)
    assert not training.judge.busy and not models, "no copy is made in vain, and the round's own state goes first"
    training.judge.more = 1
    training.log.judge(model, 300, 0.05)
    assert training.judge.busy and models == 1
    assert (training.judge.progress[0].samples, training.judge.progress[0].step) == (300, 7)
    training.round()
    assert not training.said, "it waits, for nobody knows what the verdict is of"
    training.judge.verdict = VERDICT
    assert training.log.poll() == VERDICT
    assert "held-out" not in training.said[0] and len(training.said) == 1
    training.judge.writes = False
    training.round(share=0.05)
    training.judge.verdict = replace(VERDICT, samples=(), problem="the checkpoint cannot be written: disk full")
    training.log.poll()
    assert training.judge.samples == [False, False], "their turn has not come"
    assert training.said[1] == "the checkpoint cannot be written: disk full; the best state is the one before it"
    assert "round 2 · loss 3.000 · held-out 2.500" in training.said[2]
    assert not training.lines("samples.jsonl")


def test_every_round_counts_anew_and_a_rest_is_not_its_speed(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(round_log, "time", stand_in(monotonic=lambda: now[0], time=lambda: 1.7e9))
    training.log.begin_round(lambda: ANCHOR)
    training.log.current.add(math.nan, 0)  # a step that changed nothing
    training.log.current.add(2.0, 80)
    now[0] += 12.0
    training.log.current.rested(4.0)
    assert training.log.current.tokens_per_second == 10.0
    assert training.log.current.loss == 2.0
    training.round(trained=False)
    assert training.log.current.tokens == 0 and math.isnan(training.log.current.loss)


def test_a_disk_that_is_full_costs_the_line_in_the_file_alone(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Metrics, "write", full)
    training.judge.willing = False
    training.round()
    assert training.said[0] == "metrics.jsonl was not written: No space left on device; training goes on"
    assert training.said[1].startswith("round 1 · loss 3.000")


def test_at_the_end_the_last_verdict_is_waited_for_unless_somebody_wants_the_end_now(training: Training) -> None:
    training.round()
    stop = stand_in(received=True)
    training.log.finish(stop)
    assert training.said[0].startswith("round 1") and "held-out" not in training.said[0]
    training.judge.busy = False
    training.round()
    training.judge.verdict = VERDICT
    stop.received = False
    training.log.finish(stop)
    assert "round 2 · loss 3.000 · held-out 2.500" in training.said[1]


def test_what_is_known_by_heart_is_said_once_it_is_more_than_wanted(training: Training) -> None:
    def judged(memorized: Memorized | None) -> None:
        training.round()
        training.judge.verdict = replace(VERDICT, memorized=memorized)
        training.log.poll()

    judged(None)
    judged(Memorized(7, 100, 5, 100))  # of which held-out lines are completed nearly as often
    judged(Memorized(0, 100))
    assert not any("by heart" in line for line in training.said)
    judged(Memorized(7, 100, 1, 100))
    judged(Memorized(9, 100, 1, 100))
    [said] = [line for line in training.said if "by heart" in line]
    assert said.startswith(
        "the model knows lines of your chats by heart, about 60 of 1,000 (training.most_memorized is 20)"
    )
    assert "python -m minigpt.leaks" in said
    assert [line.get("memorized") for line in training.lines()] == [None, 70, 0, 70, 90]
    assert [line.get("memorized_held_out") for line in training.lines()] == [None, 50, None, 10, 10]


def test_a_device_without_held_out_text_tells_what_is_known_by_heart_as_well(training: Training) -> None:
    training.round()
    training.judge.verdict = Verdict(PROGRESS, memorized=Memorized(7, 100))
    training.log.poll()
    [line] = training.lines()
    assert line["memorized"] == 70 and "valid_loss" not in line

"""The traces of a round in metrics.jsonl, and for TensorBoard."""

import json
import math
from pathlib import Path

import pytest

from peer.training.metrics import Metrics

ENTRY = {
    "time": 1.7e9,
    "run_id": "r",
    "round": 2,
    "checkpoint": "round-00000002-step-00000010",
    "tokens": 512,
    "loss": 5.5,
    "peers": ["desk", "phone"],
    "anchor": "ab",
}


def test_a_line_is_one_object_and_has_no_nan(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "run" / "metrics.jsonl")
    metrics.write(ENTRY)
    metrics.write({**ENTRY, "loss": math.nan})
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines == [ENTRY, {**ENTRY, "loss": None}]
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "metrics.jsonl"]


def test_a_line_that_was_cut_short_is_alone_in_being_broken(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path)
    metrics.write(ENTRY)
    with path.open("a") as file:
        file.write('{"time": 1.7e')
    metrics.write(ENTRY)
    first, broken, last = path.read_text().splitlines()
    assert json.loads(first) == json.loads(last) == ENTRY and broken == '{"time": 1.7e'


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install -e '.[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = Metrics(tmp_path / "metrics.jsonl", tensorboard=True)
    metrics.write_samples(ENTRY, [{"prompt": "안", "text": "녕"}, {"prompt": "", "text": "밥"}])
    metrics.write(ENTRY)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]} == {
        "round": [(512, 2.0)],
        "loss": [(512, 5.5)],
        "peers": [(512, 2.0)],
    }
    assert "안녕" in board.Tensors("sample 0/text_summary")[0].tensor_proto.string_val[0].decode()


def test_samples_say_which_checkpoint_wrote_them(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    for text in ("하나", "둘"):
        metrics.write_samples(ENTRY, [{"prompt": "", "text": text}])
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["samples"][0]["text"] for line in lines] == ["하나", "둘"]
    assert lines[0]["checkpoint"] == ENTRY["checkpoint"] and lines[0]["round"] == 2

"""The terminal's lines in a file: numbered across starts, whatever an end without warning or a full disk has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peer.device import event_log
from peer.device.event_log import EVENTS, EventLog, KnownLine


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / EVENTS).read_text(encoding="utf-8").splitlines()]


def test_lines_are_numbered_across_starts(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    EventLog(folder).add("안녕 \ud800")  # half a character, as a broken terminal gives it
    EventLog(folder).add("phone left", KnownLine("phone left", "left", name="phone"))
    first, second = entries(folder)
    assert (first["n"], second["n"]) == (1, 2) and "kind" not in first
    assert (second["text"], second["kind"], second["values"]) == ("phone left", "left", {"name": "phone"})


@pytest.mark.parametrize("end", ['{"n": 3, "te', "[1]\n", '{"n": "x"}\n', "\xff\n"])
def test_a_line_that_was_cut_short_costs_itself_alone(tmp_path: Path, end: str) -> None:
    EventLog(tmp_path).add("one")
    with (tmp_path / EVENTS).open("a", encoding="latin-1") as file:
        file.write(end)
    EventLog(tmp_path).add("two")
    last = (tmp_path / EVENTS).read_bytes().splitlines()[-1]
    assert json.loads(last)["text"] == "two" and json.loads(last)["n"] == 2


def test_the_older_half_goes_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MOST_BYTES", 2000)
    log = EventLog(tmp_path)
    for number in range(100):
        log.add(f"line {number}")
    numbers = [entry["n"] for entry in entries(tmp_path)]
    assert numbers == list(range(numbers[0], 101)) and len(numbers) < 60


@pytest.mark.parametrize("small_disk", ["16k"], indirect=True)
def test_a_full_disk_costs_lines_and_nothing_else(small_disk: Path) -> None:
    log = EventLog(small_disk)
    for _ in range(1000):
        log.add("x" * 100)
    (small_disk / EVENTS).unlink()
    log.add("there is room again")
    assert entries(small_disk)[-1]["n"] == 1001

"""The status in the terminal: the same snapshot as the page's, as lines and a table, and for programs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from peer.page.control import NotDone
from peer.page.models import Best, DeviceNow, DoorNow, KnockNow, LearningNow, PeerNow, RunNow
from peer.page.snapshot import write_snapshot
from peer.page.status_table import print_status, show_status
from tests.peer.page.folders import NOW, fill, snapshot


def shown(**more: object) -> str:
    console = Console(width=120, highlight=False, color_system=None)
    with console.capture() as capture:
        print_status(console, snapshot(**more), NOW)
    return capture.get()


def test_the_table_has_what_the_page_has() -> None:
    text = shown(
        learning=LearningNow(valid_loss=2.5, valid_bits_per_byte=1.25, right_share=0.31, best=Best(round=2)),
        device=DeviceNow(is_resting=True, why="battery at 9 %", until="on a charger"),
        peers=[
            PeerNow(name="desk", is_us=True, tokens_per_second=1234.5, share=0.75),
            PeerNow(name="phone\x1b[31m", kind="phone", paused="battery at 9 %"),
            PeerNow(name="old", left_at=NOW - 60),
            PeerNow(name="far", is_direct=False),
        ],
        stopped=True,
    )
    for part in ("no peer runs here now", "round 3", "guesses the next piece right 31 %", "best: round 2"):
        assert part in text
    for part in ("desk (this one)", "1,234", "75 %", "rests: battery at 9 %", "left at", "not connected directly"):
        assert part in text
    assert "\x1b" not in text, "a name is no command to the terminal"


def test_a_device_that_knocks_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.orig_argv", ["/a/rather/long/path/to/a/folder/of/somebody/.venv/bin/python"])
    here = PeerNow(name="desk", role="asking", is_us=True)
    text = shown(run=RunNow(), door=DoorNow(asks=True, number="5840"), peers=[here])
    assert "desk is not in yet" in text and "by number 5840" in text
    command = "/a/rather/long/path/to/a/folder/of/somebody/.venv/bin/python -m peer --admit 5840"
    assert command in text, "in one line, as it can be copied"
    assert "asks to be let in" in text.splitlines()[-1], "in the table as well"
    unheard = shown(run=RunNow(), door=DoorNow(asks=True, problem="no answer"), peers=[here])
    assert "it asks to be let in; not yet: no answer; it asks again" in unheard


def test_a_member_shows_whether_the_run_is_open_and_who_knocks() -> None:
    assert "the run is open: whoever is on this network" in shown()
    knocks = [KnockNow(name="tablet", host="10.0.0.9", number="4827")]
    run = RunNow(id="cellmind-0123456789ab", is_locked=True, away=["phone", "QmTJSsgt…"])
    text = shown(run=run, knocks=knocks)
    assert "the run is locked: only members take part; away: phone, QmTJSsgt…" in text
    assert "tablet (10.0.0.9) asks to come in; where it shows 4827" in text and "-m peer --admit 4827" in text


def test_a_device_that_was_ejected_does_not_look_healthy() -> None:
    run = RunNow(id="cellmind-0123456789ab", is_locked=True)
    door = DoorNow(is_ejected=True, asks=True, number="4827")
    text = shown(door=door, run=run, peers=[PeerNow(name="desk", role="ejected", is_us=True)])
    assert "this device was ejected" in text and "by number 4827" in text and "-m peer --admit 4827" in text
    assert "ejected: trains its own copy" in text and "only members" not in text


def test_a_status_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    write_snapshot(tmp_path, snapshot(door=DoorNow(asks=True, number="5840")))
    show_status(tmp_path, runs=True, as_json=True, watch=False)
    told = json.loads(capsys.readouterr().out)
    assert told["door"]["number"] == "5840" and told["run"]["is_locked"] is False
    assert told["run"]["round"] == 3 and not told["stopped"] and "page" not in told
    show_status(tmp_path, runs=False, as_json=False, watch=False)
    text = capsys.readouterr().out
    assert "no peer runs here now" in text and "5840" not in text, "nobody asks any more"


def test_where_there_is_nothing_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotDone, match=r"no peer runs in .*: start one with python -m peer --join"):
        show_status(tmp_path, runs=False, as_json=False, watch=False)
    with pytest.raises(NotDone, match="nothing is known yet"):
        show_status(tmp_path, runs=True, as_json=False, watch=False)


def test_watching_shows_it_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    turns = 0

    def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        show_status(tmp_path, runs=True, as_json=False, watch=True)

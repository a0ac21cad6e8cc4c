"""The rows of a page: who is here, since when, and who has left; and how they get into the snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peer.device.wishes import Wishes
from peer.page import company, snapshots
from peer.page.company import Company
from peer.page.models import Snapshot
from peer.page.snapshot import read_snapshot
from peer.page.snapshots import Snapshots, us
from peer.swarm.knocking import Outside
from peer.wire import Notice, Role
from tests.tiny import stand_in

ME = Notice(peer="M" * 12, name="desk", address="", role=Role.TRAINING)
US = us(ME, "training", 1.0)


def device(letter: str, **more: Any) -> Notice:
    return Notice(peer=letter * 12, name=letter, address="", role=Role.TRAINING, tokens_per_second=9.0, **more)


def test_who_comes_leaves_and_comes_back() -> None:
    made = Company()
    made.update([device("B"), device("A", kind="phone")], 10.0)
    made.update([device("A", kind="phone", paused="battery at 9 %")], 20.0)
    own, here, left = made.rows(US, ["A" * 12], {"A" * 12: 0.25}, ["A" * 12])
    assert own.is_us and (here.name, here.kind, here.since, here.share, here.is_direct) == (
        "A",
        "phone",
        10.0,
        0.25,
        True,
    )
    assert (own.is_member, here.is_member, left.is_member) == (False, True, False), "who can be ejected"
    assert (here.paused, here.tokens_per_second) == ("battery at 9 %", 0.0)
    assert (left.name, left.left_at, left.tokens_per_second, left.is_direct) == ("B", 20.0, 0.0, None)
    made.update([device("A"), device("B")], 30.0)
    _, first, second = made.rows(US, [], {})
    assert (first.since, second.since, second.left_at, second.is_direct) == (10.0, 30.0, None, False)


def test_who_left_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "MOST_LEFT", 3)
    made = Company()
    for number, letter in enumerate("ABCDEF"):
        made.update([device(letter)], float(number))
    assert [row.name for row in made.rows(US, [], {})] == ["desk", "F", "E", "D", "C"]
    made.update([], 2 * company.LEFT_SECONDS)
    made.update([], 4 * company.LEFT_SECONDS)
    assert made.rows(US, [], {}) == [US]


class Writing:
    """A device that writes snapshots, at a time that a test sets."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.now, self.said, self.made = folder, 100.0, list[str](), 0
        monkeypatch.setattr(snapshots, "time", stand_in(monotonic=lambda: self.now, time=lambda: self.now))
        self.wishes = Wishes(folder)
        self.snapshots = Snapshots(folder, self.wishes, self.said.append)

    def poll(self, change: object) -> int:
        """Return how many snapshots one more turn writes."""
        before = self.made
        self.snapshots.poll(change, self.make)
        return self.made - before

    def make(self) -> Snapshot:
        self.made += 1
        return Snapshot()


def test_a_snapshot_is_written_at_every_change_and_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Writing(tmp_path, monkeypatch)
    assert [writing.poll("a"), writing.poll("a"), writing.poll("b"), writing.poll("b")] == [1, 0, 1, 0]
    writing.wishes.pause()
    assert [writing.poll("b"), writing.poll("b")] == [1, 0], "a button shows at once"
    writing.now += snapshots.PERIOD_SECONDS
    assert writing.poll("b") == 1 and read_snapshot(tmp_path).time == writing.now


def test_a_disk_that_does_not_take_it_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Writing(tmp_path / "gone", monkeypatch)
    for change in range(3):
        writing.poll(change)
    [line] = writing.said
    assert "not kept up to date" in line and "training goes on" in line


def test_before_training_there_is_something_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path, monkeypatch)
    me = ME.model_copy(update={"role": Role.RELAYING, "run_id": "cellmind-0123456789ab", "round": 4})
    writing.snapshots.poll_before_training(me, [device("A")], "10.0.0.1", Outside())
    shown = read_snapshot(tmp_path)
    assert (shown.device.role, shown.device.address, shown.run.name) == ("relaying", "10.0.0.1", "cellmind")
    assert [row.name for row in shown.peers] == ["desk", "A"]
    assert not shown.door.asks


def test_the_number_of_a_device_that_knocks_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path, monkeypatch)
    for outside in (Outside(), Outside(number="5840"), Outside(problem="no answer")):
        writing.snapshots.poll_before_training(ME, [], "10.0.0.1", outside)
        shown = read_snapshot(tmp_path)
        door = shown.door
        assert (door.number, door.problem) == (outside.number, outside.problem)
        assert door.asks == (outside != Outside()) == (shown.device.role == "asking")

"""What a page is told of the training: the newest of everything, at once when it has changed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from minigpt.settings import Settings
from peer.device.power import Cause, Reading, Rest
from peer.device.wishes import Wishes
from peer.network.node import View
from peer.outer.events import RoundClosed
from peer.outer.traffic import Traffic
from peer.page.models import Snapshot, TextNow
from peer.page.snapshot import SNAPSHOT, read_snapshot
from peer.page.snapshots import Snapshots
from peer.swarm.knocking import Knock, Outside
from peer.training import status
from peer.training.evaluator import Verdict
from peer.training.status import Link, Parts, Status, size_name
from peer.wire import Notice, Role
from tests.households import household
from tests.tiny import stand_in

PROGRESS = Progress("cellmind", "cellmind-0123456789ab", 3, 768, 0, "aa")
ME = Notice(peer="M" * 12, name="desk", address="", role=Role.JOINING, kind="laptop")
PHONE = Notice(peer="P" * 12, name="phone", address="", role=Role.TRAINING, kind="phone", tokens_per_second=5.0)


class Device:
    """A device that trains, as far as its page is told of it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.outer = stand_in(others=[PHONE], progress=PROGRESS, round_progress=9, traffic=Traffic(100, 200))
        self.current = stand_in(loss=math.nan, tokens_per_second=10.0)
        self.learnt = stand_in(judgement="gains")
        model = stand_in(d_model=256, nhead=4, num_layers=4, seq_len=16, parameter_count=lambda: 5_000_000)
        self.network = network = stand_in(
            peer=ME.peer, address=stand_in(host="10.0.0.1"), view=View(connected=[PHONE.peer])
        )
        parts: Any = Parts(
            stand_in(lr=3e-4, model=model),
            self.outer,
            stand_in(current=self.current),
            self.learnt,
            stand_in(kept=(PROGRESS, HeldOutLoss(nats=2.0, bits=1.0))),
            stand_in(reading=Reading(battery=55.0, charging=True)),
            network,
        )
        snapshots = Snapshots(folder, Wishes(folder), lambda line: None)
        self.status = Status(snapshots, parts, Settings(), ME, [TextNow(file="chat.csv")], {"<NAME>": 2})

    def polled(self, rest: Rest | None = None) -> Snapshot | None:
        """Return the snapshot that one more turn writes, if it does."""
        (self.folder / SNAPSHOT).unlink(missing_ok=True)
        self.status.poll(rest)
        return read_snapshot(self.folder) if (self.folder / SNAPSHOT).exists() else None


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.0)
    return Device(tmp_path)


def test_the_page_is_told_all_of_it(device: Device) -> None:
    device.current.loss = 2.5
    device.status.round_closed(RoundClosed(["desk", "phone"], 0.75, {ME.peer: 0.75, PHONE.peer: 0.25}))
    device.status.judged(Verdict(PROGRESS, HeldOutLoss(nats=3.0, bits=1.5), right_share=0.31))
    shown = device.polled()
    assert shown is not None
    assert (shown.run.round, shown.run.tokens, shown.run.size, shown.run.round_sequences) == (3, 768 * 16, "small", 9)
    assert (shown.learning.loss, shown.learning.valid_bits_per_byte, shown.learning.right_share) == (2.5, 1.5, 0.31)
    assert shown.learning.best is not None and shown.learning.best.bits_per_byte == 1.0
    assert [(row.name, row.share, row.is_us) for row in shown.peers] == [("desk", 0.75, True), ("phone", 0.25, False)]
    assert (shown.device.role, shown.device.kind, shown.device.battery) == ("training", "laptop", 55.0)
    assert (shown.texts[0].file, shown.masked, shown.traffic.received) == ("chat.csv", {"<NAME>": 2}, 200)


def test_a_round_is_no_more_than_full(device: Device) -> None:
    device.outer.round_progress = 500  # until the exchange that ends it
    shown = device.polled()
    assert shown is not None and shown.run.round_sequences == shown.run.samples_per_round == 256


def test_every_change_is_told_at_once_and_nothing_else(device: Device) -> None:
    assert device.polled() is not None and device.polled() is None
    device.outer.others = []
    left = device.polled()
    assert left is not None and left.peers[1].left_at is not None and device.polled() is None
    rests = device.polled(Rest(Cause.BATTERY, "battery at 9 %", "on a charger"))
    assert rests is not None and rests.device.is_resting and rests.peers[0].paused == "battery at 9 %"
    assert rests.peers[0].tokens_per_second == 0.0
    device.learnt.judgement = "learnt"
    assert device.polled() is not None
    device.status.judged(Verdict(PROGRESS, HeldOutLoss(nats=3.0, bits=1.5)))
    assert device.polled() is not None and device.polled() is None


def test_who_knocks_at_a_locked_run_is_told(device: Device) -> None:
    device.polled()
    knock = Knock("tablet", "10.0.0.9", "4827", "T" * 12, time.monotonic() - 5)
    device.network.view = View(locked=True, knocks=[knock])
    shown = device.polled()
    assert shown is not None and shown.run.is_locked and not shown.door.is_ejected
    assert (shown.knocks[0].number, shown.knocks[0].name) == ("4827", "tablet")
    assert shown.knocks[0].since == pytest.approx(time.time() - 5, abs=2)


def test_an_ejected_device_is_told_so_at_once(device: Device) -> None:
    device.polled()
    device.network.view = View(locked=True, ejected=True)
    shown = device.polled()
    assert shown is not None and shown.door.is_ejected and shown.device.role == shown.peers[0].role == "ejected"
    device.network.view = View(locked=True, ejected=True, outside=Outside(number="4827"))
    shown = device.polled()
    assert shown is not None and shown.door.is_ejected and (shown.door.asks, shown.door.number) == (True, "4827")


def test_who_belongs_to_a_locked_run_and_is_away_is_told(device: Device) -> None:
    device.network.names, device.network.peer = {"P": "phone"}, "Me"
    device.network.view = View(locked=True, household=household("cellmind-1a2b3c4d5e6f", "Me", "P", "T" * 46))
    shown = device.polled()
    assert shown is not None and sorted(shown.run.away) == ["TTTTTTTT…", "phone"]


def test_how_often_it_guesses_right_stays_until_it_is_known_anew(device: Device) -> None:
    device.status.judged(Verdict(PROGRESS, HeldOutLoss(nats=3.0, bits=1.5), right_share=0.31))
    device.status.judged(Verdict(PROGRESS, HeldOutLoss(nats=2.9, bits=1.4)))
    device.status.judged(Verdict(PROGRESS))
    shown = device.polled()
    assert shown is not None and (shown.learning.valid_loss, shown.learning.right_share) == (2.9, 0.31)


def test_the_loss_of_the_last_round_stands_until_there_is_a_step(device: Device) -> None:
    assert (shown := device.polled()) is not None and shown.learning.loss is None
    device.current.loss = 2.0
    device.status.round_closed(RoundClosed(["desk"], 1.0))
    device.current.loss = math.nan
    device.outer.others = []
    assert (shown := device.polled()) is not None and shown.learning.loss == 2.0


def test_the_speed_of_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(status, "time", stand_in(monotonic=lambda: now[0]))
    link = Link()
    assert link.speed(Traffic(50, 50)).up == 0.0, "it is not measured in a moment"
    now[0] += 5.0
    assert (link.speed(Traffic(1000, 500)).up, link.speed(Traffic(1000, 500)).down) == (200.0, 100.0)
    now[0] += 5.0
    assert link.speed(Traffic(0, 0)).up == 0.0, "it was counted anew"


def test_a_size_without_a_name_is_its_numbers() -> None:
    assert size_name(40, 2, 3) == "40/2/3"

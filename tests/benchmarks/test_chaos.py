"""benchmarks/chaos.py without its devices: what the schedule promises of any seed, and how its table counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import SEQ_LEN, Record, loss_against
from benchmarks.faults import AWAY, CALM_SECONDS, LEAST_UNDISTURBED, Kind, read, schedule, write

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_half_an_hour_has_sixty_faults_of_all_kinds(seed: int) -> None:
    faults = schedule(seed, peers=8, minutes=30)
    assert faults == schedule(seed, peers=8, minutes=30)
    assert len(faults) >= 60
    assert {fault.fault for fault in faults} == set(Kind)
    assert [fault.time for fault in faults] == sorted(fault.time for fault in faults)
    assert CALM_SECONDS[0] <= faults[0].time
    assert max(fault.end for fault in faults) <= 30 * 60 - CALM_SECONDS[1]


@pytest.mark.parametrize(("seed", "peers"), [(seed, peers) for seed in SEEDS for peers in (3, 4, 8)])
def test_two_devices_are_left_alone_at_any_time(seed: int, peers: int) -> None:
    faults = schedule(seed, peers, minutes=10)
    for fault in faults:
        others = [other for other in faults if other is not fault and other.time <= fault.time < other.end]
        away = {number for other in [fault, *others] if other.fault in AWAY for number in other.target}
        assert len(away) <= peers - LEAST_UNDISTURBED
        assert all(number in range(peers) for number in fault.target)
        if fault.fault is Kind.PARTITION:
            assert len(fault.target) == peers // 2
        else:
            others = [other for other in others if other.fault is not Kind.PARTITION]
            assert not any(set(fault.target) & set(other.target) for other in others), "one fault at a time"
        if fault.fault in (Kind.ALL_KILLED, Kind.PARTITION):
            assert not others
        assert not any(other.fault is Kind.ALL_KILLED for other in others)


def test_seeds_differ_and_two_devices_are_too_few() -> None:
    assert schedule(1, 8, 10) != schedule(2, 8, 10)
    with pytest.raises(ValueError, match="2 devices are too few"):
        schedule(1, 2, 10)


def test_the_log_brings_the_schedule_back(tmp_path: Path) -> None:
    path, faults = tmp_path / "chaos.jsonl", schedule(3, 8, 10)
    write(path, {"peers": 8, "minutes": 10}, faults)
    assert read(path) == ({"peers": 8, "minutes": 10}, faults)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace(faults[1].fault, "boredom")]))
    with pytest.raises(ValueError, match=r"chaos\.jsonl, line 3, is no fault .*boredom"):
        read(path)
    path.write_text("")
    with pytest.raises(ValueError, match="does not begin with"):
        read(path)


def line(round: int, anchor: str, sequences: int, loss: float | None = None) -> dict[str, Any]:
    return {"round": round, "anchor": anchor, "tokens": sequences * SEQ_LEN, "valid_loss": loss, "peers": []}


def test_only_what_came_into_the_swarm_s_anchor_counts_and_only_who_was_live() -> None:
    record = Record(
        lines=[
            (10.0, 0, line(1, "a", 100)),
            (11.0, 1, line(1, "a", 100)),
            (20.0, 0, line(2, "b", 200)),
            (21.0, 1, line(2, "lost", 150)),
            (40.0, 1, line(3, "c", 300)),
            (40.5, 0, line(3, "c", 300)),
        ],
        live=[(0.0, 2), (15.0, 1), (25.0, 0), (30.0, 2), (41.0, 2)],
    )
    sequences, seconds = record.throughput()
    assert sequences == 200 and seconds == pytest.approx(2 * 5 + 10 + 20)
    assert record.longest_stall() == pytest.approx(15), "of 20 s there was nobody for 5"
    assert record.rounds_lost() == 1
    assert record.at_the_end(peers=2, seconds=5) == (1, True)
    assert record.at_the_end(peers=3, seconds=5) == (2, True), "of the third one nothing was seen"
    assert record.at_the_end(peers=2, seconds=30) == (1, False)
    record.lines[-1] = (40.5, 0, line(3, "another", 300))
    assert record.at_the_end(peers=2, seconds=5) == (2, False)


def test_losses_are_compared_at_the_same_number_of_sequences() -> None:
    peace = Record(lines=[(0.0, 0, line(at, "", 100 * at, 6.0 - 0.1 * at)) for at in range(11)])
    later = Record(lines=[(9.0 * at, 0, line(at, "", 100 * at + 50, 1.02 * (5.95 - 0.1 * at))) for at in range(8)])
    assert loss_against(peace, later) == pytest.approx(1.02)

"""A locked run with real peers, which were off together: cold starts, power cuts, and somebody without the key."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.devices import GentleDevice, lock
from tests.host_process import HostProcess
from tests.household.test_swarm import address, anchors, signal_all
from tests.lan import Lan, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it
TOGETHER = 2  # rounds that all of them have closed with the same anchor


def agree_on_rounds_after(devices: list[GentleDevice], after: int) -> bool:
    """Whether all have closed some rounds in company after that one, with equal anchors."""
    here = [{round: anchor for round, anchor in anchors(device).items() if round > after} for device in devices]
    both = set.intersection(*(set(each) for each in here))
    return sum(len({each[round] for each in here}) == 1 for round in both) >= TOGETHER


def ask(device: GentleDevice, *source: str) -> HostProcess:
    """Ask for a text from this device."""
    prompt = ("--prompt", "오늘 저녁에", "--seed", "1", "--max-new-tokens", "5")
    return device.start("minigpt.generate", *prompt, *source, log="generate")


def test_a_locked_run_that_was_off_is_one_swarm_again_and_a_stranger_is_not_in_it(
    tmp_path: Path, round_zero: Path
) -> None:
    with Lan(hosts=3) as lan:
        *members, stranger = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        for device in (*members, stranger):
            device.prepare(round_zero)
        lock(members)
        processes = [device.join() for device in members]
        assert wait_until(lambda: agree_on_rounds_after(members, 0), START), processes[0].output()
        apart = stranger.join("--rounds", "3")
        apart.wait_for("^round 2", START)
        assert not anchors(stranger), "it has trained alone"
        assert ask(members[1], "--from-swarm").wait(START) == 0, "whoever has the key"
        refused = ask(stranger, "--from-peer", address(processes[0]))
        assert refused.wait(START) == 2 and "its run is locked" in refused.output()
        names = {name for device in members for line in device.metrics() for name in line["peers"]}
        assert "host3" not in names

        for device in members:
            signal_all(device.host, signal.SIGKILL)
        last = max(line["round"] for device in members for line in device.metrics())
        processes = [device.join() for device in members]
        assert wait_until(lambda: agree_on_rounds_after(members, last), START), processes[0].output()
        assert not [line for device in members for line in device.metrics() if "host3" in line["peers"]]

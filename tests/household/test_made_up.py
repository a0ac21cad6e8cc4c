"""Two devices train together, and a stranger makes others up, speaks for them and stands by: nothing comes of it."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from tests.devices import REPOSITORY, GentleDevice
from tests.lan import Lan, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it
BEGINNING = 5.0  # seconds of an attack, after which all that it does has been done
ATTACK = 60.0  # seconds that it takes at most until so many exchanges were made under it, which take 10 where nothing
LEAST = 4  # else runs: with what was forged, there were none; how many, benchmarks.attacks counts


def exchanges(device: GentleDevice, after: float) -> int:
    """Return how many means have moved the device's anchor since a time."""
    kept = device.folder.glob("checkpoints/cellmind/history/*.safetensors")
    return sum(after <= path.stat().st_mtime for path in kept)


def test_made_up_devices_and_forged_goodbyes_hold_up_no_exchange(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=3) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts[:2]]
        for device in devices:
            device.prepare(round_zero)
        processes = [device.join() for device in devices]
        addresses = [process.wait_for(r"listens at (\S+)", START)[1] for process in processes]
        together = wait_until(lambda: any(len(line["peers"]) == 2 for line in devices[0].metrics()), START)
        assert together, processes[0].output()

        for options in ((), ("--at-the-anchor",)):
            command = (sys.executable, "-u", "-m", "tests.stranger", *addresses, *options)
            attacker = lan.hosts[2].start(*command, cwd=REPOSITORY, log=tmp_path / f"stranger{len(options)}.log")
            attacker.wait_for("^speaks", START)
            at_work = time.time() + BEGINNING
            kept_on = wait_until(lambda: exchanges(devices[0], at_work) >= LEAST, ATTACK)  # noqa: B023
            assert kept_on, processes[0].output()
            attacker.kill()
        said = processes[0].output() + processes[1].output()
        assert not re.search(r"^host[12] left|\(2\)|Traceback", said, re.MULTILINE), said

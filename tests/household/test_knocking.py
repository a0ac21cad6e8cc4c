"""A household behind a locked door, with real peers: who knocks, who is let in, who is sent away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from peer.swarm.household import members as members_of
from peer.wire import parse
from peer.wire_household import Household
from tests.devices import Device, GentleDevice
from tests.host_process import HostProcess
from tests.lan import Lan, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it
CONTRIBUTION = 45.0  # from the word that lets a device in to its first part in a mean: 15 where nothing else runs
EJECTED = 30.0  # from the word to the device that is sent away: 10 where nothing else runs


def typed(device: Device, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What an owner types on a device, in another terminal than its peer's."""
    return device.host.run("env", "-C", str(device.folder), sys.executable, "-m", "peer", *arguments, timeout=START)


def done(device: Device, *arguments: str) -> str:
    """What the command prints, which does what it should."""
    ended = typed(device, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def invite_of(device: Device, *arguments: str) -> str:
    shown = re.search(r"--join (CM\S+)", done(device, "--invite", *arguments))
    assert shown is not None
    return shown[1]


def number_of(outside: HostProcess) -> str:
    """The number that a device shows which asks to be let in."""
    return outside.wait_for(r"asking the others to let it in: ([0-9]{4})", START)[1]


def has_contributed(device: Device) -> bool:
    return any(line["share"] > 0 and len(line["peers"]) > 1 for line in device.metrics())


def members(device: Device) -> int:
    """How many devices the household has, as this one keeps it."""
    kept = (device.folder / "checkpoints" / "cellmind.household").read_text()
    return len(members_of(parse(Household, kept)))


def door(device: Device) -> dict[str, Any]:
    """Where a device stands, as its page and `--status` have it."""
    told: dict[str, Any] = json.loads((device.folder / "checkpoints" / "snapshot.json").read_text())["door"]
    return told


def test_a_run_is_locked_and_a_device_knocks_comes_in_and_is_sent_away(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=3) as lan:
        desk, laptop, phone = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        for device in (desk, laptop):
            device.prepare(round_zero)
        phone.prepare(round_zero, with_run=False)
        first, second = desk.join(), laptop.join()
        first.wait_for("this run is open: .*--lock", START)
        first.wait_for("^host2 is here", START)
        said = done(desk, "--lock", "--yes")
        assert "host1 (this one)" in said and "host2 (10.77.0.12)" in said

        third = phone.join()
        number = number_of(third)
        assert door(phone)["number"] == number
        for member in (first, second):
            member.wait_for(rf"^host3 \(10\.77\.0\.13\) knocks: {number}", START)
        assert done(laptop, "--admit", number) == "host3 (10.77.0.13) is let in\n"
        let_in = time.monotonic()
        assert wait_until(lambda: has_contributed(phone), START), third.output()
        print(f"{time.monotonic() - let_in:.1f} s from the word that lets in to the first contribution")
        assert time.monotonic() - let_in < CONTRIBUTION
        third.wait_for(r"^let in by host2 \(10\.77\.0\.12\): ", START)
        for member in (first, second):
            member.wait_for("^host2 let host3 in$", START)
        assert wait_until(lambda: members(desk) == members(laptop) == 3, EJECTED)

        of_three = invite_of(desk)
        assert of_three.startswith("CM2-")
        assert "host2 (10.77.0.12)" in done(desk, "--eject", "host3")
        second.wait_for("^host1 ejected host3: there is a new key$", EJECTED)
        third.wait_for("this device was ejected from run cellmind-", EJECTED)
        assert wait_until(lambda: bool(door(phone)["is_ejected"]), EJECTED)
        refused = typed(phone, "--unlock")
        assert refused.returncode == 2 and "was ejected" in refused.stderr
        assert typed(laptop, "--admit", number).returncode == 2, "a number of before"
        third.kill()
        stale = phone.start("peer", "--join", of_three, log="stale-invite")
        assert stale.wait(START) == 2
        assert "the key of this invite is no longer the household's" in stale.output()

        again = phone.start("peer", "--join", "--no-page", "--go-on", "--name", "host3", log="again")
        anew = number_of(again)
        second.wait_for(rf"^host3 \(10\.77\.0\.13\) knocks: {anew} \(it was ejected before; ", START)
        assert "host3 trains" not in again.output(), "its copy stays as it is"
        done(laptop, "--admit", anew)
        again.wait_for(r"^let in by host2 \(10\.77\.0\.12\): ", START)
        assert wait_until(lambda: members(desk) == members(laptop) == members(phone) == 3, EJECTED)
        for process in (first, second, third, again, stale):
            assert "Traceback" not in process.output()


def test_a_private_run_and_a_bootstrap_node_that_knocks(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        desk, shed = GentleDevice(lan.hosts[0], tmp_path / "desk"), Device(lan.hosts[1], tmp_path / "shed")
        desk.prepare(round_zero, with_run=False)
        for host in lan.hosts:
            host.block_multicast()
        first = desk.join("--private")
        first.wait_for("this run is locked: ", START)
        address = first.wait_for(r"listens at (/ip4/\S+)", START)[1]
        bootstrap = shed.start("bootstrap", "--initial-peers", address)
        number = number_of(bootstrap)
        first.wait_for(rf"^bootstrap \(10\.77\.0\.12\) knocks: {number}", START)
        assert done(desk, "--admit", number) == "bootstrap (10.77.0.12) is let in\n"
        bootstrap.wait_for("it belongs to a locked run", START)
        assert invite_of(shed, "--checkpoints", "checkpoints/bootstrap").startswith("CM2-")
        assert wait_until(lambda: members(desk) == 2, START)

"""A household's mishaps to a device's network, with real peers on a test LAN: processes die, addresses change."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.devices import Device, GentleDevice
from tests.host_process import HostProcess
from tests.lan import Lan, command_line, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it


def in_company(device: Device) -> list[dict[str, Any]]:
    return [line for line in device.metrics() if len(line["peers"]) > 1]


def closes_rounds_in_company(device: Device, count: int, timeout: float) -> bool:
    """Return whether the device closes `count` more rounds together with others within `timeout` seconds."""
    before = len(in_company(device))
    return wait_until(lambda: len(in_company(device)) >= before + count, timeout)


def children(pid: int, named: str = "") -> list[int]:
    """Living child processes of a process, those with a command line that holds `named`."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): command_line(int(child)) for child in listed}
    return [child for child, line in lines.items() if line and named in line]  # a zombie has none


def p2pd_of(peer: HostProcess) -> int:
    return next(pid for child in children(peer.pid) for pid in children(child, "p2pd"))


def dht_of(peer: HostProcess) -> int:
    return next(child for child in children(peer.pid) if children(child, "p2pd"))


def averager_of(peer: HostProcess) -> int:
    (averager,) = (child for child in children(peer.pid) if not children(child, "p2pd"))
    return averager


def test_a_network_part_that_dies_is_started_again(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero)
        first, second = (device.join() for device in devices)
        assert closes_rounds_in_company(devices[0], 1, START), first.output()
        again = r"the network part of this device was started again, at 10\.77\.0\.12"
        for count, victim in enumerate((dht_of, p2pd_of, averager_of), start=1):
            os.kill(victim(second), signal.SIGKILL)
            second.wait_for(rf"(?s)({again}.*){{{count}}}", START)
            assert closes_rounds_in_company(devices[1], 2, START), second.output()
        sent = [line["bytes_sent"] for line in devices[1].metrics()]
        assert sent == sorted(sent), "what was sent before counts on"
        os.killpg(second.pid, signal.SIGINT)
        assert second.wait(60) == 0
        assert wait_until(lambda: not lan.hosts[1].pids(), 30)
        assert "Traceback" not in first.output() + second.output()


def test_a_device_joins_once_there_is_a_network_and_follows_its_address(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero, with_run=False)
        address = lan.hosts[1].address
        lan.hosts[1].unplug()
        first = devices[0].join()
        first.wait_for("^host1 trains", START)
        second = devices[1].join()
        second.wait_for("no network found: this device trains alone until there is one", START)
        second.wait_for("looking for devices", START)
        lan.hosts[1].move(address)
        assert closes_rounds_in_company(devices[1], 2, START), second.output()
        assert len(set(re.findall(r"founded run (\S+)", first.output() + second.output()))) == 1

        lan.hosts[1].move("10.77.0.112")
        second.wait_for(r"the network part of this device was started again, at 10\.77\.0\.112", START)
        assert closes_rounds_in_company(devices[1], 2, START), second.output()
        assert first.running()
        assert "Traceback" not in first.output() + second.output()


def test_two_halves_of_a_swarm_become_one_again(tmp_path: Path, round_zero: Path) -> None:
    together = [f"host{number}" for number in (1, 2, 3, 4)]
    with Lan(hosts=4) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero)
        peers = [device.join() for device in devices]
        assert wait_until(lambda: anchors_of(devices[0], together), START), peers[0].output()
        lan.partition(lan.hosts[:2])
        peers[0].wait_for("(?s)^host3 left.*^host4 left|^host4 left.*^host3 left", START)
        for device, half in zip(devices, (together[:2], together[:2], together[2:], together[2:])):
            assert wait_until(lambda: anchors_of(device, half), START), f"{device.host.name} does not go on"  # noqa: B023
        lan.heal()
        before = max(round for device in devices for round in anchors_of(device, together))
        one_again = lambda: set.intersection(*(set(anchors_of(device, together, before)) for device in devices))  # noqa: E731
        assert wait_until(one_again, START), peers[0].output()
        for round in one_again():
            assert len({anchors_of(device, together, before)[round] for device in devices}) == 1
        output = "".join(peer.output() for peer in peers)
        assert re.search(r"^took the newer state of host\d", output, re.MULTILINE)
        said = r"has learnt since host\d was out of reach|had learnt meanwhile"  # and whether it is kept or given up
        assert re.search(rf"^what this device ({said}), from [\d,]+ sequences, ", output, re.MULTILINE)
        assert "Traceback" not in output


def anchors_of(device: Device, names: list[str], after: int = -1) -> dict[int, str]:
    """Anchors by round, of the later rounds that these devices, and no others, closed together."""
    lines = [line for line in device.metrics() if sorted(line["peers"]) == names and line["round"] > after]
    return {line["round"]: line["anchor"] for line in lines}

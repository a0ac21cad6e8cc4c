"""Networks as phones have them: nothing but unicast, no list of interfaces, no connection from outside."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split


from peer.device.display import Display
from peer.joining.invite import parse_invite
from peer.joining.own_invite import invite_of_running_peer
from peer.network import subnet_scan
from peer.network.address import Address
from peer.network.handle import Network
from peer.network.node import View
from peer.network.subnet_scan import AT_ONCE, neighbours
from peer.training.other_runs import OtherRuns
from peer.wire import Notice, Role
from tests.devices import Device, GentleDevice
from tests.host_process import HostProcess
from tests.lan import Lan, requirements_missing, wait_until
from tests.tiny import SETTINGS

ROOT = Path(__file__).parents[2]
START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it
SLOWLY = ("--share-of-time", "0.2")  # nobody waits for what is learnt here
TO_JOIN = 30.0  # from the first look at the network to the state that is taken: 10 where nothing else runs

on_a_lan = pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")


def join_without_netlink(device: Device, *arguments: str) -> HostProcess:
    return device.host.start(
        *(sys.executable, str(ROOT / "without_netlink.py")),
        *(sys.executable, "-u", "-m", "peer", "--name", device.host.name, *SLOWLY, *arguments),
        cwd=device.folder,
        log=device.folder / "peer.log",
        env={"OMP_NUM_THREADS": "1"},
    )


def seconds_to_join(process: HostProcess) -> float:
    """Until the other one's state is taken, from the first look; the programs' own start is the machine's affair."""
    process.wait_for("^looking for devices", START)
    started = time.monotonic()
    process.wait_for("^taking the model from host1", START)
    return time.monotonic() - started


def end(process: HostProcess) -> None:
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 0, process.output()


def test_only_private_neighbours_are_asked_and_no_more_than_share_three_bytes() -> None:
    for host in ("192.168.0.10", "10.1.2.3", "172.31.255.255"):
        others = neighbours(host)
        assert len(others) in (253, 254) and host not in others and len(set(others)) == len(others)
        assert all(other.rpartition(".")[0] == host.rpartition(".")[0] for other in others)
    for host in ("8.8.8.8", "172.32.0.1", "100.64.0.1", "169.254.1.1", "127.0.0.1"):
        assert neighbours(host) == []
    assert AT_ONCE <= 64


def test_two_that_ask_at_once_do_not_ask_in_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """zeroconf answers a question in the same bytes once a second, whoever asks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        neighbour.bind(("127.0.0.1", 0))
        neighbour.settimeout(5)
        monkeypatch.setattr(subnet_scan, "_MDNS_PORT", neighbour.getsockname()[1])
        monkeypatch.setattr(subnet_scan, "neighbours", lambda host: ["127.0.0.1"])
        questions = set()
        for _ in range(3):
            asyncio.run(subnet_scan.probe("127.0.0.1", lambda *found: None))
            questions.add(neighbour.recv(1000))
    assert len(questions) > 1


def test_it_is_said_once_where_a_firewall_on_every_device_keeps_them_apart() -> None:
    said: list[str] = []
    network = SimpleNamespace(view=View(reachable=False), address=Address("10.0.0.2", 23457, "Qm"))
    other_runs = OtherRuns(
        cast(Network, network), SETTINGS, "cellmind-1", cast(Display, SimpleNamespace(note=said.append))
    )
    shut = Notice(
        peer="A" * 12, name="desk", address="", role=Role.TRAINING, run_id="cellmind-1", lineage="aa", reachable=False
    )
    other_runs.update([])
    other_runs.update([shut, shut.model_copy(update={"peer": "B" * 12, "reachable": True})])
    assert not said, "the second one can be reached by both"
    for _ in range(2):
        other_runs.update([shut])
    assert len(said) == 1 and re.search("exchanged with desk: .* TCP port 23457", said[0])


@pytest.mark.lan
@on_a_lan
def test_a_phone_joins_by_a_probe_by_a_remembered_address_and_by_an_invite(tmp_path: Path, round_zero: Path) -> None:
    """Interfaces cannot be listed there, and no multicast arrives."""
    with Lan(hosts=2) as lan:
        desk, phone = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        desk.prepare(round_zero)
        phone.prepare(round_zero, with_run=False)
        lan.hosts[1].block_multicast()
        desk_process = desk.join()
        shown = desk_process.wait_for(r"others join with: \S+ -m peer --join (CM1-\S+)", START)[1]
        desk_process.wait_for("^host1 trains", START)
        assert str(invite_of_running_peer(desk.folder / "checkpoints")) == shown

        by_probe = join_without_netlink(phone, "--join")
        assert seconds_to_join(by_probe) < TO_JOIN
        assert re.search(r"^found host1 at 10\.77\.0\.11", by_probe.output(), re.MULTILINE)
        by_probe.wait_for("^joined run", START)
        end(by_probe)

        lan.hosts[0].block_udp()  # a probe finds nobody from now on
        shutil.rmtree(phone.folder / "checkpoints" / "cellmind")
        by_memory = join_without_netlink(phone, "--join")
        assert seconds_to_join(by_memory) < TO_JOIN
        assert "found host1" not in by_memory.output()
        by_memory.wait_for("^joined run", START)
        end(by_memory)

        shutil.rmtree(phone.folder / "checkpoints")
        by_invite = join_without_netlink(phone, "--join", shown)
        assert seconds_to_join(by_invite) < TO_JOIN
        assert "found host1" not in by_invite.output()
        by_invite.wait_for("^round .* with host1$", START)
        end(by_invite)

        there = Address.parse(parse_invite(shown).address)
        other = replace(there, peer=there.peer[:-4] + there.peer[-4:][::-1])
        forged = replace(parse_invite(shown), address=str(other))
        refused = join_without_netlink(phone, "--join", str(forged), "--checkpoints", "forged")
        assert refused.wait(START) == 2
        refused.wait_for(r"^error: at the address of the invite, 10\.77\.0\.11, another device answers", 0)
        assert not list(phone.folder.glob("forged/cellmind/*"))
        assert "Traceback" not in phone.log("peer") + desk_process.output()


@pytest.mark.lan
@on_a_lan
def test_devices_that_accept_no_connection_take_part_through_one_that_does(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=3) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for number, device in enumerate(devices):
            device.prepare(round_zero, with_run=number == 1)
        for host in lan.hosts[1:]:
            host.block_incoming()
        processes = [devices[1].join()]
        processes[0].wait_for("^host2 trains", START)
        processes += [devices[0].join(), devices[2].join()]
        for process in processes[1:]:
            process.wait_for("^joined run", START)  # and did not found another: host1 is met by both in time

        def shared_rounds() -> list[dict[str, Any]]:
            """The lines of all devices for a round that all three have closed together, and host3 has trained for."""
            lines = [
                {line["round"]: line for line in device.metrics() if len(line["peers"]) == 3} for device in devices
            ]
            closed = [[there[round] for there in lines] for round in set.intersection(*map(set, lines))]
            return [line for of_all in closed if of_all[2]["share"] > 0 for line in of_all]

        assert wait_until(lambda: len(shared_rounds()) >= 9, 2 * START), processes[2].output()
        anchors = {(line["round"], line["anchor"]) for line in shared_rounds()}
        assert len(anchors) == len({round for round, _ in anchors}), "all have the same anchor after a round"
        assert "Traceback" not in "".join(process.output() for process in processes)

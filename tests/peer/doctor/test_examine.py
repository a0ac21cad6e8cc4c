"""`python -m peer --doctor` on a LAN with faults: it names each of them, and what it does not find wrong is fine."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minigpt.model import MiniGPT
from peer.wire import Notice
from tests.devices import GentleDevice
from tests.host_process import HostProcess
from tests.lan import Lan, requirements_missing
from tests.tiny import save_model

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds; several of them share a busy machine


def verdict(process: HostProcess) -> str:
    """The last line, which is the same as the exit code."""
    code = process.wait(START)
    assert "Traceback" not in process.output()
    last = process.output().splitlines()[-1]
    assert code == (0 if last == "fine" else 1), process.output()
    return last


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).returncode:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_each_planted_fault_is_named(
    tmp_path: Path, round_zero: Path, small_disk: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    with Lan(hosts=9) as lan:
        healthy, *devices = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        healthy.prepare(round_zero)
        fine, vpn, isolated, deaf, taken, other_run, closed, wrong_clock = devices
        trains = healthy.join("--share-of-time", "0.1")  # leaves the processor to those that look
        trains.wait_for("^host1 trains", START)

        for command in ("link add tun0 type bridge", "address add 10.8.0.2/24 dev tun0", "link set tun0 up"):
            assert vpn.host.run("ip", *shlex.split(command)).returncode == 0
        assert vpn.host.run("ip", "route", "add", "default", "dev", "tun0").returncode == 0
        isolated.host.isolate()
        deaf.host.block_multicast()
        closed.host.block_incoming()
        save_model(other_run.folder / "checkpoints", tokenizer_model, model)
        squatter = (
            "import socket, time; s = socket.create_server(('10.77.0.16', 23457)); print('here'); time.sleep(600)"
        )
        taken.host.start(sys.executable, "-uc", squatter, cwd=tmp_path, log=tmp_path / "squatter.log").wait_for(
            "here", 30
        )
        (tmp_path / "meminfo").write_text("MemAvailable: 300000 kB\n")
        little = shlex.join(("mount", "--bind", str(tmp_path / "meminfo"), "/proc/meminfo"))
        doctor = shlex.join((sys.executable, "-u", "-m", "peer", "--doctor", "--checkpoints", str(small_disk)))
        local = taken.host.start(
            *("unshare", "--mount", "sh", "-c", f"{little} && exec {doctor}"),
            cwd=taken.folder,
            log=tmp_path / "local.log",
        )
        looking = {
            device: device.start("peer", "--doctor") for device in (fine, vpn, isolated, deaf, other_run, closed)
        }
        beside = looking[healthy] = healthy.start("peer", "--doctor")
        looking[taken] = local
        said = {device: verdict(looking.pop(device)) for device in (fine, other_run, closed, taken)}
        # only now: the peer could take its time, and then all those would be told that theirs is wrong
        ahead = (
            "import runpy, sys, time; right = time.time; time.time = lambda: right() + 3 * 3600; "
            "runpy.run_module('peer', run_name='__main__', alter_sys=True)"
        )
        looking[wrong_clock] = wrong_clock.host.start(
            *(sys.executable, "-u", "-c", ahead, "--doctor"), cwd=wrong_clock.folder, log=tmp_path / "clock.log"
        )
        said |= {device: verdict(process) for device, process in looking.items()}
        assert said[fine] == "fine"
        beside_it = r"^port +fine +TCP 23457 is held by the peer that runs here, host1"
        assert re.search(beside_it, beside.output(), re.MULTILINE)
        assert re.search(r"^first to mend: address: 10\.8\.0\.2 \(tun0\) is a VPN; .*--host 10\.77\.0\.13", said[vpn])
        assert re.search(r"^first to mend: other devices: heard host1 .* lets nothing .*isolation", said[isolated])
        assert re.search("^first to mend: multicast: .* announcements do not arrive", said[deaf])
        assert re.search("^first to mend: connections to here: .* cannot open one to TCP 23457", said[closed])
        assert re.search("^first to mend: port: another program listens on TCP 23457", said[taken])
        assert re.search("^memory +mend +0.3 GB free", local.output(), re.MULTILINE)
        assert re.search("^disk +mend +0.0 GB free", local.output(), re.MULTILINE)
        assert re.search("^first to mend: run: host1 trains cellmind-.* here is cellmind-0123456789ab", said[other_run])
        assert re.search("^first to mend: clock: .* 3 h (ahead of|behind)", said[wrong_clock])
        assert not re.search("is here|left$", trains.output(), re.MULTILINE), "who only looks is not a member"


def test_a_peer_of_another_version_is_named(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        newer, device = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        newer.prepare(round_zero)
        newer.change(Path(inspect.getfile(Notice)), "    ready: bool", "    mood: str = 'new'\n    ready: bool")
        newer.join("--share-of-time", "0.1").wait_for("^host1 trains", START)
        said = verdict(device.start("peer", "--doctor"))
        assert re.search(r"^first to mend: version: what host1 \(10\.77\.0\.11\) says is not understood", said)

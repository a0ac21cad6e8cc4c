"""Real peers on a real (if small) LAN: they find each other, train together, come, go and are killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from minigpt import checkpoint
from peer.outer.exchange_schedule import MIN_PAUSE_SECONDS
from tests.devices import GENTLE, Device, GentleDevice
from tests.host_process import HostProcess
from tests.lan import Host, Lan, command_line, requirements_missing, wait_until

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it


def address(process: HostProcess) -> str:
    """Return the address at which others reach the peer or bootstrap node, once it has said it."""
    return process.wait_for(r"(?:listens|node) at (/ip4/\S+)", START)[1]


def interrupt(process: HostProcess) -> int:
    """Ctrl+C, which a terminal sends to the whole process group; the exit code."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(60)


def signal_all(host: Host, number: signal.Signals) -> None:
    """To every process of the device, as a lid that is shut stops them all; of those that are killed none is left."""

    def sent() -> bool:
        for pid in host.pids():
            with suppress(ProcessLookupError):  # who is killed takes its children along
                os.kill(pid, number)
        return number != signal.SIGKILL or not host.pids()  # one may just have been forked

    assert wait_until(sent, START)


def anchors(device: Device) -> dict[int, str]:
    """Round -> anchor hash, of rounds that were closed in company."""
    return {line["round"]: line["anchor"] for line in device.metrics() if len(line["peers"]) > 1}


def answers_whoever_asks(device: Device, of_a_peer: str) -> None:
    """Ask from this device for a text, in every way there is, and in vain for another run."""
    sources = (
        *(("--from-peer", of_a_peer), ("--from-swarm",), ("--from-swarm", "cellmind")),
        ("--from-swarm", "another"),
    )
    prompt = ("--prompt", "오늘 저녁에", "--seed", "1", "--max-new-tokens", "20")
    *asked, in_vain = (
        device.start("minigpt.generate", *prompt, *source, log=f"generate-{number}")
        for number, source in enumerate(sources)
    )
    for process in asked:
        assert process.wait(START) == 0, process.output()
        assert process.output().strip()
    assert in_vain.wait(START) == 2
    assert "nobody who trains 'another'" in in_vain.output()


def test_two_devices_started_at_the_same_instant_train_one_run(tmp_path: Path) -> None:
    with Lan(hosts=2) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        first, second = (device.join() for device in devices)
        first.wait_for(r"found host2 at 10\.77\.0\.12", START)
        second.wait_for(r"found host1 at 10\.77\.0\.11", START)
        first.wait_for("^host2 is here", START)
        second.wait_for("^host1 is here", START)
        assert wait_until(lambda: len(set(anchors(devices[0])) & set(anchors(devices[1]))) >= 3, START)
        here, there = anchors(devices[0]), anchors(devices[1])
        assert all(here[round] == there[round] for round in set(here) & set(there))
        founders = [device for device in devices if "founded run" in (device.folder / "peer.log").read_text()]
        assert len(founders) == 1
        [p2pd] = [pid for pid in lan.hosts[0].pids() if command_line(pid).partition(" ")[0].endswith("/p2pd")]
        assert os.sched_getscheduler(p2pd) == os.SCHED_BATCH, "the network's process interrupts training"

        answers_whoever_asks(devices[1], address(first))
        rounds = len(devices[0].metrics())
        assert len(devices[0].wait_for_rounds(rounds + 1, START)) > rounds, "the peer that was asked trains on"

        assert interrupt(first) == 0
        assert wait_until(lambda: not lan.hosts[0].pids(), 30), "a peer that ended left processes behind"
        second.wait_for("^host1 left", START)
        newest = checkpoint.newest(devices[0].folder / "checkpoints")
        assert newest is not None
        assert newest.local() is not None, "what was trained since the last round is kept as well"

        judged = [line["checkpoint"] for line in devices[0].metrics() if line.get("valid_bits_per_byte")]
        samples = (devices[0].folder / "checkpoints/cellmind/samples.jsonl").read_text(encoding="utf-8").splitlines()
        assert judged and [json.loads(line)["checkpoint"] for line in samples] == judged

        again_from = newest.progress.round
        checkpoints, as_it_was = devices[0].folder / "checkpoints", tmp_path / "as it was"
        shutil.copytree(checkpoints, as_it_was, symlinks=True)
        again = devices[0].join("--rounds", "2", "--tensorboard")
        again.wait_for(f"going on with run {newest.progress.run_id} from round {newest.progress.round}", START)
        assert again.wait(START) == 0
        assert list(devices[0].folder.glob("checkpoints/cellmind/tensorboard/events.*"))
        was, later = newest.position(), checkpoint.newest(devices[0].folder / "checkpoints")
        assert was is not None and later is not None and (now := later.position()) is not None
        assert now.dataset == was.dataset
        assert was.sequence < now.sequence <= was.sequence + 4 * (later.progress.step - newest.progress.step)

        shutil.rmtree(checkpoints)
        shutil.copytree(as_it_was, checkpoints, symlinks=True)  # it has missed these rounds
        synced = devices[0].start("peer", "--sync", "--name", "host1")
        assert synced.wait(START) == 0
        at = re.search(r"the newest state of host2, round (\d+), is in (\S+)", synced.output())
        assert at is not None, synced.output()
        newest = checkpoint.newest(devices[0].folder / "checkpoints")
        assert newest is not None
        assert newest.progress.round == int(at[1]) >= again_from + 2
        assert "Traceback" not in first.output() + second.output() + again.output()


def test_a_phone_comes_through_the_bootstrap_node_and_loses_its_battery(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=4) as lan:
        desk, phone, late = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts[1:])
        desk.prepare(round_zero)
        late.prepare(round_zero, with_run=False)
        (phone.folder / "config.json").unlink()  # nothing but a clone, whose own settings are not the run's
        (late.folder / "config.json").unlink()
        bootstrap_device = Device(lan.hosts[0], tmp_path / "bootstrap")
        for host in lan.hosts:
            host.block_multicast()
        bootstrap = bootstrap_device.start("bootstrap")
        bootstrap_address = address(bootstrap)
        desk_process = desk.join("--initial-peers", bootstrap_address)
        desk_process.wait_for("^host2 trains", START)
        phone_process = phone.join("--initial-peers", bootstrap_address)
        phone_process.wait_for(
            r"settings of run 'cellmind' of host2 are used: .*training\.dataset\.seq_len is 256 here and 32", START
        )
        assert wait_until(lambda: any(line["share"] > 0 for line in in_company(phone)), START), phone_process.output()
        assert anchors(phone).items() <= {**anchors(phone), **anchors(desk)}.items()

        os.killpg(phone_process.pid, signal.SIGKILL)
        desk_process.wait_for("^host3 left", START)
        assert wait_until(lambda: not lan.hosts[2].pids(), 30), "children outlived a peer that was killed"
        rounds = len(desk.metrics())
        assert len(desk.wait_for_rounds(rounds + 2, START)) >= rounds + 2

        bootstrap.kill()
        late_process = late.join("--initial-peers", address(desk_process))
        assert wait_until(lambda: in_company(late), START), late_process.output()
        assert not re.search("Traceback", desk_process.output() + late_process.output())


def moved_together(devices: list[GentleDevice]) -> float | None:
    """Return when the first of the devices moved by the newest mean, which all of them have; None where not all do.

    In seconds since the epoch.
    """
    newest = []
    for device in devices:
        with suppress(OSError, ValueError):  # there is none yet, or the oldest are forgotten while we look
            means = (device.folder / "checkpoints/cellmind/history").glob("*.safetensors")
            newest.append(max((mean.stat().st_mtime, mean.name) for mean in means))
    if len(newest) < len(devices) or len({name for _, name in newest}) > 1:
        return None
    return min(time for time, _ in newest)


def between_two_exchanges(
    devices: list[GentleDevice], go: Callable[[], None], come_back: Callable[[], None], tries: int = 20
) -> bool:
    """Let a device go while no exchange is in flight; return whether that was done.

    Who is cut off in the middle of one may have the whole mean, and the others never: then its anchor is nobody else's.
    So all have just moved by one mean when it goes, and it is gone before the next exchange can begin.
    """

    def just_moved() -> float | None:
        moved = moved_together(devices)
        return moved if moved is not None and time.time() - moved < MIN_PAUSE_SECONDS / 2 else None

    for _ in range(tries):
        moved = wait_until(just_moved, START)
        if moved is None:
            return False
        go()
        if time.time() - moved < MIN_PAUSE_SECONDS * 0.8:
            return True
        come_back()
    return False


def test_a_device_that_was_out_of_reach_or_asleep_takes_the_means_it_missed(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=3) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero)
        first, _, wanderer = (device.join() for device in devices)
        together = wait_until(lambda: any(len(line["peers"]) == 3 for line in devices[0].metrics()), START)
        assert together, first.output()
        absences = (
            (lan.hosts[2].cut, lan.hosts[2].mend),
            (lambda: signal_all(lan.hosts[2], signal.SIGSTOP), lambda: signal_all(lan.hosts[2], signal.SIGCONT)),
        )
        for count, (go, come_back) in enumerate(absences, start=1):
            assert between_two_exchanges(devices, go, come_back), first.output() + wanderer.output()
            first.wait_for(f"(?s)(^host3 left.*){{{count}}}", START)
            rounds = len(devices[0].metrics())
            reached = lambda: any(len(line["peers"]) == 3 for line in devices[0].metrics()[rounds + 1 :])  # noqa: B023, E731
            come_back()
            assert wait_until(reached, START), first.output() + wanderer.output()
        here, there = anchors(devices[0]), anchors(devices[2])
        common = set(here) & set(there)
        assert len(common) >= 2
        assert all(here[round] == there[round] for round in common)
        assert "took the newer state" not in wanderer.output(), "the means that it missed are enough"
        assert "Traceback" not in first.output() + wanderer.output()


def test_a_device_whose_clock_is_three_hours_ahead_takes_part(tmp_path: Path, round_zero: Path) -> None:
    wrong_clock = (
        "import runpy, time; right = time.time; time.time = lambda: right() + 3 * 3600; "
        "runpy.run_module('peer', run_name='__main__', alter_sys=True)"
    )
    with Lan(hosts=2) as lan:
        first, ahead = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        first.prepare(round_zero)
        right = first.join()
        right.wait_for("^host1 trains", START)
        wrong = ahead.host.start(
            *(
                sys.executable,
                "-u",
                "-c",
                wrong_clock,
                "--join",
                "--go-on",
                "--share-of-time",
                "0.25",
                "--name",
                "host2",
            ),
            cwd=ahead.folder,
            log=ahead.folder / "peer.log",
            env={"OMP_NUM_THREADS": "1"},
        )
        reached = wait_until(lambda: all(len(in_company(device)) >= 2 for device in (first, ahead)), START)
        assert reached, right.output() + wrong.output()
        here, there = anchors(first), anchors(ahead)
        assert all(here[round] == there[round] for round in set(here) & set(there))
        assert interrupt(wrong) == 0
        right.wait_for("^host2 left", START)
        said = re.search("clock is 3 h (ahead of|behind) the others': theirs is used", right.output() + wrong.output())
        assert said is not None, right.output() + wrong.output()


def in_company(device: Device) -> list[dict[str, Any]]:
    return [line for line in device.metrics() if len(line["peers"]) > 1]


def test_runs_that_differ_do_not_mix(tmp_path: Path, round_zero: Path) -> None:
    other = {**GENTLE, "model": {**GENTLE["model"], "d_model": 64}}
    with Lan(hosts=3) as lan:
        first, insisting, early = (
            GentleDevice(host, tmp_path / host.name, settings)
            for host, settings in zip(lan.hosts, (GENTLE, other, other))
        )
        first.prepare(round_zero)
        early.prepare(round_zero, with_run=False)
        training = first.join()
        lan.hosts[2].cut()  # founds a run of its own, and comes home with it
        stranger = early.join()
        training.wait_for("^host1 trains", START)
        refused = insisting.join("--config", "config.json")
        assert refused.wait(START) == 2
        assert "model.d_model is 64 here and 32 there" in refused.output()
        assert "Traceback" not in refused.output()

        stranger.wait_for("^round 1", START)
        lan.hosts[2].mend()
        training.wait_for(r"host3 trains another run of the same name.*: model\.d_model is 32 here and 64 there", START)
        stranger.wait_for(r"host1 trains another run of the same name.*: model\.d_model is 64 here and 32 there", START)
        assert not in_company(first)


def test_synchronous_averaging_is_one_large_batch(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero, with_run=False)
        processes = [device.join("--averaging", "sync") for device in devices]
        for process in processes:
            process.wait_for("^host[12] is here", START)

        def held_out(device: Device) -> list[float]:  # is not measured of a round that ends while another's is
            return [line["valid_loss"] for line in in_company(device) if "valid_loss" in line]

        reached = wait_until(lambda: all(len(held_out(device)) >= 2 for device in devices), START)
        assert reached, processes[0].output() + processes[1].output()
        assert [interrupt(process) for process in processes] == [0, 0]
        losses = held_out(devices[0])
        assert losses[-1] < losses[0]
        assert all(line["step_seconds"] > 0 for line in in_company(devices[0]))
        assert wait_until(lambda: not lan.hosts[0].pids(), 30)


def test_a_stock_hivemind_node_does_as_bootstrap_and_ours_serves_stock_peers(tmp_path: Path, round_zero: Path) -> None:
    stock = str(Path(sys.executable).with_name("hivemind-dht"))
    talkative = {"HIVEMIND_LOGLEVEL": "INFO"}  # whatever `import peer` in this process has set
    with Lan(hosts=3) as lan:
        for host in lan.hosts:
            host.block_multicast()
        node = lan.hosts[0].start(
            stock,
            "--host_maddrs",
            f"/ip4/{lan.hosts[0].address}/tcp/31337",
            cwd=tmp_path,
            log=tmp_path / "stock.log",
            env=talkative,
        )
        first = node.wait_for(r"--initial_peers (/ip4/\S+)", START)[1]
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts[1:]]
        for device in devices:
            device.prepare(round_zero)
            device.join("--initial-peers", first)
        ours = devices[0].start("bootstrap")
        assert wait_until(lambda: all(in_company(device) for device in devices), START)

        guest = lan.hosts[0].start(
            *(stock, "--initial_peers", address(ours), "--refresh_period", "1"),
            *("--host_maddrs", f"/ip4/{lan.hosts[0].address}/tcp/31338"),
            cwd=tmp_path,
            log=tmp_path / "guest.log",
            env=talkative,
        )
        guest.wait_for("([2-9]|[0-9]{2}) DHT nodes", START)
        ours.wait_for(r"^1 device\(s\) connected|^[2-9] device\(s\) connected", START)


def test_the_bootstrap_node_keeps_its_address(tmp_path: Path) -> None:
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], tmp_path / "node")
        first = device.start("bootstrap", "--port", "23999")
        before = address(first)
        assert f"python -m peer --join --initial-peers {before}" in first.output() or first.wait_for("--join", START)
        assert interrupt(first) == 0
        again = device.start("bootstrap", "--port", "23999")
        assert address(again) == before
        elsewhere = ("--port", "23997", "--state", "other", "--initial-peers", before)
        other = device.start("bootstrap", *elsewhere, log="other")
        taken = device.start("bootstrap", "--port", "23999", "--state", "elsewhere", log="taken")
        twin = device.start("bootstrap", "--port", "23998", log="twin")
        other.wait_for(r"^1 device\(s\) connected", START)
        assert taken.wait(START) == 2
        assert "port 23999" in taken.output()
        assert twin.wait(START) == 2
        assert "another peer runs in checkpoints/bootstrap already" in twin.output()
        assert "Traceback" not in taken.output()


CANNOT_WORK = [
    (["--initial-peers", "10.77.0.11:23456"], "'10.77.0.11:23456' is no peer address"),
    (
        ["--initial-peers", "/ip4/10.77.0.99/tcp/1/p2p/QmWJNicfUMAuaE8ArHXRapgciHpY6j2bZCrRazzMgUYayc"],
        "nobody answers",
    ),
    (["--config", "missing.json"], "missing.json"),
    (["--run", "Not A Name"], "a run's name has 1 to 40"),
    ([], "no chat export in data/raw"),
]


@pytest.fixture(scope="module")
def in_vain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[HostProcess]]:
    """A device that starts for each of what cannot work, all at once and on networks of their own."""
    with ExitStack() as lans:
        started = []
        for arguments, _ in CANNOT_WORK:
            (host,) = lans.enter_context(Lan(hosts=1)).hosts
            device = GentleDevice(host, tmp_path_factory.mktemp("in-vain"))
            for export in (device.folder / "data" / "raw").iterdir():
                export.unlink()
            started.append(device.join(*arguments))
        yield started


@pytest.mark.parametrize(("number", "message"), [(number, message) for number, (_, message) in enumerate(CANNOT_WORK)])
def test_what_cannot_work_is_said_in_a_line_or_two(in_vain: list[HostProcess], number: int, message: str) -> None:
    process = in_vain[number]
    assert process.wait(START) == 2
    assert message in process.output()
    assert "Traceback" not in process.output()
    assert len(re.findall("^error: ", process.output(), re.MULTILINE)) == 1


def test_a_full_disk_costs_a_checkpoint_and_nothing_else(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=1) as lan:
        device = GentleDevice(lan.hosts[0], tmp_path / "device")
        device.prepare(round_zero, with_run=False)
        checkpoints = device.folder / "checkpoints"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", checkpoints])
        if mounted.returncode:
            pytest.skip("no small file system can be mounted here")
        try:
            process = device.join()
            process.wait_for("cannot be written: No space left.*the earlier ones are as they were", START)
            rounds = len(re.findall("^round", process.output(), re.MULTILINE))
            process.wait_for(rf"^round {rounds + 2}", START)
            assert interrupt(process) == 0
            assert "Traceback" not in process.output()
            assert checkpoint.newest(checkpoints) is not None
        finally:
            lan.hosts[0].processes[0].kill()
            subprocess.run(["umount", "--lazy", checkpoints], check=True)


def test_help_is_enough() -> None:
    commands = ([sys.executable, "-m", module, "--help"] for module in ("peer", "bootstrap"))
    for process in [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]:
        shown, _ = process.communicate(timeout=START)
        assert process.returncode == 0
        assert "--initial-peers" in shown

"""Measure what a home link costs a device:  python -m benchmarks.wifi --corpus FILE --mbits 5 20 100

One core a device, all from the same start: a peer alone between two turns of a bare training loop, for a machine's
speed drifts, all with other training on the other core (benchmarks/time_to_loss.py says why); then two with all links
held to so many Mbit/s. With --second-core the first one's network processes have a core beside its training (which the
second one trains on). With --others what else there is for two devices: stock hivemind.Optimizer, synchronous
(`--averaging sync`) and with local updates, and torch.distributed's DDP over gloo.

Prints tokens/s as a share of the lonely device's, what went over the wire against the least that the exchanges needed,
what of the processor a MB sent and received took outside the training process, the time that steps were held up, copies
included, and the longest of these in ordinary steps; writes wifi.json. The model is the guide's; --config takes
another, a small one for hundreds of exchanges in a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.time_to_loss import end, found, kept, neighbour, prepare, wait, wait_until_compiled
from minigpt import checkpoint
from peer.state.anchor import COARSE, FINE, MEAN_BITS, padded
from peer.state.codec import bits_of, payload_bytes
from peer.state.means import load
from tests.devices import Device
from tests.host_process import HostProcess
from tests.lan import Host, Lan

SETTLING_SECONDS = 60.0  # in which a device that has just begun judges its anchor twice, which is 5 s of a core


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wifi", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each way (default: %(default)s)")
    parser.add_argument("--mbits", type=float, nargs="*", default=[5.0, 20.0, 100.0], help="(default: 5 20 100)")
    parser.add_argument("--others", action="store_true", help="stock averaging and DDP as well")
    parser.add_argument("--second-core", action="store_true", help="a core for the first device's network as well")
    parser.add_argument("--config", type=Path, help="config.json of another model than the guide's")
    parser.add_argument("--output", type=Path, default=Path("wifi.json"))
    arguments = parser.parse_args()
    rows = []
    for mbits in [None, *arguments.mbits]:
        with tempfile.TemporaryDirectory(prefix="cellmind-wifi-") as folder, Lan(2, mbits) as lan:
            devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
            for device in devices:
                if arguments.config:
                    shutil.copyfile(arguments.config, device.folder / "config.json")
            prepare(devices, arguments.corpus)
            rows += measure_alone(devices, arguments) if mbits is None else measure_linked(devices, mbits, arguments)
        arguments.output.write_text(json.dumps(rows, indent=2))
    report(rows)


def measure_alone(devices: list[Device], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The first device with no other, and what it would do with no peer around its training."""
    first, minutes = devices[:1], arguments.minutes
    with neighbour(devices[1].folder):
        return [
            measure_ddp("a bare loop", first, minutes),
            measure("alone", first, minutes),
            measure_ddp("a bare loop, afterwards", first, minutes),
        ]


def measure_linked(devices: list[Device], mbits: float, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Two devices, whose links are held to so many Mbit/s."""
    way, minutes = f"{mbits:g} Mbit/s", arguments.minutes
    rows = [measure(way, devices, minutes)]
    if arguments.second_core:
        rows.append(measure(f"{way}, a second core", devices, minutes, second_core=True))
    if arguments.others:
        rows.append(measure_ddp(f"{way}, DDP", devices, minutes))
        rows.append(measure_local_updates(f"{way}, stock, local updates", devices, minutes))
        found(devices, "--averaging", "sync")
        rows.append(measure(f"{way}, stock, synchronous", devices, minutes))
    return rows


def measure_ddp(way: str, devices: list[Device], minutes: float) -> dict[str, Any]:
    """The same training steps with no peer around them; a world of one is a bare loop."""
    options = f"--world {len(devices)} --master {devices[0].host.address} --every 1e9 --minutes {minutes}".split()
    processes = [
        device.start("benchmarks.ddp", "--rank", str(rank), *options, cpus=[rank])
        for rank, device in enumerate(devices)
    ]
    for process in processes:
        process.wait(60 * minutes + 900)  # a step may take minutes
    line = json.loads(processes[0].output().splitlines()[-1])
    return shown({"way": way, "tokens_per_second": line["tokens_per_second"] / len(devices)})


def measure_local_updates(way: str, devices: list[Device], minutes: float) -> dict[str, Any]:
    first = start_local_updates(devices[0], 0, minutes)
    address = first.wait_for(r"listens at (\S+)", 300)[1]
    second = start_local_updates(devices[1], 1, minutes, "--peer", address)
    line = first.wait_for(r"^{.*}$", 60 * minutes + 900)[0]
    for process in (first, second):
        process.wait(900)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # hivemind's processes, which may still wait for each other
    return shown({"way": way, "tokens_per_second": json.loads(line)["tokens_per_second"]})


def start_local_updates(device: Device, core: int, minutes: float, *arguments: str) -> HostProcess:
    options = ("--host", device.host.address, "--minutes", str(minutes), *arguments)
    return device.start("benchmarks.local_updates", *options, cpus=[core])


def shown(row: dict[str, Any]) -> dict[str, Any]:
    print(row, flush=True)
    return row


def measure(way: str, devices: list[Device], minutes: float, second_core: bool = False) -> dict[str, Any]:
    """One way, from the second round on that ends when it has settled: the one before has the start in it."""
    with kept(devices):
        processes = [
            device.start("peer", "--join", "--name", device.host.name, cpus=[core])
            for core, device in enumerate(devices)
        ]
        wait_until_compiled(processes)  # as the bare loop is before its time begins
        wait(lambda: False, time.time() + SETTLING_SECONDS)
        began = time.time()
        if second_core:
            for child in set(devices[0].host.pids()) - {processes[0].pid}:
                for thread in Path(f"/proc/{child}/task").iterdir():  # p2pd has many
                    os.sched_setaffinity(int(thread.name), [1])
        network, before = set(devices[0].host.pids()) - {processes[0].pid}, traffic(devices[0].host)
        worked = processor_seconds(network)
        wait(lambda: False, time.time() + 60 * minutes)
        worked, moved = processor_seconds(network) - worked, traffic(devices[0].host) - before
        end(processes)
        lines = devices[0].metrics()
        least, exchanges = least_bytes(devices[0])
    sent = lines[-1]["bytes_sent"]
    lines = [line for line in lines if line["time"] > began]
    seconds = lines[-1]["time"] - lines[0]["time"]
    speeds = [line["tokens_per_second"] for line in lines[1:]]
    waits = [line["longest_wait_seconds"] / line["step_seconds"] for line in lines[1:]]
    row = {
        "way": way,
        "tokens_per_second": sum(speeds) / len(speeds),
        "traffic": sent / least if least else 0.0,
        "processor_seconds_a_mb": worked / moved if least else 0.0,
        "waited": sum(line["waited_seconds"] for line in lines[1:]) / seconds,
        "longest_wait_in_steps": max(waits),
        "exchanges": exchanges,
    }
    return shown(row)


def traffic(host: Host) -> float:
    """MB sent and received so far."""
    return (host.bytes_sent() + host.bytes_received()) / 1e6


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor seconds that these processes have worked so far."""
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # the compiler is done
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def least_bytes(device: Device) -> tuple[float, int]:
    """Return the bytes that one of two peers had to send for the means that are kept, and how many these are.

    It gives the other half of its numbers, and answers with the mean of its own half.
    """
    checkpoints = device.folder / "checkpoints"
    newest = checkpoint.newest(checkpoints, "cellmind")
    assert newest is not None
    size = padded(newest.build_model().parameter_count())
    payloads = [load(path, size).payload for path in (checkpoints / "cellmind" / "history").glob("*.safetensors")]
    given = {MEAN_BITS[bits]: bits for bits in (COARSE, FINE)}
    total = 0.0
    for payload in payloads:
        bits = bits_of(len(payload), size)
        assert bits is not None, "it was checked when it was loaded"
        total += (payload_bytes(size, given[bits]) + len(payload)) / 2
    return total, len(payloads)


def report(rows: list[dict[str, Any]]) -> None:
    columns = "way | tokens/s | of alone | MB sent ÷ least | s a MB | held up | longest, in steps | exchanges"
    print(f"\n| {columns} |\n|{' --- |' * 8}")
    alone = next(row["tokens_per_second"] for row in rows if row["way"] == "alone")
    for row in rows:
        speed = f"{row['tokens_per_second']:.0f} | {row['tokens_per_second'] / alone:.2f}"
        if "traffic" not in row:
            print(f"| {row['way']} | {speed} | | | | | |")
            continue
        wire = f"{row['traffic']:.2f} | {row['processor_seconds_a_mb']:.3f}"
        waits = f"{row['waited']:.1%} | {row['longest_wait_in_steps']:.2f}"
        print(f"| {row['way']} | {speed} | {wire} | {waits} | {row['exchanges']} |")


if __name__ == "__main__":
    main()

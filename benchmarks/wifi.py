"""What a home link costs a device:  python -m benchmarks.wifi --corpus FILE --mbits 5 20 100

One core a device, all from the same start: a bare training loop, a peer alone, then two with all links held to so many
Mbit/s. With --second-core the first one's network processes have a core beside its training (which the second one
trains on).

Prints tokens/s as a share of the lonely device's, what went over the wire against the least that the exchanges needed,
the time that steps were held up, copies included, and the longest of these in ordinary steps; writes wifi.json. The
model is the guide's; --config takes another, a small one for hundreds of exchanges in a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.time_to_loss import end, found, kept, prepare, wait, wait_until_compiled
from minigpt import checkpoint
from peer.codec import bits_of, code_bytes
from peer.history import load
from peer.swarm_state import COARSE, FINE, MEAN_BITS, SwarmState
from tests.devices import Device
from tests.lan import Lan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wifi", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each way (default: %(default)s)")
    parser.add_argument("--mbits", type=float, nargs="*", default=[5.0, 20.0, 100.0], help="(default: 5 20 100)")
    parser.add_argument("--sync", action="store_true", help="stock synchronous averaging as well")
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
            if mbits is None:
                rows.append(measure_bare_loop(devices[0], arguments.minutes))
            way = "alone" if mbits is None else f"{mbits:g} Mbit/s"
            rows.append(measure(way, devices[:1] if mbits is None else devices, arguments.minutes))
            if arguments.second_core and mbits is not None:
                rows.append(measure(f"{way}, a second core", devices, arguments.minutes, second_core=True))
            if arguments.sync and mbits is not None:
                found(devices, "--averaging", "sync")
                rows.append(measure(f"{way}, sync", devices, arguments.minutes))
        arguments.output.write_text(json.dumps(rows, indent=2))
    report(rows)


def measure_bare_loop(device: Device, minutes: float) -> dict[str, Any]:
    """The same training steps with no peer around them."""
    process = device.start("benchmarks.ddp", *f"--rank 0 --world 1 --every 1e9 --minutes {minutes}".split(), cpus=[0])
    process.wait(60 * minutes + 300)
    line = json.loads(device.log("benchmarks.ddp").splitlines()[-1])
    row = {"way": "a bare loop", "tokens_per_second": line["tokens_per_second"]}
    print(row, flush=True)
    return row


def measure(way: str, devices: list[Device], minutes: float, second_core: bool = False) -> dict[str, Any]:
    """One way, from the second round on that ends when the model is compiled: the first has the start in it."""
    with kept(devices):
        processes = [
            device.start("peer", "--join", "--name", device.host.name, cpus=[core])
            for core, device in enumerate(devices)
        ]
        wait_until_compiled(processes)  # as the bare loop is before its time begins
        began = time.time()
        if second_core:
            for child in set(devices[0].host.pids()) - {processes[0].pid}:
                for thread in Path(f"/proc/{child}/task").iterdir():  # p2pd has many
                    os.sched_setaffinity(int(thread.name), [1])
        wait(lambda: False, time.time() + 60 * minutes)
        end(processes)
        lines = devices[0].metrics()
        least, exchanges = least_bytes(devices[0])
    sent = lines[-1]["bytes_sent"]
    lines = [line for line in lines if line["time"] > began]
    seconds = lines[-1]["time"] - lines[0]["time"]
    speeds = [line["tokens_per_second"] for line in lines[1:]]
    row = {
        "way": way,
        "tokens_per_second": sum(speeds) / len(speeds),
        "traffic": sent / least if least else 0.0,
        "waited": sum(line["waited_seconds"] for line in lines[1:]) / seconds,
        "longest_wait_in_steps": max(line["longest_wait_seconds"] / line["step_seconds"] for line in lines[1:]),
        "exchanges": exchanges,
    }
    print(row, flush=True)
    return row


def least_bytes(device: Device) -> tuple[float, int]:
    """What one of two peers had to send for the means that are kept, and how many these are.

    It gives the other half of its numbers, and answers with the mean of its own half.
    """
    checkpoints = device.folder / "checkpoints"
    newest = checkpoint.newest(checkpoints, "cellmind")
    assert newest is not None
    size = SwarmState(newest.build_model(), 1.0).size
    means = [load(path, size).code for path in (checkpoints / "cellmind" / "history").glob("*.safetensors")]
    given = {MEAN_BITS[bits]: bits for bits in (COARSE, FINE)}
    total = sum((code_bytes(size, given[bits_of(len(code), size) or 0]) + len(code)) / 2 for code in means)
    return total, len(means)


def report(rows: list[dict[str, Any]]) -> None:
    columns = "way | tokens/s | of alone | MB sent ÷ least | held up | longest, in steps | exchanges"
    print(f"\n| {columns} |\n|{' --- |' * 7}")
    alone = next(row["tokens_per_second"] for row in rows if row["way"] == "alone")
    for row in rows:
        speed = f"{row['tokens_per_second']:.0f} | {row['tokens_per_second'] / alone:.2f}"
        if "traffic" not in row:
            print(f"| {row['way']} | {speed} | | | | |")
            continue
        waits = f"{row['waited']:.1%} | {row['longest_wait_in_steps']:.2f}"
        print(f"| {row['way']} | {speed} | {row['traffic']:.2f} | {waits} | {row['exchanges']} |")


if __name__ == "__main__":
    main()

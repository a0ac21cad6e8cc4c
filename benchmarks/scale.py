"""Measure how a swarm grows:  python -m benchmarks.scale --peers 2 4 8 16 32

Real peers of a tiny model on one machine and one test LAN: the first founds a run, all others join at once, ten rounds
are closed, all leave. A step takes a fixed time, mostly sleep, that grows with the number of peers (--step is of two):
the machine keeps up, and what is measured is what a peer costs, not how fast it trains. Prints a table and writes
scale.json. Traffic and messages are of the peers' own interfaces (packets of some 1,500 bytes at most), a peer and a
second, and without what exchanges and states carried, as the peers count these; memory is PSS, shared parts once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.chaos import processor_seconds
from benchmarks.cold_starts import load
from benchmarks.household import PEER
from benchmarks.odd_messages import memory_mb
from benchmarks.time_to_loss import found
from tests.devices import TINY, Device
from tests.lan import Host, Lan, wait_until

ROUNDS = 10
LIMIT_SECONDS = 600.0  # until all train together, and for the ten rounds
LEAVE_SECONDS = 60.0
STEPS_A_ROUND = 20  # of every peer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, nargs="+", default=[2, 4, 8, 16, 32], help="(default: %(default)s)")
    parser.add_argument("--step", type=float, default=0.2, help="seconds of a step of two peers (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("scale.json"))
    arguments = parser.parse_args()
    rows = json.loads(arguments.output.read_text()) if arguments.output.exists() else []
    for peers in arguments.peers:
        with tempfile.TemporaryDirectory(prefix="cellmind-scale-") as folder:
            row = measure(Path(folder), peers, arguments.step * peers / 2)
        rows = [other for other in rows if other["peers"] != peers] + [row]
        arguments.output.write_text(json.dumps(sorted(rows, key=lambda row: int(row["peers"])), indent=2))
        print(row, flush=True)
    columns = list(rows[0])
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(row[column]) for column in columns)} |")


def measure(folder: Path, peers: int, step: float) -> dict[str, Any]:
    samples = STEPS_A_ROUND * TINY["training"]["batch_size"] * peers
    settings = {**TINY, "swarm": {"samples_per_round": samples}}
    with Lan(hosts=peers) as lan:
        devices = [Device(host, folder / host.name, settings) for host in lan.hosts]
        found(devices)
        first, *others = devices
        began = time.monotonic()
        processes = [start(device, step) for device in (first, *others)]
        together = wait_until(lambda: all(in_full_company(device, peers) for device in devices), LIMIT_SECONDS)
        joined = time.monotonic() - began
        if not together:
            count = sum(in_full_company(device, peers) for device in devices)
            raise SystemExit(f"within {LIMIT_SECONDS:.0f} s {count} of {peers} devices trained with all others")
        lines, packets = [device.metrics()[-1] for device in devices], [traffic(host) for host in lan.hosts]
        busy, began = processor_seconds(), time.monotonic()
        wait_until(lambda: first.metrics()[-1]["round"] >= lines[0]["round"] + ROUNDS, LIMIT_SECONDS)
        seconds = time.monotonic() - began
        ended, packets_after = [device.metrics()[-1] for device in devices], [traffic(host) for host in lan.hosts]
        used, passed = (after - before for before, after in zip(busy, processor_seconds()))
        memory = memory_mb([pid for host in lan.hosts for pid in host.pids()])
        rounds = ended[0]["round"] - lines[0]["round"]
        company = [len(line["peers"]) for line in first.metrics()[-rounds:]] if rounds else []
        began = time.monotonic()
        for process in processes:
            os.killpg(process.pid, signal.SIGINT)
        gone = wait_until(lambda: not any(process.running() for process in processes), LEAVE_SECONDS)
        left = time.monotonic() - began
    payload = sum(after["bytes_sent"] - before["bytes_sent"] for before, after in zip(lines, ended))
    sent = sum(after[0] - before[0] for before, after in zip(packets, packets_after))
    count = sum(after[1] - before[1] for before, after in zip(packets, packets_after))
    a_peer_and_second = peers * seconds
    return {
        "peers": peers,
        "all train together after, s": round(joined, 1),
        "a round, s": round(seconds / rounds, 1) if rounds else "none",
        "the same by the steps alone, s": round(STEPS_A_ROUND * step, 1),
        "peers in a round": round(sum(company) / len(company), 1) if company else 0,
        "exchanges and states, kB a peer and s": round(payload / a_peer_and_second / 1e3, 2),
        "all else, kB a peer and s": round((sent - payload) / a_peer_and_second / 1e3, 2),
        "packets a peer and s": round(count / a_peer_and_second, 1),
        "memory, MB a peer": round(memory / peers),
        "all left after, s": round(left, 1) if gone else "not all",
        "processor": f"{used / passed:.0%} busy, {load()}",
    }


def start(device: Device, step: float) -> Any:
    return device.start(PEER, "--step", str(step), "--join", "--no-page", "--go-on", "--name", device.host.name)


def in_full_company(device: Device, peers: int) -> bool:
    lines = device.metrics()
    return bool(lines) and any(len(line["peers"]) == peers for line in lines[-5:])


def traffic(host: Host) -> tuple[int, int]:
    """Bytes and packets that the host has sent so far."""
    statistics = host._statistics()["tx"]
    return statistics["bytes"], statistics["packets"]


if __name__ == "__main__":
    main()

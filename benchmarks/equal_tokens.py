"""Measure what a token is worth that others trained:  python -m benchmarks.equal_tokens --corpus FILE --peers 1 2 4 8

A small model (2 M parameters), so many devices on links of so many Mbit/s, all from the same start, until the swarm as
a whole has trained so many tokens; devices share this machine's cores, so seconds say nothing here. Prints the held-out
loss of the last checkpoint, writes equal_tokens.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.time_to_loss import end, held_out_loss, prepare, wait
from minigpt.checkpoint import newest
from tests.devices import Device
from tests.lan import Lan

BATCH_SIZE = 8
CONFIG = {
    "model": {"d_model": 192, "nhead": 4, "num_layers": 4},
    "tokenizer": {"vocab_size": 2000},
    "training": {"batch_size": BATCH_SIZE, "lr": 1e-3, "warmup_sequences": 400, "dataset": {"seq_len": 128}},
    "swarm": {"samples_per_round": 256},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_tokens", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--peers", type=int, nargs="*", default=[1, 2, 4, 8], help="(default: 1 2 4 8)")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="of the whole swarm (default: %(default)s)")
    parser.add_argument("--mbits", type=float, default=20.0, help="limit of every link (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("equal_tokens.json"))
    arguments = parser.parse_args()
    rows = []
    for peers in arguments.peers:
        with tempfile.TemporaryDirectory(prefix="cellmind-equal-") as folder, Lan(peers, arguments.mbits) as lan:
            devices = [Device(host, Path(folder) / host.name, CONFIG) for host in lan.hosts]
            prepare(devices, arguments.corpus)
            rows.append(measure(devices, arguments.tokens))
        arguments.output.write_text(json.dumps(rows, indent=2))
    print("\n| peers | tokens | held-out loss | steps of each |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['peers']} | {row['tokens']:,} | {row['loss']:.3f} | {row['steps']} |")


def measure(devices: list[Device], tokens: int) -> dict[str, Any]:
    """One swarm, until it has trained so many tokens."""
    cores = sorted(os.sched_getaffinity(0))
    processes = [
        device.start("peer", "--join", "--no-page", "--name", device.host.name, cpus=[cores[number % len(cores)]])
        for number, device in enumerate(devices)
    ]
    first = devices[0]
    wait(lambda: bool(first.metrics()) and first.metrics()[-1]["tokens"] >= tokens, time.time() + 3600)
    end(processes)
    last = newest(first.folder / "checkpoints", "cellmind")
    assert last is not None
    samples = last.progress.samples
    row = {
        "peers": len(devices),
        "tokens": samples * last.settings.training.dataset.seq_len,
        "loss": held_out_loss(first, last),
        "steps": samples // BATCH_SIZE // len(devices),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()

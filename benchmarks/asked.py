"""Measure what it costs a device that others ask its model:  python -m benchmarks.asked --corpus FILE

The guide's model. One device trains on one core; another one, whose core trains something else meanwhile
(benchmarks/time_to_loss.py says why), runs `minigpt.generate --from-peer ADDRESS --follow` every second turn: it
fetches each new checkpoint and answers a prompt with it. Prints the tokens/s of the device in both kinds of turns, the
share that is left while it is asked, and how many answers there were; writes asked.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.time_to_loss import end, neighbour, prepare, wait, wait_until_compiled
from tests.devices import Device
from tests.lan import Lan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asked", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, default=2.5, help="of each turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=2, help="of each kind (default: %(default)s)")
    parser.add_argument("--mbits", type=float, default=100.0, help="limit of every link (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("asked.json"))
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="cellmind-asked-") as folder, Lan(2, arguments.mbits) as lan:
        trainer, asker = devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
        prepare(devices, arguments.corpus)
        process = trainer.start("peer", "--join", "--no-page", "--name", trainer.host.name, cpus=[0])
        address = process.wait_for(r"/ip4/\S+", 300)[0]
        wait_until_compiled([process])
        with neighbour(asker.folder):
            for _ in range(arguments.turns):
                rows.append(turn(trainer, arguments.minutes))
                rows.append(turn(trainer, arguments.minutes, asker, address))
        end([process])
    arguments.output.write_text(json.dumps(rows, indent=2))
    report(rows)


def turn(trainer: Device, minutes: float, asker: Device | None = None, address: str = "") -> dict[str, Any]:
    """Tokens/s of the rounds that lie within so many minutes."""
    began, answers = time.time(), 0
    if asker is not None:
        ask = asker.start(
            "minigpt.generate", "--from-peer", address, "--follow", "--prompt", "이 영화는", "--seed", "1", cpus=[1]
        )
        ask.wait_for(r"\S", 120)  # it has loaded
    wait(lambda: False, began + 60 * minutes)
    if asker is not None:
        end([ask])
        answers = 1 + ask.output().count("\nround ")
    lines = trainer.metrics()
    inside = [line["tokens_per_second"] for before, line in pairwise(lines) if before["time"] > began]
    row = {"asked": asker is not None, "answers": answers, "tokens_per_second": sum(inside) / len(inside)}
    print(row, flush=True)
    return row


def report(rows: list[dict[str, Any]]) -> None:
    def speed(asked: bool) -> float:
        speeds = [row["tokens_per_second"] for row in rows if row["asked"] is asked]
        return sum(speeds) / len(speeds)

    answers = sum(row["answers"] for row in rows)
    print("\n| | tokens/s | share | answers |\n| --- | --- | --- | --- |")
    print(f"| nobody asks | {speed(False):.0f} | 1 | |")
    print(f"| asked after every checkpoint | {speed(True):.0f} | {speed(True) / speed(False):.3f} | {answers} |")


if __name__ == "__main__":
    main()

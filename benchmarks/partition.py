"""Two halves of a household, and how they become one again:  python -m benchmarks.partition --times 3 --seconds 180

Four real peers of a tiny model on a test LAN train together; then the cable between two and two is out for so long, and
both halves train on. Prints a line a time: seconds from when it is back until every device has named both that it had
lost, and until all four have closed a round together; and the held-out loss of the better half before, of the first
anchor judged that they made together, and of the last one half a minute later.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cold_starts import load
from benchmarks.time_to_loss import found
from tests.devices import Device, GentleDevice
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

BAR_SECONDS = 30.0
LIMIT_SECONDS = 120.0
AFTERWARDS_SECONDS = 30.0
NAMES = [f"host{number}" for number in (1, 2, 3, 4)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partition", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=180.0, help="apart (default: %(default)s)")
    arguments = parser.parse_args()
    failed = 0
    for number in range(1, arguments.times + 1):
        with tempfile.TemporaryDirectory(prefix="cellmind-partition-") as folder, Lan(4) as lan:
            devices = [GentleDevice(host, Path(folder) / host.name) for host in lan.hosts]
            found(devices)
            processes = [device.join() for device in devices]
            healed, here, round = part(lan, devices, processes, arguments.seconds)
            losses = " -> ".join(f"{loss:.3f}" for loss in held_out(devices, healed))
            print(
                f"{number}: all named after {here:.1f} s, one round after {round:.1f} s · held-out {losses} · {load()}",
                flush=True,
            )
            if not (here <= BAR_SECONDS and round <= BAR_SECONDS and all(process.running() for process in processes)):
                failed += 1
                print("\n".join(f"--- {process.log}\n{process.output()[-3000:]}" for process in processes), flush=True)
            for process in processes:
                process.kill()
    print(f"\none swarm within {BAR_SECONDS:.0f} s in {arguments.times - failed} of {arguments.times} partitions")
    sys.exit(1 if failed else 0)


def part(
    lan: Lan, devices: Sequence[Device], processes: list[HostProcess], seconds: float
) -> tuple[float, float, float]:
    """Part them and let them be one again: when, and seconds until all are named, and all have closed a round."""
    if not wait_until(lambda: all(in_company(device) for device in devices), LIMIT_SECONDS):
        sys.exit("they did not train together:\n" + "\n".join(process.output() for process in processes))
    lan.partition(lan.hosts[:2])
    time.sleep(seconds)
    lan.heal()
    healed, marks = time.time(), [len(process.output()) for process in processes]

    def named() -> bool:
        said = [process.output()[mark:] for process, mark in zip(processes, marks)]
        here = [{*re.findall("^(host[0-9]) is here", text, re.MULTILINE)} for text in said]
        return all(here[number] >= {*(NAMES[2:] if number < 2 else NAMES[:2])} for number in range(4))

    here = time.time() - healed if wait_until(named, LIMIT_SECONDS) else float("inf")
    again = wait_until(lambda: all(in_company(device, healed) for device in devices), LIMIT_SECONDS)
    round = max(in_company(device, healed)[0]["time"] for device in devices) - healed if again else float("inf")
    time.sleep(AFTERWARDS_SECONDS)
    return healed, here, round


def in_company(device: Device, after: float = 0.0) -> list[dict[str, Any]]:
    """Lines of rounds that all four closed together."""
    return [line for line in device.metrics() if sorted(line["peers"]) == NAMES and line["time"] > after]


def held_out(devices: Sequence[Device], healed: float) -> list[float]:
    """Return the held-out loss of the better half's last anchor apart, of the first made by all, and of the last."""
    judged = sorted(
        (line for device in devices for line in device.metrics() if line.get("valid_loss") is not None),
        key=lambda line: line["time"],
    )
    apart = [line for line in judged if line["time"] < healed and len(line["peers"]) == 2]
    halves = {min(line["peers"]): line["valid_loss"] for line in apart}  # the last one of each
    together = [line["valid_loss"] for line in judged if line["time"] > healed and len(line["peers"]) == 4]
    return [*sorted(halves.values())[:1], *together[:1], *together[-1:]]


if __name__ == "__main__":
    main()

"""Do devices started at the same instant make one swarm:  python -m benchmarks.cold_starts --times 100 --peers 4

Real peers of a tiny model on a test LAN, no address given. Each time nobody has a run, an identity or an address of
another (text and tokenizer are there); counted are the seconds from the start of the processes until every device has
named every other one as a member of its run. Then all are killed, and it begins again. Prints a line a time, and what
every device had said where it was not one swarm in time.

With --locked they are the household of a locked run that was off, and each time they go on with its first state.

Devices at home have a processor each; here all share this machine's. So each trains in a quarter of its time: the
first to train would otherwise take from the others what their start needs. (Starting takes 4 to 5 s of a processor.)
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.time_to_loss import found
from tests.devices import TINY, GentleDevice, lock
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

BAR_SECONDS = 15.0
LIMIT_SECONDS = 90.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_starts", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--peers", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--locked", action="store_true", help="the devices of a locked run, which was off")
    arguments = parser.parse_args()
    took: list[float] = []
    with tempfile.TemporaryDirectory(prefix="cellmind-cold-starts-") as folder, Lan(arguments.peers) as lan:
        devices = [GentleDevice(host, Path(folder) / host.name, TINY) for host in lan.hosts]
        found(devices)
        if arguments.locked:
            lock(devices)
        for device in devices:
            (device.folder / "checkpoints").rename(device.folder / "start")
        for number in range(1, arguments.times + 1):
            for device in devices:
                shutil.rmtree(device.folder / "checkpoints", ignore_errors=True)
                if arguments.locked:
                    shutil.copytree(device.folder / "start", device.folder / "checkpoints")
                (device.folder / "peer.log").unlink(missing_ok=True)
            began = time.monotonic()
            processes = [device.join() for device in devices]
            wait_until(lambda: are_one_swarm(processes), LIMIT_SECONDS)  # noqa: B023 -- done before the next one
            seconds, one = time.monotonic() - began, are_one_swarm(processes)
            took.append(seconds if one else float("inf"))
            print(f"{number}: {f'one swarm after {seconds:.1f} s' if one else 'NO'} · {load()}", flush=True)
            if not one or seconds > BAR_SECONDS:
                print("\n".join(f"--- {process.log}\n{process.output()}" for process in processes), flush=True)
            for process in processes:
                process.kill()
            if not wait_until(lambda: not any(host.pids() for host in lan.hosts), 5.0):
                print("processes are left 5 s after a kill -9", flush=True)
    report(took)


def are_one_swarm(processes: list[HostProcess]) -> bool:
    """Return whether each has named every other one, they are at one run, and nobody is at a loss."""
    said = [process.output() for process in processes]
    names = {f"host{number + 1}" for number in range(len(processes))}
    here = [{*re.findall("^(host[0-9]+) is here", text, re.MULTILINE)} for text in said]
    everybody = all(others | {f"host{number + 1}"} == names for number, others in enumerate(here))
    runs = {
        run
        for text in said
        for run in re.findall(r"^(?:founded|.*: founded|joined|going on with) run (\S+)", text, re.MULTILINE)
    }
    return everybody and len(runs) == 1 and all(process.running() for process in processes)


def load() -> str:
    """Return how many processes want to run on how many processors, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def report(took: list[float]) -> None:
    took = sorted(took)
    within = sum(seconds <= BAR_SECONDS for seconds in took)
    one = sum(seconds <= LIMIT_SECONDS + 1 for seconds in took)
    print(
        f"\none swarm in {one} of {len(took)} starts, {within} of them within {BAR_SECONDS:.0f} s; "
        f"median {took[len(took) // 2]:.1f} s, longest {took[-1]:.1f} s"
    )
    sys.exit(0 if within == len(took) else 1)


if __name__ == "__main__":
    main()

"""Everything loses its power at once, again and again:  python -m benchmarks.power_cuts --times 20 --peers 4

Real peers of a tiny model on a test LAN train together; at a random moment all are killed with -9, and the same line is
typed again on all. Each time the newest checkpoint of every device is read as a whole (every hash), and the swarm has
to go on, together, from a state that is at most one round older than the newest round that anybody had closed.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cold_starts import load
from benchmarks.household import PEER
from benchmarks.time_to_loss import found
from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint, file_sha256
from tests.devices import TINY, Device, lock
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

LIMIT_SECONDS = 180.0  # until all train together again
MOMENT_SECONDS = (3.0, 15.0)  # of training together, after which the power goes
STEP_SECONDS = 0.15
SETTINGS = {**TINY, "swarm": {"samples_per_round": 256}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_cuts", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--peers", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    parser.add_argument("--locked", action="store_true", help="the run is a locked one")
    arguments = parser.parse_args()
    dice, failed = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory(prefix="cellmind-power-cuts-") as folder, Lan(arguments.peers) as lan:
        devices = [Device(host, Path(folder) / host.name, SETTINGS) for host in lan.hosts]
        found(devices)
        if arguments.locked:
            lock(devices)
        processes = start(devices)
        for number in range(1, arguments.times + 1):
            together = wait_until(lambda: train_together(devices, processes), LIMIT_SECONDS)  # noqa: B023
            time.sleep(dice.uniform(*MOMENT_SECONDS))
            for process in processes:
                process.kill()
            wait_until(lambda: not any(host.pids() for host in lan.hosts), 5.0)
            closed = max((line["round"] for device in devices for line in device.metrics()), default=0)
            kept = [whole(device) for device in devices]
            processes = start(devices)
            problems = [] if together else ["they did not train together again"]
            problems += [f"host{at + 1}: {state}" for at, state in enumerate(kept) if isinstance(state, str)]
            newest = max((state.progress.round for state in kept if isinstance(state, Checkpoint)), default=-1)
            if newest < closed - 1:
                problems.append(f"round {closed} was closed")
            for process, state in zip(processes, kept):
                said = process.wait_for(r"going on with run \S+ from round (\d+) \((\S+)\)", LIMIT_SECONDS)
                if isinstance(state, Checkpoint) and said[2] != state.folder.name:
                    problems.append(f"it goes on from {said[2]} instead of {state.folder.name}")
            print(
                f"{number}: round {closed} was closed, newest state of round {newest}: "
                f"{'; '.join(problems) or 'goes on'} · {load()}",
                flush=True,
            )
            failed += bool(problems)
        together = wait_until(lambda: train_together(devices, processes), LIMIT_SECONDS)
        failed += not together
        logs = "".join(device.log(PEER) for device in devices)
    failed += len(re.findall("Traceback", logs))
    print(
        f"\n{arguments.times} power cuts, {failed} problems{'' if together else ', at the end they are not together'}"
    )
    sys.exit(1 if failed else 0)


def start(devices: list[Device]) -> list[HostProcess]:
    arguments = ["--step", str(STEP_SECONDS), "--join", "--no-page", "--go-on", "--name"]
    return [device.start(PEER, *arguments, device.host.name) for device in devices]


def train_together(devices: list[Device], processes: list[HostProcess]) -> bool:
    """Return whether all have closed a round with all others since this start."""
    pattern = re.compile(r"^round \d+ .* with (.*)$", re.MULTILINE)
    return all(
        any(line.count("host") == len(devices) - 1 for line in pattern.findall(process.output()))
        for process in processes
    )


def whole(device: Device) -> Checkpoint | str:
    """Return the checkpoint that a start would take, with every file found whole; otherwise what is wrong."""
    state = checkpoint.newest(device.folder / "checkpoints", "cellmind", report=lambda line: None)
    if state is None:
        return "it has no checkpoint"
    torn = [name for name, entry in state.files.items() if file_sha256(state.folder / name) != entry.sha256]
    return f"{state.folder.name} is taken, and torn: {torn}" if torn else state


if __name__ == "__main__":
    main()

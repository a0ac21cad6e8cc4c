"""A peer that trains while odd messages come:  python -m benchmarks.odd_messages --count 10000

On a test LAN, one peer of a tiny model, and a stranger with `benchmarks/attacker.py`. Prints what became of the
messages, and of the peer: whether anything in it ended or was started again, its longest time without a round, and how
its memory (of all its processes) grew. The same with a smaller count is tests/household/test_attack.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.household import PEER
from tests.devices import REPOSITORY, TINY, Device
from tests.lan import Lan, wait_until

WARM_UP = 200  # messages before memory is looked at: what company of any kind costs once is no growth
MAX_GROWTH_MB = 50.0
STEP_SECONDS = "0.1"
SETTINGS = {**TINY, "swarm": {"samples_per_round": 100}}  # a round takes 2.5 s
START_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    problems: list[str]  # with the peer
    growth_mb: float  # of its memory
    longest_round: float  # seconds, while messages came
    rounds: int  # closed meanwhile
    answers: str  # what became of the messages, a line a kind


def attacked(folder: Path, count: int, seed: int) -> Outcome:
    """Return how a training peer is after so many messages."""
    with Lan(hosts=2) as lan:
        device = Device(lan.hosts[0], folder, SETTINGS)
        process = device.start(PEER, "--step", STEP_SECONDS, "--join", "--no-page", "--go-on", "--name", "host1")
        address = process.wait_for(r"listens at (\S+)", START_SECONDS)[1]
        process.wait_for("^round 1", START_SECONDS)
        run_id = re.search(r"founded run (\S+)", process.output())

        def send(messages: int, seed: int) -> str:
            command = (sys.executable, "-m", "benchmarks.attacker", address, run_id[1] if run_id else "")
            options = ("--count", str(messages), "--seed", str(seed))
            attacker = lan.hosts[1].start(*command, *options, cwd=REPOSITORY, log=folder / "attacker.log")
            attacker.wait_for("messages sent", 60 + messages)
            return attacker.output()

        send(WARM_UP, seed + 1)
        pids, memory, began = (
            sorted(lan.hosts[0].pids()),
            memory_mb(lan.hosts[0].pids(), "Pss_Anon"),
            len(device.metrics()),
        )
        answers = send(count, seed)
        ended = len(device.metrics())
        goes_on = wait_until(lambda: len(device.metrics()) >= ended + 2, 30)
        problems = [
            what
            for what, is_so in {
                "a process ended": not set(pids) <= set(lan.hosts[0].pids()),
                "the network part was started again": "started again" in process.output(),
                "it took another identity": "the same identity" in process.output(),
                process.output()[-3000:]: "Traceback" in process.output(),
                "it stopped closing rounds": not goes_on,
            }.items()
            if is_so
        ]
        times = [line["time"] for line in device.metrics()[max(0, began - 1) :]]
        longest = max((after - before for before, after in pairwise(times)), default=float("inf"))
        return Outcome(problems, memory_mb(lan.hosts[0].pids(), "Pss_Anon") - memory, longest, len(times) - 1, answers)


def memory_mb(pids: list[int], kind: str = "Pss") -> float:
    """Memory of processes, shared parts counted once, in MB; "Pss_Anon" is without files such as torch's libraries,
    of which these have the more to themselves the fewer others use them (proc(5), smaps_rollup).
    """
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(map(int, re.findall(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)))
    return total * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.odd_messages", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cellmind-odd-messages-") as folder:
        outcome = attacked(Path(folder), arguments.count, arguments.seed)
    print(outcome.answers)
    print(
        f"after {arguments.count:,} messages in {time.monotonic() - began:.0f} s: memory grew by "
        f"{outcome.growth_mb:.0f} MB, "
        f"{outcome.rounds} rounds closed, the longest took {outcome.longest_round:.1f} s; "
        f"{'; '.join(outcome.problems) or 'nothing ended'}"
    )
    sys.exit(1 if outcome.problems or outcome.growth_mb > MAX_GROWTH_MB else 0)


if __name__ == "__main__":
    main()

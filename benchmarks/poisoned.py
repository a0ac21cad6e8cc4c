"""What one bad member can do to the means of the others:  python -m benchmarks.poisoned --of 4

So many real peers of a small model train together on a test LAN, one of which gives what it should not
(`benchmarks/bad_member.py`), from its start on. Beside it the same without that one, which of two is one alone. Prints,
for each way to be bad, the held-out loss of each honest device once all of them have closed so many rounds, ÷ that of
the same without the bad one, and how many rounds with it had closed when each device named it. Ends with 1 where a loss
is more than 2 % worse, or a device names it later than after three rounds, or not at all.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.bad_member import ANSWERS, WAYS
from benchmarks.cold_starts import load
from benchmarks.household import PEER
from benchmarks.scene import SETTINGS
from benchmarks.time_to_loss import end, found, held_out_loss, kept
from minigpt.checkpoint import read
from tests.devices import Device
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

NONE = "none"
POISONS = [NONE, *(way for way in WAYS if way != "group"), *ANSWERS]
# Of six parts (1.4 M parameters), so that each of four reduces one in every exchange, as of models that people train.
MODEL = {"d_model": 128, "nhead": 4, "num_layers": 6, "dropout": 0.0}
STEP_SECONDS = 0.25
NAMED = "exchanges go on without it"  # as a device says it
LINK_MBITS = 100.0
SECONDS = 300.0  # that so many rounds may take
MOST_WORSE = 1.02
MOST_ROUNDS = 3


@dataclass(frozen=True)
class Outcome:
    """The outcome of some rounds, of each honest device."""

    losses: list[float]  # nats a token, held-out
    rounds: list[int | None]  # with the bad one, that had closed when it was named; None where it was not


def join(device: Device, step: float = STEP_SECONDS) -> tuple[str, ...]:
    return ("--step", str(step), "--join", "--go-on", "--no-page", "--name", device.host.name)


def run(devices: list[Device], way: str, rounds: int) -> Outcome:
    """Let the first device be bad in that way, and the others train until all have closed so many rounds.

    They end together: who had a round to go alone would be another model.
    """
    bad, *honest = devices
    with kept(devices):
        processes = [device.start(PEER, *join(device)) for device in honest]
        liars = []
        if way != NONE:
            lie = bad.folder / "lie"
            lie.touch()
            liars.append(bad.start("benchmarks.bad_member", str(lie), "--way", way, *join(bad)))
        if not wait_until(lambda: all(len(device.metrics()) >= rounds for device in honest), SECONDS):
            print(
                f"{way}: no {rounds} rounds within {SECONDS:.0f} s:\n{processes[0].output()[-2000:]}", file=sys.stderr
            )
        end([*processes, *liars])
        named = [rounds_until_named(process) for process in processes]
        return Outcome([last_loss(device) for device in honest], named)


def last_loss(device: Device) -> float:
    """Nats a token of the newest checkpoint, on the device's held-out text."""
    return held_out_loss(device, read((device.folder / "checkpoints" / "latest").resolve()))


def rounds_until_named(process: HostProcess) -> int | None:
    before, named, _ = process.output().partition(NAMED)
    if not named or "host1" not in before.splitlines()[-1]:
        return None
    return len(re.findall(r"^.*round \d+ .*with .*host1", before, re.MULTILINE))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poisoned", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=POISONS, default=POISONS, metavar="WAY")
    parser.add_argument("--of", type=int, default=4, help="devices, the bad one among them (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    arguments = parser.parse_args()
    failed, without = False, float("nan")
    print("| way | held-out | ÷ without | rounds until named | |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="cellmind-poisoned-") as folder, Lan(arguments.of, LINK_MBITS) as lan:
        devices = [Device(host, Path(folder) / host.name, {**SETTINGS, "model": MODEL}) for host in lan.hosts]
        found(devices)
        for way in sorted(arguments.only, key=lambda way: way != NONE):
            outcome = run(devices, way, arguments.rounds)
            if way == NONE:
                without = mean(outcome.losses)
            worst = max(outcome.losses) / without
            is_bad = way != NONE and not worst <= MOST_WORSE
            if arguments.of > 2 and way not in (NONE,):
                is_bad |= any(rounds is None or rounds > MOST_ROUNDS for rounds in outcome.rounds)
            failed |= is_bad
            losses = " ".join(f"{loss:.3f}" for loss in outcome.losses)
            rounds = " ".join("never" if count is None else str(count) for count in outcome.rounds)
            print(f"| {way} | {losses} | {worst:.3f} | {rounds} | {'fails' * is_bad} | {load()}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

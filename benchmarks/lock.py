"""What a lock costs the devices of a run:  python -m benchmarks.lock --turns 6 --seconds 45

Two devices of a tiny model exchange on a test LAN, and their owner locks the run and opens it again, in turns: so a
machine that drifts is as slow for both. Prints what they exchange in a minute, what that takes of the wire and of the
processor, and the means of all turns, locked ÷ open.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import mean

from benchmarks.cold_starts import load
from benchmarks.scene import LINK_MBITS, Scene
from benchmarks.time_to_loss import wait
from benchmarks.wifi import processor_seconds, traffic
from tests.lan import Lan

START_SECONDS = 60.0  # in which a newcomer is given the text, and the models are judged
SETTLING_SECONDS = 15.0  # after a command, in which the others take it over


@dataclass(frozen=True)
class Turn:
    """What two devices have done in some seconds."""

    exchanges: float  # a minute
    megabytes: float  # a minute, sent and received by both
    processor: float  # seconds a minute, of all processes of both

    def over(self, other: Turn) -> Turn:
        """Return this one ÷ another, figure by figure."""
        return Turn(*(figure / its for figure, its in zip(astuple(self), astuple(other))))

    def __str__(self) -> str:
        return f"| {self.exchanges:.4g} | {self.megabytes:.4g} | {self.processor:.4g} |"


def measure(scene: Scene, seconds: float) -> Turn:
    """Return what the devices do from now on."""
    hosts = [device.host for device in scene.devices]
    pids = [pid for host in hosts for pid in host.pids()]
    moved = sum(map(traffic, hosts))
    worked, began = processor_seconds(pids), time.time()
    wait(lambda: False, began + seconds)
    ended, worked = time.time(), processor_seconds(pids) - worked
    moved, minutes = sum(map(traffic, hosts)) - moved, (ended - began) / 60
    return Turn(scene.exchanges(began, ended), moved / minutes, worked / minutes)


def average(turns: list[Turn]) -> Turn:
    """Return the mean of each figure."""
    return Turn(*map(mean, zip(*map(astuple, turns))))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lock", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=6, help="open and locked, each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=45.0, help="of each (default: %(default)s)")
    arguments = parser.parse_args()
    print("| | exchanges a minute | MB a minute | processor's seconds a minute |\n|" + " --- |" * 4)
    with tempfile.TemporaryDirectory(prefix="cellmind-lock-") as folder, Lan(5, LINK_MBITS) as lan:
        scene = Scene(lan, Path(folder), locked=False, seconds=arguments.seconds)
        scene.begin()
        wait(lambda: False, time.time() + START_SECONDS)
        is_locked = False
        turns: dict[bool, list[Turn]] = {False: [], True: []}
        for number in range(arguments.turns):
            for locked in (True, False) if number % 2 else (False, True):  # neither is always the later one
                if locked != is_locked:
                    scene.owner(*(("--lock", "--yes") if locked else ("--unlock",)))
                is_locked = locked
                wait(lambda: False, time.time() + SETTLING_SECONDS)
                turns[locked].append(measure(scene, arguments.seconds))
                print(f"| {'locked' if locked else 'open'} {turns[locked][-1]} {load()}", flush=True)
        print(f"| locked ÷ open {average(turns[True]).over(average(turns[False]))}")
        scene.stop()


if __name__ == "__main__":
    main()

"""The faults that befall a household's devices: a schedule that follows from a seed alone, kept as JSON lines.

Its test: python -m pytest tests/benchmarks/test_chaos.py. What faults do to real devices is in `benchmarks/chaos.py`.
"""

from __future__ import annotations

import enum
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path


class Kind(enum.StrEnum):
    """The kinds of faults; the comment says what `duration` is."""

    KILL = "kill -9"  # seconds until the same line is typed again
    STOP = "stop"  # SIGSTOP of all its processes; seconds until SIGCONT
    CUT = "cut"  # its cable; seconds until it is mended
    PARTITION = "partition"  # the targets on one side, everybody else on the other; seconds until it heals
    BOOTSTRAP = "bootstrap killed"  # seconds until it is started again
    ALL_KILLED = "all killed"  # kill -9 of every device at once; seconds until the same line is typed again on all
    CLOCK = "clock jumped"  # three hours ahead; seconds until it jumps back
    DISK = "disk full"  # seconds until there is room again
    GARBAGE = "garbage"  # random bytes to its ports; seconds that they come


AWAY = (Kind.KILL, Kind.STOP, Kind.CUT)  # in which a device is nobody to the others
SECONDS = {
    Kind.KILL: (3.0, 30.0),
    Kind.STOP: (15.0, 60.0),
    Kind.CUT: (10.0, 60.0),
    Kind.PARTITION: (45.0, 90.0),
    Kind.BOOTSTRAP: (10.0, 60.0),
    Kind.ALL_KILLED: (2.0, 10.0),
    Kind.CLOCK: (30.0, 90.0),
    Kind.DISK: (20.0, 60.0),
    Kind.GARBAGE: (5.0, 20.0),
}
DECK = {  # in how many of so many faults each happens
    Kind.KILL: 6,
    Kind.STOP: 4,
    Kind.CUT: 4,
    Kind.PARTITION: 1,
    Kind.BOOTSTRAP: 2,
    Kind.ALL_KILLED: 1,
    Kind.CLOCK: 2,
    Kind.DISK: 2,
    Kind.GARBAGE: 2,
}
GAP_SECONDS = (8.0, 32.0)  # between the begin of one fault and of the next
RECOVERY_SECONDS = 15.0  # after a fault is over, in which the same device has no other one
CALM_SECONDS = (15.0, 75.0)  # without faults at the begin, and at the end (of a short run, a quarter of it at most)
LEAST_UNDISTURBED = 2  # devices that are not away, at any moment


@dataclass(frozen=True)
class Fault:
    """A fault from `time` on, for `duration` seconds. `target` holds numbers of devices, from 0; none for the LAN."""

    time: float
    fault: Kind
    target: tuple[int, ...]
    duration: float

    @property
    def end(self) -> float:
        return self.time + self.duration

    def __str__(self) -> str:
        whom = ", ".join(f"host{number + 1}" for number in self.target)
        return f"{self.fault}{' of ' if whom else ''}{whom} for {self.duration:.0f} s"


def schedule(seed: int, peers: int, minutes: float) -> list[Fault]:
    """Return the faults of so many devices in so many minutes, in order; the same for the same arguments.

    A device has one fault at a time. All are killed, and a partition is made, only while nothing else is the matter
    with anybody, since the end of one fault must not undo another. ValueError for fewer than three devices.
    """
    if peers <= LEAST_UNDISTURBED:
        raise ValueError(f"{peers} devices are too few: {LEAST_UNDISTURBED} of them are left alone at any time")
    dice = random.Random(f"{seed} {peers} {minutes}")
    last = 60 * minutes - calm_at_the_end(minutes)
    faults: list[Fault] = []
    deck: list[Kind] = []
    time = CALM_SECONDS[0]
    while True:
        if not deck:
            deck = [kind for kind, count in DECK.items() for _ in range(count)]
            dice.shuffle(deck)
        kind = deck.pop()
        duration = round(dice.uniform(*SECONDS[kind]), 1)
        if kind in (Kind.PARTITION, Kind.ALL_KILLED):
            time = max([time, *(fault.end + RECOVERY_SECONDS for fault in faults)])
        while (target := pick(dice, kind, peers, time, faults)) is None:
            time += 1.0
        if time + duration > last:
            return faults
        faults.append(Fault(round(time, 1), kind, target, duration))
        time += duration + RECOVERY_SECONDS if kind is Kind.ALL_KILLED else dice.uniform(*GAP_SECONDS)


def calm_at_the_end(minutes: float) -> float:
    """Seconds without faults at the end of so many minutes."""
    return min(CALM_SECONDS[1], 15 * minutes)


def pick(dice: random.Random, kind: Kind, peers: int, time: float, faults: list[Fault]) -> tuple[int, ...] | None:
    """Whom it happens to; None if there is nobody left for it at that time."""
    under_way = [fault for fault in faults if fault.end + RECOVERY_SECONDS > time]
    if kind is Kind.ALL_KILLED:
        return ()
    if kind is Kind.BOOTSTRAP:
        return None if any(fault.fault is kind for fault in under_way) else ()
    if kind is Kind.PARTITION:
        return tuple(sorted(dice.sample(range(peers), peers // 2)))
    busy = {number for fault in under_way if fault.fault is not Kind.PARTITION for number in fault.target}
    away = {number for fault in under_way if fault.fault in AWAY for number in fault.target}
    free = [number for number in range(peers) if number not in busy]
    if not free or (kind in AWAY and len(away) >= peers - LEAST_UNDISTURBED):
        return None
    return (dice.choice(free),)


def write(path: Path, header: dict[str, object], faults: list[Fault]) -> None:
    """A first line of whatever else the run was made of, and one a fault."""
    lines = [header, *(asdict(fault) for fault in faults)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read(path: Path) -> tuple[dict[str, object], list[Fault]]:
    """Read what `write` has written. Raises OSError, and ValueError that names the line."""
    header, *lines = path.read_text().splitlines() or [""]
    faults = []
    for number, line in enumerate(lines, start=2):
        try:
            entry = json.loads(line)
            target = tuple(int(device) for device in entry["target"])
            faults.append(Fault(float(entry["time"]), Kind(entry["fault"]), target, float(entry["duration"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}, is no fault ({error}): {line[:80]}") from error
    try:
        return dict(json.loads(header)), faults
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not begin with the line that says how many devices there were") from error

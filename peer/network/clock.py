"""The swarm's time: a device whose own clock is off by minutes or days takes part like any other.

hivemind counts expirations in Unix time and wants all clocks within 3 s of each other; phones and old laptops are not
that exact. So every process of a peer reads the time here: the device's clock as it was at the start, counted on by one
that never jumps, and shifted to the time of the swarm by the DHT node when it meets the first peer
(`peer/network/node.py`).
"""

from __future__ import annotations

import multiprocessing as mp
import sys
import time
from types import ModuleType

import hivemind  # noqa: F401 -- its modules have to be there to be told

AGREEMENT_SECONDS = 1.0  # two clocks no further apart are one: hivemind allows for 3 s, a busy device answers late

_shift = mp.Value("d", 0.0)  # children inherit it, and see it change
_read_hiveminds_clock = time.time


def _steady() -> float:
    """Seconds that no correction of the clock changes, sleep among them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # macOS counts sleep in the second


_began = _read_hiveminds_clock() - _steady()


def now() -> float:
    """The swarm's time, Unix seconds."""
    return _steady() + _began + shift()


def shift() -> float:
    """Seconds that this device's clock was behind the swarm's (below 0: ahead)."""
    return float(_shift.value)


def shift_by(seconds: float) -> None:
    """Take the time of others, who are so far ahead."""
    _shift.value += seconds


def install() -> None:
    """Let all of hivemind read the time here. Call before its processes start."""
    for name, module in list(sys.modules.items()):
        if name.startswith("hivemind") and _reads_the_systems_clock(module):
            module.get_dht_time = now  # type: ignore[attr-defined]


def _reads_the_systems_clock(module: ModuleType) -> bool:
    return getattr(module, "get_dht_time", None) is _read_hiveminds_clock


def difference(shift: float) -> str | None:
    """What to tell people of a clock that was shifted by so much; None if it is nothing to speak of."""
    if abs(shift) <= AGREEMENT_SECONDS:
        return None
    return f"this device's clock is {spoken(shift)} {'behind' if shift > 0 else 'ahead of'} the others': theirs is used"


def spoken(seconds: float) -> str:
    """A difference between clocks as people say it: "3 h 5 min", "2 days", "40 s"."""
    seconds = abs(seconds)
    for unit, size, smaller, part in (("days", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        rounded = round(seconds / part) * part
        if rounded >= size:
            whole, rest = divmod(rounded, size)
            return f"{whole} {unit}" + (f" {rest // part} {smaller}" if rest else "")
    return f"{seconds:.0f} s"

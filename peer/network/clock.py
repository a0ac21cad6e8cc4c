"""The swarm's time: a device whose own clock is off by minutes or days takes part like any other.

hivemind counts expirations in Unix time and wants all clocks within 3 s of each other; phones and old laptops are not
that exact. So every process of a peer reads the time here, and hivemind in it (`peer/network/hivemind_patches.py`): the
device's clock as it was at the start, counted on by one that never jumps, and shifted to the time that those who are
here agree on (`peer/network/common_time.py`).
"""

from __future__ import annotations

import multiprocessing as mp
import time

from peer.swarm.clocks import SAME_SECONDS

_shift = mp.Value("d", 0.0)  # children inherit it, and see it change


def _steady() -> float:
    """Return seconds that no correction of the clock changes, sleep among them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # macOS counts sleep in the second


_began = time.time() - _steady()


def now() -> float:
    """Return the swarm's time, Unix seconds."""
    return own() + shift()


def own() -> float:
    """Return the time by this device's own clock, Unix seconds, whatever the swarm's is."""
    return _steady() + _began


def shift() -> float:
    """Return the seconds that this device's clock was behind the swarm's (below 0: ahead)."""
    return float(_shift.value)


def shift_by(seconds: float) -> None:
    """Take the time of others, who are so far ahead."""
    _shift.value += seconds


def difference(shift: float) -> str | None:
    """Return what to tell people of a clock that was shifted by so much; None if it is nothing to speak of."""
    if abs(shift) <= SAME_SECONDS:
        return None
    return f"this device's clock is {spoken(shift)} {'behind' if shift > 0 else 'ahead of'} the others': theirs is used"


def spoken(seconds: float) -> str:
    """Return a difference between clocks as people say it: "3 h 5 min", "2 days", "40 s"."""
    seconds = abs(seconds)
    for unit, size, smaller, part in (("days", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        rounded = round(seconds / part) * part
        if rounded >= size:
            whole, rest = divmod(rounded, size)
            return f"{whole} {unit}" + (f" {rest // part} {smaller}" if rest else "")
    return f"{seconds:.0f} s"

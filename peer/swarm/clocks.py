"""Decide what time it is: the devices of a swarm go by one clock, and no single one of them can set it for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median_high, median_low

SAME_SECONDS = 1.0  # two clocks no further apart are one: hivemind allows for 3 s, a busy device answers late
FAR_SECONDS = 86_400.0  # a clock that is further off ours is hardly an honest one: see `believed`


def is_same(one: float, other: float) -> bool:
    """Return whether two clocks, in seconds ahead of ours, are one."""
    return abs(one - other) <= SAME_SECONDS


def is_shared(current: float, clocks: Iterable[float]) -> bool:
    """Return whether somebody goes by the time that we go by now."""
    return any(is_same(current, clock) for clock in clocks)


def believed(current: float, clocks: Mapping[str, float]) -> dict[str, float]:
    """Return the clocks that count at once, by peer id: not those that are more than a day off our device's own.

    An honest device may have such a clock, one without a battery say, and so may ours. But whoever is alone with a
    stranger would take any time from it, and then find nobody else. Such a clock counts where nobody else is here for
    a while (`peer/network/common_time.py`).

    :param current: the time that we go by now, which is not far
    """
    return {peer: clock for peer, clock in clocks.items() if abs(clock) <= FAR_SECONDS or is_same(clock, current)}


def agreed_time(me: str, current: float, clocks: Mapping[str, float], patient: bool = True) -> float:
    """Return the time to go by from now on, in seconds that it is ahead of this device's own clock.

    We stay where more than half of the others are. Else it is the median of all clocks, our device's own among them,
    whatever time we have taken over from somebody since: whoever could be reached by us alone does not keep us from
    those that are here. Where as many go by one time as by another, that of the lowest peer id counts, for all alike.

    :param me: our peer id
    :param current: the time that we go by now
    :param clocks: the time of each peer that has proved to be here, by peer id
    :param patient: those with whom we share no time may still come over to ours
    """
    if not clocks or 2 * sum(is_same(current, clock) for clock in clocks.values()) > len(clocks):
        return current
    votes = {**clocks, me: 0.0}
    low, high = median_low(votes.values()), median_high(votes.values())
    if not is_same(low, high):
        at_either = (peer for peer, vote in votes.items() if is_same(vote, low) or is_same(vote, high))
        wanted = votes[min(at_either)]
    else:
        wanted = low
    if is_same(wanted, current):
        wanted = current
    if wanted == current and not patient and not is_shared(current, clocks.values()):
        wanted = min((clock for clock in clocks.values()), key=lambda clock: abs(clock - current))
    return wanted

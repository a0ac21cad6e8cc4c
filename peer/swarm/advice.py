"""Advice where exchanges are late, rare or not worth their price: plain values in, plain words out.

The terminal says each of it once (`peer/training/announcements.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from peer.wire import Notice

SLOW_EXCHANGE_SECONDS = 2.0  # of a tiny model that is many steps, and nobody's loss
SLOW_EXCHANGE_STEPS = 16  # in simulation, what arrives up to 4 steps late is worth as much as what is 2 late
MUCH_LONGER = 10.0  # than what the others need between exchanges,
LONG_SECONDS = 10.0  # and long enough to matter
NOTICEABLE = 0.02  # of a device's speed


def advice(
    exchange_seconds: float, step_seconds: float, balance: tuple[float, float] | None, group: Iterable[Notice]
) -> Iterator[tuple[str, str]]:
    """Yield (subject, text) for everything that is to be said; the subject is what or whom it is about.

    :param balance: what exchanges take from this device's speed and what they bring it (`ExchangeSchedule.balance`)
    :param group: those at our anchor, ourselves among them
    """
    if exchange_seconds > max(SLOW_EXCHANGE_STEPS * step_seconds, SLOW_EXCHANGE_SECONDS):
        took = f"an exchange took {exchange_seconds:.0f} s, as long as {exchange_seconds / step_seconds:.0f} steps"
        late = "nobody waits for it, but what the others learn arrives late"
        yield "link", f"{took}: {late}; a faster Wi-Fi band or a cable would help"
    cost, gain = balance or (0.0, 0.0)
    if cost > max(gain, NOTICEABLE):
        price = f"exchanging takes {cost:.0%} of this device's speed, and what the others train is worth {gain:.0%}"
        mend = "plug slow devices in, end other programs there, or let them train a run of their own"
        yield "balance", f"{price}: alone it would learn faster; {mend}"
    held_up = held_up_by(group)
    if held_up is not None:
        slowest, others = held_up
        rare = f"{slowest.name} makes exchanges rare: one every {slowest.pause:.0f} s"
        often = f"the others could have one every {max(1.0, others):.0f} s"
        yield slowest.peer, f"{rare}, where {often}; plug it in, or end other programs on it"


def held_up_by(group: Iterable[Notice]) -> tuple[Notice, float] | None:
    """Return who makes exchanges much rarer than the others need, and the seconds that these would need.

    None where nobody does, or where there are not two others at least.
    """
    members = sorted(group, key=lambda member: member.pause)
    if len(members) < 3 or members[-1].pause <= max(MUCH_LONGER * members[-2].pause, LONG_SECONDS):
        return None
    return members[-1], members[-2].pause

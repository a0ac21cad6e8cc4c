"""Whether this device's model answers another device: plain values in, a decision out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from peer.wire_asking import Problem

MOST_AT_ONCE = 2  # answers that are written for others; one for each of them


def why_not(asker: str, here: Collection[str], asking: Sequence[str], rests: str) -> Problem:
    """Return why a device is not answered now; "" where it is.

    :param here: peer ids of those that have proved to be in our run
    :param asking: peer ids of those that are being answered
    :param rests: why this device does not train; where its chats are learnt it has all the time for answers
    """
    if rests and "learnt" not in rests:
        return "rests"
    if asker not in here or asker in asking or len(asking) >= MOST_AT_ONCE:
        return "busy"
    return ""

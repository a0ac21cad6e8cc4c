"""Decide who exchanges with whom: plain notices in, plain answers out."""

from __future__ import annotations

from collections.abc import Iterable

from peer.wire import Notice, Role


def can_exchange(me: Notice, others: Iterable[Notice]) -> bool:
    """Return whether an exchange can come about, now or soon.

    All in it have to reach somebody who puts the parts together.
    """
    able = [other for other in others if other.reachable and not other.paused]
    return me.reachable or in_company(me, able)


def groupmates(me: Notice, others: Iterable[Notice]) -> list[Notice]:
    """Return the others that stand at our anchor: those we can exchange with. Who rests is not waited for."""
    return [
        other
        for other in others
        if not other.paused and other.role == Role.TRAINING and (other.run_id, other.lineage) == (me.run_id, me.lineage)
    ]


def in_company(me: Notice, others: Iterable[Notice]) -> bool:
    """Return whether somebody of our run trains here, or is taking our state.

    Then the anchor has to be one that they can follow.
    """
    return any(other.run_id == me.run_id and other.role in (Role.JOINING, Role.TRAINING) for other in others)


def expected_group(me: Notice, others: Iterable[Notice], last_group: Iterable[str]) -> list[Notice]:
    """Return whom the next exchange is to be with.

    `last_group` are the peer ids of an exchange so short ago that notices may not have caught up with it: who was in it
    stands where we stand, or will in a moment.
    """
    others, last_group = list(others), set(last_group)
    mates = {mate.peer: mate for mate in groupmates(me, others)}
    for other in others:
        if other.peer in last_group and other.role == Role.TRAINING and other.run_id == me.run_id and not other.paused:
            mates[other.peer] = other
    return list(mates.values())


def somebody_falters(mates: list[Notice], others: Iterable[Notice], suspected: frozenset[str]) -> bool:
    """Return whether somebody has fallen silent who matters to where the anchor goes.

    Without mates everybody matters: the anchor would move on alone, while the silent others may go on elsewhere.
    """
    return any(other.peer in suspected for other in mates or others)


def wait_for_somebody(mates: list[Notice], others: Iterable[Notice], suspected: frozenset[str]) -> bool:
    """Return whether somebody is on the way to our anchor, which had better move rarely until they are here.

    A joiner counts only where there are no mates: it has the means of a while to take anyway. Who rests does not come,
    nor who may have left. Where most of a group are ready to go on, they have not heard of who comes: whoever waited
    without them would be on the way next.
    """
    awake = [other for other in others if not other.paused and other.peer not in suspected]
    training = [other for other in awake if other.role == Role.TRAINING]
    somebody_comes = len(mates) < len(training) if mates else bool(awake)
    return somebody_comes and not is_quorum(sum(mate.ready for mate in mates), len(mates) + 1)


def is_quorum(came: int, expected: int) -> bool:
    """Return whether so many of the expected peers may move the anchor: more than half.

    Two groups that both may would split the swarm.
    """
    return 2 * came > expected

"""Decide who exchanges with whom: plain notices in, plain answers out."""

from __future__ import annotations

from collections.abc import Collection, Iterable

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


def mates_among(
    here: list[Notice], awaited: frozenset[str], known: frozenset[str], newcomers: frozenset[str]
) -> list[Notice]:
    """Return whom of those at our anchor the next exchange waits for.

    Where somebody is here that we know, strangers are not waited for, but for newcomers. Where nobody is, as at the
    start, all are.

    :param awaited: peer ids of those that come to exchanges, as far as we have seen
    :param known: of those that have moved the anchor with us
    :param newcomers: of strangers that have taken something from us lately
    """
    if any(mate.peer in known for mate in here):
        return [mate for mate in here if mate.peer in known or mate.peer in newcomers & awaited]
    return [mate for mate in here if mate.peer in awaited] or here


def somebody_falters(
    mates: list[Notice], others: Iterable[Notice], suspected: frozenset[str], trusted: frozenset[str]
) -> bool:
    """Return whether somebody has fallen silent who matters to where the anchor goes.

    Of our mates those matter that have been in an exchange with us. Without mates everybody does: the anchor would move
    on alone, while the silent others may go on elsewhere.
    """
    if mates:
        return any(mate.peer in suspected and mate.peer in trusted for mate in mates)
    return any(other.peer in suspected for other in others)


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


def holds_us_up(me: Notice, others: Iterable[Notice], trusted: frozenset[str], known: frozenset[str]) -> bool:
    """Return whether we make no exchange while we take the newer state that somebody claims to have.

    Where most of those that train stand at our anchor, a stranger's claim holds nobody up: they go on with each other,
    and take its state, if there is one, beside that. Most of those that we know, where one of them stands there:
    strangers may be as many as they like. Whom we trust has only been faster than we were. And where nobody
    stands with us there is no exchange to be held up.
    """
    others = list(others)
    training = [other for other in others if other.role == Role.TRAINING and not other.paused]
    ahead = [other for other in others if other.has_state and other.run_id == me.run_id and other.state > me.state]
    mates = groupmates(me, training)
    if any(mate.peer in known for mate in mates):
        mates, training = ([other for other in some if other.peer in known] for some in (mates, training))
    most_are_here = bool(mates) and is_quorum(len(mates) + 1, len(training) + 1)
    return not most_are_here or any(other.peer in trusted for other in ahead)


def full_group(awaited: Collection[str], there: Collection[str], expected: int) -> int:
    """Return with how many peers a group is full, ourselves among them, and need wait for nobody else.

    Whoever is there without having been waited for takes nobody's place, for it may have come to do that.

    :param awaited: peer ids of those that we wait for
    :param there: of those that have come
    :param expected: peers that the best informed of those that we believe expects
    """
    return max(1 + len({*awaited, *there}), expected)


def is_quorum(came: int, expected: int) -> bool:
    """Return whether so many of the expected peers may move the anchor: more than half.

    Two groups that both may would split the swarm.
    """
    return 2 * came > expected

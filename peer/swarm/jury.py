"""What others say of a state, where a device has no text to judge by: those that have some have looked at it, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from peer.wire import Notice, Role

JUDGING_SECONDS = 20.0  # that others have to take a newer state and to look at it


def judges_among(known: Iterable[Notice], donor: str) -> list[Notice]:
    """Return who can tell whether the donor's state is good: of those that we know, who trains and has text for it."""
    return [other for other in known if other.peer != donor and other.role == Role.TRAINING and other.judges]


def said_by(judges: list[Notice], donor: str, waited: float) -> Literal["take", "wait", "refuse"]:
    """Return what becomes of a donor's newer state: half of the judges are enough to refuse it.

    :param waited: seconds since the donor was first seen ahead of us
    """
    refusing = sum(donor in judge.refuses for judge in judges)
    if judges and 2 * refusing >= len(judges):
        return "refuse"
    return "wait" if judges and waited < JUDGING_SECONDS else "take"

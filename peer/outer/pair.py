"""The other one of two: what it gives is held against what this device gives, for nobody else can tell.

Of three or more, the group is the measure (`peer/state/agreement.py`). Two can only go together or apart. Where what
the other one gives undoes what this device learns, or says nothing of it, in several exchanges in a row, this device
parts from it for a while, and goes on from where it stood when it first looked so. Two that learn small texts by
heart, each its own, undo much of each other's work, too: so it has to be plain.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from torch import Tensor

from peer.state.agreement import Look

EXCHANGES = 3  # in a row that this device has reduced a part of: they decide
UNDOES = -0.16  # cosine, on average: down to -0.12 honest ones got
DOUBTFUL = -0.04  # cosine of one exchange, from which on it is looked at more closely
WRONG_ANSWERS, ANSWERS = 2, 6  # of the last so many exchanges, in which the other one answered with what is no mean
CHANCE = 3.0  # deviations of chance, in the likeness: less is nothing in common. Honest ones have little, and not none


class Pair:
    """What this device has seen of the one that it exchanges with, as long as it is with that one alone."""

    def __init__(self) -> None:
        self.before: list[Tensor] | None = None  # where we stood when we first doubted the other one
        self.to_leave = ""  # the other one, where that is decided
        self._other = ""
        self._looks: deque[Look] = deque(maxlen=EXCHANGES)
        self._answers: deque[bool] = deque(maxlen=ANSWERS)  # whether they were wrong

    def forget(self) -> None:
        """Begin anew: somebody else was in the exchange, or the other one is left."""
        self.before, self.to_leave, self._other = None, "", ""
        self._looks.clear()
        self._answers.clear()

    def answered(self, other: str, is_wrong: bool) -> None:
        """Take in an exchange with another one alone, and whether it answered with what is no mean of what we gave."""
        self._is_with(other)
        self._answers.append(is_wrong)
        if sum(self._answers) >= WRONG_ANSWERS:
            self.to_leave = other

    def _is_with(self, other: str) -> None:
        if other != self._other:
            self.forget()
            self._other = other

    def exchanged(self, other: str, look: Look, parameters: Callable[[], list[Tensor]]) -> None:
        """Take in what both have given in an exchange with another one alone, and decide whether it is to be left.

        :param parameters: returns a copy of ours
        """
        self._is_with(other)
        self._looks.append(look)
        if self.before is None and is_doubtful(look, DOUBTFUL):
            self.before = parameters()
        if len(self._looks) < EXCHANGES or self.before is None:
            return
        blocks = sum(look.blocks for look in self._looks)
        cosine, likeness = (
            sum(value * look.blocks for look, value in zip(self._looks, values)) / blocks
            for values in zip(*((look.cosine, look.likeness) for look in self._looks))
        )
        together = Look(cosine, likeness, blocks)
        if is_doubtful(together, UNDOES):
            self.to_leave = other
        elif not is_doubtful(together, DOUBTFUL):
            self.before = None


def is_doubtful(look: Look, undoes: float) -> bool:
    """Return whether what two give does not go together.

    :param undoes: the cosine below which it does not
    """
    return look.cosine < undoes or look.likeness < 1 + CHANCE * math.sqrt(2 / look.blocks)

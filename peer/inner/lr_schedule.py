"""Where the learning rate comes from: warm-up, plateau and decay, and what the company of other devices adds."""

from __future__ import annotations

import math
from collections.abc import Iterable

MAX_LR_FACTOR = 2.0


def lr_factor(speeds: Iterable[float]) -> float:
    """What the learning rate is multiplied by where peers of these speeds (tokens/s) average what they moved.

    The mean has less noise than one peer's own movement, by the root of how many peers it is worth: four equal ones
    take twice the rate, and a slow one beside a fast one changes little.

    A row of the embedding takes it twice over: it learns from the few places where its word stands, which most peers
    have not seen, so the mean has the less of what was learnt the more peers there are. (AdamW makes a step of the
    same length of any gradient, however rare.)
    """
    speeds = [speed for speed in speeds if speed > 0]
    if not speeds:
        return 1.0
    fastest = max(speeds)  # anybody may say that it is as slow as can be: the square of that is no number
    worth = sum(speed / fastest for speed in speeds) ** 2 / sum((speed / fastest) ** 2 for speed in speeds)
    return min(MAX_LR_FACTOR, math.sqrt(worth))


HOLD_SEQUENCES = 20_000  # the rate stays at its peak so long, and falls with the inverse square root from there
LEAST_LR_SHARE = 0.01  # of the peak: whoever says that the swarm has trained for ages stops nobody


def learning_rate(peak: float, trained: int, own: int, warmup_sequences: int) -> float:
    """The rate of the next step, where the swarm has trained so many sequences and this device's moments know `own`.

    Linear warm-up, a plateau, then 1/sqrt: a run has no known end, which rules out a cosine. The plateau and its end
    follow what the swarm has trained, so that joiners and resumed runs are at the right place. The warm-up follows what
    AdamW's moments have seen, for it is they that are not to be trusted at first (arXiv 1910.04209): with eight devices
    the swarm has trained enough after six steps of each, and the moments know nothing yet.
    """
    warm = min(1.0, (own + 1) / max(1, warmup_sequences))
    return peak * warm * max(LEAST_LR_SHARE, math.sqrt(HOLD_SEQUENCES / max(HOLD_SEQUENCES, trained)))

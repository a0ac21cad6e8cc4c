"""The parts of the learning rate. Every step takes it from `lr_of_next_step`:

    lr           = peak * factor * warm-up * decay
    embedding_lr = lr * factor

peak      `training.lr` of the settings
factor    what the company of other devices adds, from 1 alone to 2 (`lr_factor`; the outer loop knows the company)
warm-up   from nearly 0 to 1 by this device's own updates (`training.warmup_sequences`)
decay     1, and 1/sqrt from 20,000 sequences of the whole swarm on

`SynchronousInner` has no company to add anything: there hivemind takes `learning_rate` alone, once a round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from minigpt.settings import TrainingSettings

HOLD_SEQUENCES = 20_000  # lr stays at its peak so long, and falls with the inverse square root from there
LEAST_LR_SHARE = 0.01  # of the peak: whoever says that the swarm has trained for ages stops nobody
MAX_LR_FACTOR = 2.0


@dataclass(frozen=True)
class LearningRates:
    """The learning rates of one step."""

    lr: float
    embedding_lr: float  # of the embedding, which is the output layer as well


def lr_of_next_step(training: TrainingSettings, trained_by_all: int, own: int, factor: float) -> LearningRates:
    """Return the learning rates of this device's next step.

    :param training: has the peak and the length of the warm-up
    :param trained_by_all: sequences that the swarm has trained
    :param own: sequences that this device's AdamW moments have seen
    :param factor: `lr_factor` of the company
    """
    lr = learning_rate(training.lr * factor, trained_by_all, own, training.warmup_sequences)
    return LearningRates(lr, lr * factor)


def learning_rate(peak: float, trained: int, own: int, warmup_sequences: int) -> float:
    """Return the learning rate after `trained` sequences of the swarm, `own` of which this device's moments have seen.

    Linear warm-up, a plateau, then 1/sqrt: a run has no known end, which rules out a cosine. The plateau and its end
    follow what the swarm has trained, so that joiners and resumed runs are at the right place. The warm-up follows what
    AdamW's moments have seen, for they are what cannot be trusted at first (arXiv 1910.04209): with eight devices the
    swarm has trained enough after six steps of each, and the moments know nothing yet.
    """
    warm_up = min(1.0, (own + 1) / max(1, warmup_sequences))
    return peak * warm_up * max(LEAST_LR_SHARE, math.sqrt(HOLD_SEQUENCES / max(HOLD_SEQUENCES, trained)))


def lr_factor(speeds: Iterable[float]) -> float:
    """Return what to multiply the learning rate by where peers of these speeds (tokens/s) average what they moved.

    Their mean has less noise than one peer's movement alone, by the square root of how many peers it is worth: four
    equal ones take twice the learning rate, and a slow one beside a fast one changes little.

    The embedding takes the factor twice. A row of it learns from the few places where its word stands, which most peers
    have not seen: the more peers there are, the less of what one of them learnt is left in the mean. (AdamW makes a
    step of the same length of any gradient, however rare.)
    """
    speeds = [speed for speed in speeds if speed > 0]
    if not speeds:
        return 1.0
    fastest = max(speeds)  # anybody may say that it is as slow as can be: the square of that is no number
    worth = sum(speed / fastest for speed in speeds) ** 2 / sum((speed / fastest) ** 2 for speed in speeds)
    return min(MAX_LR_FACTOR, math.sqrt(worth))

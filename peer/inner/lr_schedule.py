"""The parts of the learning rate. Every step takes it from `lr_of_next_step`:

    lr = peak * share * warm-up * decay

peak     `training.lr` of the settings; each group of parameters takes so many times of it (`optimizer.py`)
share    1, and half of it each time that training has diverged on this device (`peer/training/divergence.py`)
warm-up  from nearly 0 to 1 by this device's own updates (`training.warmup_sequences`)
decay    1, and 1/sqrt from 20,000 sequences of the whole swarm on

Company changes nothing here: it lengthens the way of the anchor (`peer/state/anchor.py`, `gain`). `SynchronousInner`
has no part of its own in it either: there hivemind takes `learning_rate`, once a round.
"""

from __future__ import annotations

import math

from minigpt.settings import TrainingSettings

HOLD_SEQUENCES = 20_000  # lr stays at its peak so long, and falls with the inverse square root from there
LEAST_LR_SHARE = 0.01  # of the peak: whoever says that the swarm has trained for ages stops nobody


def lr_of_next_step(training: TrainingSettings, trained_by_all: int, own: int, share: float = 1.0) -> float:
    """Return the learning rate of this device's next step.

    :param training: has the peak and the length of the warm-up
    :param trained_by_all: sequences that the swarm has trained
    :param own: sequences that this device's moments have seen
    :param share: of the peak that is left to this device
    """
    return learning_rate(training.lr * share, trained_by_all, own, training.warmup_sequences)


def learning_rate(peak: float, trained: int, own: int, warmup_sequences: int) -> float:
    """Return the learning rate after `trained` sequences of the swarm, `own` of which this device's moments have seen.

    Linear warm-up, a plateau, then 1/sqrt: a run has no known end, which rules out a cosine. The plateau and its end
    follow what the swarm has trained, so that joiners and resumed runs are at the right place. The warm-up follows what
    the moments have seen, for they are what cannot be trusted at first (arXiv 1910.04209): with eight devices the
    swarm has trained enough after six steps of each, and the moments know nothing yet.
    """
    warm_up = min(1.0, (own + 1) / max(1, warmup_sequences))
    return peak * warm_up * max(LEAST_LR_SHARE, math.sqrt(HOLD_SEQUENCES / max(HOLD_SEQUENCES, trained)))

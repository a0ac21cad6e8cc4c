"""Regularization that grows with the passes over the text: what holds a model back from learning a small chat by heart.

In the first pass nothing is known by heart yet, and nothing holds training back. From then on some of the tokens that a
text is continued from are others (Data noising as smoothing, arXiv 1703.02573): what cannot be relied on word for word
is not learnt word for word. And the weights decay more (arXiv 2509.14786).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt import PADDING

GROWING_PASSES = 4.0  # from the end of the first pass until it is at its strongest
NOISE = 0.3  # of the input tokens, at most
WEIGHT_DECAY = (0.1, 1.0)  # of the matrices in the first pass, and at most
EMBEDDING_DECAY = (0.0, 1.0)


@dataclass(frozen=True)
class Regularization:
    """What a step is held back by."""

    noise: float  # share of the input tokens that are others
    weight_decay: float  # times the learning rate of a group, of its weights in a step
    embedding_decay: float

    @classmethod
    def after(cls, passes: float) -> Regularization:
        """Return what it is after so many passes of the swarm over its text."""
        strength = min(1.0, max(0.0, (passes - 1) / GROWING_PASSES))

        def grown(weakest: float, strongest: float) -> float:
            return weakest + (strongest - weakest) * strength

        return cls(grown(0.0, NOISE), grown(*WEIGHT_DECAY), grown(*EMBEDDING_DECAY))


def noised(input_ids: Tensor, share: float) -> Tensor:
    """Return input_ids (B, T) in which that share of the tokens is another one of them.

    Start symbols, … stay, and none comes to where there is none: it would cut a text in two (`mask_between_texts`).
    """
    tokens = input_ids[input_ids > PADDING]
    if not share or not len(tokens):
        return input_ids
    others = tokens[torch.randint(len(tokens), input_ids.shape)]
    is_other = (torch.rand(input_ids.shape) < share) & (input_ids > PADDING)
    return torch.where(is_other, others, input_ids)

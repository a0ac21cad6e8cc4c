"""Made-up movement, about as noisy as that of real training, and what bad devices give in its place."""

from __future__ import annotations

import torch
from torch import Tensor

from peer.state.codec import BLOCK, PART

NUMBERS = PART


def movement(seed: int, signal: float = 0.2, text: int = 0) -> Tensor:
    """What an honest peer gives: what all learn, most of it in a few blocks, what is of its text alone, and noise."""
    common, own, noise = (
        torch.randn(NUMBERS, generator=torch.Generator().manual_seed(number))
        for number in (1, 1000 + text, 5000 + seed)
    )
    blocks = torch.arange(NUMBERS // BLOCK).repeat_interleave(BLOCK)
    common *= torch.where(blocks % 6 == 0, 4.0, 0.25)
    if text:  # what is learnt from another text is partly the opposite
        common *= torch.where(blocks % 12 == 0, -0.6, 0.6)
    return signal * (common + (own if text else 0)) + noise


def random(seed: int) -> Tensor:
    return torch.randn(NUMBERS, generator=torch.Generator().manual_seed(9000 + seed))

"""The anchor: the parameters the swarm agrees on, and how it moves by what its peers have moved.

DiLoCo's words (arXiv 2311.08105): what a peer has moved away from the anchor is its pseudo-gradient; the outer step
moves the anchor by the swarm's mean of it. It crosses the wire in two bits a number, its mean in four
(`peer/codec.py`), so that it can do so every few steps and arrives a few steps later. Nobody waits meanwhile: a peer
then moves by what the anchor moved relative to where the peer stood when it gave, and keeps what it has trained since
(arXiv 2501.18512).

The mean is of movement a step, weighted by sequences, and the anchor makes as many steps of it as the peer that trained
most: a slow peer adds what its gradients say, and does not hold the fast one back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from peer.codec import PART, code_bytes, decode, encode

GIVEN_BITS, MEAN_BITS = 2, 4
LIMIT = 30.0  # learning rates a step, root mean square: AdamW moves a number by one or two at most
MAX_MOVE = 20.0  # of the anchor's norm: a tiny model may well move by five times that while a joiner takes its state
CHUNK = 2**16  # numbers that go through all arithmetic while they are in the processor's cache


class SwarmState:
    """The anchor, and what this peer could not say yet. Codes for it have `given_bytes` and `mean_bytes`.

    :param anchor: the parameters the swarm agreed on, on the CPU
    :param rate: the run's learning rate, the unit in which movements a step are given
    """

    def __init__(self, anchor: nn.Module, rate: float):
        self._rate = rate
        self.parameters = [parameter.detach() for parameter in anchor.parameters()]
        numbers = sum(parameter.numel() for parameter in self.parameters)
        padded = -(-numbers // PART) * PART
        self._numbers = torch.zeros(padded)  # one for every parameter, and padding
        self._left = torch.zeros(padded)  # what the codes given so far could not say
        self.given_bytes = code_bytes(padded, GIVEN_BITS)
        self.mean_bytes = code_bytes(padded, MEAN_BITS)

    @torch.no_grad()
    def begin(self, parameters: Sequence[Tensor]) -> None:
        """A new anchor, from which nothing has moved yet."""
        for anchored, parameter in zip(self.parameters, parameters):
            anchored.copy_(parameter)
        self._left.zero_()

    @torch.no_grad()
    def give(self, parameters: Sequence[Tensor], steps: int, code: Tensor) -> None:
        """Write what `parameters` have moved away from the anchor, a step, into `code`; what is lost is kept."""
        for left, anchored, parameter in self._chunks(self._left, self.parameters, parameters):
            left.add_(parameter).sub_(anchored)
        torch.mul(self._left, 1 / (steps * self._rate), out=self._numbers)
        encode(self._numbers, GIVEN_BITS, code)
        self.take_back(code, -steps)

    @torch.no_grad()
    def take_back(self, code: Tensor, steps: int) -> None:
        """What was given did not become part of a mean: it is to be given again."""
        decode(code, GIVEN_BITS, self._numbers)
        self._left.add_(self._numbers, alpha=steps * self._rate)

    def agree_alone(self, given: Tensor, mean: Tensor) -> None:
        """The mean's code of one peer's share."""
        decode(given, GIVEN_BITS, self._numbers)
        encode(self._numbers, MEAN_BITS, mean)

    @torch.no_grad()
    def move(self, code: Tensor, steps: int) -> None:
        """Move the anchor by `steps` times the mean in `code`, with the same bits on every peer.

        Raises ValueError, with the anchor as it was, for a mean that no honest peers can have moved.
        """
        decode(code, MEAN_BITS, self._numbers)
        norm = float(self._numbers.norm())
        size = norm / math.sqrt(len(self._numbers))
        if not size <= LIMIT:  # also where it is not a number
            raise ValueError(f"the mean movement a step is {size:.3g} learning rates, and {LIMIT:g} are not believable")
        anchor = math.sqrt(sum(float(parameter.norm()) ** 2 for parameter in self.parameters))
        move = norm * steps * self._rate
        if move > MAX_MOVE * anchor:
            raise ValueError(f"{steps} steps of the mean movement are {move:.3g}, and the anchor itself {anchor:.3g}")
        for numbers, anchored in self._chunks(self._numbers.mul_(steps * self._rate), self.parameters):
            anchored.add_(numbers)

    def _chunks(self, flat: Tensor, *lists: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Chunk by chunk what belongs together in a flat tensor and in lists of tensors."""
        at = 0
        for tensors in zip(*lists):
            size = tensors[0].numel()
            parts = [flat[at : at + size], *(tensor.detach().cpu().view(-1) for tensor in tensors)]
            yield from zip(*(part.split(CHUNK) for part in parts))
            at += size


@torch.no_grad()
def stand(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Remember where a peer stands when it gives."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def follow(parameters: Sequence[Tensor], swarm: SwarmState, stood: Sequence[Tensor]) -> None:
    """Move a peer to where the anchor is now, and on by what it has trained since it stood there."""
    for parameter, anchored, position in zip(parameters, swarm.parameters, stood):
        parameter.sub_(position).add_(anchored.to(parameter.device))

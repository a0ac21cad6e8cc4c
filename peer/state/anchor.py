"""The anchor: the parameters the swarm agrees on, and how it moves by what its peers have moved.

DiLoCo's words (arXiv 2311.08105): what a peer has moved away from the anchor is its pseudo-gradient; the outer step
moves the anchor by the swarm's mean of it. It crosses the wire in two bits a number, its mean in four
(`peer/state/codec.py`), so that it can do so every few steps and arrives a few steps later; after many steps, where the
link allows, both in eight. Nobody waits meanwhile: a peer then moves by what the anchor moved relative to where the
peer stood when it gave, and keeps what it has trained since (arXiv 2501.18512).

The mean is of movement a step, weighted by sequences, and the anchor makes about as many steps of it as the peer that
trained most: a slow peer adds what its gradients say, and does not hold the fast one back. That is true of a short way,
which leads on in the same direction; of a long one the mean is what it is, as averaged parameters are.

What a peer trained while others moved the anchor without it is no step on from where they are now: both began at the
same place. Such a peer stays where it is, and says how far that is from the anchor: the anchor is never moved twice by
what everybody's gradients say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from peer.state.codec import PART, bits_of, decode, encode, payload_bytes

COARSE, FINE = 2, 8  # bits a number in what a peer gives
MEAN_BITS = {COARSE: 4, FINE: 8}  # and in the mean, where that is the least that one of them gives
LONG = 32  # steps: who made more of them made a long way
LIMIT = 30.0  # learning rates a step, root mean square: AdamW moves a number by one or two at most
MAX_MOVE = 20.0  # of the anchor's norm: a tiny model may well move by five times that while a joiner takes its state
CHUNK = 2**16  # numbers that go through all arithmetic while they are in the processor's cache


def padded(numbers: int) -> int:
    """How many numbers a code says for so many parameters."""
    return -(-numbers // PART) * PART


class Anchor:
    """The anchor, and what this peer could not say yet. A code for it says `size` numbers, in the bits it is asked for.

    :param anchor: the parameters the swarm agreed on, on the CPU
    :param rate: the run's learning rate, the unit in which movements a step are given
    """

    def __init__(self, anchor: nn.Module, rate: float):
        self._rate = rate
        self.parameters = [parameter.detach() for parameter in anchor.parameters()]
        self.size = padded(sum(parameter.numel() for parameter in self.parameters))
        self._numbers = torch.zeros(self.size)  # one for every parameter, and padding
        self._left = torch.zeros(self.size)  # what the codes given so far could not say

    @torch.no_grad()
    def begin(self, parameters: Sequence[Tensor]) -> None:
        """A new anchor, which did not come about by means that we have, and from which nothing has been said yet."""
        for anchored, parameter in zip(self.parameters, parameters):
            anchored.copy_(parameter)
        self._left.zero_()

    @torch.no_grad()
    def give(self, parameters: Sequence[Tensor], steps: int, bits: int) -> Tensor:
        """The code of what `parameters` have moved away from the anchor, a step; what is lost in it is kept."""
        for left, anchored, parameter in self._chunks(self._left, self.parameters, parameters):
            left.add_(parameter).sub_(anchored)
        torch.mul(self._left, 1 / self._stride(steps), out=self._numbers)
        code = torch.empty(payload_bytes(self.size, bits), dtype=torch.uint8)
        encode(self._numbers, bits, code, LIMIT)  # a way that counts as few steps, after a while apart, may be longer
        self._decode(code)
        self._left.sub_(self._numbers, alpha=self._stride(steps))
        return code

    @torch.no_grad()
    def take_back(self, code: Tensor, steps: int, stood: Sequence[Tensor], anchor: Sequence[Tensor]) -> None:
        """What was given, from `anchor` to `snapshot`, did not become part of the mean: it is to be given again."""
        self._decode(code)
        self._left.add_(self._numbers, alpha=self._stride(steps))
        for left, anchored, parameter in self._chunks(self._left, anchor, stood):
            left.sub_(parameter).add_(anchored)

    def agree_alone(self, given: Tensor) -> Tensor:
        """The mean's code of one peer's share."""
        bits = MEAN_BITS[self._decode(given)]
        mean = torch.empty(payload_bytes(self.size, bits), dtype=torch.uint8)
        encode(self._numbers, bits, mean)
        return mean

    @torch.no_grad()
    def move(self, code: Tensor, steps: int) -> None:
        """Move the anchor by `steps` times the mean in `code`, with the same bits on every peer.

        Raises ValueError, with the anchor as it was, for a mean that no honest peers can have moved.
        """
        self._decode(code)
        norm = float(self._numbers.norm())
        size = norm / math.sqrt(len(self._numbers))
        if not size <= LIMIT:  # also where it is not a number
            raise ValueError(f"the mean movement a step is {size:.3g} learning rates, and {LIMIT:g} are not believable")
        anchor = math.sqrt(sum(float(parameter.norm()) ** 2 for parameter in self.parameters))
        move = norm * self._stride(steps)
        if move > MAX_MOVE * anchor:
            raise ValueError(f"{steps} steps of the mean movement are {move:.3g}, and the anchor itself {anchor:.3g}")
        for numbers, anchored in self._chunks(self._numbers.mul_(self._stride(steps)), self.parameters):
            anchored.add_(numbers)

    def _stride(self, steps: int) -> float:
        """How far a 1 in a code leads, where it stands for so many steps."""
        return min(steps, LONG) * self._rate

    def _decode(self, code: Tensor) -> int:
        bits = bits_of(len(code), self.size)
        assert bits is not None, "whoever takes codes from elsewhere checks their sizes"
        decode(code, bits, self._numbers)
        return bits

    def _chunks(self, flat: Tensor, *lists: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Chunk by chunk what belongs together in a flat tensor and in lists of tensors."""
        at = 0
        for tensors in zip(*lists):
            size = tensors[0].numel()
            parts = [flat[at : at + size], *(tensor.detach().cpu().view(-1) for tensor in tensors)]
            yield from zip(*(part.split(CHUNK) for part in parts))
            at += size


@torch.no_grad()
def snapshot(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Remember where a peer stands when it gives."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def follow(parameters: Sequence[Tensor], swarm: Anchor, stood: Sequence[Tensor], share: float = 1.0) -> None:
    """Move a peer by a share of the way from `snapshot` to where the anchor is now.

    All the way from where it stood when it gave: it comes to the anchor, and on by what it has trained since.
    """
    for parameter, anchored, position in zip(parameters, swarm.parameters, stood):
        parameter.add_(anchored.to(parameter.device) - position.to(parameter.device), alpha=share)


def steps_of(group: Iterable[tuple[int, int]]) -> int:
    """How many steps the anchor takes for (sequences, steps) of each peer: about as many as who trained most took.

    It is their mean weighted by the cube of sequences, in the steps of who trained most: of a fast and a slow one the
    fast one's, and of equal ones, of which chance lets one make more steps than another this time, not what the
    luckiest made. In one process, eight that made 3 to 7 steps learnt less where the anchor made 7 (docs/log.md).
    """
    group = list(group)
    most, steps = max(group)
    weighed, weights = (sum(sequences**power for sequences, _ in group) for power in (4, 3))
    return round(steps * weighed / (most * weights))

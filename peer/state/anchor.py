"""The anchor: the parameters the swarm agrees on, and how they move by what its peers have moved.

In DiLoCo's words (arXiv 2311.08105), what a peer has moved away from the anchor is its pseudo-gradient, and the outer
step moves the anchor by the swarm's mean of it. The pseudo-gradient crosses the wire in two bits a number, its mean in
four (`peer/state/codec.py`), so that this can happen every few steps and takes no more than a few. After many steps,
where the link allows it, both take eight. Nobody waits for the mean: when it is here, a peer moves by as much as the
anchor moved relative to where the peer was when it gave, and keeps what it has trained since (arXiv 2501.18512).

The mean is of the movement in one step, weighted by sequences. The anchor makes about as many steps of it as the peer
that trained most. So a slow peer adds what its gradients say, and does not hold a fast one back. In company it makes
some more of them (`gain`). This holds for a short way, which leads on in the same direction; after a long way the mean
is taken as it is, as averaged parameters are.

What a peer trained while others moved the anchor without it does not lead on from where they are now: both began at the
same place. Such a peer stays where it is, and gives the way from the anchor of now to there. So the anchor is never
moved twice by what everybody's gradients say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from peer.state.codec import PART, bits_of, decode, encode, payload_bytes

COARSE, FINE = 2, 8  # bits a number in what a peer gives
MEAN_BITS = {COARSE: 4, FINE: 8}  # bits a number in the mean, by the fewest bits that one of its peers gives
LONG = 32  # steps, from which on a way is a long one
MOST_GAIN = 1.5  # times the steps of the peer that trained most, which the anchor makes in company
LIMIT = 30.0  # times what a step moves a number, root mean square: by one or two at most
# The same, of what a peer gives at once: ways of a few steps have 0.5 of it, and 1.3 at most (docs/log.md).
MOST_GIVEN = 2.0
MAX_MOVE = 20.0  # of the anchor's norm: a tiny model may well move by five times that while a joiner takes its state
CHUNK = 2**16  # numbers that go through all arithmetic while they are in the processor's cache


def padded(numbers: int) -> int:
    """Return how many numbers the payload of so many parameters holds: the next multiple of PART."""
    return -(-numbers // PART) * PART


class Anchor:
    """The anchor's parameters, and what this peer's payloads could not say yet.

    :param model: on the CPU, whose parameters become the anchor's: they are read and moved in place
    :param units: for each parameter, how far one step moves its numbers: movement is given in that unit
    """

    def __init__(self, model: nn.Module, units: Sequence[float]):
        self._units = units
        self.parameters = [parameter.detach() for parameter in model.parameters()]
        self._numbers = sum(parameter.numel() for parameter in self.parameters)
        self.size = padded(self._numbers)  # numbers in a payload
        self._decoded = torch.zeros(self.size)  # what a payload says: a number for every parameter, and padding
        self._residual = torch.zeros(self.size)  # what the payloads so far could not say, in units

    @torch.no_grad()
    def begin(self, parameters: Sequence[Tensor]) -> None:
        """Begin a new anchor at these parameters, to which no means lead that we have.

        Nothing has been given from it yet, and nothing is left to say.
        """
        for anchored, parameter in zip(self.parameters, parameters):
            anchored.copy_(parameter)
        self._residual.zero_()

    @torch.no_grad()
    def give(self, parameters: Sequence[Tensor], steps: int, bits: int) -> Tensor:
        """Return the payload of the pseudo-gradient, divided by `steps`; what is lost in it is kept for the next one.

        After a while apart a long way may count as few steps, and the anchor may make many of them: led on, it would
        end far behind this peer. So no more is given at once than so many steps make, and the rest the next times.

        :param parameters: this peer's, which are so many steps away from the anchor
        :param bits: of each number, COARSE or FINE
        """
        for unit, (residual, anchored, parameter) in self._chunks(self._residual, self.parameters, parameters):
            residual.add_(parameter - anchored, alpha=1 / unit)
        size = float(self._residual.norm()) / math.sqrt(self._numbers)
        share = min(1.0, MOST_GIVEN * steps / size) if size else 1.0
        torch.mul(self._residual, share / stride(steps), out=self._decoded)
        payload = torch.empty(payload_bytes(self.size, bits), dtype=torch.uint8)
        encode(self._decoded, bits, payload, LIMIT)
        self._decode(payload)
        self._residual.sub_(self._decoded, alpha=stride(steps))
        return payload

    @torch.no_grad()
    def take_back(self, payload: Tensor, steps: int, given_at: Sequence[Tensor], anchor: Sequence[Tensor]) -> None:
        """Undo a `give` whose payload did not become part of the mean: it is to be given again.

        :param given_at: the parameters that it was given of
        :param anchor: the anchor's parameters at that time
        """
        self._decode(payload)
        self._residual.add_(self._decoded, alpha=stride(steps))
        for unit, (residual, anchored, parameter) in self._chunks(self._residual, anchor, given_at):
            residual.sub_(parameter - anchored, alpha=1 / unit)

    def agree_alone(self, given: Tensor) -> Tensor:
        """Return the payload of the mean of what one peer gave."""
        bits = MEAN_BITS[self._decode(given)]
        payload = torch.empty(payload_bytes(self.size, bits), dtype=torch.uint8)
        encode(self._decoded, bits, payload)
        return payload

    @torch.no_grad()
    def move(self, payload: Tensor, steps: float) -> None:
        """Move the anchor by `steps` times the mean in the payload, to the same bits on every peer.

        Raise ValueError, with the anchor as it was, for a mean that no honest peers can have moved by.
        """
        self._decode(payload)
        size = float(self._decoded.norm()) / math.sqrt(len(self._decoded))
        if not size <= LIMIT:  # also where it is not a number
            raise ValueError(f"the mean movement is {size:.3g} times a step, and {LIMIT:g} are not believable")
        for unit, (numbers, _) in self._chunks(self._decoded, self.parameters):
            numbers.mul_(unit * stride(steps))  # apart from the sum: in one, the last bit is the processor's affair
        way = float(self._decoded[: self._numbers].norm())
        anchor_norm = math.hypot(*(float(parameter.norm()) for parameter in self.parameters))
        if way > MAX_MOVE * anchor_norm:
            raise ValueError(
                f"{steps:.0f} steps of the mean movement are {way:.3g}, and the anchor itself {anchor_norm:.3g}"
            )
        for _, (numbers, anchored) in self._chunks(self._decoded, self.parameters):
            anchored.add_(numbers)

    def _decode(self, payload: Tensor) -> int:
        """Decode a payload into `_decoded`; return its bits a number."""
        bits = bits_of(len(payload), self.size)
        assert bits is not None, "whoever takes payloads from elsewhere checks their sizes"
        decode(payload, bits, self._decoded)
        return bits

    def _chunks(self, flat: Tensor, *lists: Sequence[Tensor]) -> Iterator[tuple[float, tuple[Tensor, ...]]]:
        """Yield what belongs together, chunk by chunk: the unit, and views of a flat tensor and of lists of tensors."""
        at = 0
        for unit, *tensors in zip(self._units, *lists):
            size = tensors[0].numel()
            parts = [flat[at : at + size], *(tensor.detach().cpu().view(-1) for tensor in tensors)]
            yield from ((unit, chunks) for chunks in zip(*(part.split(CHUNK) for part in parts)))
            at += size


def stride(steps: float) -> float:
    """Return how many steps a movement of so many is taken for: a way beyond LONG does not lead on."""
    return min(steps, LONG)


@torch.no_grad()
def snapshot(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return a copy of the parameters as they are now."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def follow(parameters: Sequence[Tensor], anchor: Anchor, origin: Sequence[Tensor], share: float = 1.0) -> None:
    """Move a peer's parameters by a share of the way from `origin` to where the anchor is now.

    By all of the way from where the peer was when it gave, it comes to the anchor and, on top, keeps what it has
    trained since.
    """
    for parameter, anchored, begin in zip(parameters, anchor.parameters, origin):
        parameter.add_(anchored.to(parameter.device) - begin.to(parameter.device), alpha=share)


def gain(samples: Iterable[int]) -> float:
    """Return how many times as many steps the anchor makes where a mean is of so many sequences of each peer.

    A step of Muon is of one length, however much of it is noise. Of the mean of several peers' steps less is noise, and
    so it is shorter than any of them; made as long again, it leads further (docs/log.md, "a longer outer step").
    """
    samples = list(samples)
    # so many equal peers have as little noise in their mean (Kish's effective sample size)
    equal_ones = sum(samples) ** 2 / max(1, sum(count**2 for count in samples))
    return min(MOST_GAIN, math.sqrt(max(1.0, equal_ones)))


def steps_of(group: Iterable[tuple[float, int]]) -> int:
    """Return how many steps the anchor makes, about as many as the peer that trained most.

    It is the mean of the steps that each peer would have made with batches of the usual size, weighted by the cube of
    its sequences. At least half of the sequences were trained in batches of that size or larger ones: so what one of
    several says of its steps alone decides nothing. Of a fast and a slow peer that is what the fast one made. Of equal
    peers, of which chance lets one make more steps than another this time, it is not what the luckiest one made: in one
    process, eight that made 3 to 7 steps learnt less where the anchor made 7 (docs/log.md).

    :param group: (sequences, steps) of each peer
    """
    batches = [(min(steps, sequences) / sequences, sequences) for sequences, steps in group if sequences]
    weighed, weights = (sum(sequences**power for _, sequences in batches) for power in (4, 3))
    before, half = 0.0, sum(sequences for _, sequences in batches) / 2
    for steps_of_a_sequence, sequences in sorted(batches):
        before += sequences
        if before >= half:
            return round(steps_of_a_sequence * weighed / weights)
    return 0


def credited(group: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Return how many sequences of each peer count for the run: what weighs, or as much as all others' if that is more.

    Whoever comes back after a time apart has trained many that do not weigh. But a round is not over, and the learning
    rate does not fall, by what one device says.

    :param group: (sequences, those of them that weigh) by peer id
    """
    weights = sum(weight for _, weight in group.values())
    if len(group) < 2:
        return {peer: samples for peer, (samples, _) in group.items()}
    return {peer: min(samples, max(weight, weights - weight, 1)) for peer, (samples, weight) in group.items()}

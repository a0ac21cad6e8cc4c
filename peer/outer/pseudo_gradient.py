"""The pseudo-gradient: what this device has trained and its anchor does not hold yet (DiLoCo, arXiv 2311.08105).

It is given once at an anchor. Until the anchor has moved by it, it is not forgotten: what was given in vain is given
again, after a restart as well. What was trained beside the others, while they moved the anchor, counts but does not
weigh: both began at the same place, and the anchor is not to be moved twice by what everybody's gradients say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.checkpoint.manifest import Standing
from peer.device.memory import is_out_of_memory
from peer.inner.loop import InnerLoop
from peer.state.anchor import Anchor, follow, snapshot
from peer.state.means import Mean

# Of two that began alike and went their own ways, the mean is better than either of them; of two that parted before
# they had learnt much it is no model at all. The loss half way tells which (arXiv 1912.05671: a barrier between them).
FITTING = 1.01  # times the loss at the newer anchor, half way: up to there what was learnt apart is kept


@dataclass(frozen=True)
class Given:
    """A pseudo-gradient that was given at this anchor, until the anchor has moved."""

    steps: int  # own steps in it
    samples: int  # sequences that these were trained on
    weight: int  # sequences of them that weigh in the mean
    bits: int  # of each number in the payload
    payload: Tensor  # uint8, as peer/state/codec.py has it
    parameters: list[Tensor]  # a copy of ours when it was given


class PseudoGradient:
    """The way from the anchor to the inner loop's parameters, and how much training is in it.

    It moves the inner loop's parameters along with the anchor.

    :param standing: the record that was kept with the checkpoint that we go on from
    """

    def __init__(self, inner: InnerLoop, anchor: Anchor, standing: Standing):
        self._inner, self._anchor = inner, anchor
        self.samples = standing.offered  # own sequences that are not in the anchor yet
        self.beside = standing.beside  # sequences of them that were trained while others moved the anchor
        self.given: Given | None = None
        self.given_until = inner.steps - standing.steps  # own steps up to which movement has been given
        # own steps up to which they happened at the same time as those in means that we missed
        self._matched_until = inner.steps

    @property
    def steps(self) -> int:
        """The own steps whose movement is not in the anchor."""
        return self._inner.steps - self.given_until + (self.given.steps if self.given is not None else 0)

    def trained(self, sequences: int) -> None:
        """Count the sequences of one more inner step."""
        self.samples += sequences

    def count_again(self, sequences: int) -> None:
        """Count sequences that are in an anchor of ours, and not in the one that we take now."""
        self.samples += sequences

    def begin(self) -> None:
        """Begin at a new anchor: nothing has been given at it, and there is nothing to give."""
        self.given = None
        self.given_until = self._matched_until = self._inner.steps

    @torch.no_grad()
    def give(self, bits: Callable[[float], int]) -> Given | None:
        """Return what is given at this anchor, the same until it has moved; None where nothing was trained.

        :param bits: tells the bits a number, for the seconds of training that are in it
        """
        if self.given is None and (steps := self.steps):
            weight = min(self.samples, max(1, self.samples - self.beside))
            seconds = steps * self._inner.step_seconds * self.samples / max(1, weight)  # those beside as well
            payload = self._anchor.give(self._inner.parameters, steps, precision := bits(seconds))
            self.given = Given(steps, self.samples, weight, precision, payload, snapshot(self._inner.parameters))
            self.given_until = self._inner.steps
        return self.given

    def arrived(self) -> None:
        """Follow the anchor, which has moved by a mean that ours is in; what was trained meanwhile is kept."""
        assert self.given is not None, "it was given"
        follow(self._inner.parameters, self._anchor, self.given.parameters)
        self.samples -= self.given.samples
        self.beside, self.given = 0, None
        self._matched_until = self.given_until

    @torch.no_grad()
    def missed(self, mean: Mean, before: Sequence[Tensor], own_samples: int) -> None:
        """Follow the anchor, which has moved by a mean that what we give now is not in.

        :param before: the anchor's parameters before it moved
        :param own_samples: sequences of ours in the mean, which we gave before this device was ended
        """
        if self.given is not None:
            self._anchor.take_back(self.given.payload, self.given.steps, self.given.parameters, before)
            self.given_until -= self.given.steps
            self.given = None
        self.samples = max(0, self.samples - own_samples)
        self.beside = min(self.beside, self.samples)
        parallel = (self._inner.steps - self._matched_until) / mean.count
        follow(self._inner.parameters, self._anchor, before, 1 - min(1.0, parallel))
        self._matched_until = min(self._inner.steps, self._matched_until + mean.count)
        self._weigh_at_most(mean.count)

    def reach_back(self, steps: int, count: int) -> None:
        """At an anchor from elsewhere, let the last `steps` own steps be what leads to us; `count` of them weigh."""
        self.given_until = self._inner.steps - steps
        self._weigh_at_most(count)

    def _weigh_at_most(self, count: int) -> None:
        """However long we were apart, let what we give weigh no more than `count` steps: as many as others make."""
        if self.steps > count:
            self.beside = self.samples - round((self.samples - self.beside) * count / self.steps)
            self.given_until = self._inner.steps - count

    def fits(self) -> bool:
        """Return whether it does the anchor no harm to move half of the way to us, as an exchange of two would.

        Where there is no memory to judge by, it is taken to fit.
        """
        try:
            half_way, there = self._inner.losses_towards(self._anchor.parameters, (0.5, 1.0))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return True
        return half_way <= FITTING * there

    def give_up(self) -> int:
        """Go to where the anchor is; return how many sequences nothing is left of."""
        given_up = self.samples
        self._inner.go_to(self._anchor.parameters)
        self.drop()
        return given_up

    def drop(self) -> None:
        """Begin where the anchor is where we are: there is nothing to give, and nothing was trained since."""
        self.samples = self.beside = 0
        self.begin()

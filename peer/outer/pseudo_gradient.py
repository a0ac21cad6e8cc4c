"""What this device has trained and the anchor does not hold yet: its pseudo-gradient (DiLoCo, arXiv 2311.08105).

It is given at one anchor once. Until the anchor has moved by it, it is not forgotten: what was given in vain is given
again, after a restart as well. What was trained while others moved the anchor counts, and does not weigh: both began at
the same place, and the anchor is not to be moved twice by what everybody's gradients say.
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
FITTING = 1.01  # times the loss at the newer state, half way: up to there what was learnt apart is kept


@dataclass(frozen=True)
class Given:
    """What was given at this anchor, until it has moved."""

    steps: int
    samples: int
    weight: int
    bits: int
    code: Tensor
    stood: list[Tensor]  # where we were then


class PseudoGradient:
    """From the anchor in `swarm` to the parameters of `inner`, which it moves along with the anchor.

    :param standing: what of it was kept with the checkpoint that we go on from
    """

    def __init__(self, inner: InnerLoop, swarm: Anchor, standing: Standing):
        self._inner, self._swarm = inner, swarm
        self.samples = standing.offered  # own sequences that are not in the anchor yet
        self.beside = standing.beside  # of them were trained while others moved the anchor
        self.given: Given | None = None
        self.given_until = inner.steps - standing.steps  # own steps up to which movement has been given
        self._matched_until = inner.steps  # and up to which others' means, which we missed, tell of the same time

    @property
    def steps(self) -> int:
        """Own steps whose movement is not in the anchor."""
        return self._inner.steps - self.given_until + (self.given.steps if self.given is not None else 0)

    def begin(self) -> None:
        """At a new anchor nothing has been given yet, and there is nothing to give."""
        self.given = None
        self.given_until = self._matched_until = self._inner.steps

    @torch.no_grad()
    def give(self, bits: Callable[[float], int]) -> Given | None:
        """What is given at this anchor, the same until it has moved; None where nothing was trained.

        :param bits: how precisely, by the seconds of training in it
        """
        if self.given is None and (steps := self.steps):
            weight = min(self.samples, max(1, self.samples - self.beside))
            seconds = steps * self._inner.step_seconds * self.samples / max(1, weight)  # those beside as well
            code = self._swarm.give(self._inner.parameters, steps, precision := bits(seconds))
            self.given = Given(steps, self.samples, weight, precision, code, snapshot(self._inner.parameters))
            self.given_until = self._inner.steps
        return self.given

    def arrived(self) -> None:
        """The anchor has moved by a mean that ours is in: follow it, and keep what was trained meanwhile."""
        assert self.given is not None, "it was given"
        follow(self._inner.parameters, self._swarm, self.given.stood)
        self.samples -= self.given.samples
        self.beside, self.given = 0, None
        self._matched_until = self.given_until

    @torch.no_grad()
    def missed(self, mean: Mean, before: Sequence[Tensor], own_samples: int) -> None:
        """The anchor has moved, from `before`, by a mean that what we give now is not in.

        :param own_samples: given and gone in before we were ended
        """
        if self.given is not None:
            self._swarm.take_back(self.given.code, self.given.steps, self.given.stood, before)
            self.given_until -= self.given.steps
            self.given = None
        self.samples = max(0, self.samples - own_samples)
        self.beside = min(self.beside, self.samples)
        parallel = (self._inner.steps - self._matched_until) / mean.count
        follow(self._inner.parameters, self._swarm, before, 1 - min(1.0, parallel))
        self._matched_until = min(self._inner.steps, self._matched_until + mean.count)
        self._weigh(mean.count)

    def reach_back(self, steps: int, count: int) -> None:
        """At an anchor from elsewhere: so many own steps lead to us from it, which weigh no more than `count` steps."""
        self.given_until = self._inner.steps - steps
        self._weigh(count)

    def _weigh(self, count: int) -> None:
        """However long we were apart, what we have to say weighs no more than so many steps: as long as others take."""
        if self.steps > count:
            self.beside = self.samples - round((self.samples - self.beside) * count / self.steps)
            self.given_until = self._inner.steps - count

    def fits(self) -> bool:
        """Whether it does the anchor no harm to be moved to where we are: half of the way, as an exchange of two would.

        Where there is no memory to judge by, it is taken to fit.
        """
        try:
            half_way, there = self._inner.losses_towards(self._swarm.parameters, (0.5, 1.0))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return True
        return half_way <= FITTING * there

    def give_up(self) -> int:
        """Go to where the anchor is; returns of how many sequences nothing is left."""
        given_up = self.samples
        self._inner.go_to(self._swarm.parameters)
        self.drop()
        return given_up

    def drop(self) -> None:
        """The anchor is where we are, and there is nothing to say."""
        self.samples = self.beside = 0
        self.begin()

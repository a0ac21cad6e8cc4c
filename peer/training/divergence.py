"""Training that diverges: the loss tells it, and this device goes back to a state that was good, at half the rate.

A learning rate that is too high for a run makes the loss rise, or be no number at all. A text that got harder makes it
rise as well, and so do devices with other texts, but then no earlier state does better on the same batches: that is
looked at before anything is given up. In company the device goes back to the anchor, where the others stand, and what
it has moved since is dropped, not given.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from torch import Tensor

from minigpt.checkpoint.manifest import CheckpointError
from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.memory import is_out_of_memory
from peer.inner.loop import InnerLoop
from peer.outer.interface import OuterLoop
from peer.training.best_state import BestState

NOT_FINITE = 20  # steps in a row with no finite loss or gradient: one alone is a step that was left out, and no more
BLOCK = 20  # steps, whose mean loss counts as one
RISING = 5  # blocks: a hundred steps that the loss is too high, and does not fall again
REMEMBERED = 25  # blocks, of which the lowest is compared with: a text that got harder is the usual one in the end
RISE = 0.5  # nats a token above the lowest
BETTER = 0.1  # nats a token: two states a few steps apart differ by less on two batches
AGAIN = 1000  # steps: a rate that has diverged so soon after it was halved is far too high, and is quartered
LEAST_SHARE = 1 / 64  # of `training.lr`: what diverges even there has another cause


class Divergence:
    """Tells from the losses of steps whether training has diverged.

    :param know_nothing: the loss of a model that knows nothing, nats per token
    """

    def __init__(self, know_nothing: float):
        self._know_nothing = know_nothing
        self._not_finite = 0  # steps in a row
        self._block: list[float] = []
        self._means: deque[float] = deque(maxlen=REMEMBERED)

    def begin(self) -> None:
        """Begin anew, where the parameters do not go on from where they were."""
        self._not_finite = 0
        self._block = []
        self._means.clear()

    def add(self, loss: float) -> str:
        """Take in the loss of one more step; return why training has diverged, in a few words, or nothing.

        It has where steps have no finite loss any more, and where the loss has been well above its lowest for most of
        a hundred steps and is not on its way down.
        """
        if not math.isfinite(loss):
            self._not_finite += 1
            return f"{NOT_FINITE} steps had no finite loss" if self._not_finite == NOT_FINITE else ""
        self._not_finite = 0
        self._block.append(loss)
        if len(self._block) < BLOCK:
            return ""
        self._means.append(sum(self._block) / BLOCK)
        self._block = []
        means = list(self._means)
        before, last = means[:-RISING], means[-RISING:]
        lowest = min([self._know_nothing, *before])
        pairs = [(one + other) / 2 for one, other in pairwise(last)]  # which chance moves less
        if len(last) < RISING or min(pairs[0], median(last)) < lowest + RISE:
            return ""
        if pairs[-1] < max(pairs):  # it falls again, as with a text that got harder all at once
            return ""
        return f"the loss has risen from {lowest:.1f} to {last[-1]:.1f}"


class Recovery:
    """Looks after the losses of this device, and takes it back where its training has diverged.

    :param best: the best state so far; None where none is kept
    """

    def __init__(
        self, inner: InnerLoop, outer: OuterLoop, best: BestState | None, settings: Settings, display: Display
    ):
        self.lr_share = 1.0  # of the settings' learning rate, as long as this program runs
        self._inner, self._outer, self._best, self._display = inner, outer, best, display
        self._lr = settings.training.lr
        # with synchronous averaging, hivemind makes the step and sets the rate, for all devices alike
        self._is_possible = settings.swarm.averaging == "background"
        self._know_nothing = math.log(inner.model.vocab_size)
        self._divergence = Divergence(self._know_nothing)
        self._why = ""  # to go back, as soon as that is possible
        self._steps = AGAIN  # since it last went back, or enough

    def begin(self) -> None:
        """Begin to watch anew, at a newer state of others."""
        self._divergence.begin()
        self._why = ""

    def stepped(self, loss: float) -> None:
        """Take in the loss of one more step; where training has diverged, go back and say so."""
        if not self._is_possible or self.lr_share <= LEAST_SHARE:
            return
        self._steps += 1
        if not self._why:
            self._why = self._divergence.add(loss)
            if self._why and not self._is_certain(loss):
                self.begin()
        if self._why and self._outer.go_back():
            halved, divisor = ("quartered", 4) if self._steps <= AGAIN else ("halved", 2)
            self.lr_share = max(LEAST_SHARE, self.lr_share / divisor)
            self._display.note(
                f"{self._why}: the learning rate is {halved}, to {self.lr_share * self._lr:.2g}, and training goes on "
                f"from {self.good_state()} (training.lr {self._lr:g} is too high for this run? Found one with less)"
            )
            self._steps = 0
            self.begin()

    def _is_certain(self, loss: float) -> bool:
        """Return whether it is the training that made the loss rise, and not the text or the others' movement."""
        if not loss < self._know_nothing + RISE:
            return True
        anchor = list(self._outer.anchor_model.parameters())
        return self._is_better(anchor) or self._is_better(self._best_parameters())

    def good_state(self) -> str:
        """Go on from the best state, where nobody follows the anchor and it is the worse one; return what we are at."""
        anchor = f"the state of round {self._outer.progress.round}"
        if self._outer.is_shared:
            return f"{anchor}, where the other devices are" if self._outer.others else anchor
        best = self._best_parameters()
        if best is None or self._best is None or self._best.kept is None or not self._is_better(best):
            return anchor
        self._inner.reset(best)
        return f"the best state, of round {self._best.kept[0].round}"

    def _best_parameters(self) -> list[Tensor] | None:
        """Return the parameters of the best state; None where there is none, or it cannot be read."""
        try:
            found = None if self._best is None else self._best.parameters(self._display.note)
        except CheckpointError as error:
            self._display.note(f"the best state cannot be read: {error}")
            return None
        return None if found is None else [found[name] for name, _ in self._inner.model.named_parameters()]

    def _is_better(self, parameters: Sequence[Tensor] | None) -> bool:
        """Return whether the next batches are clearly easier with other parameters; False without memory to tell."""
        if parameters is None:
            return False
        try:
            here, there = self._inner.losses_towards(parameters, (0.0, 1.0))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return math.isfinite(there) and not here <= there + BETTER

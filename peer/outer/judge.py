"""The judge of this device: it looks at a state from elsewhere before that is believed, on the device's own texts.

A number of sequences says nothing of how good a state is, and anybody can make it up. So a state that our own exchanges
have not led to is taken only where it foretells this device's held-out text nearly as well as what this device has had
at its best: it is compared with that, and not with what we are now, so that many small steps downwards do not add up.

The half of a household that has trained on other texts for a while has forgotten much of ours, up to three quarters in
a small model, and is worth taking all the same: half of the way to it, where an exchange leads, we know most of both.
With weights that were made up, that is not so. After a long time apart it is not so either, and whoever knows something
is believed then. Both tell less, and count for devices only that have moved the anchor with us (docs/log.md).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

from torch import Tensor

from minigpt.held_out import HeldOut
from peer.device.memory import is_out_of_memory
from peer.inner.loop import InnerLoop

# Of what has been learnt at our best, so much may be lost: in a state of anybody's; in that of a device which was apart
# from us, and may have trained on other texts alone; and half of the way to it, where it was not apart for long.
MOST_LOST, MOST_LOST_APART, MOST_LOST_HALF_WAY = 0.25, 0.85, 0.45
MOST_LOST_OF_TRAINED = 0.5  # in a state of anybody's, by text that is trained on, of which we know some by heart
LEAST_LEARNT = 0.6  # nats a token: a device that has learnt less has nothing to lose yet that could be told from chance
NOISE = 3.0  # nats a token, divided by the root of the tokens: what chance makes of the loss of two states
FEWEST_TOKENS = 500  # held out, with fewer of which a device asks others


class Trust(enum.Enum):
    """Whoever gives a state, as far as this device has seen it."""

    STRANGER = "has never moved the anchor with us"
    MATE = "has moved the anchor with us lately"
    LONG_APART = "has, so long ago that it may be anywhere; or we have always been alone"


class Judge:
    """Finds out whether a state is one to take.

    :param inner: whose model is shown the texts, with other parameters for a moment
    :param held_out: texts of this device that are not trained on; None where it has none. Then it judges by what it
        trains on next, which tells less
    :param lowest: the loss on them of the best state of earlier starts, nats per token
    """

    def __init__(self, inner: InnerLoop, held_out: HeldOut | None = None, lowest: float = math.inf):
        self._inner = inner
        self._held_out = held_out if held_out is not None and held_out.tokens >= FEWEST_TOKENS else None
        self._know_nothing = math.log(inner.model.vocab_size)
        self._lowest = lowest if self.can_tell else math.inf

    @property
    def can_tell(self) -> bool:
        """True where this device has held-out text enough to judge by."""
        return self._held_out is not None

    def learnt(self, loss: float) -> None:
        """Take in the loss of a state of ours on the held-out texts, nats per token."""
        if self.can_tell:
            self._lowest = min(self._lowest, loss)

    def objection(self, theirs: Sequence[Tensor], ours: Sequence[Tensor], trust: Trust = Trust.STRANGER) -> str:
        """Return why parameters from elsewhere are not to be taken in the place of our anchor's; "" where they are.

        Without memory to tell it has nothing to say.

        :param trust: in whoever gives them
        """
        try:
            their_loss = self._loss(theirs)
            if their_loss <= self._most(self._lowest):
                return ""  # whatever we are now
            our_loss = self._loss(ours)
            best = min(our_loss, self._lowest)
            if their_loss <= max(self._most(best), our_loss + self._noise if self.can_tell else 0.0):
                return ""
            if trust is not Trust.STRANGER and self._lost(their_loss, best) <= MOST_LOST_APART:
                if trust is Trust.LONG_APART:
                    return ""
                half_way = [one.lerp(other.to(one), 0.5) for one, other in zip(ours, theirs)]
                if self._lost(self._loss(half_way), best) <= MOST_LOST_HALF_WAY:
                    return ""
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return ""
        text = "held-out text" if self.can_tell else "text"
        return f"on this device's {text} it has {their_loss:.2f}, and ours {best:.2f}"

    def _most(self, best: float) -> float:
        """Return the highest loss with which a state of anybody's is taken.

        Beside that, what is no worse than we are now is taken: who has learnt by heart has left its best behind.

        :param best: that we have had; infinite where that is not known
        """
        if not math.isfinite(best):
            return -math.inf
        share = MOST_LOST if self.can_tell else MOST_LOST_OF_TRAINED
        return best + share * self._learnt(best) + self._noise

    @property
    def _noise(self) -> float:
        """What chance makes of the difference of two losses, nats a token."""
        return NOISE / math.sqrt(FEWEST_TOKENS if self._held_out is None else self._held_out.tokens)

    def _learnt(self, best: float) -> float:
        return max(LEAST_LEARNT, self._know_nothing - best)

    def _lost(self, loss: float, best: float) -> float:
        """Return the share of what was learnt at our best that is lost with that loss; 1 or more where all is."""
        return (loss - best) / self._learnt(best) if math.isfinite(loss) else math.inf

    def _loss(self, parameters: Sequence[Tensor]) -> float:
        """Return the loss with such parameters, nats per token; training goes on from its own afterwards."""
        if self._held_out is None:
            return self._inner.losses_towards(parameters, (1.0,))[0]
        with self._inner.at(parameters) as model:
            return self._held_out.evaluate(model, self._inner.autocast, self._inner.block_attention)[0]

"""The outer loop as the trainer and the saver know it, whichever of the two it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from peer.outer.events import Event, RoundClosed
from peer.outer.traffic import Traffic
from peer.state.earlier import WentBack
from peer.wire import Judgement, Notice


@dataclass(frozen=True)
class ExchangeReport:
    """The state of exchanges in the background, for `peer/swarm/advice.py`."""

    seconds: float  # that the last exchange took, once its group was there; 0 before the first
    balance: tuple[float, float] | None  # see ExchangeSchedule.balance
    group: list[Notice]  # the peers at our anchor, ourselves first


class OuterLoop(Protocol):
    """Holds the anchor, and lets other devices and this one learn from each other.

    Whoever trains calls `trained` after every inner step, and `tick` after it; nothing else moves the anchor.
    """

    @property
    def anchor_model(self) -> MiniGPT:
        """The model with the anchor's parameters. Only `tick` changes them; whoever keeps them makes a copy."""

    @property
    def progress(self) -> Progress:
        """The anchor's place in the run: its round, the sequences behind it, its hash and lineage."""

    @property
    def standing(self) -> Standing:
        """The record of our own training that a checkpoint of now keeps, so that nothing is given twice."""

    @property
    def needs_checkpoint(self) -> bool:
        """True where others cannot follow us from our newest checkpoint, so that another one is needed now."""

    @property
    def is_shared(self) -> bool:
        """True where the anchor is a state of its own, which others follow."""

    @property
    def others(self) -> list[Notice]:
        """The other peers of our run that are here, training or about to."""

    @property
    def trained_by_all(self) -> int:
        """The sequences that the swarm has trained in this run, as far as we know."""

    @property
    def round_progress(self) -> int:
        """The sequences among them that belong to the round at hand."""

    @property
    def exchange_report(self) -> ExchangeReport | None:
        """The state of exchanges in the background; None where steps are made together, and there are none."""

    @property
    def traffic(self) -> Traffic:
        """The traffic of this device so far, as far as it is counted."""

    def trained(self, sequences: int) -> None:
        """Take in that the inner loop has made a step of so many sequences."""

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        """Do what is due, and yield what happened, each thing when it has just happened.

        Raise NetworkError where training cannot go on without what the network has lost.

        :param tokens_per_second: at which this device trains
        """

    def go_back(self) -> bool:
        """Go back to the anchor, give nothing of what was trained since, and forget the optimizer's moments.

        Return False where that cannot be now, for an exchange has part of it.
        """

    def return_to(
        self, parameters: Sequence[Tensor], progress: Progress, standing: Standing, went_back: WentBack
    ) -> bool:
        """Go back to an anchor that was ours, and give up all that has come since; tell the others.

        Return False where that cannot be now, for an exchange is under way.
        """

    def checkpoint_saved(self, samples: int) -> None:
        """Take in that a checkpoint with so many sequences behind it is whole on the disk."""

    def judged(self, loss: float) -> None:
        """Take in the held-out loss of a state of this device, nats per token."""

    def tell(self, judgement: Judgement) -> None:
        """Tell the others whether this device has something to gain from its chats."""

    def hurry(self) -> None:
        """Exchange as soon as others do, and not when the next exchange can be afforded."""

    def pause(self, why: str) -> None:
        """Tell the others that this device does not train now, and why, such as "battery at 9 %"."""

    def resume(self) -> None:
        """Tell the others that this device trains (again)."""

    def finish(self) -> RoundClosed | None:
        """Alone, let what was trained since the last round become the anchor, though the round is not full.

        Return the round; None in company, or where nothing was trained.
        """

    def stop(self) -> None:
        """End all that runs in the background. Waits a few seconds at most."""

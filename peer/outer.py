"""The outer loop: the anchor all peers agree on, and how it moves when a round closes.

DiLoCo's words (arXiv 2311.08105): the pseudo-gradient of a peer is anchor - parameters; the outer step takes the
swarm's mean of it, weighted by sequences, off the anchor. Plain averaging, until momentum has shown that it pays. The
exchange runs in the background, so parameters have moved on when its result comes: they move by what the anchor moved
relative to the snapshot that was sent, and what was trained meanwhile is kept (arXiv 2501.18512).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hivemind.averaging.control import StepControl
from torch import Tensor

from minigpt import checkpoint
from minigpt.manifest import OPTIMIZER, CheckpointError, Progress
from minigpt.model import MiniGPT
from peer.averager import MATCHMAKING_SECONDS, RoundAverager
from peer.membership import Notice, Role, groupmates, newer_state, round_is_over
from peer.network import Network, NetworkError
from peer.transfer import TransferError, verified

MAX_FAILURES = 3  # exchanges in a row, after which a peer closes the round alone; the newer state wins when they meet
MAX_MOVE = 4.0  # a tiny model's first round may well move it by twice its own norm
PAUSE_SECONDS = 1.0  # after a failed exchange or transfer


@dataclass(frozen=True)
class RoundClosed:
    """A round is over, and the anchor moved."""

    peers: list[str]  # names, our own first
    share: float  # of the round's sequences that were ours


@dataclass(frozen=True)
class CaughtUp:
    """Others were ahead; their anchor is ours now."""

    donor: str


@dataclass(frozen=True)
class Setback:
    """Something did not work, cost nothing but time, and is tried again."""

    reason: str


Event = RoundClosed | CaughtUp | Setback


class OuterLoop:
    """Holds the anchor and moves it, alone or with the swarm; `tick` after every inner step, it never waits.

    :param model: the model in training, whose parameters are moved along with the anchor
    :param anchor: a second model, on the CPU, that holds the parameters the swarm agreed on
    :param me: our notice, with everything in it that does not change
    """

    def __init__(
        self,
        *,
        model: MiniGPT,
        anchor: MiniGPT,
        progress: Progress,
        me: Notice,
        network: Network,
        samples_per_round: int,
        checkpoints: Path,
    ):
        self.model, self.anchor, self.progress = model, anchor.eval(), progress
        self.network, self.samples_per_round, self._checkpoints = network, samples_per_round, checkpoints
        self.offered = 0  # own sequences since the anchor
        self.others: list[Notice] = []  # of our run, training or about to
        self._me = me
        self._buffers = [torch.zeros_like(tensor) for tensor in anchor.parameters()]
        self._averager = RoundAverager(self._buffers, network.dht, me.run_id)
        self._exchange: _Exchange | None = None
        self._transfer: tuple[Notice, Callable[[], Path | None]] | None = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def bytes_sent(self) -> int:
        return self._averager.bytes_sent + self.network.view.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self._averager.bytes_received + self.network.view.bytes_received

    @property
    def offered_by_all(self) -> int:
        """Sequences that the swarm has trained towards the end of this round, as far as we know."""
        return self.offered + sum(mate.offered for mate in groupmates(self._notice(), self.others))

    def tick(self, tokens_per_second: float, step_seconds: float) -> Event | None:
        """Do what is due and return what happened, if anything did. Raises NetworkError if the averager has died."""
        if not self._averager.is_alive():
            raise NetworkError("the averager of this peer ended unexpectedly; start it again to go on")
        self._me = self._me.model_copy(
            update={"tokens_per_second": tokens_per_second, "step_seconds": step_seconds, "role": Role.TRAINING}
        )
        me = self._notice()
        view = self.network.post(me)
        self.others = [other for other in view.notices if other.run_id == me.run_id]
        if self._exchange is not None:
            return self._finish_exchange(self._exchange) if self._exchange.control.done() else None
        if self._transfer is not None:
            return self._finish_catching_up(*self._transfer)
        if time.monotonic() < self._not_before:
            return None
        ahead = newer_state(me, self.others)
        if ahead is not None:
            skip = (OPTIMIZER,)  # our own moments go on
            poll = self.network.fetch(ahead.peer, self.progress.run, self._checkpoints, skip=skip, newer_than=me.state)
            self._transfer = (ahead, poll)
            return None
        if not round_is_over(me, self.others, self.samples_per_round):
            return None
        mates = groupmates(me, self.others)
        if mates and self._failures < MAX_FAILURES:
            self._begin_exchange(mates)
            return None
        return self._close_alone()

    def stop(self) -> None:
        """End the averager's process. An exchange in flight is given a moment to serve the others."""
        deadline = time.monotonic() + 2
        while self._exchange is not None and not self._exchange.control.done() and time.monotonic() < deadline:
            time.sleep(0.05)
        if self._exchange is not None and not self._exchange.control.done():
            self._exchange.control.cancel()
        if self._averager.is_alive():
            self._averager.shutdown()
        if self._averager.is_alive():
            self._averager.kill()

    # ------------------------------------------------------------------ deciding is in membership.py; doing is here

    def _notice(self) -> Notice:
        return self._me.model_copy(
            update={
                "round": self.progress.round,
                "anchor": self.progress.anchor,
                "trained": self.progress.samples,
                "offered": self.offered,
                "exchanging": self._exchange is not None,
            }
        )

    @torch.no_grad()
    def _begin_exchange(self, mates: list[Notice]) -> None:
        own = pseudo_gradient(self.anchor, self.model)
        if not all(bool(tensor.isfinite().all()) for tensor in own):
            self._return_to_anchor()
            return
        for buffer, tensor in zip(self._buffers, own):
            buffer.copy_(tensor)
        slowest = max([self._me.step_seconds, *(mate.step_seconds for mate in mates)])
        control = self._averager.exchange(
            round=self.progress.round,
            anchor=self.progress.anchor,
            samples=self.offered,
            group_size=len(mates) + 1,
            patience=max(MATCHMAKING_SECONDS, 2 * slowest + 2),  # a phone looks up only between two long steps
        )
        names = {mate.peer: mate.name for mate in mates}
        self._exchange = _Exchange(control, own, self.offered, names)

    @torch.no_grad()
    def _finish_exchange(self, exchange: _Exchange) -> Event:
        self._exchange = None
        try:
            samples = {peer.to_base58(): int(given["samples"]) for peer, given in exchange.control.result().items()}
            check_mean(self._buffers, self.anchor)
        except Exception as error:
            self._failures += 1
            self._not_before = time.monotonic() + PAUSE_SECONDS
            return Setback(f"round {self.progress.round + 1} was not exchanged ({_reason(error)}); it is tried again")
        outer_step(self.anchor, self.model, exchange.own, self._buffers)
        self._failures = 0
        total = sum(samples.values())
        self.offered -= exchange.offered
        self._advance(total)
        others = sorted(exchange.names.get(peer, peer[-6:]) for peer in samples if peer != self._me.peer)
        return RoundClosed([self._me.name, *others], exchange.offered / total)

    @torch.no_grad()
    def _close_alone(self) -> Event | None:
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):
            self._return_to_anchor()
            return Setback("parameters were no longer finite; training goes on from the last round's")
        for anchored, parameter in zip(self.anchor.parameters(), self.model.parameters()):
            anchored.copy_(parameter)
        self._failures = 0
        trained, self.offered = self.offered, 0
        self._advance(trained)
        return RoundClosed([self._me.name], 1.0)

    def _advance(self, trained: int) -> None:
        anchor = checkpoint.parameter_hash(dict(self.anchor.named_parameters()))
        self.progress = replace(
            self.progress, round=self.progress.round + 1, samples=self.progress.samples + trained, anchor=anchor
        )

    @torch.no_grad()
    def _finish_catching_up(self, donor: Notice, poll: Callable[[], Path | None]) -> Event | None:
        """Take the newer anchor and move the parameters by the difference, so that own training since is kept."""
        try:
            folder = poll()
            if folder is None:
                return None
            newer, parameters = verified(folder)
            if newer.progress.run_id != self.progress.run_id:
                raise TransferError("it is the state of another run")
        except (TransferError, CheckpointError, OSError) as error:
            self._transfer, self._not_before = None, time.monotonic() + PAUSE_SECONDS
            return Setback(f"the newer state of {donor.name} could not be taken: {_reason(error)}; it is tried again")
        self._transfer = None
        for (name, anchored), parameter in zip(self.anchor.named_parameters(), self.model.parameters()):
            parameter.add_((parameters[name] - anchored).to(parameter.device))
            anchored.copy_(parameters[name])
        self.progress = replace(
            self.progress, round=newer.progress.round, samples=newer.progress.samples, anchor=newer.progress.anchor
        )
        self._failures = 0
        return CaughtUp(donor.name)

    @torch.no_grad()
    def _return_to_anchor(self) -> None:
        for anchored, parameter in zip(self.anchor.parameters(), self.model.parameters()):
            parameter.copy_(anchored)
        self.offered = 0


@dataclass(frozen=True)
class _Exchange:
    """An exchange in flight: what was sent, the sequences behind it, and who was expected."""

    control: StepControl
    own: list[Tensor]
    offered: int
    names: dict[str, str]


def pseudo_gradient(anchor: MiniGPT, model: MiniGPT) -> list[Tensor]:
    """anchor - parameters, on the CPU."""
    return [anchored - parameter.detach().cpu() for anchored, parameter in zip(anchor.parameters(), model.parameters())]


@torch.no_grad()
def outer_step(anchor: MiniGPT, model: MiniGPT, own: list[Tensor], mean: list[Tensor]) -> None:
    """Take the swarm's mean pseudo-gradient off the anchor, with the same bits on every peer.

    The model moves by (new anchor - snapshot), where snapshot = anchor - own is what was sent: what it has learnt since
    then is kept.
    """
    for anchored, parameter, mine, swarm in zip(anchor.parameters(), model.parameters(), own, mean):
        anchored.sub_(swarm)
        parameter.add_((mine - swarm).to(parameter.device))


def check_mean(mean: list[Tensor], anchor: MiniGPT) -> None:
    """Raises ValueError for a mean that is not finite, or so large that no honest round moves a model so far."""
    norm = torch.stack([tensor.norm() for tensor in mean]).norm()
    limit = torch.stack([parameter.norm() for parameter in anchor.parameters()]).norm()
    if not bool(norm <= MAX_MOVE * limit):  # false for NaN as well
        raise ValueError(f"the mean update has norm {norm:.3g}, the model itself {limit:.3g}")


def _reason(error: Exception) -> str:
    text = str(error).removeprefix("Unable to run All-Reduce: ") or type(error).__name__
    return text.splitlines()[0][:160]

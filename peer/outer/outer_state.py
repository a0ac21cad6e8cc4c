"""The state of the outer loop: the anchor, what is behind it, and what of our own training is not in it yet.

The anchor moves in three ways only, and all that hangs on it moves along: by a mean, by a newer anchor of somebody
else's, and, alone, to wherever the device is at the end of a round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from minigpt import checkpoint
from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.memory import is_out_of_memory
from peer.inner.loop import InnerLoop
from peer.inner.optimizer import movements_of_a_step
from peer.outer.catching_up import NewerAnchor
from peer.outer.events import CaughtUp
from peer.outer.pseudo_gradient import PseudoGradient
from peer.state.anchor import Anchor, follow, snapshot
from peer.state.contributions import Contributions
from peer.state.earlier import NEVER, WentBack
from peer.state.means import Mean

WORSE = 0.05  # nats a token, on two batches: by so much they are, and it is no chance


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint that a device goes on from, and the means that lead on from it."""

    anchor_model: MiniGPT  # a second model, on the CPU, which holds the anchor's parameters from now on
    progress: Progress
    standing: Standing  # the record that was kept with the checkpoint, if it is one of our own
    missed: Sequence[Path] = ()  # files of the means that moved the anchor since, in order
    written: float = math.inf  # when the checkpoint was, seconds of `time.time`; inf for just now
    went_back: WentBack = NEVER  # when this device last did


class Tally:
    """The sequences that have gone into the anchor in one round, by peer.

    :param began_at: sequences behind the anchor at the beginning of the round
    """

    def __init__(self, began_at: int):
        self.began_at = began_at
        self._samples: dict[str, int] = {}

    def add(self, samples: Mapping[str, int]) -> None:
        """Count the sequences in one mean, by peer id."""
        for peer, contributed in samples.items():
            self._samples[peer] = self._samples.get(peer, 0) + contributed

    @property
    def peers(self) -> list[str]:
        """The ids of the peers that gave."""
        return list(self._samples)

    def share(self, peer: str) -> float:
        """Return the part of all sequences that were this peer's, 0 to 1."""
        return self._samples.get(peer, 0) / max(1, sum(self._samples.values()))


class OuterState:
    """The anchor, and all that moves along with it.

    :param inner: the device's own training, whose parameters follow the anchor
    """

    def __init__(self, inner: InnerLoop, start: StartingPoint, settings: Settings):
        standing = start.standing
        if start.missed:  # what had been trained went into the first of them
            standing = standing.model_copy(update={"offered": 0, "beside": 0, "steps": 0})
        self.inner = inner
        self.anchor_model = start.anchor_model.eval()
        self.anchor = Anchor(start.anchor_model, movements_of_a_step(start.anchor_model, settings.training.lr))
        self.progress = replace(start.progress, lineage=start.progress.lineage_or_version)
        self.contributions = Contributions(standing)
        self.pseudo_gradient = PseudoGradient(inner, self.anchor, standing)
        self.tally = Tally(self.progress.samples)
        self._samples_per_round = settings.swarm.samples_per_round
        self._remember_anchor()

    @property
    def standing(self) -> Standing:
        """The record that a checkpoint of now keeps, so that whoever goes on from it knows what others have of us."""
        own = self.pseudo_gradient
        return Standing(
            own=self.contributions.own,
            offered=own.samples,
            beside=own.beside,
            steps=own.steps,
            met=self.contributions.met,
            moved_with=self.contributions.moved_with,
        )

    @torch.no_grad()
    def advance(self, mean: Mean, me: str) -> Tally | None:
        """Move the anchor by a mean, as everybody does, and follow it; return the tally of the round that this closes.

        Raise ValueError, with all as it was, for a mean that cannot be.

        :param me: our peer id
        """
        own, samples = self.pseudo_gradient, mean.samples.get(me, 0)
        is_in_it = own.given is not None and me in mean.samples
        before = [] if is_in_it else snapshot(self.anchor.parameters)
        self.anchor.move(mean.payload, mean.steps)
        if is_in_it:
            own.arrived()
        else:
            own.missed(mean, before, samples)
        self.tally.add(mean.samples)
        had = self.progress.samples
        has = had + sum(mean.samples.values())
        self.progress = replace(self.progress, samples=has, lineage=mean.lineage)
        self._remember_anchor(samples)
        self.contributions.together(mean.samples, with_us=is_in_it)
        return self.close_round() if has // self._samples_per_round > had // self._samples_per_round else None

    def close_round(self) -> Tally:
        """Close the round at hand, begin the next one, and return the tally of the closed one."""
        closed, self.tally = self.tally, Tally(self.progress.samples)
        self.progress = replace(self.progress, round=self.progress.round + 1, version=self._version())
        return closed

    def close_round_alone(self) -> bool:
        """Close a round with nobody else: what we are now becomes the anchor. Return whether it did.

        Where our parameters are no numbers any more, we go back to the anchor, and the round goes on.
        """
        own = self.pseudo_gradient
        if not all(math.isfinite(parameter.detach().sum()) for parameter in self.inner.parameters):
            self.go_back()
            return False
        self.anchor.begin(self.inner.parameters)
        trained, version = own.samples, self._version()
        own.drop()
        self.progress = replace(
            self.progress,
            round=self.progress.round + 1,
            samples=self.progress.samples + trained,
            version=version,
            lineage=version,
        )
        self.tally = Tally(self.progress.samples)
        self._remember_anchor(trained)
        return True

    def go_back(self) -> None:
        """Go back to the anchor, and forget what was trained since, together with what is left of it to be given."""
        self.inner.reset(self.anchor.parameters)
        self.anchor.begin(self.anchor.parameters)
        self.pseudo_gradient.drop()
        self._remember_anchor()

    def is_worse_than(self, parameters: Sequence[Tensor]) -> bool:
        """Return whether our parameters are clearly worse than others on the next batches of our text.

        False where there is no memory to tell.
        """
        try:
            here, there = self.inner.losses_towards(parameters, (0.0, 1.0))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return math.isfinite(there) and not here <= there + WORSE

    @torch.no_grad()
    def go_on_from(self, parameters: Sequence[Tensor]) -> None:
        """Train on from parameters of ours of a while ago, where those of now are clearly worse."""
        if self.is_worse_than(parameters):
            self.inner.go_to(parameters)
        self.inner.average.begin()

    def return_to(self, parameters: Sequence[Tensor], progress: Progress, standing: Standing) -> None:
        """Go back to an anchor that was ours, and give up all that has come since, the optimizer's moments as well."""
        self.inner.reset(parameters)
        self.anchor.begin(parameters)
        self.pseudo_gradient.drop()
        self.progress = replace(progress, step=self.progress.step, lineage=progress.lineage_or_version)
        self.contributions = Contributions(standing)
        self.tally = Tally(progress.samples)
        self._remember_anchor()

    def begin(self) -> None:
        """Begin at the anchor of now: nothing has been given at it, and nothing was trained since."""
        self.pseudo_gradient.begin()
        self._remember_anchor()

    @torch.no_grad()
    def anchor_after(self, means: Iterable[Mean]) -> list[Tensor]:
        """Return where the anchor would be after these means; all stays as it is. Raise ValueError where it cannot be.

        Nothing is left of a mean that does not lead on from the one before it, nor of what follows.
        """
        before, lineage = snapshot(self.anchor.parameters), self.progress.lineage
        try:
            for mean in means:
                if mean.previous != lineage:
                    break
                self.anchor.move(mean.payload, mean.steps)
                lineage = mean.lineage
            return snapshot(self.anchor.parameters)
        finally:
            for anchored, parameter in zip(self.anchor.parameters, before):
                anchored.copy_(parameter)

    @torch.no_grad()
    def take(self, newer: NewerAnchor, others: int, pause: float) -> CaughtUp:
        """Take a newer anchor; keep what was trained beside it, as far as it was not trained there as well.

        Training of ours that the donor has not seen counts as if it had never been in our anchor: it is in what we give
        next. Where it does not fit the newer anchor, it is given up.

        :param others: peers that train, among which what we missed is divided
        :param pause: seconds between two exchanges: what we give next weighs no more than one of them
        """
        own, before, progress = self.pseudo_gradient, snapshot(self.anchor.parameters), newer.progress
        had = self.progress.samples
        met = self.contributions.last_with(newer.donor.peer)
        apart = self.contributions.take_back(newer.donor.peer)
        own.count_again(apart)
        missed = (progress.samples - met.samples) / max(1, others)  # sequences of each of them
        parallel = min(1.0, own.samples / max(1.0, missed))
        self.anchor.begin([newer.parameters[name] for name, _ in self.anchor_model.named_parameters()])
        follow(self.inner.parameters, self.anchor, before, 1 - parallel)
        self.progress = replace(progress, step=self.progress.step, lineage=progress.lineage_or_version)
        self.tally = Tally(progress.samples)
        self.begin()
        if own.samples and not own.fits():
            return CaughtUp(newer.donor.name, 0, own.give_up(), had, newer.donor.peer)
        own.reach_back(self.inner.steps - met.steps, max(1, round(pause / max(self.inner.step_seconds, 1e-3))))
        self._remember_anchor()
        return CaughtUp(newer.donor.name, apart, 0, had, newer.donor.peer)

    def _version(self) -> str:
        return checkpoint.parameter_hash(dict(self.anchor_model.named_parameters()))

    def _remember_anchor(self, own: int = 0) -> None:
        """Remember our anchor of now, which so many more sequences of ours have gone into."""
        self.contributions.remember_anchor(
            self.progress.lineage, self.progress.samples, self.pseudo_gradient.given_until, own
        )

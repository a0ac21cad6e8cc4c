"""`--averaging sync`: the stock `hivemind.Optimizer`, one exact large batch a round, for which everybody waits.

For fast networks, and the baseline of every benchmark. Only the anchor, checkpoints and the notice board are ours;
groups, averaging and catching up are hivemind's own.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import hivemind
import torch
from hivemind.compression import Float16Compression

from minigpt import checkpoint
from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.device import pick_autocast
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.processes import StopSignal
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import learning_rate
from peer.inner.optimizer import MuonAdamW, parameter_groups
from peer.network.address import NetworkError
from peer.network.handle import Network
from peer.outer.events import Event, RoundClosed
from peer.outer.traffic import Traffic
from peer.wire import Judgement, Notice, Role, exchange_prefix

MATCHMAKING_SECONDS = 3.0
AVERAGING_SECONDS = 60.0
WAIT_SECONDS = 3 * AVERAGING_SECONDS  # that a step waits for others at most: gradients, parameters, a newer anchor
SHUTDOWN_SECONDS = 2.0


class SynchronousInner(InnerLoop):
    """Computes gradients; when to step, and with whose gradients, is hivemind's affair."""

    clips = False

    def join(self, network: Network, run_id: str, settings: Settings, progress: Progress, stop: StopSignal) -> None:
        """Start the optimizer's processes, at the round of the anchor we hold, so that it is not fetched again."""
        warmup, per_round = settings.training.warmup_sequences, settings.swarm.samples_per_round
        self._stop = stop
        # hivemind steps the schedule of a joiner before its first step, which torch warns of
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        interrupt = signal.getsignal(signal.SIGINT)
        self.joint_optimizer = hivemind.Optimizer(
            dht=network.dht,
            run_id=exchange_prefix(run_id),
            target_batch_size=per_round,
            batch_size_per_step=settings.training.batch_size,
            params=parameter_groups(self.model),
            optimizer=partial(self._begun_optimizer, lr=settings.training.lr, rounds=progress.round),
            scheduler=partial(
                torch.optim.lr_scheduler.LambdaLR,
                # the step of a round is made at its end
                lr_lambda=lambda round: learning_rate(1.0, (round + 1) * per_round, (round + 1) * per_round, warmup),
            ),
            matchmaking_time=MATCHMAKING_SECONDS,
            averaging_timeout=AVERAGING_SECONDS,
            grad_compression=Float16Compression(),
            state_averaging_compression=Float16Compression(),
            client_mode=False,  # asked for explicitly: hivemind's own default inverts it
            verbose=False,
        )
        signal.signal(signal.SIGINT, interrupt)  # hivemind sets it to be ignored
        # hivemind has no public way to say at which round its optimizer begins
        self.joint_optimizer.state_averager.local_epoch = progress.round
        self.optimizer = self.joint_optimizer.opt

    def _begun_optimizer(self, groups: Iterable[dict[str, Any]], lr: float, rounds: int) -> MuonAdamW:
        """Return the optimizer with all of its averages, after so many rounds of a step each.

        Without averages hivemind makes a step of its own to have them: no gradient moves anything, but weights decay.
        """
        optimizer = MuonAdamW(groups, lr=lr, number_format=self._format_on_cpu())
        optimizer.begin_as_after(rounds)
        return optimizer

    def _format_on_cpu(self) -> torch.dtype:
        """Return the optimizer's number format. hivemind keeps it on the CPU, wherever the model is."""
        autocast = self.autocast if self.device.type == "cpu" else pick_autocast(torch.device("cpu"))
        return autocast or torch.float32

    def step(self, lr: float) -> tuple[float, int]:
        """Add the gradients of one batch; at the end of a round, wait for everybody's and step with their mean.

        Return (nats per token, sequences). The learning rate is left to hivemind's schedule.
        """
        started = time.perf_counter()
        loss, sequences = self.backward()
        ours_until = time.perf_counter()
        self.set_weight_decays()
        with self._stop.interrupts():
            self.joint_optimizer.step(batch_size=sequences)
        self.waited_seconds += time.perf_counter() - ours_until
        self.clear_gradients()
        self.stepped(ours_until - started)
        return loss, sequences

    def clear_gradients(self) -> None:
        """Forget the model's gradients. Those of `optimizer` are hivemind's own, which have to stay."""
        self.joint_optimizer.zero_grad()


class SynchronousOuterLoop:
    """Makes every step with all others; see `OuterLoop` in `interface.py`.

    The anchor is simply what the parameters are after the step that ends a round.

    :param anchor_model: a second model, which holds the anchor's parameters
    :param me: our notice, with everything in it that does not change
    """

    def __init__(
        self,
        *,
        inner: SynchronousInner,
        anchor_model: MiniGPT,
        progress: Progress,
        me: Notice,
        network: Network,
        settings: Settings,
    ):
        self.inner, self.anchor_model, self.progress, self.network = inner, anchor_model.eval(), progress, network
        self.others: list[Notice] = []
        self._samples_per_round = settings.swarm.samples_per_round
        self._trained = 0  # own sequences in this round
        self._paused = ""  # why this device does not train now
        self._me = me
        self._starts = network.starts

    @property
    def standing(self) -> Standing:
        """Nothing that others lack: all that is trained goes into every mean."""
        return Standing()

    @property
    def needs_checkpoint(self) -> bool:
        """Always: no means are kept, and only a checkpoint of now leads to now."""
        return True

    @property
    def is_shared(self) -> bool:
        """Always: the step of a round is everybody's."""
        return True

    @property
    def trained_by_all(self) -> int:
        return self.progress.samples + self.round_progress

    @property
    def round_progress(self) -> int:
        return int(self.inner.joint_optimizer.tracker.global_progress.samples_accumulated)

    @property
    def exchange_report(self) -> None:
        """Nothing: every step is an exchange, and the time that it waits is known from there."""
        return None

    @property
    def traffic(self) -> Traffic:
        """The network part's; hivemind does not count what its optimizer sends and receives."""
        return Traffic(self.network.view.bytes_sent, self.network.view.bytes_received)

    def trained(self, sequences: int) -> None:
        self._trained += sequences

    def go_back(self) -> bool:
        """Do nothing: parameters, moments and rates are hivemind's, the same on all devices."""
        return False

    def return_to(self, *earlier: object) -> bool:
        """Do nothing: no state of others is taken here without being hivemind's own affair, so none is kept."""
        return False

    def checkpoint_saved(self, samples: int) -> None:
        """Do nothing: the others take the newest checkpoint, whichever that is."""

    def judged(self, loss: float) -> None:
        """Do nothing: whose parameters are loaded is hivemind's own affair."""

    def tell(self, judgement: Judgement) -> None:
        self._me = self._me.model_copy(update={"judgement": judgement})

    def hurry(self) -> None:
        """Do nothing: every step is made together."""

    def pause(self, why: str) -> None:
        self._paused = why

    def resume(self) -> None:
        self._paused = ""

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        """Say where we are, and yield the round that is over. Raise NetworkError where the network part was lost."""
        self._me = self._me.model_copy(
            update={
                "role": Role.TRAINING,
                "round": self.progress.round,
                "lineage": self.progress.version,
                "trained": self.progress.samples,
                "offered": self._trained,
                "tokens_per_second": tokens_per_second,
                "step_seconds": self.inner.step_seconds,
                "paused": self._paused,
            }
        )
        view = self.network.post(self._me, silent_seconds=WAIT_SECONDS)
        if self.network.starts != self._starts:
            raise NetworkError(
                "the network part of this device had to be started again, which --averaging sync does not survive; "
                "the same line again goes on from the last state"
            )
        self.others = [other for other in view.notices if other.run_id == self._me.run_id]
        round = self.inner.joint_optimizer.local_epoch
        if round > self.progress.round:
            yield self._close_rounds_until(round)

    def _close_rounds_until(self, round: int) -> RoundClosed:
        """Take the parameters of now for the anchor: it is this round that we are in."""
        with torch.no_grad():
            for anchored, parameter in zip(self.anchor_model.parameters(), self.inner.model.parameters()):
                anchored.copy_(parameter)
        trained = (round - self.progress.round) * self._samples_per_round
        share, self._trained = min(1.0, self._trained / trained), 0
        anchor = checkpoint.parameter_hash(dict(self.anchor_model.named_parameters()))
        self.progress = replace(self.progress, round=round, samples=self.progress.samples + trained, version=anchor)
        return RoundClosed([self._me.name, *(other.name for other in self.others)], share, {self._me.peer: share})

    def finish(self) -> None:
        """Do nothing: what was trained since the last round's step is in no parameters yet."""

    def stop(self) -> None:
        """End hivemind's processes, and wait for it a moment at most."""
        # a step that Ctrl+C has interrupted can leave hivemind waiting for itself; its processes end with ours
        thread = threading.Thread(target=self.inner.joint_optimizer.shutdown, daemon=True)
        thread.start()
        thread.join(SHUTDOWN_SECONDS)

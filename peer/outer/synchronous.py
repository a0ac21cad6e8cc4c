"""`--averaging sync`: the stock `hivemind.Optimizer`, one exact large batch a round, for which everybody waits.

For fast networks, and the baseline of every benchmark. Only state, checkpoints and the notice board are ours; groups,
averaging and catching up are hivemind's own.
"""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import hivemind
import torch
from hivemind.compression import Float16Compression

from minigpt import checkpoint
from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.processes import StopSignal
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import learning_rate
from peer.inner.optimizer import make_optimizer, parameter_groups
from peer.network.address import NetworkError
from peer.network.handle import Network
from peer.outer.events import Event, RoundClosed
from peer.swarm.notice import Notice, Role

MATCHMAKING_SECONDS = 3.0
AVERAGING_SECONDS = 60.0
WAIT_SECONDS = 3 * AVERAGING_SECONDS  # that a step waits for others at most: gradients, parameters, a newer state
SHUTDOWN_SECONDS = 2.0


class SynchronousInner(InnerLoop):
    """Gradients are ours; when to step, and with whose gradients, is hivemind's affair."""

    def join(self, network: Network, run_id: str, settings: Settings, progress: Progress, stop: StopSignal) -> None:
        """Start the optimizer's processes; at the round of the state we hold, so that it is not fetched again."""
        warmup, per_round = settings.training.warmup_sequences, settings.swarm.samples_per_round
        self._stop = stop
        # hivemind steps the schedule of a joiner before its first step, which torch warns of
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        interrupt = signal.getsignal(signal.SIGINT)
        self.swarm = hivemind.Optimizer(
            dht=network.dht,
            run_id=run_id,
            target_batch_size=per_round,
            batch_size_per_step=settings.training.batch_size,
            params=parameter_groups(self.model),
            optimizer=partial(make_optimizer, lr=settings.training.lr),
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
        self.swarm.state_averager.local_epoch = progress.round
        self.optimizer = self.swarm.opt

    def step(self, lr: float, embedding_lr: float | None = None) -> tuple[float, int]:
        """Gradients of one batch; at the end of a round this waits for everybody's and steps with their mean."""
        started = time.perf_counter()
        loss, sequences = self.backward()
        ours_until = time.perf_counter()
        with self._stop.interrupts():
            self.swarm.step(batch_size=sequences)
        self.waited_seconds += time.perf_counter() - ours_until
        self.clear_gradients()
        self.stepped(ours_until - started)
        return loss, sequences

    def clear_gradients(self) -> None:
        """The model's: those of `optimizer` are hivemind's own, which it does not want taken away."""
        self.swarm.zero_grad()


class SynchronousOuter:
    """What `OuterLoop` is for background averaging: the anchor is simply the parameters after each round's step."""

    def __init__(
        self,
        *,
        inner: SynchronousInner,
        anchor: MiniGPT,
        progress: Progress,
        me: Notice,
        network: Network,
        settings: Settings,
    ):
        self.inner, self.anchor, self.progress, self.network = inner, anchor.eval(), progress, network
        self.samples_per_round = settings.swarm.samples_per_round
        self._trained = 0  # own sequences in this round
        self.standing = Standing()  # all that is trained goes into every average
        self.saved_samples = -1
        self.sharing = False  # no means are kept: only a checkpoint of now leads to now
        self.lr_factor = 1.0
        self.exchange_seconds = 0.0  # is waited for, and known from that
        self.balance = None  # every step is an exchange, and waits for it
        self.others: list[Notice] = []
        self.paused = ""  # why this device does not train now; who trains sets it
        self.group: list[Notice] = []  # all wait for all, and none needs a pause
        self._me = me
        self._starts = network.starts

    @property
    def bytes_sent(self) -> int:
        return self.network.view.bytes_sent  # hivemind does not count what its optimizer sends

    @property
    def bytes_received(self) -> int:
        return self.network.view.bytes_received

    @property
    def round_progress(self) -> int:
        return int(self.inner.swarm.tracker.global_progress.samples_accumulated)

    @property
    def trained_by_all(self) -> int:
        return self.progress.samples + self.round_progress

    def trained(self, sequences: int) -> None:
        """The inner loop has made a step of so many sequences."""
        self._trained += sequences

    def tick(self, tokens_per_second: float) -> Iterator[Event]:
        """Say where we are, and whether a round is over. Raises NetworkError where the network part was lost."""
        self._me = self._me.model_copy(
            update={
                "role": Role.TRAINING,
                "round": self.progress.round,
                "anchor": self.progress.anchor,
                "trained": self.progress.samples,
                "offered": self._trained,
                "tokens_per_second": tokens_per_second,
                "step_seconds": self.inner.step_seconds,
                "paused": self.paused,
            }
        )
        view = self.network.post(self._me, silent_seconds=WAIT_SECONDS)
        if self.network.starts != self._starts:
            raise NetworkError(
                "the network part of this device had to be started again, which --averaging sync does not survive; "
                "the same line again goes on from the last state"
            )
        self.others = [other for other in view.notices if other.run_id == self._me.run_id]
        round = self.inner.swarm.local_epoch
        if round <= self.progress.round:
            return
        with torch.no_grad():
            for anchored, parameter in zip(self.anchor.parameters(), self.inner.model.parameters()):
                anchored.copy_(parameter)
        trained = (round - self.progress.round) * self.samples_per_round
        share, self._trained = min(1.0, self._trained / trained), 0
        anchor = checkpoint.parameter_hash(dict(self.anchor.named_parameters()))
        self.progress = replace(self.progress, round=round, samples=self.progress.samples + trained, anchor=anchor)
        yield RoundClosed([self._me.name, *(other.name for other in self.others)], share)

    def finish(self) -> None:
        """Do nothing: what was trained since the last round's step is in no parameters yet."""

    def stop(self) -> None:
        # a step that Ctrl+C has interrupted can leave hivemind waiting for itself; its processes end with ours
        thread = threading.Thread(target=self.inner.swarm.shutdown, daemon=True)
        thread.start()
        thread.join(SHUTDOWN_SECONDS)

"""The training loop: inner steps without pause, and after each of them a look at what the swarm is due.

Writes `checkpoints/RUN/metrics.jsonl`, one line a round, the source of every plot, and a checkpoint folder a round.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tokenizer
from minigpt import checkpoint
from minigpt.dataset import PackedDataset, PaddedDataset, encode
from minigpt.device import pick_autocast, pick_device
from minigpt.evaluate import HeldOut
from minigpt.manifest import CheckpointError
from minigpt.model import MiniGPT
from minigpt.settings import Settings, SettingsError, differences, parse_settings, with_identity_of
from peer.display import Display
from peer.inner import InnerLoop, learning_rate
from peer.join import Run
from peer.membership import Notice, Role, came_and_left
from peer.network import Network, NetworkError
from peer.outer import CaughtUp, OuterLoop, RoundClosed, Setback
from peer.processes import StopSignal
from peer.synchronous import SynchronousInner, SynchronousOuter
from peer.transfer import TransferError

EVALUATION_SHARE = 0.05  # of the time, at most, goes into measuring the held-out loss
BAR_SECONDS = 0.5


class Trainer:
    """One device's part in a run, from its first step to its last checkpoint.

    :param minutes: end by itself after so long, None for never
    :param rounds: end by itself after so many rounds of its own
    """

    def __init__(
        self,
        run: Run,
        *,
        network: Network,
        me: Notice,
        checkpoints: Path,
        display: Display,
        stop: StopSignal,
        minutes: float | None,
        rounds: int | None,
    ):
        self.run, self.settings, self.network, self.display, self.stop = run, run.settings, network, display, stop
        self.checkpoints, self.rounds = checkpoints, rounds
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        progress = run.start.progress
        sentencepiece = tokenizer.load(run.tokenizer_model)
        device = pick_device()
        autocast = pick_autocast(device)
        order = f"{me.peer} {progress.step}"  # the device's own, and another after every start
        batches, sequences = open_dataset(self.settings, sentencepiece, run.tokenizer_model, order, display)
        valid = self.settings.training.dataset.path.with_name("valid.jsonl")
        self.held_out = (
            HeldOut.from_jsonl(valid, sentencepiece, self.settings.training.dataset.seq_len) if valid.exists() else None
        )
        anchor = run.start.build_model()
        model = start_model(run)
        me = me.model_copy(update={"run_id": progress.run_id})
        samples_per_round = self.settings.swarm.samples_per_round
        self.inner: InnerLoop
        self.outer: OuterLoop | SynchronousOuter
        if self.settings.swarm.averaging == "sync":
            self.inner = synchronous = SynchronousInner(model, batches, device, autocast)
            synchronous.join(network, progress.run_id, self.settings, progress)
            self.outer = SynchronousOuter(
                inner=synchronous,
                anchor=anchor,
                progress=progress,
                me=me,
                network=network,
                samples_per_round=samples_per_round,
            )
        else:
            self.inner = InnerLoop(model, batches, device, autocast)
            self.outer = OuterLoop(
                model=model,
                anchor=anchor,
                progress=progress,
                me=me,
                network=network,
                samples_per_round=samples_per_round,
                checkpoints=checkpoints,
            )
        moments = run.start.optimizer()
        if moments is not None:
            self.inner.load_moments(moments, progress.step)
        self.saver = Saver(self)
        self.metrics = Metrics(checkpoints / progress.run / "metrics.jsonl")
        self._evaluated_at, self._evaluation_seconds = -math.inf, 0.0
        self._others: list[Notice] = []
        self._strangers = Strangers(network, self.settings, progress.run_id, display)
        kind = f"{device.type}, {'bfloat16' if autocast is torch.bfloat16 else 'float32'}"
        display.note(
            f"{me.name} trains {anchor.parameter_count() / 1e6:.1f} M parameters on {kind}, {sequences:,} sequences of "
            f"{self.settings.training.dataset.seq_len} tokens; Ctrl+C ends it and keeps the state"
        )

    def train(self) -> None:
        """Until it is told to stop, or minutes or rounds are over. Raises NetworkError if the network part dies."""
        try:
            with self.display.training():
                self._loop()
        finally:
            self.display.note("saving …")
            self.saver.save(wait=True)
            self.outer.stop()

    def _loop(self) -> None:
        self._say_held_out(self._evaluate(), "at the start")
        line = RoundLine()
        first_round, bar_at = self.outer.progress.round, 0.0
        while not self._over(first_round):
            outer = self.outer
            trained = outer.progress.samples + outer.offered_by_all
            rate = learning_rate(self.settings.training.lr, trained, self.settings.training.warmup_sequences)
            loss, sequences = self.inner.step(rate)
            outer.offered += sequences
            line.add(loss, sequences * self.settings.training.dataset.seq_len)
            started = time.monotonic()
            event = outer.tick(line.tokens_per_second, self.inner.step_seconds)
            line.waited_seconds += time.monotonic() - started + self.inner.waited_seconds
            self.inner.waited_seconds = 0.0
            self._say_membership()
            if isinstance(event, RoundClosed):
                self._on_round(event, line, rate)
                line = RoundLine()
            elif isinstance(event, CaughtUp):
                self.display.note(f"took the newer state of {event.donor}: round {outer.progress.round}")
            elif isinstance(event, Setback):
                self.display.note(event.reason)
            if time.monotonic() > bar_at:
                bar_at = time.monotonic() + BAR_SECONDS
                self._show(line)

    def _over(self, first_round: int) -> bool:
        if not (self.network.dht.is_alive() and self.outer.is_alive()):
            raise NetworkError("the network part of this peer ended unexpectedly; start it again to go on")
        return (
            self.stop.received
            or (self.deadline is not None and time.monotonic() > self.deadline)
            or (self.rounds is not None and self.outer.progress.round - first_round >= self.rounds)
        )

    def _on_round(self, event: RoundClosed, line: RoundLine, rate: float) -> None:
        progress = replace(self.outer.progress, step=self.inner.steps)
        self.saver.save()
        bits = self._evaluate()
        entry: dict[str, object] = {
            "time": time.time(),
            "round": progress.round,
            "tokens": progress.samples * self.settings.training.dataset.seq_len,
            "loss": line.loss,
            "learning_rate": rate,
            "tokens_per_second": line.tokens_per_second,
            "waited_seconds": line.waited_seconds,
            "bytes_sent": self.outer.bytes_sent,
            "bytes_received": self.outer.bytes_received,
            "peers": event.peers,
            "share": event.share,
            "anchor": progress.anchor,
        }
        if bits is not None:
            entry["valid_loss"], entry["valid_bits_per_byte"] = bits
        try:
            self.metrics.write(entry)
        except OSError as error:
            self.display.note(f"metrics.jsonl was not written: {error.strerror}; training goes on")
        held_out = "" if bits is None else f" · held-out {bits[0]:.3f} ({bits[1]:.3f} bits/byte)"
        company = "alone" if len(event.peers) == 1 else "with " + ", ".join(event.peers[1:])
        speed = f"{line.tokens_per_second:,.0f} tokens/s"
        self.display.note(f"round {progress.round} · loss {line.loss:.3f}{held_out} · {speed} · {company}")

    def _show(self, line: RoundLine) -> None:
        names = ", ".join(notice.name for notice in self._others) or "alone"
        self.display.progress(
            self.outer.progress.round + 1,
            self.outer.offered_by_all,
            self.settings.swarm.samples_per_round,
            f"loss {line.loss:.3f} · {line.tokens_per_second:,.0f} tokens/s · {names}",
        )

    def _evaluate(self) -> tuple[float, float] | None:
        """Held-out (loss, bits per byte) of the anchor, if its turn has come."""
        rested = time.monotonic() - self._evaluated_at
        if self.held_out is None or rested * EVALUATION_SHARE < self._evaluation_seconds:
            return None
        started = time.monotonic()
        result = self.held_out.evaluate(self.outer.anchor, pick_anchor_autocast(self.inner))
        self._evaluated_at, self._evaluation_seconds = time.monotonic(), time.monotonic() - started
        return result

    def _say_held_out(self, bits: tuple[float, float] | None, when: str) -> None:
        if bits is not None:
            self.display.note(f"held-out loss {when}: {bits[0]:.3f} ({bits[1]:.3f} bits/byte)")

    def _say_membership(self) -> None:
        came, left = came_and_left(self._others, self.outer.others)
        for notice in came:
            self.display.note(f"{notice.name} is here ({notice.address.split('/')[2]})")
        for notice in left:
            self.display.note(f"{notice.name} left")
        self._others = self.outer.others
        self._strangers.look(self.network.view.notices)


class RoundLine:
    """What adds up between two lines of metrics."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.tokens = 0
        self.waited_seconds = 0.0
        self._losses: list[float] = []

    def add(self, loss: float, tokens: int) -> None:
        self.tokens += tokens
        if not math.isnan(loss):
            self._losses.append(loss)

    @property
    def loss(self) -> float:
        """Mean training loss, nats per token."""
        return sum(self._losses) / len(self._losses) if self._losses else math.nan

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / max(1e-9, time.monotonic() - self.started)


class Metrics:
    """Appends to metrics.jsonl, one JSON object a line."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, entry: dict[str, object]) -> None:
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in entry.items()
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite, ensure_ascii=False) + "\n")


class Saver:
    """Writes checkpoints on a thread of its own, from copies, so that training goes on meanwhile."""

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[Path] | None = None

    def save(self, wait: bool = False) -> None:
        """Begin to save the newest state; while one is being written another round may pass unsaved."""
        if self._pending is not None:
            if not (wait or self._pending.done()):
                return
            self._report(self._pending)
        trainer = self._trainer
        inner, outer = trainer.inner, trainer.outer
        anchor = {name: parameter.detach().clone() for name, parameter in outer.anchor.named_parameters()}
        local = {
            name: (parameter.detach().cpu() - anchor[name]).to(torch.bfloat16)
            for name, parameter in inner.model.named_parameters()
        }
        moments = inner.moments()
        self._pending = self._thread.submit(
            checkpoint.save,
            trainer.checkpoints,
            replace(outer.progress, step=inner.steps),
            parameters=anchor,
            model_config=outer.anchor.hugging_face_config(),
            settings=with_identity_of(Settings(), trainer.settings),  # paths are nobody else's business
            tokenizer_model=trainer.run.tokenizer_model,
            optimizer=moments or None,
            local=local,
        )
        if wait:
            self._report(self._pending)

    def _report(self, pending: Future[Path]) -> None:
        try:
            pending.result()
        except CheckpointError as error:
            self._trainer.display.note(f"the checkpoint was not written: {error}; training goes on")


class Strangers:
    """Peers that train another run of the same name: they are not mixed with, and it is said what differs."""

    def __init__(self, network: Network, settings: Settings, run_id: str, display: Display):
        self._network, self._settings, self._run_id, self._display = network, settings, run_id, display
        self._asked: dict[str, Callable[[], bytes | None] | None] = {}  # by run id; None once it has been said

    def look(self, notices: list[Notice]) -> None:
        """Ask a stranger for its settings, in the background, and compare them when they are here."""
        for notice in notices:
            if notice.role != Role.TRAINING or notice.run_id == self._run_id:
                continue
            if notice.run_id not in self._asked:
                self._asked[notice.run_id] = self._network.fetch_settings(notice.peer, self._settings.swarm.run)
            poll = self._asked[notice.run_id]
            if poll is not None and (different := self._differences(poll)) is not None:
                self._asked[notice.run_id] = None
                self._display.note(
                    f"{notice.name} trains another run of the same name, which is not mixed with ours: {different}"
                )

    def _differences(self, poll: Callable[[], bytes | None]) -> str | None:
        try:
            answer = poll()
            if answer is None:
                return None
            return "; ".join(differences(self._settings, parse_settings(answer, "theirs"))) or "the tokenizers differ"
        except (TransferError, SettingsError) as error:
            return f"settings or tokenizer differ ({error})"


def open_dataset(
    settings: Settings, sentencepiece: Any, tokenizer_model: Path, order: str, display: Display
) -> tuple[Iterator[tuple[Tensor, Tensor]], int]:
    """Endless batches in an order that follows from the words in `order`, and how many sequences are behind them."""
    dataset = settings.training.dataset
    seed = int.from_bytes(hashlib.sha256(order.encode()).digest()[:4], "big")
    opened: PackedDataset | PaddedDataset
    if dataset.packed:
        sha256 = checkpoint.file_sha256(tokenizer_model)
        with display.bytes("turning text into tokens", dataset.path.stat().st_size) as advance:
            ids = encode(
                dataset.path, sentencepiece, tokenizer_sha256=sha256, progress=lambda done, total: advance(done)
            )
        opened = PackedDataset(ids, dataset.seq_len, seed)
    else:
        opened = PaddedDataset(dataset.path, sentencepiece, dataset.seq_len, seed)
    return opened.batches(settings.training.batch_size), len(opened)


def start_model(run: Run) -> MiniGPT:
    """The model to train on: the anchor, and what this device had trained on top of it before it was ended."""
    model = run.start.build_model()
    local = run.start.local() if run.how == "resumed" else None
    if local is not None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(local[name].float())
    return model


def pick_anchor_autocast(inner: InnerLoop) -> torch.dtype | None:
    """The anchor lives on the CPU: the inner loop's number format if that is there too."""
    return inner.autocast if inner.device.type == "cpu" else None

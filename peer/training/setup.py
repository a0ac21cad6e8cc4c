"""The building of a `Trainer`: texts, model, loops and what goes on beside them, in an order that memory allows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import tokenizer
from minigpt import checkpoint
from minigpt.checkpoint.manifest import Standing
from minigpt.dataset import Batches, TextDataset, seed_of
from minigpt.device import pick_autocast, pick_device
from minigpt.encoding import DatasetError, encode
from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.memory import available_memory
from peer.device.power import Breather, Watch
from peer.device.processes import Stopped, StopSignal
from peer.inner.batch_size import check_room, fitting_batch
from peer.inner.compiling import Compiling
from peer.inner.loop import InnerLoop
from peer.joining.run import Run
from peer.network.handle import Network
from peer.outer.averager import PseudoGradientAverager
from peer.outer.interface import OuterLoop
from peer.outer.loop import BackgroundOuterLoop
from peer.outer.outer_state import StartingPoint
from peer.outer.synchronous import SynchronousInner, SynchronousOuterLoop
from peer.state import means
from peer.state.anchor import padded
from peer.training.announcements import Announcements
from peer.training.epochs import Epochs
from peer.training.evaluator import Evaluator
from peer.training.metrics import Metrics
from peer.training.other_runs import OtherRuns
from peer.training.round_log import RoundLog
from peer.training.saver import Saver
from peer.training.trainer import Trainer
from peer.wire import Notice


@dataclass(frozen=True, kw_only=True)
class Options:
    """The part of the command line that training heeds.

    :param deadline: of `time.monotonic`, after which it ends by itself; None for never
    :param rounds: of this device, after which it ends by itself; None for no end
    :param share_data: give this device's text to whoever asks for it
    :param share_of_time: in which it trains; it rests between steps
    :param tensorboard: write what metrics.jsonl and samples.jsonl get for TensorBoard as well
    """

    deadline: float | None = None
    rounds: int | None = None
    share_data: bool = False
    share_of_time: float = 1.0
    tensorboard: bool = False


def set_up(
    run: Run, options: Options, *, network: Network, me: Notice, checkpoints: Path, display: Display, stop: StopSignal
) -> Trainer:
    """Build all that this device's part in a run takes, and say what it trains.

    Raises Stopped, DatasetError, CheckpointError and OutOfMemory.
    """
    settings = run.settings
    sentencepiece = tokenizer.load(run.tokenizer_model)
    device = pick_device()
    autocast = pick_autocast(device)
    batches = open_batches(run, sentencepiece, me.peer, display, stop)
    batches.resize(affordable_batch(run, device, autocast, display))
    if options.share_data:
        me = me.model_copy(update={"gives_text": share_text(run, sentencepiece, network, display)})
    is_own_text = run.shared is None
    epochs = Epochs(settings.training.epochs, run.start.progress.run_id, batches.dataset, is_own_text, time.monotonic())
    me = me.model_copy(update={"sequences": len(batches.dataset) if is_own_text else 0})
    held_out = open_held_out(settings, sentencepiece, display)
    inner, outer = open_loops(run, batches, device, autocast, network, me, checkpoints, stop)
    saver = Saver(
        inner, outer, batches, settings, display, tokenizer_model=run.tokenizer_model, checkpoints=checkpoints
    )
    compiling = Compiling(inner, batches, settings, display, stop, network.expect_silence)
    metrics = Metrics(checkpoints / run.start.progress.run / "metrics.jsonl", options.tensorboard)  # beside the states
    evaluator = Evaluator(held_out, sentencepiece, autocast if device.type == "cpu" else None, inner.block_attention)
    other_runs = OtherRuns(network, settings, run.start.progress.run_id, display)
    display.note(introduction(me.name, inner, batches))
    return Trainer(
        inner=inner,
        outer=outer,
        batches=batches,
        settings=settings,
        shared_text=run.shared,
        saver=saver,
        compiling=compiling,
        power=Watch(settings.device),
        breather=Breather(options.share_of_time),
        round_log=RoundLog(inner, outer, evaluator, metrics, display),
        announcements=Announcements(inner, outer, network, settings.swarm.samples_per_round, other_runs, display),
        network=network,
        display=display,
        stop=stop,
        deadline=options.deadline,
        rounds=options.rounds,
        epochs=epochs,
    )


def introduction(name: str, inner: InnerLoop, batches: Batches) -> str:
    """Return the line that says what this device trains, on what, and how to end it."""
    kind = f"{inner.device.type}, {'bfloat16' if inner.autocast is torch.bfloat16 else 'float32'}"
    sequences = f"{len(batches.dataset):,} sequences of {inner.model.seq_len} tokens"
    return (
        f"{name} trains {inner.model.parameter_count() / 1e6:.1f} M parameters on {kind}, {sequences}; "
        "Ctrl+C ends it and keeps the state"
    )


# ---------------------------------------------------------------------- texts


def open_batches(run: Run, sentencepiece: Any, peer: str, display: Display, stop: StopSignal) -> Batches:
    """Return endless batches of this device's texts, in an order of its own, from where it was.

    Raises Stopped and DatasetError.
    """
    progress, order = run.start.progress, f"{run.start.progress.run_id} {peer}"
    dataset: TextDataset
    if run.shared is not None:
        dataset = run.shared.dataset
    else:
        dataset = open_dataset(run.settings, sentencepiece, run.tokenizer_model, order, display, stop)
    number = progress.samples  # in texts where this device has not been: not always the same ones first
    if (was := run.position()) is not None and was.dataset == dataset.name:
        number = was.sequence
    return Batches(dataset, run.settings.training.batch_size, number)


def open_dataset(
    settings: Settings,
    sentencepiece: Any,
    tokenizer_model: Path,
    order: str,
    display: Display,
    stop: StopSignal | None = None,
) -> TextDataset:
    """Return the texts of the settings as sequences, in an order that follows from the words in `order`.

    Raises DatasetError, and Stopped where Ctrl+C comes while text is turned into tokens.
    """
    path, seq_len = settings.training.dataset.path, settings.training.dataset.seq_len
    seed = seed_of(order)
    if not settings.training.dataset.packed:
        return TextDataset.padded(path, sentencepiece, seq_len, seed)
    sha256 = checkpoint.file_sha256(tokenizer_model)
    with display.bytes("turning text into tokens", path.stat().st_size) as advance:

        def told(done: int, total: int) -> None:
            advance(done)
            if stop is not None and stop.received:
                raise Stopped  # what is done is kept

        return TextDataset.packed(encode(path, sentencepiece, tokenizer_sha256=sha256, progress=told), seq_len, seed)


def share_text(run: Run, sentencepiece: Any, network: Network, display: Display) -> bool:
    """Give the ids of this device's own text to whoever asks, and say what that means; return False if it has none."""
    if run.shared is not None:
        display.note("--share-data: this device has no text of its own to share")
        return False
    sha256 = checkpoint.file_sha256(run.tokenizer_model)
    network.share(encode(run.settings.training.dataset.path, sentencepiece, tokenizer_sha256=sha256), sha256)
    display.note(
        f"--share-data: whoever is on this network can take the text in {run.settings.training.dataset.path}, as token "
        "ids, and read it; without --share-data it stays on this device"
    )
    return True


def open_held_out(settings: Settings, sentencepiece: Any, display: Display) -> HeldOut | None:
    """Return the texts beside the training texts that are not trained on; None, and a note, where there are none."""
    path = settings.training.dataset.path.with_name("valid.jsonl")
    try:
        return HeldOut.from_file(path, sentencepiece, settings.training.dataset.seq_len)
    except DatasetError as error:
        display.note(f"no held-out loss will be shown: {error}")
        return None


# ---------------------------------------------------------------------- model and loops


def affordable_batch(run: Run, device: torch.device, autocast: torch.dtype | None, display: Display) -> int:
    """Return the batch size of the settings, or as much of it as this device has memory for, which is said.

    Raises OutOfMemory.
    """
    wanted = run.settings.training.batch_size
    available = available_memory(device)
    check_room(run.settings, run.start.vocab_size, available)
    size = fitting_batch(wanted, run.start.build_model(), autocast, available)
    if max(1, size) < wanted and available is not None:
        free = f"{available / 1e6:,.0f} MB of memory are free"
        display.note(f"sequences a step: {max(1, size)} instead of {wanted}, for {free}")
    if not size:
        display.note("even one may be too much for the memory: end other programs, or the system may end this one")
    return max(1, size)


def open_loops(
    run: Run,
    batches: Batches,
    device: torch.device,
    autocast: torch.dtype | None,
    network: Network,
    me: Notice,
    checkpoints: Path,
    stop: StopSignal,
) -> tuple[InnerLoop, OuterLoop]:
    """Return the two loops, background or synchronous as the run is, at the state that the run goes on from."""
    progress = run.start.progress
    me = me.model_copy(update={"run_id": progress.run_id})
    blocked = run.settings.training.dataset.block_attention
    if run.settings.swarm.averaging == "sync":
        anchor, model = run.start.build_model(), start_model(run, with_local=True)
        synchronous = SynchronousInner(model, batches, device, autocast, blocked)
        synchronous.join(network, progress.run_id, run.settings, progress, stop)
        return synchronous, SynchronousOuterLoop(
            inner=synchronous, anchor_model=anchor, progress=progress, me=me, network=network, settings=run.settings
        )
    shapes = checkpoint.expected_shapes(run.start.settings, run.start.vocab_size).values()
    size = padded(sum(shape.numel() for shape in shapes))
    # before there are models: its process would keep the memory of their first numbers for as long as it lives
    averager = PseudoGradientAverager(size, network.dht, progress.run_id)
    position, missed = run.position(), []
    if run.how == "resumed":  # perhaps after an end without warning, with exchanges after the last checkpoint
        missed = means.following(checkpoints / progress.run, progress.lineage_or_version, size)
    anchor, model = run.start.build_model(), start_model(run, with_local=not missed)
    inner = InnerLoop(model, batches, device, autocast, blocked, progress.step)
    moments = run.start.optimizer()
    if moments is not None:
        inner.load_moments(moments, progress.updates)
    standing = position.standing if position is not None else Standing()
    start = StartingPoint(anchor, progress, standing, missed)
    return inner, BackgroundOuterLoop(
        inner, start, averager, me=me, network=network, settings=run.settings, checkpoints=checkpoints
    )


def start_model(run: Run, with_local: bool) -> MiniGPT:
    """Return the model to train on: the anchor, and what this device had trained on top of it before it was ended.

    :param with_local: False where the latter has gone into an exchange since
    """
    model = run.start.build_model()
    local = run.start.local() if run.how == "resumed" and with_local else None
    if local is not None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(local[name].float())
    return model

"""All that training stands on, opened and put together: texts, model, loops, in the order in which memory allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from minigpt import checkpoint
from minigpt.checkpoint.manifest import Standing
from minigpt.dataset import Batches, TextDataset, seed_of
from minigpt.encoding import DatasetError, encode
from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.memory import available_memory
from peer.device.processes import Stopped, StopSignal
from peer.inner.batch_size import check_room, fitting_batch
from peer.inner.loop import InnerLoop
from peer.joining.join import Run
from peer.network.handle import Network
from peer.outer.averager import PseudoGradientAverager
from peer.outer.loop import OuterLoop
from peer.outer.synchronous import SynchronousInner, SynchronousOuter
from peer.state import means
from peer.state.anchor import padded
from peer.swarm.notice import Notice


def open_batches(run: Run, sentencepiece: Any, peer: str, display: Display, stop: StopSignal) -> Batches:
    """Endless batches of this device's texts, in an order of its own, from where it was.

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
    """The texts of the settings, as sequences in an order that follows from the words in `order`."""
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
    """Give the ids of this device's own text to whoever asks, and say what that means; False if there is none."""
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


def affordable_batch(run: Run, device: torch.device, autocast: torch.dtype | None, display: Display) -> int:
    """The batch size of the settings, or as much of it as this device has memory for, which is said."""
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


def open_held_out(settings: Settings, sentencepiece: Any, display: Display) -> HeldOut | None:
    """The texts beside the training texts that are not trained on; None, and a note, where there are none."""
    path = settings.training.dataset.path.with_name("valid.jsonl")
    try:
        return HeldOut.from_file(path, sentencepiece, settings.training.dataset.seq_len)
    except DatasetError as error:
        display.note(f"no held-out loss will be shown: {error}")
        return None


def open_loops(
    run: Run,
    batches: Batches,
    device: torch.device,
    autocast: torch.dtype | None,
    network: Network,
    me: Notice,
    checkpoints: Path,
    stop: StopSignal,
) -> tuple[InnerLoop, OuterLoop | SynchronousOuter]:
    """The two loops, background or synchronous as the run is, at the state that the run goes on from."""
    progress = run.start.progress
    me = me.model_copy(update={"run_id": progress.run_id})
    blocked = run.settings.training.dataset.block_attention
    if run.settings.swarm.averaging == "sync":
        anchor, model = run.start.build_model(), start_model(run, with_local=True)
        synchronous = SynchronousInner(model, batches, device, autocast, blocked)
        synchronous.join(network, progress.run_id, run.settings, progress, stop)
        return synchronous, SynchronousOuter(
            inner=synchronous, anchor=anchor, progress=progress, me=me, network=network, settings=run.settings
        )
    shapes = checkpoint.expected_shapes(run.start.settings, run.start.vocab_size).values()
    size = padded(sum(shape.numel() for shape in shapes))
    # before there are models: its process would keep the memory of their first numbers for as long as it lives
    averager = PseudoGradientAverager(size, network.dht, progress.run_id)
    position, missed = run.position(), []
    if run.how == "resumed":  # perhaps after an end without warning, with exchanges after the last checkpoint
        missed = means.following(checkpoints / progress.run, progress.anchor_name, size)
    anchor, model = run.start.build_model(), start_model(run, with_local=not missed)
    inner = InnerLoop(model, batches, device, autocast, blocked)
    moments = run.start.optimizer()
    inner.steps = progress.step
    if moments is not None:
        inner.load_moments(moments, progress.updates)
    return inner, OuterLoop(
        inner=inner,
        anchor=anchor,
        averager=averager,
        progress=progress,
        me=me,
        network=network,
        settings=run.settings,
        checkpoints=checkpoints,
        standing=position.standing if position is not None else Standing(),
        missed=missed,
    )


def start_model(run: Run, with_local: bool) -> MiniGPT:
    """The model to train on: the anchor, and what this device had trained on top of it before it was ended.

    :param with_local: that has not gone into an exchange since
    """
    model = run.start.build_model()
    local = run.start.local() if run.how == "resumed" and with_local else None
    if local is not None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(local[name].float())
    return model

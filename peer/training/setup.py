"""The building of a `Trainer`: texts, model, loops and what goes on beside them, in an order that memory allows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import tokenizer
from data.prepare import prepared_texts
from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError, HeldOutLoss, Position, Standing
from minigpt.dataset import Batches, TextDataset, seed_of
from minigpt.device import pick_autocast, pick_device
from minigpt.encoding import DatasetError, encode
from minigpt.held_out import HeldOut
from minigpt.memorization import Probe
from minigpt.model import MiniGPT
from minigpt.settings import DatasetSettings, Settings
from peer.device.display import Display
from peer.device.event_log import KnownLine
from peer.device.memory import available_memory
from peer.device.power import Breather, Watch
from peer.device.processes import Stopped, StopSignal
from peer.device.sensors import StuckSensors
from peer.inner.batch_size import check_room, fitting_batch
from peer.inner.compiling import Compiling
from peer.inner.loop import InnerLoop
from peer.joining.prepare_text import is_made_of_raw
from peer.joining.presence import Presence
from peer.joining.run import Run
from peer.network.handle import Network
from peer.outer.averager import PseudoGradientAverager
from peer.outer.interface import OuterLoop
from peer.outer.judge import Judge
from peer.outer.loop import BackgroundOuterLoop
from peer.outer.outer_state import StartingPoint
from peer.outer.synchronous import SynchronousInner, SynchronousOuterLoop
from peer.page.models import TextNow
from peer.page.snapshots import Snapshots
from peer.state import means
from peer.state.anchor import padded
from peer.state.earlier import EarlierStates, WentBack
from peer.training.announcements import Announcements
from peer.training.best_state import BestState, kept_before, texts_of
from peer.training.divergence import Recovery
from peer.training.epochs import Epochs
from peer.training.evaluator import Evaluator, judge
from peer.training.going_back import GoingBack
from peer.training.health import Health
from peer.training.learnt import FEWEST_TOKENS, Learnt
from peer.training.metrics import Metrics
from peer.training.new_exports import NewExports
from peer.training.other_runs import OtherRuns
from peer.training.round_log import RoundLog
from peer.training.saver import Saver
from peer.training.status import Parts, Status
from peer.training.trainer import Trainer
from peer.wire import Notice


@dataclass(frozen=True, kw_only=True)
class Options:
    """The part of the command line that training heeds.

    :param deadline: of `time.monotonic`, after which it ends by itself; None for never
    :param rounds: of this device, after which it ends by itself; None for no end
    :param share_data: give this device's text to whoever asks for it
    :param go_on: train on where nothing is left to gain
    :param tensorboard: write what metrics.jsonl and samples.jsonl get for TensorBoard as well
    """

    deadline: float | None = None
    rounds: int | None = None
    share_data: bool = False
    tensorboard: bool = False
    go_on: bool = False

    @property
    def can_start_anew(self) -> bool:
        """Whether this device may: what ends it would be counted anew."""
        return self.deadline is None and self.rounds is None


def set_up(run: Run, options: Options, presence: Presence, snapshots: Snapshots, checkpoints: Path) -> Trainer:
    """Build all that this device's part in a run takes, and say what it trains.

    Raises Stopped, DatasetError, CheckpointError and OutOfMemory.

    :param snapshots: that its page shows
    """
    network, me, display, stop = presence.network, presence.me, presence.display, presence.stop
    settings, sentencepiece = run.settings, tokenizer.load(run.tokenizer_model)
    autocast = pick_autocast(device := pick_device())
    batches = open_batches(run, sentencepiece, me.peer, display, stop)
    batches.resize(affordable_batch(run, device, autocast, display))
    if options.share_data:
        me = me.model_copy(update={"gives_text": share_text(run, sentencepiece, network, display)})
    is_own_text = run.shared is None
    epochs = Epochs(settings.training.epochs, run.start.progress.run_id, batches.dataset, is_own_text, time.monotonic())
    me = me.model_copy(update={"sequences": len(batches.dataset) if is_own_text else 0})
    held_out = open_held_out(settings, sentencepiece, display)
    judging_autocast = autocast if device.type == "cpu" else None  # models are judged on the CPU
    goes_on = options.go_on or settings.training.epochs is not None
    best, learnt = open_best(run, batches.dataset, held_out, judging_autocast, checkpoints, goes_on, display)
    inner, outer = open_loops(run, batches, device, autocast, network, me, checkpoints, stop, display, (held_out, best))
    places = {"tokenizer_model": run.tokenizer_model, "checkpoints": checkpoints}
    saver = Saver(inner, outer, batches, settings, display, **places)
    metrics = Metrics(checkpoints / run.start.progress.run / "metrics.jsonl", options.tensorboard)  # beside the states
    open_probe = probe_opener(settings, sentencepiece) if is_own_text else None
    evaluator = Evaluator(held_out, best, sentencepiece, judging_autocast, inner.block_attention, open_probe)
    display.note(introduction(me.name, inner, batches))
    power, most = Watch(settings.device), settings.training.most_memorized
    round_log = RoundLog(inner, outer, evaluator, metrics, display, most)
    earlier = EarlierStates(checkpoints / run.start.progress.run)
    recovery = Recovery(inner, outer, best, settings, display)
    parts = Parts(inner, outer, round_log, learnt, best, power, network)
    return Trainer(
        inner=inner,
        outer=outer,
        batches=batches,
        settings=settings,
        shared_text=run.shared,
        saver=saver,
        going_back=GoingBack(inner, outer, saver, earlier, snapshots.wishes, display),
        compiling=Compiling(inner, batches, settings, display, stop, network.expect_silence),
        power=power,
        breather=Breather(snapshots.wishes.share_of_time),
        recovery=recovery,
        health=Health(inner, outer, recovery, settings, display),
        sensors=StuckSensors(),
        round_log=round_log,
        announcements=open_announcements(inner, outer, network, earlier, settings, display),
        status=Status(snapshots, parts, settings, me, *texts_trained_on(run, options.share_data)),
        wishes=snapshots.wishes,
        network=network,
        display=display,
        stop=stop,
        deadline=options.deadline,
        rounds=options.rounds,
        epochs=epochs,
        learnt=learnt,
        new_exports=NewExports(options.can_start_anew and is_made_of_raw(settings), display.note),
    )


def open_announcements(
    inner: InnerLoop,
    outer: OuterLoop,
    network: Network,
    earlier: EarlierStates,
    settings: Settings,
    display: Display,
) -> Announcements:
    """Return what tells people at this device of others, those of other runs as well."""
    other_runs = OtherRuns(network, settings, outer.progress.run_id, display)
    return Announcements(inner, outer, network, other_runs, earlier, settings, display)


def introduction(name: str, inner: InnerLoop, batches: Batches) -> str:
    """Return the line that says what this device trains, on what, and how to end it."""
    kind = f"{inner.device.type}, {'bfloat16' if inner.autocast is torch.bfloat16 else 'float32'}"
    sequences = f"{len(batches.dataset):,} sequences of {inner.model.seq_len} tokens"
    return KnownLine(
        f"{name} trains {inner.model.parameter_count() / 1e6:.1f} M parameters on {kind}, {sequences}; "
        "Ctrl+C ends it and keeps the state",
        "begins",
        name=name,
        parameters=inner.model.parameter_count(),
        sequences=len(batches.dataset),
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


def texts_trained_on(run: Run, is_shared: bool) -> tuple[list[TextNow], dict[str, int]]:
    """Return the texts that this device trains on, for its page, and what was masked in them."""
    if run.shared is not None:
        return [TextNow(file="text that others share")], {}
    path = run.settings.training.dataset.path
    files, masked = prepared_texts() if path == DatasetSettings().path else ({}, {})
    if not files:
        return [TextNow(file=str(path), is_shared=is_shared)], {}
    return [TextNow(file=name, messages=count, is_shared=is_shared) for name, count in files.items()], masked


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


def probe_opener(settings: Settings, sentencepiece: Any) -> Callable[[], Probe]:
    """Return what reads the lines of this device's texts that tell what a model knows by heart."""
    path, seq_len = settings.training.dataset.path, settings.training.dataset.seq_len
    return partial(Probe.from_files, path, path.with_name("valid.jsonl"), sentencepiece, seq_len)


def open_best(
    run: Run,
    dataset: TextDataset,
    held_out: HeldOut | None,
    autocast: torch.dtype | None,
    checkpoints: Path,
    goes_on: bool,
    display: Display,
) -> tuple[BestState | None, Learnt]:
    """Return what keeps the best state, and what tells when nothing is left to gain: both go on where they were.

    The best state of an earlier start is judged anew where the texts are others now, and so is one that another device
    called its best. Where too little is held out to judge by, nothing is kept, and the device stops by no judgement of
    its own.
    """
    own_text = len(dataset) if run.shared is None else 0
    if held_out is not None and held_out.tokens < FEWEST_TOKENS:
        display.note(
            f"only {held_out.tokens} tokens are held out, and {FEWEST_TOKENS} are needed to tell the best state, and "
            "when your chats are learnt: the newest state counts, and training goes on; with more text there is enough"
        )
        held_out = None
    kept = kept_before(checkpoints, run.start.progress, display.note)
    if held_out is None:
        return None, Learnt(False, own_text, goes_on=goes_on)
    texts = Position(dataset=dataset.name, sequence=0, held_out=held_out.name)
    own = next((state for state in kept if texts_of(state) == texts), None)
    best = BestState(run.settings, texts, tokenizer_model=run.tokenizer_model, checkpoints=checkpoints, kept=own)
    gained = best.kept  # on other texts there is something new to learn
    others = [state for state in kept if state is not own]
    judge_anew(others, best, held_out, autocast, run.settings.training.dataset.block_attention, display)
    return best, Learnt(True, own_text, gained, goes_on=goes_on)


def judge_anew(
    states: list[Checkpoint],
    best: BestState,
    held_out: HeldOut,
    autocast: torch.dtype | None,
    block_attention: bool,
    display: Display,
) -> None:
    """Judge what counted as best on other texts, or by another device's word, and keep only what is best here."""
    judged: list[tuple[HeldOutLoss, MiniGPT, Checkpoint]] = []
    for state in states:
        what, why = f"the best state, of round {state.progress.round}, anew", "the texts are others than before"
        if state.is_taken:
            why = "it was the best one by another device's word"
        display.note(f"{why}: judging {what}")
        try:
            model = state.build_model()
            if (loss := judge(model, held_out, autocast, block_attention)) is not None:
                judged.append((loss, model, state))
        except CheckpointError as error:
            display.note(f"{error}; the next state that is judged takes its place")
    try:
        for loss, model, state in sorted(judged, key=lambda one: one[0].nats)[:1]:  # the others would go with it
            best.judged(model, state.progress, loss)
        best.put_away(states)
    except CheckpointError as error:
        display.note(f"{error}; the next state that is judged takes its place")


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
    display: Display,
    judging: tuple[HeldOut | None, BestState | None],
) -> tuple[InnerLoop, OuterLoop]:
    """Return the two loops, background or synchronous as the run is, at the state that the run goes on from.

    :param judging: the texts by which states of others are judged, and the best state by them
    """
    progress = run.start.progress
    me = me.model_copy(update={"run_id": progress.run_id})
    blocked = run.settings.training.dataset.block_attention
    if run.settings.swarm.averaging == "sync":
        anchor, model = run.start.build_model(), start_model(run, with_local=True)
        synchronous = SynchronousInner(model, batches, device, autocast, blocked)
        go_on_with_average(synchronous, run, anchor)
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
    go_on_with_moments(inner, run.start, display)
    if not missed:
        go_on_with_average(inner, run, anchor)
    standing = position.standing if position is not None else Standing()
    written = math.inf if run.start.is_taken else checkpoint.read_manifest(run.start.folder).time
    went_back = WentBack.read(checkpoints / progress.run)
    start = StartingPoint(anchor, progress, standing, missed, written, went_back)
    held_out, best = judging
    lowest = best.kept[1].nats if best is not None and best.kept is not None else math.inf
    judge = Judge(inner, held_out, lowest)
    return inner, BackgroundOuterLoop(
        inner, start, averager, me=me, network=network, settings=run.settings, checkpoints=checkpoints, judge=judge
    )


def go_on_with_moments(inner: InnerLoop, start: Checkpoint, display: Display) -> None:
    """Load the optimizer's moments of a checkpoint; where they cannot be used, say so and train without.

    They may be another device's, or of another version of this program. Without them the first steps warm up anew.
    """
    try:
        moments = start.optimizer()
    except CheckpointError as error:
        display.note(f"{error}; the optimizer begins anew, and training goes on")
        return
    if moments is not None:
        inner.load_moments(moments, start.progress.updates)


def go_on_with_average(inner: InnerLoop, run: Run, anchor: MiniGPT) -> None:
    """Load the weight average of before, where this device goes on from its own end: what is judged goes on with it."""
    position = run.position()
    kept = run.start.average() if run.how == "resumed" and position is not None else None
    if kept is not None and position is not None:
        parameters = [parameter.detach() + kept[name] for name, parameter in anchor.named_parameters()]
        inner.average.go_on(parameters, position.averaged)


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

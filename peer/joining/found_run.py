"""Founding a run, where nobody trains one: text, tokenizer, and a model of round 0 that others can join from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

import tokenizer
from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import Progress
from minigpt.device import pick_device
from minigpt.model import MiniGPT
from minigpt.settings import Settings, run_id, with_identity_of
from peer.device.event_log import KnownLine
from peer.device.memory import available_memory
from peer.inner.batch_size import check_room
from peer.joining.errors import JoinError
from peer.joining.given_checkpoint import check_tokenizer, given_checkpoint
from peer.joining.prepare_text import find_tokenizer, prepare_text
from peer.joining.presence import Presence
from peer.joining.run import Run, keep_tokenizer
from peer.joining.size import Plan, plan_size
from peer.joining.wanted_run import Wanted
from peer.state.fetching import TransferError
from peer.swarm.household import HouseholdError
from peer.swarm.membership import Start, decide_start
from peer.wire import Role

RECOUNTS = 20  # looks at the board before the state is written; the view is at most two seconds old then


def found(presence: Presence, wanted: Wanted) -> Run | None:
    """Prepare what is missing and write the state of round 0; return None if somebody else founds or trains after all.

    Raises JoinError, DataError, DatasetError, TokenizerError, OutOfMemory, CheckpointError and Stopped.
    """
    presence.announce(role=Role.FOUNDING)
    presence.refresh()
    given = given_checkpoint(wanted.settings, presence.say)
    prepare_text(wanted.settings, presence.say)
    plan = plan_size(wanted) if given is None else Plan(wanted.settings, as_given(wanted, given))
    settings = plan.settings
    tokenizer_model = find_tokenizer(settings, given, presence.say)
    if is_outvoted(presence):
        presence.say("another device has founded the run meanwhile: joining it")
        return None
    if wanted.private:
        lock(presence, run_id(settings, checkpoint.file_sha256(tokenizer_model)))
    start = write_round_0(settings, tokenizer_model, wanted.checkpoints, given)
    presence.say(plan.sentence)
    text = f"nobody trains '{wanted.run}' here yet: founded run {start.progress.run_id}"
    presence.say(KnownLine(text, "founded", run=wanted.run, run_id=start.progress.run_id))
    return Run(settings, keep_tokenizer(tokenizer_model, wanted.run_folder), start, "founded")


def as_given(wanted: Wanted, given: Checkpoint) -> str:
    """Return the line of a run that begins with the model of a checkpoint, of whatever size that is."""
    line = f"the run begins with the model in {given.folder}"
    return line if wanted.size_option is None else f"{line} and keeps its size: {wanted.size_option} is passed over"


def lock(presence: Presence, identity: str) -> None:
    """Lock a run before there is anything of it to take. Raises JoinError where the key cannot be kept."""
    try:
        presence.network.lock(identity, among=()).wait()
    except (HouseholdError, TransferError, OSError) as error:
        raise JoinError(f"the run cannot be founded as a private one: {error}") from error
    for _ in range(RECOUNTS):
        if presence.refresh().locked:
            break


def is_outvoted(presence: Presence) -> bool:
    """Return whether another device founds the run, or trains it already. Raises Stopped."""
    for _ in range(RECOUNTS):
        view = presence.refresh()
    return bool(view.outside.doors) or decide_start(presence.me, view.notices, True) is not Start.FOUND


def write_round_0(settings: Settings, tokenizer_model: Path, checkpoints: Path, given: Checkpoint | None) -> Checkpoint:
    """Write the state that a run of these settings begins with. Raises OutOfMemory and CheckpointError.

    :param given: the checkpoint whose model it is; None for a new one
    """
    identity = run_id(settings, checkpoint.file_sha256(tokenizer_model))
    vocab_size = tokenizer.load(tokenizer_model).vocab_size()
    check_room(settings, vocab_size, available_memory(pick_device()))
    model = found_model(settings, vocab_size, identity)
    if given is not None:
        check_tokenizer(given, tokenizer_model)
        model.load_state_dict(given.parameters())
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    progress = Progress(settings.swarm.run, identity, 0, 0, 0, checkpoint.parameter_hash(parameters))
    folder = checkpoint.save(
        checkpoints,
        progress,
        parameters=parameters,
        model_config=model.hugging_face_config(),
        settings=with_identity_of(Settings(), settings),  # paths are nobody else's business
        tokenizer_model=tokenizer_model,
        optimizer=None,
        local=None,
    )
    return checkpoint.read(folder)


def found_model(settings: Settings, vocab_size: int, identity: str) -> MiniGPT:
    """Return the model of round 0, seeded by the run's id: two devices that found one run begin with the same."""
    seed = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") % 2**63
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MiniGPT.from_settings(settings.model, vocab_size, settings.training.dataset.seq_len)

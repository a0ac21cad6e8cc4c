"""From nothing to a run that this device can train in: resume it, join it, or found it.

A run that exists, in `checkpoints/` or in the swarm, brings its own settings and tokenizer; `config.json` speaks for a
run that is founded, and for what is each device's own (batch size, paths). A device without text trains on what others
share, and keeps the newest state for others as long as nobody does.
"""

from __future__ import annotations

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import TOKENIZER
from peer.device.event_log import KnownLine
from peer.joining.errors import JoinError
from peer.joining.find_run import come_back, join_or_found
from peer.joining.found_run import found
from peer.joining.prepare_text import has_text, is_enough_text
from peer.joining.presence import Presence
from peer.joining.run import Run, keep_tokenizer
from peer.joining.take_state import take_run
from peer.joining.wait_for_text import wait_for_text
from peer.joining.wanted_run import Wanted
from peer.swarm.household import is_ejected
from peer.swarm.membership import Start


def join(presence: Presence, wanted: Wanted) -> Run:
    """Lead this device from its start to a run with text to train on. Waits where it must, and says for what.

    Raises JoinError, DataError, DatasetError, TokenizerError, OutOfMemory, CheckpointError and Stopped.
    """
    newest = checkpoint.newest(wanted.checkpoints, wanted.run, report=presence.say)
    if is_ejected(presence.network.household, presence.network.peer):
        come_back(presence, wanted)
    run = resume(presence, wanted, newest) if newest is not None else _take_or_found(presence, wanted)
    return run if run.has_text else wait_for_text(presence, wanted, run)


def _take_or_found(presence: Presence, wanted: Wanted) -> Run:
    run = None
    while run is None:  # who was to be joined has left, or somebody else founds
        start = join_or_found(presence, wanted)
        run = take_run(presence, wanted) if start is Start.JOIN else found(presence, wanted)
    return run


def resume(presence: Presence, wanted: Wanted, newest: Checkpoint) -> Run:
    """Go on with the run of a checkpoint that is here. Raises JoinError where another one is meant."""
    progress = newest.progress
    if wanted.run_id not in ("", progress.run_id):
        raise JoinError(
            f"the invite is for run {wanted.run_id}, and {newest.folder} is of run {progress.run_id}, which is not "
            "mixed with it; choose another folder with --checkpoints"
        )
    settings = wanted.settings_in(newest.settings, f"the run in {newest.folder}", presence.say)
    text = f"going on with run {progress.run_id} from round {progress.round} ({newest.folder.name})"
    presence.say(KnownLine(text, "goes_on_with", run_id=progress.run_id, round=progress.round))
    text_is_here = has_text(presence, settings, wanted.run_folder)
    tokenizer_model = keep_tokenizer(newest.folder / TOKENIZER, wanted.run_folder)
    text_is_here = text_is_here and is_enough_text(presence, settings, tokenizer_model)
    return Run(settings, tokenizer_model, newest, "resumed", text_is_here)

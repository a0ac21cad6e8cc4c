"""Taking a run from a device that trains it: its settings, its tokenizer and its newest state, or its best one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import OPTIMIZER, SETTINGS, TOKENIZER, CheckpointError, Manifest
from minigpt.settings import SettingsError, parse_settings
from peer.device.event_log import KnownLine
from peer.joining.errors import JoinError
from peer.joining.find_run import donors, find_donor, most_defended
from peer.joining.prepare_text import has_text, is_enough_text
from peer.joining.presence import Presence
from peer.joining.run import Run, keep_tokenizer
from peer.joining.wanted_run import Wanted
from peer.state.fetching import TransferError
from peer.state.verifying import verified
from peer.wire import Notice, Role, WhichState

ATTEMPTS = 20
RETRY_SECONDS = 1.0
LOOKS = 20  # of a fifth of a second, in which devices that train together are seen at one anchor
SHARE_SECONDS = 30.0  # that a donor is given to write a checkpoint for us


def take_run(presence: Presence, wanted: Wanted) -> Run | None:
    """Take the run from the device that is furthest, of those that have failed us least; None if everybody left.

    Raises JoinError and Stopped.
    """
    failed: Counter[str] = Counter()  # times, by peer id
    for _ in range(ATTEMPTS):
        donor, able = _choose(presence, wanted, failed)
        if donor is None:
            return None
        hurried = any(failed[other.peer] <= failed[donor.peer] for other in able if other is not donor)
        try:
            return _take_run_from(donor, presence, wanted, hurried and not failed[donor.peer])
        except (TransferError, CheckpointError, SettingsError) as error:
            failed[donor.peer] += 1
            _put_off(presence, donor, error)
    raise JoinError(f"no state could be taken from the {len(able)} device(s) that have one; try again later")


def _choose(presence: Presence, wanted: Wanted, failed: Mapping[str, int]) -> tuple[Notice | None, list[Notice]]:
    """Return whom to take the state from, and all that have one; looks for a moment where several disagree."""
    for _ in range(LOOKS):
        view = presence.refresh()
        able = donors(presence.me, wanted, view)
        if not able:
            return None, able
        donor = most_defended(able, view.notices, failed)
        if len(able) < 3 or any(other.state == donor.state for other in able if other is not donor):
            break
    return donor, able


def _take_run_from(donor: Notice, presence: Presence, wanted: Wanted, hurried: bool) -> Run:
    manifest = presence.network.fetch_manifest(donor.peer, wanted.run)
    if wanted.run_id not in ("", manifest.run_id):
        raise TransferError(f"it gives run {manifest.run_id}, and the invite is for {wanted.run_id}")
    theirs = parse_settings(presence.network.fetch_bytes(donor.peer, manifest, SETTINGS), donor.name)
    settings = wanted.settings_in(theirs, f"run '{wanted.run}' of {donor.name}", presence.say)
    text_is_here = has_text(presence, settings, wanted.run_folder)
    presence.announce(role=Role.JOINING, run_id=manifest.run_id)
    if settings.swarm.averaging == "background":
        _wait_until_shared(donor, presence)
    state = take_state(donor, manifest, presence, wanted.checkpoints, hurried=hurried)
    run_id, round = state.progress.run_id, state.progress.round
    text = f"joined run {run_id} at round {round} through {donor.name}"
    presence.say(KnownLine(text, "joined_run", run_id=run_id, round=round, name=donor.name))
    tokenizer_model = keep_tokenizer(state.folder / TOKENIZER, wanted.run_folder)
    text_is_here = text_is_here and is_enough_text(presence, settings, tokenizer_model)
    return Run(settings, tokenizer_model, state, "joined", text_is_here)


def _wait_until_shared(donor: Notice, presence: Presence) -> None:
    """Wait for the checkpoint that a donor writes for who joins it: one from before would not lead to its anchor."""
    deadline = time.monotonic() + SHARE_SECONDS
    while time.monotonic() < deadline:
        notice = next((notice for notice in presence.refresh().notices if notice.peer == donor.peer), None)
        if notice is None or notice.sharing:
            return


def take_state(
    donor: Notice,
    manifest: Manifest,
    presence: Presence,
    checkpoints: Path,
    which: WhichState = "newest",
    hurried: bool = False,
) -> Checkpoint:
    """Take the donor's newest or best state of the manifest's run, which may be newer than the manifest by now.

    Raises TransferError, CheckpointError and Stopped.

    :param hurried: give up a donor that sends slowly, for there are others
    """
    state = presence.network.fetch(donor.peer, manifest.run_id, checkpoints, state=which, hurried=hurried)
    total = sum(entry.size for entry in manifest.files.values())
    before = presence.network.view.bytes_received
    with presence.display.bytes(f"taking the model from {donor.name}", total) as advance:
        while (folder := state.poll()) is None:
            advance(presence.refresh().bytes_received - before)
    taken = verified(folder)[0]
    if OPTIMIZER in manifest.files and OPTIMIZER not in taken.files:
        presence.say(f"the optimizer's moments of {donor.name} could not be taken: the optimizer begins anew")
    return taken


def sync(presence: Presence, wanted: Wanted) -> None:
    """Bring the swarm's newest state into `checkpoints/`, without training, and the best one of who gives it.

    Raises JoinError, CheckpointError and Stopped.
    """
    failed: Counter[str] = Counter()  # times, by peer id
    for _ in range(ATTEMPTS):
        mine = checkpoint.newest(wanted.checkpoints, wanted.run, report=presence.say)
        donor = find_donor(presence, wanted, failed)
        try:
            manifest = presence.network.fetch_manifest(donor.peer, wanted.run)
            if mine is None or _is_news(manifest, mine, donor, presence, wanted):
                _take_newest(donor, manifest, presence, wanted)
        except (TransferError, CheckpointError) as error:
            failed[donor.peer] += 1
            _put_off(presence, donor, error)
            continue
        try:
            _take_best(donor, manifest, presence, wanted)
        except (TransferError, CheckpointError) as error:
            presence.say(f"the best state of {donor.name} was not taken: {error}")
        return
    raise JoinError("no state could be taken from the devices that train; try again later")


def _take_newest(donor: Notice, manifest: Manifest, presence: Presence, wanted: Wanted) -> None:
    """Take the state that training would go on with, and let `latest` lead to it."""
    state = take_state(donor, manifest, presence, wanted.checkpoints)
    keep_tokenizer(state.folder / TOKENIZER, wanted.run_folder)
    folder = wanted.run_folder / state.folder.name
    checkpoint.point_at(wanted.checkpoints / "latest", folder)
    presence.say(f"the newest state of {donor.name}, round {state.progress.round}, is in {folder}")


def _take_best(donor: Notice, newest: Manifest, presence: Presence, wanted: Wanted) -> None:
    """Take the state that the donor calls its best, where it is later than the best one here: it is what is asked then.

    It is no more than the donor's word. Our own best one stays beside it, and the next training judges both.
    """
    manifest = presence.network.fetch_manifest(donor.peer, wanted.run, "best")
    if manifest.run_id != newest.run_id:
        raise TransferError(f"it is of run {manifest.run_id}, and the newest of {newest.run_id}")
    mine = checkpoint.best(wanted.checkpoints, newest.progress, presence.say)
    if manifest.held_out is None or (mine is not None and mine.progress.age >= manifest.progress.age):
        return
    state = take_state(donor, manifest, presence, wanted.checkpoints, "best")
    if state.held_out is None:
        return  # it has none any more, and gave its newest
    folder = wanted.run_folder / checkpoint.BEST / state.folder.name
    checkpoint.point_at(wanted.checkpoints / checkpoint.BEST, folder)
    for other in checkpoint.best_states(wanted.checkpoints, state.progress, presence.say):
        if other.is_taken and other.folder.name != folder.name:
            checkpoint.discard(other.folder)
    loss = f"held-out {state.held_out.nats:.2f}"
    presence.say(f"the best state of {donor.name}, by its own word: round {state.progress.round}, {loss}, in {folder}")


def _is_news(manifest: Manifest, mine: Checkpoint, donor: Notice, presence: Presence, wanted: Wanted) -> bool:
    """Return whether a donor has a newer state than ours, and say so if not. Raises JoinError for another run."""
    if mine.progress.run_id != manifest.run_id:
        raise JoinError(
            f"{donor.name} trains another run of the same name, and the one in {wanted.run_folder} is not "
            "mixed with it; choose another folder with --checkpoints"
        )
    if manifest.samples > mine.progress.samples:
        return True
    presence.say(f"{mine.folder} is as new as what {donor.name} has: round {mine.progress.round}")
    return False


def _put_off(presence: Presence, donor: Notice, error: Exception) -> None:
    presence.say(f"taking the state from {donor.name}: {error}; trying again")
    presence.pause(RETRY_SECONDS)

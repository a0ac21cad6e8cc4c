"""A device with nothing to train on waits for text, and keeps the newest state for others as long as there is none."""

from __future__ import annotations

from dataclasses import replace

from peer.joining.prepare_text import has_text, is_enough_text
from peer.joining.presence import Presence
from peer.joining.relay import Relay
from peer.joining.run import Run
from peer.joining.shared_text import SharedText, raw_files
from peer.joining.wanted_run import Wanted
from peer.wire import Role


def wait_for_text(presence: Presence, wanted: Wanted, run: Run) -> Run:
    """Wait until somebody shares text or the user puts chats here; return the run as it is by then. Raises Stopped."""
    shared = SharedText(presence.network, wanted.run_folder, run.start, presence.me.peer, presence.display)
    relay = Relay(presence, wanted.checkpoints, run.start)
    raw = raw_files()
    while not shared.is_here:
        relay.announce()
        view = presence.refresh()
        shared.update(view.notices)
        sharers = [other.name for other in view.notices if other.gives_text and other.run_id == presence.me.run_id]
        if sharers:
            presence.say_once(f"taking text that {sharers[0]} shares …")
        elif not shared.is_busy:
            presence.say_once(
                "nothing to train on: this device keeps the newest state for others, and trains as soon as there "
                "are chats in data/raw, or a device that has some is started with --share-data"
            )
            relay.update(view.notices)
            if raw != (raw := raw_files()) and _has_enough_text(presence, wanted, run):
                return _from_what_was_kept(run, relay)
    presence.announce(role=Role.JOINING)
    return replace(_from_what_was_kept(run, relay), shared=shared)


def _has_enough_text(presence: Presence, wanted: Wanted, run: Run) -> bool:
    return has_text(presence, run.settings, wanted.run_folder) and is_enough_text(
        presence, run.settings, run.tokenizer_model
    )


def _from_what_was_kept(run: Run, relay: Relay) -> Run:
    """Return the run, going on from the state that was kept for others meanwhile."""
    return run if relay.start is run.start else replace(run, start=relay.start, how="joined")

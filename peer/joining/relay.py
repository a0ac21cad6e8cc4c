"""The part of a device that has nothing to train on: it keeps the newest state of the run, and gives it to others."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import OPTIMIZER, CheckpointError
from peer.device.event_log import KnownLine
from peer.joining.presence import Presence
from peer.network.child_calls import Pending
from peer.state.fetching import TransferError
from peer.state.verifying import verified
from peer.swarm.jury import judges_among, said_by
from peer.swarm.membership import newer_state
from peer.wire import Notice, Role

PAUSE_SECONDS = 30.0  # at least, from one state to the next
TIME_SHARE = 0.05  # of the link's time, at most, goes into taking them
KEPT = 2  # states: somebody may be taking the older one


class Relay:
    """Keeps the newest state for others.

    :param start: the state that this device has
    """

    def __init__(self, presence: Presence, checkpoints: Path, start: Checkpoint) -> None:
        self.start = start
        self._presence, self._checkpoints = presence, checkpoints
        self._donor: Notice | None = None
        self._pending: Pending[Path] | None = None
        self._began = self._not_before = 0.0
        self._problem = ""  # that was said last

    def announce(self) -> None:
        """Have our notice say which state we have."""
        progress = self.start.progress
        self._presence.announce(
            role=Role.RELAYING,
            run_id=progress.run_id,
            round=progress.round,
            lineage=progress.lineage_or_version,
            trained=progress.samples,
            sharing=True,
        )

    def update(self, notices: Iterable[Notice]) -> None:
        """Take in a newer state that has come, or begin to take one when it is time to. Never waits for the network."""
        now = time.monotonic()
        if self._pending is None:
            me = self._presence.me
            newer = newer_state(me, not_refused(notices))
            if newer is not None and now >= self._not_before:
                self._donor, self._began = newer, now
                self._pending = self._presence.network.fetch(
                    newer.peer, self.start.progress.run_id, self._checkpoints, skip=(OPTIMIZER,), newer_than=me.state
                )
            return
        assert self._donor is not None
        try:
            folder = self._pending.poll()
            if folder is None:
                return
            self._keep(folder)
            name, round = self._donor.name, self.start.progress.round
            line = f"keeps the state of {name} for others: round {round}"
            self._presence.say(KnownLine(line, "keeps_state", name=name, round=round))
            self._problem = ""
        except (TransferError, CheckpointError, OSError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._presence.say(f"the state of {self._donor.name} was not taken: {error}; it is tried again")
        self._pending = None
        self._not_before = now + max(PAUSE_SECONDS, (now - self._began) / TIME_SHARE)

    def _keep(self, folder: Path) -> None:
        state = self.start = verified(folder)[0]
        checkpoint.point_at(self._checkpoints / "latest", self._checkpoints / state.progress.run / folder.name)
        checkpoint.prune(self._checkpoints, state.progress, KEPT)


def not_refused(notices: Iterable[Notice]) -> list[Notice]:
    """Return whose states those that have text to judge by do not refuse, for we have none."""
    notices = list(notices)
    return [one for one in notices if said_by(judges_among(notices, one.peer), one.peer, math.inf) != "refuse"]

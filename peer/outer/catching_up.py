"""Catching up with the swarm: what this peer missed comes from whoever has it, while training goes on.

Means that we missed lead from our anchor to that of now (`peer/state/means.py`); where the swarm's anchor does not come
from ours by means, the whole state is taken. Nothing of it is believed before it was checked, and who cannot show what
it claims is not asked again for a while, so that it keeps nobody from going on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from minigpt.checkpoint.manifest import OPTIMIZER, Progress
from peer.network.handle import Network
from peer.state.fetching import TransferError
from peer.state.verifying import verified
from peer.swarm.membership import newer_state
from peer.wire import Notice

DOUBT_SECONDS = 10.0  # in which a newer state that could not be taken keeps nobody from going on with the others
WRITING_SECONDS = 1.0  # the same for one that its donor has not written yet: that takes a moment


class NotTaken(Exception):
    """What we missed did not come; the message says of whom and why."""


@dataclass(frozen=True)
class Means:
    """Files of the means that followed our anchor, in order."""

    paths: list[Path]


@dataclass(frozen=True)
class State:
    """An anchor that ours does not lead to."""

    donor: Notice
    progress: Progress
    parameters: dict[str, Tensor]


class CatchingUp:
    """At most one transfer at a time.

    :param checkpoints: the folder of all runs, where states go; means go into the run's own
    :param size: numbers in a mean
    """

    def __init__(self, network: Network, checkpoints: Path, run: str, size: int):
        self._network, self._checkpoints, self._run, self._size = network, checkpoints, run, size
        self._donor: Notice | None = None
        self._poll: Callable[[], Means | State | None] | None = None
        self._doubted: dict[str, float] = {}  # peers whose newer state could not be taken, and until when
        self._strayed = False  # the swarm's anchor does not come from ours by means alone

    @property
    def under_way(self) -> bool:
        return self._poll is not None

    def ahead(self, me: Notice, others: Iterable[Notice]) -> Notice | None:
        """Who has a newer state than ours, and is to be asked for it."""
        now = time.monotonic()
        return newer_state(me, [other for other in others if self._doubted.get(other.peer, 0.0) < now])

    def begin(self, donor: Notice, me: Notice, shared: bool) -> None:
        """Begin to take the means that we missed from the donor; where they would not lead on, its whole state.

        Nothing begins where the donor is still writing that state.

        :param shared: whether our anchor is one that others have followed
        """
        self._donor = donor
        if shared and not self._strayed:
            means = self._network.fetch_means(donor.peer, self._checkpoints / self._run, me.lineage, self._size)
            self._poll = lambda: self._means(means.poll())
        elif not donor.sharing:
            self._doubted[donor.peer] = time.monotonic() + WRITING_SECONDS
        else:
            state = self._network.fetch(
                donor.peer,
                me.run_id,
                self._checkpoints,
                skip=(OPTIMIZER,),
                newer_than=me.state,
                or_followed=True,
            )
            self._poll = lambda: self._state(donor, state.poll())

    def poll(self) -> Means | State | None:
        """What has come, checked; None while it is on the way. Raises NotTaken."""
        assert self._poll is not None and self._donor is not None, "begin comes first"
        try:
            arrived = self._poll()
        except (TransferError, OSError, ValueError) as error:  # MeanError and CheckpointError are ValueErrors
            self._poll = None
            self._doubted[self._donor.peer] = time.monotonic() + DOUBT_SECONDS
            self._strayed = isinstance(error, ValueError)
            raise NotTaken(f"the newer state of {self._donor.name} could not be taken: {error}") from error
        if arrived is not None:
            self._poll = None
        return arrived

    def stray(self) -> None:
        """Means that came do not lead on: next time the whole state is asked for."""
        self._strayed = True

    def _means(self, paths: list[Path] | None) -> Means | None:
        if paths is None:
            return None
        self._strayed = not paths  # the donor's anchor does not come from ours
        return Means(paths)

    def _state(self, donor: Notice, folder: Path | None) -> State | None:
        if folder is None:
            return None
        newer, parameters = verified(folder)
        self._strayed = False
        return State(donor, newer.progress, parameters)

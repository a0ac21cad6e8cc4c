"""Catching up with the swarm: what this peer missed comes from a donor, while training goes on.

The means that we missed lead from our anchor to that of now (`peer/state/means.py`). Where the swarm's anchor does not
come from ours by means, the newer anchor itself is taken. Nothing of it is believed before it was checked, and nothing
goes beside our own checkpoints before it was looked at (`judge.py`, `loop.py`). A donor that cannot show what it claims
is not asked again for a while (`doubts.py`), so that it keeps nobody from going on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from minigpt.checkpoint.manifest import OPTIMIZER, Progress
from peer.network.handle import Network
from peer.outer.doubts import WRITING_SECONDS, Doubts
from peer.state.fetching import TransferError
from peer.state.means import Mean, load, path_of
from peer.state.verifying import verified
from peer.swarm.membership import newer_state
from peer.wire import Notice, State

NEWER = "newer"  # the folder in a run's own in which a newer anchor is until it is looked at


class NotTaken(Exception):
    """The missed means or newer anchor did not come; the message says from whom and why."""


@dataclass(frozen=True)
class NewerAnchor:
    """An anchor that no means lead to from ours."""

    donor: Notice
    progress: Progress
    parameters: Mapping[str, Tensor]  # by name

    @property
    def state(self) -> State:
        """Where it is in the order of states; see `Notice.state`."""
        return (self.progress.samples, self.progress.round, self.progress.lineage_or_version)


class CatchingUp:
    """Takes what we missed, in at most one transfer at a time, and keeps missed means until the anchor has moved.

    :param checkpoints: the folder of all runs, which newer anchors are taken into; means go into the run's own folder
    :param size: numbers in a mean
    :param missed: files of means that are here already, in order
    :param doubts: about those that claim to be ahead
    """

    def __init__(
        self, network: Network, checkpoints: Path, run: str, size: int, missed: Sequence[Path], doubts: Doubts
    ):
        self._network, self._checkpoints, self._run, self._size = network, checkpoints, run, size
        self._missed = list(missed)  # files of means that our anchor has not been moved by yet, in order
        self.began_at = ""  # lineage of our anchor at the beginning of the last transfer
        self._donor: Notice | None = None
        self._poll: Callable[[], list[Path] | NewerAnchor | None] | None = None
        self._doubts = doubts
        self._newer = checkpoints / run / NEWER
        shutil.rmtree(self._newer, ignore_errors=True)  # of before: nobody has looked at it
        self._strayed = False  # the swarm's anchor does not come from ours by means alone

    @property
    def under_way(self) -> bool:
        """True while a transfer is under way."""
        return self._poll is not None

    @property
    def has_means(self) -> bool:
        """True while means are here that our anchor has not been moved by."""
        return bool(self._missed)

    def ahead(self, me: Notice, others: Iterable[Notice]) -> Notice | None:
        """Return the peer with the newest anchor, if it is newer than ours and the peer is to be asked for it.

        Those that we know are asked before strangers, who may say what they like.
        """
        asked = [other for other in others if self._doubts.asks(other.peer)]
        return newer_state(me, [other for other in asked if self._doubts.knows(other.peer)]) or newer_state(me, asked)

    def gives_way_to(self, donor: Notice | None) -> bool:
        """Return whether the transfer under way is a stranger's, who may let us wait, and that donor is one we know."""
        stranger = self._donor is not None and not self._doubts.knows(self._donor.peer)
        return stranger and donor is not None and self._doubts.knows(donor.peer)

    def begin(self, donor: Notice, me: Notice) -> None:
        """Begin to take the means that we missed from the donor; where means do not lead on, its newer anchor.

        Nothing begins where the donor is still writing that. Means are asked for first, however long nobody was here:
        an anchor that was not moved since is one that they lead on from, and what was trained meanwhile still fits.

        :param me: our notice
        """
        self._donor, self.began_at = donor, me.lineage
        if not self._strayed:
            means = self._network.fetch_means(donor.peer, self._newer / self._run, me.lineage, self._size)
            self._poll = lambda: self._means(means.poll())
        elif not donor.sharing:
            self._doubts.broken(donor.peer, WRITING_SECONDS)
        else:
            state = self._network.fetch(
                donor.peer,
                me.run_id,
                self._newer,
                skip=(OPTIMIZER,),
                newer_than=me.state,
                or_followed=True,
            )
            self._poll = lambda: self._newer_anchor(donor, state.poll())

    def poll(self) -> NewerAnchor | None:
        """Return a newer anchor that has come, checked. Means that have come are given out by `next_mean`.

        Raise NotTaken where a transfer came to nothing.
        """
        assert self._poll is not None and self._donor is not None, "begin comes first"
        try:
            arrived = self._poll()
        except (TransferError, OSError, ValueError) as error:  # MeanError and CheckpointError are ValueErrors
            self._poll = None
            self._doubts.broken(self._donor.peer)
            self._strayed = isinstance(error, ValueError)
            raise NotTaken(f"the newer state of {self._donor.name} could not be taken: {error}") from error
        if arrived is not None:
            self._poll = None
        if arrived:
            self._doubts.kept(self._donor.peer)
        if isinstance(arrived, list):
            self._missed = arrived
            return None
        return arrived

    @property
    def donor(self) -> Notice:
        """The peer of the last transfer, as it was at its beginning."""
        assert self._donor is not None, "begin comes first"
        return self._donor

    def means_here(self) -> list[Mean]:
        """Return the means that are here, in order; nothing of them is taken. Raise MeanError."""
        return [load(path, self._size) for path in self._missed]

    def approve(self) -> None:
        """Let what the donor gave be ours to move by, and its means go on to others. Raise OSError."""
        self._doubts.taken()
        kept = [path_of(self._checkpoints / self._run, path.stem) for path in self._missed]
        for path, place in zip(self._missed, kept):
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)  # it is whole, as it came
        self._missed = kept

    def refuse(self) -> None:
        """Take nothing of what the donor gave, now or for long."""
        shutil.rmtree(self._newer, ignore_errors=True)
        self._missed, self._strayed = [], False
        self._doubts.refused(self.donor.peer)

    def next_mean(self) -> Mean:
        """Return the next of the means that are here, which is ours to move by. Raise MeanError if it is none."""
        return load(self._missed.pop(0), self._size)

    def stray(self) -> None:
        """Forget the means that are here, which do not lead on: the next time, the newer anchor is asked for."""
        self.forget()
        self._strayed = True

    def drop(self) -> None:
        """Forget the transfer under way, and what has come."""
        self._poll = None
        self.stray()

    def forget(self) -> None:
        """Forget the means that are here: our anchor has moved on without them."""
        self._missed = []

    def _means(self, paths: list[Path] | None) -> list[Path] | None:
        """Take in the files of means, once they are here."""
        if paths is None:
            return None
        self._strayed = not paths  # without any, the donor's anchor does not come from ours
        return paths

    def _newer_anchor(self, donor: Notice, folder: Path | None) -> NewerAnchor | None:
        """Check the donor's checkpoint, once it is here. Raise CheckpointError if it cannot be what it says."""
        if folder is None:
            return None
        newer, parameters = verified(folder)
        shutil.rmtree(self._newer, ignore_errors=True)  # it is in memory, and nobody is to go on from it unseen
        self._strayed = False
        return NewerAnchor(donor, newer.progress, parameters)

"""The states of this device's own from before it took one of others: `checkpoints/RUN/earlier`, which is never pruned.

What was taken may turn out to be bad, and then every newer checkpoint comes from it. So at each taking the newest
checkpoint of our own is kept, as links to its files: that costs nothing until the original is pruned. A few are kept,
spread over time. Who goes back writes down when it had taken what it gives up, and takes no newer state of a device
that has not gone back as well.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.atomic import write_whole
from minigpt import checkpoint
from minigpt.checkpoint.manifest import POSITION, CheckpointError, Manifest, Progress

EARLIER, ABANDONED = "earlier", "abandoned"  # folders in a run's own
WENT_BACK = "went-back.json"  # the file beside them
MOST_KEPT = 3
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # of `time.time`


class Taking(BaseModel):
    """The taking of a state, as it is written beside the state that was ours before."""

    model_config = ConfigDict(frozen=True)

    donor: str  # its name
    peer: str = ""  # its peer id
    time: Seconds


class WentBack(BaseModel):
    """The last going back of this device."""

    model_config = ConfigDict(frozen=True)

    time: Seconds = 0.0  # 0 for never
    taken: Seconds = 0.0  # when what it gave up had been taken
    donor: str = ""  # the peer id of whom it was taken

    @classmethod
    def read(cls, run_folder: Path) -> Self:
        """Return what is written in a run's folder; that it never did where that is nothing, or nothing of the kind."""
        try:
            return cls.model_validate_json((run_folder / WENT_BACK).read_bytes())
        except (OSError, ValidationError):
            return cls()

    def write(self, run_folder: Path) -> None:
        """Write it down. Raises OSError."""
        write_whole(run_folder / WENT_BACK, self.model_dump_json(), synced=False)


NEVER = WentBack()


class EarlierStates:
    """The earlier states of one run.

    :param run_folder: of its checkpoints
    """

    def __init__(self, run_folder: Path):
        self.run_folder = run_folder
        self._place = run_folder / EARLIER

    def keep(self, run_id: str, samples: int, taking: Taking) -> None:
        """Keep our newest checkpoint with no more sequences behind it, for a state is taken. Raises OSError."""
        ours = [one for one in self._ours(run_id) if one[1].samples <= samples]
        newest = max(ours, key=lambda one: one[1].progress.age, default=None)
        if newest is None or (self._place / newest[0].name).exists():
            return
        self._place.mkdir(exist_ok=True)
        unfinished = self._place / f".incoming-{newest[0].name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(newest[0], unfinished, copy_function=link_or_copy)
        write_whole(self._record(newest[0].name), taking.model_dump_json(), synced=False)
        unfinished.rename(self._place / newest[0].name)
        self._prune()

    def all(self) -> list[tuple[Path, Taking]]:
        """Return what is kept, the last one first, each with the taking that it is from before."""
        found = []
        for folder in self._place.glob("round-*"):
            try:
                found.append((folder, Taking.model_validate_json(self._record(folder.name).read_bytes())))
            except (OSError, ValidationError):
                continue
        return sorted((one for one in found if one[0].is_dir()), key=lambda one: one[1].time, reverse=True)

    def newest(self) -> tuple[Path, Taking, Manifest] | None:
        """Return the last state that can be read, as far as its table of contents tells; None where there is none."""
        for folder, taking in self.all():
            try:
                return folder, taking, checkpoint.read_manifest(folder)
            except CheckpointError:
                continue
        return None

    def used(self, folder: Path, progress: Progress) -> None:
        """Take in that we have gone back to a state: what is newer goes, but for the newest, which is `abandoned`."""
        newer = [one for one in self._ours(progress.run_id, taken=True) if one[1].progress.age > progress.age]
        gone = self.run_folder / ABANDONED
        for number, (path, _) in enumerate(sorted(newer, key=lambda one: one[1].progress.age, reverse=True)):
            if number == 0:
                shutil.rmtree(gone, ignore_errors=True)
                gone.mkdir(exist_ok=True)
                path.rename(gone / path.name)
            else:
                checkpoint.discard(path)
        self._forget(folder)

    def _ours(self, run_id: str, taken: bool = False) -> Iterator[tuple[Path, Manifest]]:
        """Yield this device's checkpoints of that run, and those that were taken as well where that is said."""
        for folder in self.run_folder.glob("round-*"):
            try:
                manifest = checkpoint.read_manifest(folder)
            except CheckpointError:
                continue
            if manifest.run_id == run_id and (taken or POSITION in manifest.files):
                yield folder, manifest

    def _record(self, name: str) -> Path:
        return self._place / f"{name}.json"

    def _prune(self) -> None:
        """Keep MOST_KEPT, the last one among them: of two that were kept soon after each other the first one goes."""
        while len(kept := self.all()) > MOST_KEPT:
            gaps = [(later[1].time - one[1].time, one[0]) for later, one in pairwise(kept)]
            self._forget(min(gaps)[1])

    def _forget(self, folder: Path) -> None:
        checkpoint.discard(folder)
        self._record(folder.name).unlink(missing_ok=True)


def link_or_copy(source: str, target: str) -> None:
    """Let the file have another name; copy it where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

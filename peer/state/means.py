"""The swarm's history: every mean that moved the anchor, kept for a while for those who missed it.

Who holds an anchor and the means that followed it gets to the anchor of now by the same arithmetic as everybody else.
So a peer whose exchange failed takes that one mean instead of the whole state, a joiner can take its time over the
state, and who was ended without warning loses only what it trained since its last exchange, however old its checkpoint
is. One safetensors file a mean, in `checkpoints/RUN/history/`, named after the anchor that it moves.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.atomic import replacing
from data.terminal import printable
from peer.state.anchor import LIMIT, MEAN_BITS, gain
from peer.state.codec import bits_of, is_valid
from peer.wire import MeanHeader, parse

FOLDER = "history"
# The payload's name in the file. A "code", of before, counts in learning rates: it would move an anchor elsewhere.
NUMBERS = "movement"
KEPT_BYTES = 256 * 2**20
KEPT_SHARE = 0.25


class MeanError(ValueError):
    """A mean that cannot be what moved this anchor."""


@dataclass(frozen=True)
class Mean:
    """One step of the anchor, as everybody takes it."""

    previous: str  # lineage of the anchor that it moves
    samples: dict[str, int]  # peer id -> sequences that it contributed
    count: int  # steps of the peers that are in it, about as many as those of the one that trained most
    payload: Tensor  # uint8, as peer/state/codec.py has it

    @property
    def lineage(self) -> str:
        """Return the name of the anchor after it: a hash over everything that made it."""
        digest = hashlib.sha256(self._header().encode())
        digest.update(self.payload.numpy().data)
        return digest.hexdigest()

    @property
    def steps(self) -> float:
        """Return how many steps the anchor makes of it."""
        return self.count * gain(self.samples.values())

    def _header(self) -> str:
        return json.dumps([self.previous, sorted(self.samples.items()), self.count])

    def save(self, run_folder: Path) -> None:
        """Write it, then forget the oldest ones. Raises OSError."""
        path = path_of(run_folder, self.previous)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path, synced=False) as part:
                save_file({NUMBERS: self.payload}, part, metadata={"header": self._header()})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            prune(path.parent)  # also where the disk is full: it makes room


def path_of(run_folder: Path, previous: str) -> Path:
    """Return where the mean that moves the anchor `previous` is kept."""
    return run_folder / FOLDER / f"{previous}.safetensors"


def load(path: Path, size: int) -> Mean:
    """Read a mean, wherever it came from. Raises MeanError for what cannot be one of `size` numbers."""
    try:
        with safe_open(path, framework="pt") as file:
            header = parse(MeanHeader, file.metadata()["header"])
            payload = file.get_tensor(NUMBERS)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise MeanError(f"{path.name[:12]}… is no mean: {printable(str(error))[:200]}") from error
    bits = bits_of(payload.numel(), size)
    if payload.dim() != 1 or bits is None or bits not in MEAN_BITS.values() or not is_valid(payload, bits, LIMIT):
        raise MeanError(f"{path.name[:12]}… does not hold {size} finite numbers")
    if path.stem != header.previous:
        raise MeanError(f"{path.name[:12]}… moves another anchor")
    return Mean(header.previous, header.samples, header.count, payload)


def following(run_folder: Path, lineage: str, size: int) -> list[Path]:
    """Return the files of the means that are kept here and lead on from the anchor `lineage`, in order."""
    paths: list[Path] = []
    with suppress(MeanError):
        while (path := path_of(run_folder, lineage)).exists():
            lineage = load(path, size).lineage
            paths.append(path)
    return paths


def prune(folder: Path) -> None:
    """Forget the oldest means: the history takes no more than KEPT_BYTES, nor KEPT_SHARE of what a disk has left.

    The newest one stays in any case: somebody is likely to need just that.
    """
    with suppress(OSError):  # somebody else may prune, too
        entries = [(entry, entry.stat()) for entry in folder.glob("*.safetensors")]
        free = shutil.disk_usage(folder).free
        left = min(KEPT_BYTES, KEPT_SHARE * (free + sum(stat.st_size for _, stat in entries)))
        for number, (entry, stat) in enumerate(sorted(entries, key=lambda entry: entry[1].st_mtime, reverse=True)):
            left -= stat.st_size
            if left < 0 and number > 0:
                entry.unlink()

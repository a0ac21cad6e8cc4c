"""The snapshot of the swarm in a file: training writes it, whoever shows it reads it, and neither waits."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from data.atomic import write_whole
from peer.page.models import FORMAT, Snapshot

SNAPSHOT = "snapshot.json"  # in the checkpoints folder
MOST_BYTES = 2**22


def write_snapshot(checkpoints: Path, snapshot: Snapshot) -> None:
    """Put a snapshot in the place of the one before. Raises OSError."""
    write_whole(checkpoints / SNAPSHOT, snapshot.model_dump_json(), synced=False)


def read_snapshot(checkpoints: Path) -> Snapshot:
    """Return the newest snapshot; where there is none that can be shown, an empty one that says why."""
    path = checkpoints / SNAPSHOT
    try:
        with path.open("rb") as file:
            snapshot = Snapshot.model_validate_json(file.read(MOST_BYTES))
    except FileNotFoundError:
        return Snapshot(problem=f"nothing is known yet: {path} comes when a peer runs")
    except OSError as error:
        return Snapshot(problem=f"{path} cannot be read: {error.strerror}")
    except ValidationError:
        return Snapshot(problem=f"{path} is not whole; it is written anew in a moment, while a peer runs")
    if snapshot.format != FORMAT:
        age = "an older" if snapshot.format < FORMAT else "a newer"
        return Snapshot(problem=f"{path} is of {age} version of CellMind: start the peer anew, and it is written anew")
    return snapshot

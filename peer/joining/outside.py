"""A device before a locked run: the lines that it shows while it knocks, and how other commands hear of that."""

from __future__ import annotations

from pathlib import Path

from peer.device.control import ControlError, ask
from peer.swarm.knocking import Outside

HOW_TO_ADMIT = "a device that is in shows the same number: type python -m peer --admit NUMBER there"
HOW_TO_FOUND = (
    "to found a run of its own instead, end this with Ctrl+C and choose a name: python -m peer --join --run NAME"
)


def lines_outside(outside: Outside) -> list[str]:
    """Return what to tell the user of a device that asks to be let in, each line once."""
    if outside.number:
        return [f"asking the others to let it in: {outside.number}", HOW_TO_ADMIT]
    return [f"{outside.problem}; it asks again"] if outside.problem else []


def asks_in(checkpoints: Path) -> bool:
    """Return whether the peer that runs in a folder asks to be let in, as far as it can be asked itself."""
    try:
        return bool(ask(checkpoints, "household")["knocks"])
    except (ControlError, KeyError):
        return False

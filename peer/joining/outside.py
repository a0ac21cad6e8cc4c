"""A device before a locked run: the lines that it shows while it knocks, and how other commands hear of that."""

from __future__ import annotations

from pathlib import Path

from peer.device.control import ControlError, ask
from peer.device.event_log import KnownLine
from peer.swarm.knocking import Outside

HOW_TO_ADMIT = KnownLine(
    "a device that is in shows the same number: type python -m peer --admit NUMBER there", "how_to_admit"
)
HOW_TO_FOUND = KnownLine(
    "to found a run of its own instead, end this with Ctrl+C and choose a name: python -m peer --join --run NAME",
    "how_to_found",
)


def lines_outside(outside: Outside) -> list[str]:
    """Return what to tell the user of a device that asks to be let in, each line once."""
    if outside.number:
        text = f"asking the others to let it in: {outside.number}"
        return [KnownLine(text, "asks_in", number=outside.number), HOW_TO_ADMIT]
    if outside.problem:
        return [KnownLine(f"not in yet: {outside.problem}; it asks again", "not_in", why=outside.problem)]
    return []


def asks_in(checkpoints: Path) -> bool:
    """Return whether the peer that runs in a folder asks to be let in, as far as it can be asked itself."""
    try:
        return bool(ask(checkpoints, "household")["knocks"])
    except (ControlError, KeyError):
        return False

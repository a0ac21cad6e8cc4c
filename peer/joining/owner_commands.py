"""The commands of a run's owner, as they are typed beside a running peer:

    python -m peer --lock
    python -m peer --admit 4827
    python -m peer --eject phone
    python -m peer --unlock
    python -m peer --go-back

Each asks the peer that runs here, whose end is `owner_requests.py`, and says what has come of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer.device.control import ControlError, ask
from peer.device.event_log import KnownLine
from peer.network.folder import runs_in

KEY_SECONDS = 15.0  # that devices have to take the key
LOOK_SECONDS = 0.5
OPEN = KnownLine(
    "this run is open: whoever is on this network can come in and take the model; "
    "python -m peer --lock keeps it to the devices that are in",
    "is_open",
)
LOCKED = KnownLine(
    "this run is locked: another device comes in with the same line, python -m peer --join, which shows a number; then "
    "type python -m peer --admit NUMBER here. Or it comes in by an invite: python -m peer --invite",
    "is_locked",
)


@dataclass(frozen=True)
class Shown:
    """A device as people are told of it.

    :param host: its address; "" where it is not here now
    """

    peer: str
    name: str
    host: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.host or 'away'})"


class OwnerCommands:
    """The commands, about the peer that runs in a checkpoints folder.

    :param report: gets a line for the user
    """

    def __init__(self, checkpoints: Path, report: Callable[[str], None]):
        self._checkpoints, self._report = checkpoints, report

    def lock(self, confirmed: bool) -> None:
        """Lock the run, once the owner has seen who gets the key. Raises ControlError.

        :param confirmed: do not ask
        """
        household = self._ask("household")
        if household["knocks"]:
            raise ControlError("this device asks to be let in itself: lock, admit and eject on a device that is in")
        if household["locked"]:
            raise ControlError("the run is locked already; python -m peer --admit NUMBER lets a device in")
        if not household["run_id"]:
            raise ControlError("this device is in no run yet: lock it once it trains")
        others = [Shown(**device) for device in household["others"]]
        self._report(f"run {household['run_id']} gets a key, which goes to {len(others) + 1} device(s):")
        for line in (f"{household['me']} (this one)", *map(str, others)):
            self._report(f"    {line}")
        self._report("from then on nobody else can read, join or train it")
        if not confirmed and not _agrees("lock it? [y/N] "):
            self._report("it stays open")
            return
        self._ask("lock", *(device.peer for device in others))
        self._report(LOCKED)
        for device in self._still_without_key([device for device in others if device.host]):
            self._report(
                f"{device} has not taken the key: as long as it is on and does not, it is open to everybody; stop it, "
                "and start it with an invite: python -m peer --invite"
            )

    def _still_without_key(self, others: list[Shown]) -> list[Shown]:
        """Return who has not taken the key after KEY_SECONDS; waits until all have.

        A device refuses a lock that leaves out whoever has trained beside it for long: it may be a stranger's.
        """
        deadline = time.monotonic() + KEY_SECONDS
        while True:
            without_key = self._ask("household")["without_key"]
            waiting = [device for device in others if device.peer in without_key]
            if not waiting or time.monotonic() > deadline:
                return waiting
            time.sleep(LOOK_SECONDS)

    def unlock(self) -> None:
        """Open the run again. Raises ControlError."""
        self._ask("unlock")
        self._report("the run is open: whoever is on this network can come in and take the model")

    def admit(self, number: str) -> None:
        """Let in the device that shows a number. Raises ControlError."""
        device = self._ask("admit", number)
        self._report(f"{device['name']} ({device['host']}) is let in")

    def eject(self, name: str) -> None:
        """Eject a member. Raises ControlError."""
        done = self._ask("eject", name)
        left = ", ".join(str(Shown(**device)) for device in done["left"])
        ejected = f"{done['name']} ({done['host'] or 'away'})"
        self._report(f"{ejected} is ejected, and there is a new key; members are this device{left and f', {left}'}")
        self._report("what it has of the model already stays with it; invites of before are no longer good")

    def go_back(self) -> None:
        """Give up what this device took of others last, and all that came of it. Raises ControlError."""
        done = self._ask("goback")
        self._report(
            f"this device goes back to round {done['round']}, its own state from before it took that of "
            f"{done['donor']} ({done['since']}); what it gives up stays in the folder 'abandoned' of its run"
        )
        self._report(
            "the others are told, and go on as they are: it takes newer states again from those that go back as well"
        )

    def _ask(self, action: str, *arguments: str) -> dict[str, Any]:
        if not runs_in(self._checkpoints):
            raise ControlError(
                f"no peer runs in {self._checkpoints}; start one with python -m peer --join, "
                "and ask again while it runs"
            )
        return ask(self._checkpoints, action, *arguments)


def _agrees(question: str) -> bool:
    """Return whether the person at the terminal agrees. Raises ControlError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ControlError("--lock asks before it locks, and nobody can answer here: add --yes, or use a terminal")
    return input(question).strip().lower() in ("y", "yes")

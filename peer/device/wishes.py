"""The owner's wishes for this device while it trains: a pause, quiet hours, a share of the time, things to do once.

They come at any time, on the thread of the control channel, and training heeds them in its next turn. Quiet hours and
the share of time are kept in `checkpoints/wishes.json`; a pause ends with the program.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.atomic import write_whole
from peer.device.power import Cause, Rest

WISHES = "wishes.json"  # in the checkpoints folder
GO_BACK = "go_back"  # a wish: to the state from before this device took one of others
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class QuietHours(BaseModel):
    """The hours of the day in which a device does not train, such as 22:00 to 07:00; past midnight is meant so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begins: ClockTime
    ends: ClockTime

    def are_at(self, now: str) -> bool:
        """Return whether a time of the day, as "23:15", is within them. From 08:00 to 08:00 is no time at all."""
        if self.begins <= self.ends:
            return self.begins <= now < self.ends
        return now >= self.begins or now < self.ends


class Kept(BaseModel):
    """The wishes that outlast the program."""

    model_config = ConfigDict(frozen=True)

    share_of_time: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    quiet_hours: QuietHours | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what is kept in a file; the defaults where that is nothing, or nothing of the kind."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return cls()


class Wishes:
    """The wishes as of now; any thread may change them.

    :param share_of_time: that the command line asks for; None for what is kept
    """

    def __init__(self, checkpoints: Path, share_of_time: float | None = None):
        self._path, self._lock = checkpoints / WISHES, threading.Lock()
        self._kept = Kept.read(self._path)
        self._share = share_of_time or self._kept.share_of_time
        self._once: set[str] = set()
        self.is_paused = False

    @property
    def share_of_time(self) -> float:
        """The share of the time in which to train, above 0 and up to 1."""
        return self._share

    @property
    def quiet_hours(self) -> QuietHours | None:
        """The hours in which not to train."""
        return self._kept.quiet_hours

    @property
    def rest(self) -> Rest | None:
        """The reason not to train now, or None."""
        if self.is_paused:
            return Rest(Cause.OWNER, "paused by its owner", "when its owner says so")
        hours = self.quiet_hours
        if hours is not None and hours.are_at(time.strftime("%H:%M")):
            return Rest(Cause.QUIET_HOURS, f"quiet hours until {hours.ends}", f"at {hours.ends}")
        return None

    def pause(self) -> None:
        """Do not train until `go_on`."""
        self.is_paused = True

    def go_on(self) -> None:
        """Train again, but for quiet hours."""
        self.is_paused = False

    def set_quiet_hours(self, hours: QuietHours | None) -> None:
        """Take other quiet hours, from now on. Raises OSError where they cannot be kept; they count all the same."""
        self._keep(quiet_hours=hours)

    def set_share_of_time(self, share: float) -> None:
        """Take another share of the time, from now on. Raises OSError where it is not kept; it counts all the same."""
        self._share = share
        self._keep(share_of_time=share)

    def ask_once(self, what: str) -> None:
        """Wish for something to be done once, as soon as training comes to it."""
        with self._lock:
            self._once.add(what)

    def take(self, what: str) -> bool:
        """Return whether that was wished for; it is not any more."""
        with self._lock:
            wanted = what in self._once
            self._once.discard(what)
            return wanted

    def _keep(self, **changes: object) -> None:
        self._kept = self._kept.model_copy(update=changes)
        write_whole(self._path, self._kept.model_dump_json(), synced=False)

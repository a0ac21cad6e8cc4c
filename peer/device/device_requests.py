"""What the owner may ask of a running peer about this device, by the control channel: see `wishes.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from peer.device.control import Action, ControlError
from peer.device.wishes import QuietHours, Wishes


class DeviceRequests:
    """Takes the owner's wishes. It is called on the channel's thread, while training goes on."""

    def __init__(self, wishes: Wishes):
        self._wishes = wishes

    @property
    def actions(self) -> Mapping[str, Action]:
        """All that can be asked for, by name."""
        return {
            "pause": self.pause,
            "goon": self.go_on,
            "quiet": self.quiet,
            "share": self.share,
            "sync": self.sync,
            "checkpoint": self.checkpoint,
        }

    def pause(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Train no more, until `go_on`."""
        self._wishes.pause()
        return {}

    def go_on(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Train again."""
        self._wishes.go_on()
        return {}

    def quiet(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Take quiet hours, such as 22:00 and 07:00, or none without arguments. Raises ControlError."""
        try:
            hours = QuietHours(begins=arguments[0], ends=arguments[1]) if arguments else None
        except (ValidationError, IndexError) as error:
            raise ControlError("quiet hours begin and end at times such as 22:00 and 07:00") from error
        self._kept(lambda: self._wishes.set_quiet_hours(hours))
        return {}

    def share(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Take another share of the time. Raises ControlError."""
        try:
            share = float(arguments[0])
        except (ValueError, IndexError) as error:
            raise ControlError("the share of time is a number from 0.01 to 1") from error
        if not 0.01 <= share <= 1:
            raise ControlError(f"the share of time is {share}: it must be from 0.01 to 1")
        self._kept(lambda: self._wishes.set_share_of_time(share))
        return {}

    def sync(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Exchange with the others as soon as can be."""
        self._wishes.ask_once("sync")
        return {}

    def checkpoint(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Write a checkpoint as soon as can be."""
        self._wishes.ask_once("checkpoint")
        return {}

    def _kept(self, wish: Any) -> None:
        try:
            wish()
        except OSError as error:
            raise ControlError(
                f"it counts from now on, but is not kept for the next start: {error.strerror}"
            ) from error

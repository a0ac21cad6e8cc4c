"""The owner's command to give up what was taken of others, and go on from before:  python -m peer --go-back

This is the running peer's end: it says what it will go back to, and training does it in its next turn
(`peer/training/going_back.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peer.device.control import Action, ControlError
from peer.device.wishes import GO_BACK, Wishes
from peer.state.earlier import EarlierStates


class GoBackRequest:
    """Takes the owner's command, on the control channel's thread.

    :param run_folder: of the checkpoints of the run that this device is in
    """

    def __init__(self, wishes: Wishes, run_folder: Path):
        self._wishes, self._states = wishes, EarlierStates(run_folder)

    @property
    def actions(self) -> Mapping[str, Action]:
        """All that can be asked for, by name."""
        return {"goback": self.go_back}

    def go_back(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return which state this device goes back to. Raises ControlError."""
        newest = self._states.newest()
        if newest is None:
            raise ControlError(
                "there is nothing to go back to: this device has taken no newer state of another one since it is here"
            )
        _, taking, manifest = newest
        self._wishes.ask_once(GO_BACK)
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(taking.time))
        return {"round": manifest.round, "donor": taking.donor, "since": since}

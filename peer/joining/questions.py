"""What the page of this device asks the models of other devices, by the control channel: begun, heard and dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from peer.device.control import Action, ControlError
from peer.device.event_log import KnownLine
from peer.network.handle import Network
from peer.state.fetching import TransferError
from peer.wire import ProtocolViolation, parse
from peer.wire_asking import AnswerRequest


class QuestionRequests:
    """Takes the page's questions. It is called on the channel's thread, and never waits for an answer."""

    def __init__(self, network: Network):
        self._network = network

    @property
    def actions(self) -> Mapping[str, Action]:
        """All that can be asked for, by name."""
        return {"ask": self.ask, "heard": self.heard, "drop": self.drop}

    def ask(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Ask the model of another device of our run, and return the question's number. Raises ControlError."""
        peer, request = arguments
        if peer not in {notice.peer for notice in self._network.view.notices}:
            raise ControlError(KnownLine("that device is not here any more", "asked_failed"))
        try:
            return {"number": self._network.ask(peer, parse(AnswerRequest, request)).wait()}
        except (ProtocolViolation, TransferError) as error:
            raise ControlError(f"this cannot be asked: {error}") from error

    def heard(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return the answer to a question, as far as it is here. Raises ControlError."""
        try:
            return asdict(self._network.heard(int(arguments[0])).wait())
        except (ValueError, TransferError) as error:
            raise ControlError(str(error)) from error

    def drop(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Want no more of an answer."""
        self._network.drop(int(arguments[0]))
        return {}

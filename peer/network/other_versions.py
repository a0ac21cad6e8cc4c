"""Devices with another version of the protocol: they do nothing together with us, and the user is told of them."""

from __future__ import annotations

from peer.network.address import Address
from peer.wire import PROTOCOL_VERSION, OtherVersion

MOST = 64  # that the user is told of; more is somebody playing tricks


class OtherVersions:
    """Those that were heard of, each once."""

    def __init__(self) -> None:
        self._heard: dict[str, OtherVersion] = {}  # by peer id

    def hear_of(self, other: OtherVersion) -> None:
        """Keep one in mind, if it is not known yet."""
        if len(self._heard) < MOST:
            self._heard.setdefault(other.peer, other)

    @property
    def heard(self) -> list[OtherVersion]:
        """All that were heard of, in that order."""
        return list(self._heard.values())


def what_to_update(other: OtherVersion) -> str:
    """Return the line that tells the user which of two devices is older, and to bring it up to date."""
    who = f"{other.name} ({Address.parse(other.address).host})"
    if other.version < PROTOCOL_VERSION:
        return f"{who} runs an older version of CellMind and does not train with this one: update it (git pull)"
    return f"{who} runs a newer version of CellMind and does not train with this one: update this device (git pull)"

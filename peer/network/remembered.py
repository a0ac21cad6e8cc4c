"""Whom this device has met, kept in its folder from start to start: addresses to dial, and names of members."""

from __future__ import annotations

from pathlib import Path

from peer.network.folder import MAX_REMEMBERED, keep_addresses, keep_names, known_addresses, known_names
from peer.network.node import View
from peer.swarm.household import is_member


class Remembered:
    """The addresses and names that the peer in a folder remembers."""

    def __init__(self, checkpoints: Path):
        self._checkpoints = checkpoints.resolve()
        self.addresses = known_addresses(checkpoints)  # multiaddrs, for a start on a network without multicast
        self.names = known_names(checkpoints)  # peer id -> name, of members: one that is away can be ejected by it

    def update(self, view: View) -> None:
        """Keep what is new of those whom we are connected to."""
        known = [notice.address for notice in view.notices if notice.peer in view.connected]
        addresses = list(dict.fromkeys([*known, *self.addresses]))[:MAX_REMEMBERED]
        if addresses != self.addresses:
            self.addresses = addresses
            keep_addresses(self._checkpoints, addresses)
        names = {notice.peer: notice.name for notice in view.notices if is_member(view.household, notice.peer)}
        if not names.items() <= self.names.items():
            self.names = {**self.names, **names}
            keep_names(self._checkpoints, self.names)

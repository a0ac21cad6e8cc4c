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
        self._knocked: dict[str, str] = {}  # peer id -> name, of the last that have knocked since the start

    def update(self, view: View) -> None:
        """Keep what is new of those whom we are connected to."""
        known = [notice.address for notice in view.notices if notice.peer in view.connected]
        addresses = list(dict.fromkeys([*known, *self.addresses]))[:MAX_REMEMBERED]
        if addresses != self.addresses:
            self.addresses = addresses
            keep_addresses(self._checkpoints, addresses)
        for knock in view.knocks:
            self._knocked.pop(knock.peer, None)
            self._knocked[knock.peer] = knock.name
        self._knocked = dict([*self._knocked.items()][-MAX_REMEMBERED:])
        # a bootstrap node has no notice: it is called as it was when it knocked
        named = {peer: name for peer, name in self._knocked.items() if peer not in self.names}
        named |= {notice.peer: notice.name for notice in view.notices}
        names = {peer: name for peer, name in named.items() if is_member(view.household, peer)}
        if not names.items() <= self.names.items():
            self.names = {**self.names, **names}
            keep_names(self._checkpoints, self.names)

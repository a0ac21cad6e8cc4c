"""The device's identity, and whoever else says to have it: a folder copied to a second device copies its key."""

from __future__ import annotations

import asyncio
import time

from hivemind.p2p import P2P

from peer.network import clock
from peer.network.address import Address
from peer.network.hivemind_patches import connect
from peer.network.meeting import CONNECT_SECONDS
from peer.swarm.membership import is_earlier_twin
from peer.wire import Notice, Role

TWIN_SECONDS = 30.0  # between two looks at somebody who says to have our identity


class Identity:
    """The identity of this device.

    :param address: our own
    """

    def __init__(self, address: Address):
        self.address, self.peer = str(address), address.peer
        self.twin: str | None = None  # address of a device that has our identity, and had it before us
        self._began = time.monotonic()
        self._suspected: str | None = None  # address of a device that seems to be one
        self._not_asked_before = 0.0

    @property
    def started(self) -> float:
        """Return when this device was started, in the swarm's time."""
        return clock.now() - (time.monotonic() - self._began)

    def hear_of(self, other: Notice) -> None:
        """Take in that somebody says to have our identity: if it was there first, we take another (`handle.py`)."""
        me = other.model_copy(update={"address": self.address, "started": round(self.started, 1)})
        if other.role != Role.LEFT and other.address != self.address and is_earlier_twin(other, me):
            self._suspected = other.address

    async def ask_twin(self) -> None:
        """Believe in a device with our identity once it has proved to hold our key; anybody can say so.

        Connecting is the proof. p2pd does not connect to its own identity, so another one does, for that moment.
        """
        if self._suspected is None or time.monotonic() < self._not_asked_before:
            return
        address, self._suspected = self._suspected, None
        self._not_asked_before = time.monotonic() + TWIN_SECONDS
        asker = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
        try:
            await asyncio.wait_for(connect(asker, Address.parse(address)), CONNECT_SECONDS)
            self.twin = address
        finally:
            await asker.shutdown()

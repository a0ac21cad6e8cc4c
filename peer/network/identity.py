"""The device's identity, and whoever else says to have it: a folder copied to a second device copies its key."""

from __future__ import annotations

import asyncio
import time

from hivemind.p2p import P2P

from peer.network import clock
from peer.network.address import Address
from peer.network.hivemind_patches import connect
from peer.network.meeting import CONNECT_SECONDS
from peer.network.reachability import try_port
from peer.swarm.membership import is_earlier_twin
from peer.wire import Notice, Role

TWIN_SECONDS = 30.0  # between two looks at whoever says to have our identity; each is a p2pd of its own
LONGEST_SECONDS = 1800.0  # the same once nobody at an address had it, again and again
MOST_ADDRESSES = 256  # that are kept in mind; more is somebody playing tricks


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
        self._failures: dict[str, tuple[int, float]] = {}  # host -> how often it was none, and until when it rests

    @property
    def started(self) -> float:
        """Return when this device was started, in the swarm's time."""
        return clock.now() - (time.monotonic() - self._began)

    def hear_of(self, other: Notice) -> None:
        """Take in that somebody says to have our identity: if it was there first, we take another (`handle.py`)."""
        me = other.model_copy(update={"address": self.address, "started": round(self.started, 1)})
        if other.role == Role.LEFT or other.address == self.address or not is_earlier_twin(other, me):
            return
        if time.monotonic() >= self._failures.get(Address.parse(other.address).host, (0, 0.0))[1]:
            self._suspected = other.address

    async def ask_twin(self) -> None:
        """Believe in a device with our identity once it has proved to hold our key; anybody can say so.

        Connecting is the proof. p2pd does not connect to its own identity, so another one does, for that moment.
        """
        if self._suspected is None or time.monotonic() < self._not_asked_before:
            return
        address, self._suspected = self._suspected, None
        place = Address.parse(address)
        self._was_none(place.host)  # unless it proves to be one
        await try_port(place.host, place.port, CONNECT_SECONDS)  # which is cheaper than a p2pd
        asker = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
        try:
            await asyncio.wait_for(connect(asker, place), CONNECT_SECONDS)
            self.twin = address
        finally:
            await asker.shutdown()

    def _was_none(self, host: str) -> None:
        """Let a host rest, twice as long each time; and everybody longer, the more of them say so in vain."""
        failures = self._failures.pop(host, (0, 0.0))[0] + 1
        while len(self._failures) >= MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        now = time.monotonic()
        self._failures[host] = failures, now + min(TWIN_SECONDS * 2**failures, LONGEST_SECONDS)
        in_vain = sum(count for count, _ in self._failures.values())
        self._not_asked_before = now + min(TWIN_SECONDS * max(1, in_vain // 4), LONGEST_SECONDS)

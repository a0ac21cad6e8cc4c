"""Meeting others: connecting to every address that was heard of, again and again, so that two DHTs become one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from hivemind.dht import DHTNode
from hivemind.p2p import PeerID

from peer.network.address import Address
from peer.network.common_time import CommonTime
from peer.network.dht_board import search_again
from peer.network.door import Door
from peer.network.hivemind_patches import connect, disconnect
from peer.network.proofs import Proofs
from peer.network.reachability import try_port

CONNECT_SECONDS = 5.0
MEET_SECONDS = 60.0  # that a meeting takes at most
# Before an address that did not answer is tried again: the first pause, the longest where somebody has answered there
# before, and the longest otherwise.
RETRY_SECONDS = (2.0, 10.0, 60.0)
FULL_SECONDS = 1.0  # between two addresses that make room for others
MAX_ADDRESSES = 256  # heard of and kept in mind
LOCKED = "its run is locked"  # why an address could not be reached that answers to those who have the key
ANOTHER_DEVICE = "another device answers there"  # why an address with a peer id could not be reached


@dataclass
class Attempt:
    """The attempts to meet whoever is at an address.

    :param met: somebody has answered there
    :param pause: seconds before the next attempt, if this one fails
    :param not_before: of `time.monotonic`, when the address may be dialled again
    :param task: the attempt that is under way, or was the last
    """

    met: bool = False
    pause: float = RETRY_SECONDS[0]
    not_before: float = 0.0
    task: asyncio.Task[None] | None = None


class Meetings:
    """The addresses that one node dials, and whom it is connected to."""

    def __init__(self, dht: DHTNode, door: Door):
        self._dht, self._door, self.proofs = dht, door, Proofs(dht)
        self.time = CommonTime(dht, self.proofs)
        self.addresses: dict[str, Attempt] = {}  # by multiaddress
        self.refused: dict[str, str] = {}  # multiaddress -> why it could not be reached
        self.connected: list[str] = []  # peer ids, of a locked run those of whoever has the key
        self._full_until = 0.0

    def remember(self, address: str) -> None:
        """Dial it from now on. Where there are too many, one at which nobody ever answers makes room.

        Once a turn: whoever makes up addresses would have all of them dialled, again and again.
        """
        if address in self.addresses:
            return
        if len(self.addresses) >= MAX_ADDRESSES:
            silent = (known for known, attempt in self.addresses.items() if attempt.pause == RETRY_SECONDS[2])
            given_up = next(silent, None)
            if given_up is None or time.monotonic() < self._full_until:
                return
            self._full_until = time.monotonic() + FULL_SECONDS
            del self.addresses[given_up]
            self.refused.pop(given_up, None)
        self.addresses[address] = Attempt()

    @property
    def shut(self) -> list[str]:
        """The addresses of devices of a locked run, as far as we have called there and have no key."""
        return [address for address, why in self.refused.items() if why == LOCKED]

    async def host_of(self, peer: PeerID) -> str:
        """Return the address that a peer is connected from, "" where it is not."""
        for info in await self._dht.p2p.list_peers():
            if info.peer_id == peer:
                return next((str(address["ip4"]) for address in info.addrs if "ip4" in address), "")
        return ""

    def begin_anew(self) -> None:
        """Meet everybody once more, without a pause: there is another key."""
        self.refused.clear()
        for attempt in self.addresses.values():
            attempt.not_before, attempt.pause = 0.0, RETRY_SECONDS[0]

    def dial_soon(self, address: str) -> None:
        """Dial an address without a pause, if it is kept in mind: somebody has just been heard there."""
        if address in self.addresses:
            self.addresses[address].not_before = 0.0

    async def meet_all(self, addresses: Iterable[str]) -> None:
        """Begin to meet all whose time has come, these among them. Raises what p2pd fails with."""
        connected = [info.peer_id for info in await self._dht.p2p.list_peers()]
        self.connected = [peer.to_base58() for peer in connected if self._door.lets_in(peer)]
        self.proofs.saw(self.connected)
        self.begin(addresses)

    def begin(self, addresses: Iterable[str]) -> None:
        """Begin to meet all whose time has come, these among them."""
        for address in addresses:
            self.remember(address)
        now = time.monotonic()
        for address, attempt in self.addresses.items():
            # a task each: who does not answer holds up nobody else
            if attempt.not_before <= now and (attempt.task is None or attempt.task.done()):
                attempt.task = asyncio.create_task(self.meet(address, attempt))

    async def meet(self, address: str, attempt: Attempt) -> None:
        """Connect to whoever is at an address, and take the peer into the routing table; remember how that went."""
        try:
            async with asyncio.timeout(MEET_SECONDS):  # hivemind may wait for ever for what was cut off
                if Address.parse(address).peer_id == self._dht.peer_id:
                    self.addresses.pop(address, None)
                    return
                await self._become_acquainted(Address.parse(address))
                self.refused.pop(address, None)
                attempt.met, attempt.pause = True, RETRY_SECONDS[0]
                attempt.not_before = time.monotonic() + attempt.pause
        except Exception as error:
            if address in self.addresses:
                # an address that anybody made up may have no peer id that can be read
                is_locked = address.rpartition("/")[2] in {peer.to_base58() for peer in self._door.refused}
                self.refused[address] = LOCKED if is_locked else _reason(error)
            attempt.not_before = time.monotonic() + attempt.pause
            attempt.pause = min(2 * attempt.pause, RETRY_SECONDS[1 if attempt.met else 2])

    async def _become_acquainted(self, address: Address) -> None:
        """Raises whatever keeps them from each other."""
        peer, connected = address.peer_id, address.peer in self.connected
        is_proved = address.peer in self.proofs.proved
        if connected and is_proved and peer in self._dht.protocol.routing_table:
            return
        if not connected and address.protocol == "ip4":  # each failed call makes p2pd wait longer, up to 5 minutes
            await try_port(address.host, address.port, CONNECT_SECONDS)
        await asyncio.wait_for(connect(self._dht.p2p, address), CONNECT_SECONDS)
        await self.time.agree(peer)
        if await self._dht.protocol.call_ping(peer) is None:
            raise ConnectionError("something listens there, but it is no DHT node")
        await self._dht.find_nearest_nodes([self._dht.node_id])
        self._dht.blacklist.register_success(peer)
        search_again(self._dht)

    async def let_go(self, peer: PeerID) -> None:
        """End the connection to a device that has moved, with which p2pd would go on; anybody may say that one has."""
        if await self._dht.protocol.call_ping(peer) is None:
            await disconnect(self._dht.p2p, peer)

    def stop(self) -> None:
        """End what is under way."""
        self.proofs.stop()
        for attempt in self.addresses.values():
            if attempt.task is not None:
                attempt.task.cancel()


def _reason(error: Exception) -> str:
    """Return why an address could not be reached; of what p2pd says, the part that is about the address."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    said = str(error).splitlines()
    if not said:
        return "no answer"
    if "peer id mismatch" in said[-1]:
        return ANOTHER_DEVICE
    return said[-1].rpartition("] ")[2]

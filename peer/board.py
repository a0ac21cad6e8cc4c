"""The notice board: what the devices of a run say of themselves, under one key of the DHT, each under its own address.

hivemind's `store` and `get` search for whoever keeps a key, and ask everybody on the way. Everybody reads and writes
the board every second: so its keepers are searched for now and then, and asked directly in between.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hivemind.dht import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.p2p import PeerID

from peer.records import board_of

SEARCH_SECONDS = 10.0  # between two searches, unless a device was met or a keeper did not answer

Answer = TypeVar("Answer")


class Board:
    """The board of one run, as a node of the DHT reads and writes it."""

    def __init__(self, node: DHTNode, run: str):
        self._node, self._key = node, DHTID.generate(source=board_of(run))
        self._keepers: list[PeerID] = []
        self._searched_at = -math.inf

    def search_again(self) -> None:
        """Who keeps the board may have changed."""
        self._searched_at = -math.inf

    async def post(self, address: str, notice: object, expiration: float) -> None:
        """Leave a notice with all keepers until then, in the swarm's time."""
        protocol = self._node.protocol
        value = protocol.serializer.dumps(notice)
        await self._search()
        if self._node.peer_id in self._keepers:
            protocol.storage.store(self._key, value, expiration, subkey=address)
        await self._ask(lambda keeper: protocol.call_store(keeper, [self._key], [value], [expiration], [address]))

    async def read(self) -> dict[object, tuple[object, float]]:
        """Address -> (notice, expiration), the latest that anybody keeps. Addresses may be no addresses."""
        protocol = self._node.protocol
        await self._search()
        answers = await self._ask(lambda keeper: protocol.call_find(keeper, [self._key]))
        latest: dict[object, tuple[bytes, float]] = {}
        for item in (protocol.storage.get(self._key), *(answer[self._key][0] for answer in answers)):
            if item is not None and isinstance(item.value, DictionaryDHTValue):
                for address, (value, expiration) in item.value.items():
                    if address not in latest or latest[address][1] < expiration:
                        latest[address] = value, expiration
        return {address: (protocol.serializer.loads(value), expires) for address, (value, expires) in latest.items()}

    async def _search(self) -> None:
        """The nodes next to the key keep the board, as with `store`; who has just failed, only for want of others."""
        if time.monotonic() > self._searched_at + SEARCH_SECONDS:
            self._searched_at = time.monotonic()
            found = (await self._node.find_nearest_nodes([self._key]))[self._key].values()
            self._keepers = sorted(found, key=self._node.blacklist.__contains__)[: self._node.num_replicas]

    async def _ask(self, call: Callable[[PeerID], Awaitable[Answer | None]]) -> list[Answer]:
        """What the keepers answer, ourselves left out."""
        keepers = [keeper for keeper in self._keepers if keeper != self._node.peer_id]
        answers = await asyncio.gather(*(call(keeper) for keeper in keepers))
        for keeper, answer in zip(keepers, answers):
            if answer is not None:
                self._node.blacklist.register_success(keeper)
            else:
                self._node.blacklist.register_failure(keeper)  # for some seconds
                self.search_again()
        return [answer for answer in answers if answer is not None]

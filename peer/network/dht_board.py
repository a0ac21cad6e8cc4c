"""Boards: what many write and read at one key of the DHT, each under a subkey of its own, again and again.

The notice board, on which the devices of a run say where they stand, each under its address; and the list of those that
look for a group (`peer/outer/matchmaking.py`). hivemind's `store` and `get` search for whoever keeps a key, and ask
everybody on the way. A board is read and written every second: so its keepers are searched for now and then, and asked
directly in between.
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

SEARCH_SECONDS = 10.0  # between two searches, unless a device was met or a keeper did not answer
ENTRIES = 64  # read at once, if that takes two keepers' answers: all have the same, unless one has only just come

Answer = TypeVar("Answer")


class Board:
    """The board at one key, as a node of the DHT reads and writes it."""

    def __init__(self, node: DHTNode, key: str):
        self._node, self._key = node, DHTID.generate(source=key)
        self.key = self._key.to_bytes()
        self._keepers: list[PeerID] = []
        self._searched_at = -math.inf
        self._entries = 0  # on the board when it was last read
        self._turn = 0

    def search_again(self) -> None:
        """Search for who keeps the board when it is next used: that may have changed."""
        self._searched_at = -math.inf

    async def post(self, subkey: str | bytes, value: object, expiration: float) -> None:
        """Leave a value with all keepers until then, in the swarm's time."""
        protocol = self._node.protocol
        written = protocol.serializer.dumps(value)
        keepers = await self._search()
        if self._node.peer_id in self._keepers:
            protocol.storage.store(self._key, written, expiration, subkey=subkey)
        await self._ask(
            keepers, lambda keeper: protocol.call_store(keeper, [self._key], [written], [expiration], [subkey])
        )

    async def read(self) -> dict[object, tuple[object, float]]:
        """Return subkey -> (value, expiration), the latest that those who are asked keep; anybody may have written it.

        Of a long board not all keepers are asked, but others every time.
        """
        protocol = self._node.protocol
        keepers = await self._search()
        count = max(2, ENTRIES // max(1, self._entries))
        self._turn += count
        asked = [keepers[(self._turn + number) % len(keepers)] for number in range(min(count, len(keepers)))]
        answers = await self._ask(asked, lambda keeper: protocol.call_find(keeper, [self._key]))
        latest: dict[object, tuple[bytes, float]] = {}
        found = [answer[self._key][0] for answer in answers if self._key in answer]  # hivemind leaves out odd answers
        for item in (protocol.storage.get(self._key), *found):
            if item is not None and isinstance(item.value, DictionaryDHTValue):
                for subkey, (value, expiration) in item.value.items():
                    if subkey not in latest or latest[subkey][1] < expiration:
                        latest[subkey] = value, expiration
        self._entries = len(latest)
        return {subkey: (protocol.serializer.loads(value), expires) for subkey, (value, expires) in latest.items()}

    async def _search(self) -> list[PeerID]:
        """Return the other nodes that keep the board, those next to the key, as with `store`.

        Who has just failed does so only for want of others.
        """
        if time.monotonic() > self._searched_at + SEARCH_SECONDS:
            self._searched_at = time.monotonic()
            found = (await self._node.find_nearest_nodes([self._key]))[self._key].values()
            self._keepers = sorted(found, key=self._node.blacklist.__contains__)[: self._node.num_replicas]
        return [keeper for keeper in self._keepers if keeper != self._node.peer_id]

    async def _ask(self, keepers: list[PeerID], call: Callable[[PeerID], Awaitable[Answer | None]]) -> list[Answer]:
        """Return what these keepers answer."""
        answers = await asyncio.gather(*(call(keeper) for keeper in keepers))
        for keeper, answer in zip(keepers, answers):
            if answer is not None:
                self._node.blacklist.register_success(keeper)
            else:
                self._node.blacklist.register_failure(keeper)  # for some seconds
                self.search_again()
        return [answer for answer in answers if answer is not None]


_boards: dict[DHTNode, dict[str, Board]] = {}  # of the one node that a process has


def board_at(node: DHTNode, key: str) -> Board:
    """Return the node's board at that key, the same one every time: it knows by then who keeps it."""
    boards = _boards.setdefault(node, {})
    if key not in boards:
        boards[key] = Board(node, key)
    return boards[key]


def search_again(node: DHTNode) -> None:
    """Search for who keeps the node's boards when they are next used: that may have changed."""
    for board in _boards.get(node, {}).values():
        board.search_again()

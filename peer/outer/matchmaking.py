"""The place where hivemind's matchmaking finds peers that look for a group: asked rarely, and only there.

While a device waits for others, hivemind's matchmaking asks the whole DHT for them, and again as soon as it has an
answer: each of 16 waiting devices asked the others 50 times a second. Here those that wait are kept on a board. Whoever
comes finds them there when it first asks, so those that wait need not ask often.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from hivemind import DHT
from hivemind.averaging.key_manager import GroupKeyManager
from hivemind.dht import DHTNode
from hivemind.p2p import PeerID
from hivemind.utils import ValueWithExpiration

from peer.network.dht_board import board_at

PAUSE_SECONDS = 0.5  # between two questions for others


class KeptGroups(GroupKeyManager):
    """Announces and finds peers that look for a group, on a board (`peer/network/dht_board.py`)."""

    def __init__(self, dht: DHT, prefix: str):
        super().__init__(_BoardsOf(dht), prefix, "", None)


class _BoardsOf:
    """As much of a DHT as a GroupKeyManager needs, in any process that has a handle on the DHT."""

    def __init__(self, dht: DHT):
        self.peer_id: PeerID = dht.peer_id
        self._dht = dht
        self._not_before = 0.0

    async def store(self, key: str, subkey: bytes, value: bool, expiration_time: float, return_future: bool) -> bool:
        """Put a peer on the board until it expires; return whether anybody keeps it."""
        post = partial(_post, key=key, subkey=subkey, value=value, expiration=expiration_time)
        return bool(await self._dht.run_coroutine(post, return_future=True))

    async def get(self, key: str, latest: bool, return_future: bool) -> ValueWithExpiration[dict[Any, Any]]:
        """Return all that is on the board, but not before the last question is PAUSE_SECONDS ago."""
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
        entries = await self._dht.run_coroutine(partial(_read, key=key), return_future=True)
        self._not_before = time.monotonic() + PAUSE_SECONDS
        return ValueWithExpiration({subkey: ValueWithExpiration(*entry) for subkey, entry in entries.items()}, 0.0)


# ---------------------------------------------------------------------- in the DHT's process


async def _post(dht: DHT, node: DHTNode, *, key: str, subkey: bytes, value: bool, expiration: float) -> bool:
    try:
        await board_at(node, key).post(subkey, value, expiration)
    except Exception:  # a swarm in flux fails in many ways, and hivemind prints a traceback for each
        return False
    return True


async def _read(dht: DHT, node: DHTNode, *, key: str) -> dict[object, tuple[object, float]]:
    try:
        return await board_at(node, key).read()
    except Exception:
        return {}

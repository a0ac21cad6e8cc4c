"""DHT nodes for tests, on the loopback, each with a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hivemind import DHT
from hivemind.dht import DHTNode

from peer.network.address import Address
from peer.network.door import Door
from peer.network.folder import IDENTITY
from peer.network.hivemind_patches import connect, start_dht
from tests.lan import wait_until

BOUND = 60.0  # seconds that their processes have to end


@contextmanager
def acquainted_nodes(folder: Path, count: int) -> Iterator[list[DHT]]:
    """So many nodes that know each other."""
    started: list[DHT] = []
    try:
        for number in range(count):
            started.append(start_dht("127.0.0.1", 0, folder / str(number) / "identity.key", "cellmind", Door()))
        first = str(started[0].get_visible_maddrs()[0])
        for node in started[1:]:
            node.run_coroutine(partial(_meet, address=first))
        yield started
    finally:
        for node in started:
            node.shutdown()
        assert wait_until(lambda: not any(node.is_alive() for node in started), BOUND)


async def node_in(folder: Path, **options: Any) -> DHTNode:
    """A node in this process, that keeps its identity in a folder as a peer does."""
    quiet = {"use_relay": False, "use_auto_relay": False, "nat_port_map": False, "auto_nat": False}
    return await DHTNode.create(identity_path=str(folder / IDENTITY), **quiet, **options)


async def _meet(dht: DHT, node: DHTNode, *, address: str) -> None:
    other = Address.parse(address)
    await connect(node.p2p, other)
    await node.protocol.call_ping(other.peer_id)

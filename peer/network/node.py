"""The node that lives in the DHT's process: meeting peers, the notice board, zeroconf, giving and taking state.

The training process never waits for any of it: it leaves its notice and takes the newest view
(`peer/network/handle.py`). Everything here runs on the DHT process's asyncio loop; `start_node` creates the node there,
and `call_node` calls its methods.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hivemind import DHT
from hivemind.dht import DHTNode
from hivemind.p2p import PeerID

from peer.network import clock
from peer.network.address import Address
from peer.network.child_calls import fails_softly
from peer.network.dht_board import board_at
from peer.network.dht_records import board_of, forget_if_too_much
from peer.network.hivemind_patches import daemon_of
from peer.network.identity import Identity
from peer.network.lan_search import LanSearch
from peer.network.meeting import Meetings
from peer.network.notices import Notices
from peer.network.other_versions import OtherVersions
from peer.network.reachability import CallBack
from peer.network.transfers import Transfers
from peer.wire import Notice, OtherVersion

PERIOD_SECONDS = 1.0  # between two looks at the notice board, and between two notices of our own
STEP_SECONDS = 60.0  # that any of the things done every second takes at most


@dataclass(frozen=True)
class View:
    """The swarm as this device sees it now: plain values, all that a status line or a page needs."""

    notices: list[Notice] = field(default_factory=list)  # of the others with our run's name, whatever their run id
    heard: dict[str, str] = field(default_factory=dict)  # multiaddr -> name, by zeroconf, of our run's name
    other_versions: list[OtherVersion] = field(default_factory=list)  # devices here that do not understand us
    suspected: frozenset[str] = frozenset()  # peer ids of those among them that have fallen silent
    connected: list[str] = field(default_factory=list)  # peer ids
    searched: bool = False  # whoever can be found here by themselves has had time to be
    refused: dict[str, str] = field(default_factory=dict)  # multiaddr -> why it could not be reached
    reachable: bool = True  # whether others can open a connection to us; taken for granted until somebody has tried
    tried: bool = False  # to open one
    clock_shift: float = 0.0  # seconds that our clock is behind the swarm's
    twin: str | None = None  # address of a device that has our identity, and had it before us
    bytes_sent: int = 0  # state given to others
    bytes_received: int = 0  # state taken from others


class Node:
    """A member of the DHT that keeps looking for others, keeps its notice fresh, and serves its newest checkpoint.

    :param run: name of the run, "" for a bootstrap node
    :param address: our own
    :param checkpoints: the folder whose newest checkpoint others may take
    """

    def __init__(self, dht: DHTNode, run: str, address: Address, checkpoints: Path):
        self._dht, other_versions = dht, OtherVersions()
        self.identity = Identity(address)
        self.meetings = Meetings(dht)
        self.notices = Notices(board_at(dht, board_of(run)), self.identity, other_versions, self.meetings.let_go)
        self.search = LanSearch(run, address.host, self.identity, self.meetings, other_versions)
        self.transfers = Transfers(dht.p2p, checkpoints, self.notices.others_of)
        self.call_back = CallBack(dht.p2p, address.port)
        self._other_versions = other_versions
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """All that the training process may call, by name."""
        transfers = self.transfers
        return {
            "post": self.post,
            "expect_silence": self.notices.expect_silence,
            "stop": self.stop,
            "fetch_manifest": transfers.fetch_manifest,
            "fetch_bytes": transfers.fetch_bytes,
            "fetch_settings": transfers.fetch_settings,
            "fetch_means": transfers.fetch_means,
            "fetch": transfers.fetch,
            "share": transfers.share,
            "take_shard": transfers.take_shard,
        }

    async def start(self, *, name: str, known: list[str]) -> str | None:
        """Begin to serve, to listen and to look; return why zeroconf cannot be used here, if it cannot.

        :param name: what people call the device; "" for one that only looks, and does not announce itself
        :param known: multiaddresses to begin with
        """
        asyncio.get_running_loop().set_exception_handler(_say_nothing)
        for other in known:
            self.meetings.remember(other)
        await self.transfers.start()
        await self.call_back.add_p2p_handlers(self._dht.p2p)
        steps = (
            self._meet_peers,
            self.search.ask_who_is_here,
            self.search.ask_neighbours,
            self._ask_for_a_call,
            self.notices.post,
            self.notices.read,
            self.identity.ask_twin,
            self._end_with_p2pd,
        )
        self._tasks = [asyncio.create_task(_repeat(step)) for step in steps]
        return await self.search.start(name) if name else None

    async def stop(self) -> None:
        """Say goodbye, so that nobody has to notice our silence."""
        for task in self._tasks:
            task.cancel()
        self.meetings.stop()
        await self.notices.say_goodbye()
        await self.search.stop()

    def post(self, notice: Notice | None, silent_seconds: float) -> View:
        """Say that of ourselves from now on, and return what the others say."""
        self.notices.say(notice, silent_seconds)
        return self.view()

    def view(self) -> View:
        """Return the swarm as it is seen now."""
        return View(
            notices=self.notices.others,
            suspected=self.notices.members.suspected,
            heard=dict(self.search.heard),
            other_versions=self._other_versions.heard,
            connected=self.meetings.connected,
            searched=self.search.is_over,
            refused=dict(self.meetings.refused),
            reachable=self.call_back.reachable,
            tried=self.call_back.tried,
            clock_shift=clock.shift(),
            twin=self.identity.twin,
            bytes_sent=self.transfers.service.bytes_sent,
            bytes_received=self.transfers.service.bytes_received,
        )

    async def _meet_peers(self) -> None:
        forget_if_too_much(self._dht.protocol.storage)
        await self.meetings.meet_all([notice.address for notice in self.notices.members.here])

    async def _ask_for_a_call(self) -> None:
        await self.call_back.ask([PeerID.from_base58(peer) for peer in self.meetings.connected])

    async def _end_with_p2pd(self) -> None:
        """Without p2pd nothing here works: end, and be started again (`peer/network/handle.py`)."""
        daemon = daemon_of(self._dht.p2p)
        if daemon is not None and daemon.returncode is not None:
            os._exit(1)


async def _repeat(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        started = time.monotonic()
        with suppress(Exception):  # a swarm in flux fails in many ways, and the next turn is a second away
            await asyncio.wait_for(step(), STEP_SECONDS)  # hivemind may wait for ever for what was cut off
        await asyncio.sleep(max(0.1, PERIOD_SECONDS - (time.monotonic() - started)))


def _say_nothing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep quiet: hivemind's background tasks fail by the doing of others, and that is no traceback for our user."""
    logging.getLogger(__name__).debug("%s: %r", context.get("message"), context.get("exception"))


# ---------------------------------------------------------------------- called from the training process

_node: Node | None = None  # of this process


@fails_softly
async def start_node(
    dht: DHT, node: DHTNode, *, run: str, name: str, address: Address, checkpoints: Path, known: list[str]
) -> str | None:
    """Create the node of this process and start it; see `Node` and `Node.start`."""
    global _node
    _node = Node(node, run, address, checkpoints)
    return await _node.start(name=name, known=known)


@fails_softly
async def call_node(dht: DHT, node: DHTNode, *, method: str, arguments: dict[str, Any]) -> Any:
    """Call one of `Node.methods`; any other name is refused."""
    assert _node is not None, "start_node comes first"
    if method not in _node.methods:
        raise ValueError(f"the node has no method {method!r} for others to call")
    answer = _node.methods[method](**arguments)
    return await answer if inspect.isawaitable(answer) else answer

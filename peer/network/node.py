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
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hivemind import DHT
from hivemind.dht import DHTNode
from hivemind.p2p import PeerID

from peer.network import clock
from peer.network.address import Address
from peer.network.answering import AnswerService, Questions
from peer.network.asking_in import AskingIn
from peer.network.child_calls import fails_softly
from peer.network.dht_board import board_at, search_again
from peer.network.dht_records import board_of, forget_if_too_much
from peer.network.door import of_this_process
from peer.network.doorkeeper import Doorkeeper
from peer.network.folder import IDENTITY
from peer.network.hivemind_patches import daemon_of
from peer.network.household import HouseholdKeeper
from peer.network.identity import Identity
from peer.network.knocks import KnockService
from peer.network.lan_search import LanSearch
from peer.network.meeting import Meetings
from peer.network.notices import Notices
from peer.network.other_versions import OtherVersions
from peer.network.porch import Porch
from peer.network.reachability import CallBack
from peer.network.signatures import Signer
from peer.network.transfers import Transfers
from peer.swarm.household import is_member, tag
from peer.swarm.knocking import Knock, Outside
from peer.wire import Notice, OtherVersion
from peer.wire_household import Household

PERIOD_SECONDS = 1.0  # between two looks at the notice board, and between two notices of our own
STEP_SECONDS = 60.0  # that any of the things done every second takes at most


@dataclass(frozen=True)
class View:  # attributes: all that is known here, as one message
    """The swarm as this device sees it now: plain values, all that a status line or a page needs."""

    # of the others with our run's name, whatever their run id, that have proved to be there
    notices: list[Notice] = field(default_factory=list)
    unproved: list[Notice] = field(default_factory=list)  # of those that have not, or not yet: nothing counts of them
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
    household: Household | None = None  # of our run, where it is locked, or was
    locked: bool = False  # our run is, and we have its key
    ejected: bool = False  # this device was, from the household that it knows
    left_out: tuple[str, ...] = ()  # peer ids: of devices here that a lock leaves out, which was refused for that
    run_id: str = ""  # that our notice names
    knocks: list[Knock] = field(default_factory=list)  # of devices that want to be let in
    outside: Outside = field(default_factory=Outside)  # this device before locked runs, where it is
    took: dict[str, float] = field(default_factory=dict)  # when peers took a state or means: `StateService.took`
    bytes_sent: int = 0  # state given to others
    bytes_received: int = 0  # state taken from others


class Node:
    """A member of the DHT that keeps looking for others, keeps its notice fresh, and serves its newest checkpoint.

    :param run: name of the run, "" for a bootstrap node
    :param address: our own
    :param checkpoints: the folder whose newest checkpoint others may take
    :param household: that this device belongs to, as far as it knows; None for none
    """

    def __init__(self, dht: DHTNode, run: str, address: Address, checkpoints: Path, household: Household | None = None):
        self._dht, other_versions = dht, OtherVersions()
        door, signer = of_this_process(), Signer(checkpoints / IDENTITY)
        self.identity = Identity(address)
        self.meetings = Meetings(dht, door)
        self.keeper = HouseholdKeeper(
            run,
            address.peer,
            checkpoints,
            door,
            household,
            signer,
            run_id=lambda: self.notices.run_id,
            others=lambda: self.notices.others,
            has_new_key=self._begin_anew,
        )
        self.doorkeeper = Doorkeeper(dht.p2p, door, self.keeper)
        self.knocks = KnockService(dht.p2p, address.peer, self._members_here, self.let_in)
        self.porch = Porch(self.keeper, self.knocks, self.meetings.host_of, self.doorkeeper.let_wait)
        self.notices = Notices(
            board_at(dht, board_of(run)),
            self.identity,
            signer,
            lambda: self.meetings.proofs.proved,
            other_versions,
            self.meetings.let_go,
            lambda: self.keeper.fingerprint,
        )
        self.search = LanSearch(
            run, address.host, self.identity, self.meetings, other_versions, lambda: tag(self.keeper.household)
        )
        self.transfers = Transfers(dht.p2p, checkpoints, self.notices.others_of)
        self.call_back = CallBack(dht.p2p, address.port)
        self.answering = AnswerService(checkpoints, self._in_our_run, lambda: self.notices.rests)
        self.questions = Questions(dht.p2p)
        self.asking = AskingIn(dht.p2p, address.peer, run, self._doors, self.keeper.be_let_in)
        self._other_versions = other_versions
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """All that the training process may call, by name."""
        transfers = self.transfers
        return {
            "post": self.post,
            "expect_silence": self.notices.expect_silence,
            "know": self.meetings.time.know,
            "stop": self.stop,
            "lock": self.lock,
            "unlock": self.unlock,
            "eject": self.eject,
            "admit": self.knocks.admit,
            "ask_in": self.asking.want,
            "ask": self.questions.ask,
            "heard": self.questions.heard,
            "drop": self.questions.drop,
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
        self.asking.name = name
        if name:
            self.keeper.come_in()
        await self.porch.add_p2p_handlers(self._dht.p2p)
        await self.knocks.add_p2p_handlers(self._dht.p2p)
        await self.transfers.start()
        await self.call_back.add_p2p_handlers(self._dht.p2p)
        await self.answering.add_p2p_handlers(self._dht.p2p)
        steps = (
            self._meet_peers,
            self.search.ask_who_is_here,
            self.search.ask_neighbours,
            self.search.announce,
            self._keep_the_door,
            self.asking.step,
            self.knocks.tell_members,
            self._ask_for_a_call,
            self.notices.post,
            self._read_notices,
            self.meetings.time.keep,
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
        self.doorkeeper.stop()
        await self.notices.say_goodbye()
        await self.search.stop()

    def post(self, notice: Notice | None, silent_seconds: float) -> View:
        """Say that of ourselves from now on, and return what the others say."""
        self.notices.say(notice, silent_seconds)
        return self.view()

    async def lock(self, run_id: str, among: Collection[str] | None) -> Household:
        """Lock the run; see `Network.lock`."""
        household = self.keeper.lock(run_id, among)
        await self.doorkeeper.spread()
        return household

    async def unlock(self) -> Household:
        """Open the run again."""
        household = self.keeper.unlock()
        await self.doorkeeper.spread()
        return household

    async def eject(self, peer: str) -> Household:
        """Send a member away."""
        household = self.keeper.eject(peer)
        await self.doorkeeper.spread()
        return household

    async def let_in(self, peer: str) -> Household:
        """Let a device in."""
        household = self.keeper.let_in(peer)
        await self.doorkeeper.spread()
        return household

    def view(self) -> View:
        """Return the swarm as it is seen now."""
        return View(
            notices=self.notices.others,
            unproved=self.notices.unproved,
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
            household=self.keeper.household,
            locked=self.keeper.household is not None and self.keeper.household.is_locked,
            ejected=self.keeper.is_ejected,
            left_out=tuple(self.keeper.left_out),
            run_id=self.notices.run_id,
            knocks=self.knocks.heard,
            outside=self.asking.outside,
            took=dict(self.transfers.service.took),
            bytes_sent=self.transfers.service.bytes_sent,
            bytes_received=self.transfers.service.bytes_received,
        )

    async def _meet_peers(self) -> None:
        forget_if_too_much(self._dht.protocol.storage)
        await self.meetings.meet_all([notice.address for notice in self.notices.members.here])

    async def _keep_the_door(self) -> None:
        await self.doorkeeper.take_a_turn()

    def _in_our_run(self) -> set[str]:
        return {notice.peer for notice in self.notices.others if notice.run_id == self.notices.run_id}

    def _members_here(self) -> list[str]:
        return [peer for peer in self.meetings.connected if is_member(self.keeper.household, peer)]

    def _doors(self) -> dict[str, str]:
        """Return address -> tag of the locked devices that were heard of, and are shut for us."""
        tags = self.search.tags if tag(self.keeper.household) == "" else {}
        return {**{address: "" for address in self.meetings.shut}, **tags}

    def _begin_anew(self) -> None:
        """Whoever failed may have had the key of now, and what was stored may be a stranger's."""
        self._dht.blacklist.clear()
        self._dht.protocol.storage.clear()
        search_again(self._dht)
        self.meetings.begin_anew()

    async def _read_notices(self) -> None:
        await self.notices.read()
        self.meetings.begin(notice.address for notice in self.notices.unproved)  # they count as soon as they answer

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
    dht: DHT,
    node: DHTNode,
    *,
    run: str,
    name: str,
    address: Address,
    checkpoints: Path,
    known: list[str],
    household: Household | None,
) -> str | None:
    """Create the node of this process and start it; see `Node` and `Node.start`."""
    global _node
    _node = Node(node, run, address, checkpoints, household)
    return await _node.start(name=name, known=known)


@fails_softly
async def call_node(dht: DHT, node: DHTNode, *, method: str, arguments: dict[str, Any]) -> Any:
    """Call one of `Node.methods`; any other name is refused."""
    assert _node is not None, "start_node comes first"
    if method not in _node.methods:
        raise ValueError(f"the node has no method {method!r} for others to call")
    answer = _node.methods[method](**arguments)
    return await answer if inspect.isawaitable(answer) else answer

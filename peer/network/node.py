"""What lives in the DHT's process: meeting peers, the notice board, zeroconf, giving and taking state.

The training process never waits for any of it: it leaves its notice and takes the newest view
(`peer/network/handle.py`). Everything here runs on the DHT process's asyncio loop and is reached through
`DHT.run_coroutine`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hivemind import DHT
from hivemind.dht import DHTNode
from hivemind.p2p import P2P, PeerID
from hivemind.proto import dht_pb2

from minigpt.checkpoint.manifest import SETTINGS, Manifest
from peer.network import clock
from peer.network.address import Address
from peer.network.child_calls import fails_softly
from peer.network.dht_board import board_at, search_again
from peer.network.dht_records import board_of, forget_if_too_much
from peer.network.discovery import Discovery
from peer.network.hivemind_patches import connect, daemon_of, disconnect
from peer.network.reachability import CallBack, knock
from peer.network.subnet_scan import probe
from peer.state.fetching import TransferError, fetch, fetch_bytes, fetch_manifest, fetch_means, is_followed
from peer.state.serving import StateService
from peer.state.shards import Gathering, KeptShards, ShardService, Stock
from peer.swarm.membership import (
    SILENCE_SECONDS,
    Heard,
    Members,
    Passed,
    apply,
    can_give,
    is_earlier_twin,
    with_distinct_names,
)
from peer.wire import Announcement, Notice, OtherVersion, Role, State, parse_notice, parse_other_version

PERIOD_SECONDS = 1.0  # between two looks at the notice board, and between two notices of our own
STALLED_SECONDS, STALLED_STEPS = 10.0, 3  # training that leaves no notice for so long, and so many steps, is stopped
CONNECT_SECONDS = 5.0
READ_SECONDS = 5.0  # that the notice board has for an answer; without one everybody seems more silent than before
STEP_SECONDS = 60.0  # that any of the things done every second takes at most
CLOCK_SECONDS = 5.0  # that the device with the lower peer id waits for a newcomer to take its time
MAX_CLOCK_SECONDS = 100 * 365 * 86_400.0  # a phone without a battery begins in 1970
FIRST_PROBE_SECONDS = 1.0  # that others have to be found in before the neighbours are asked one by one
PROBE_SECONDS = (60.0, 3600.0)  # first and longest pause before that is done again
ASK_SECONDS = (10.0, 60.0)  # between two questions to the LAN who is here: while we are alone, and otherwise
# Before an address that did not answer is tried again: the first pause, the longest where somebody has answered there
# before, and the longest otherwise.
RETRY_SECONDS = (2.0, 10.0, 60.0)
TWIN_SECONDS = 30.0  # between two looks at somebody who says to have our identity
ANOTHER_DEVICE = "another device answers there"  # why an address with a peer id could not be reached
MAX_ADDRESSES = 256  # heard of and kept in mind
MAX_OTHER_VERSIONS = 64  # devices that the user is told of; more is somebody playing tricks


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


def _reason(error: Exception) -> str:
    """Why an address could not be reached; of what p2pd says, the part that is about the address."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    said = str(error).splitlines()
    if not said:
        return "no answer"
    if "peer id mismatch" in said[-1]:
        return ANOTHER_DEVICE
    return said[-1].rpartition("] ")[2]


def _say_nothing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What hivemind's own background tasks fail with is the doing of others, and no traceback for our user."""
    logging.getLogger(__name__).debug("%s: %r", context.get("message"), context.get("exception"))


@dataclass
class _Attempt:
    """When an address may be dialled again, and the attempt that is under way or was the last."""

    met: bool = False
    pause: float = RETRY_SECONDS[0]
    not_before: float = 0.0
    task: asyncio.Task[None] | None = None


class Node:
    """A member of the DHT that keeps looking for others, keeps its notice fresh, and serves its newest checkpoint."""

    def __init__(self, dht: DHTNode, run: str, checkpoints: Path):
        self.dht = dht
        self.run = run
        self.board = board_at(dht, board_of(run))
        self.peer = dht.peer_id.to_base58()
        self.service = StateService(checkpoints)
        self.discovery: Discovery | None = None
        self._gathering: Gathering | None = None
        self.members = Members()
        self.heard: dict[str, str] = {}
        self.other_versions: dict[str, OtherVersion] = {}  # by peer id
        self.addresses: dict[str, _Attempt] = {}
        self._full_until = 0.0
        self.refused: dict[str, str] = {}
        self.connected: list[str] = []
        self.twin: str | None = None
        self._suspected: str | None = None  # address of a device that seems to be one
        self._not_asked_before = 0.0
        self._address = ""
        self._began = time.monotonic()
        self._notice: Notice | None = None
        self._noticed_at, self._silent_seconds = 0.0, STALLED_SECONDS
        self.searched = False
        self._asked = time.monotonic()
        self._probe_at, self._probe_pause = time.monotonic() + FIRST_PROBE_SECONDS, PROBE_SECONDS[0]
        self._time_is_shared = False  # with anybody
        self._disagreed: dict[PeerID, float] = {}  # since when somebody's clock differs from ours
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, name: str, address: Address, known: list[str]) -> str | None:
        """Begin to serve, to listen and to look; returns why zeroconf cannot be used here, if it cannot.

        :param name: what people call the device; "" for one that only looks, and does not announce itself
        """
        self._address = str(address)
        asyncio.get_running_loop().set_exception_handler(_say_nothing)
        for other in known:
            self.remember(other)
        await self.service.add_p2p_handlers(self.dht.p2p)
        self.host = address.host
        self.call_back = CallBack(self.dht.p2p, address.port)
        await self.call_back.add_p2p_handlers(self.dht.p2p)
        self._tasks = [
            asyncio.create_task(self._repeat(step))
            for step in (
                self._meet_peers,
                self._ask_who_is_here,
                self._ask_neighbours,
                self._ask_for_a_call,
                self._post,
                self._read,
                self._ask_twin,
                self._end_with_p2pd,
            )
        ]
        if not name:
            return None
        mine = Announcement(address=self._address, name=name, run=self.run, started=self.started)
        self.discovery = Discovery(mine, self._on_found)
        try:
            await self.discovery.start()
        except OSError as error:
            self.discovery = None
            return str(error)
        return None

    async def stop(self) -> None:
        """Say goodbye, so that nobody has to notice our silence."""
        meetings = [attempt.task for attempt in self.addresses.values() if attempt.task is not None]
        for task in (*self._tasks, *meetings):
            task.cancel()
        if self._notice is not None:
            self.take(self._notice.model_copy(update={"role": Role.LEFT}))
            await self._post()
        if self.discovery is not None:
            await self.discovery.stop()

    @property
    def started(self) -> float:
        """When this node did, in the swarm's time."""
        return clock.now() - (time.monotonic() - self._began)

    def take(self, notice: Notice | None, silent_seconds: float = STALLED_SECONDS) -> None:
        """From now on this is what we say of ourselves, unless training is silent for so long."""
        self._notice = None if notice is None else notice.model_copy(update={"started": round(self.started, 1)})
        self._noticed_at, self._silent_seconds = time.monotonic(), silent_seconds

    def expect_silence(self, seconds: float) -> None:
        """Training will say nothing for so long: until then what it said last stands, but for being ready."""
        if self._notice is not None:
            self._notice = self._notice.model_copy(update={"ready": False})
        self._silent_seconds = seconds

    def view(self) -> View:
        return View(
            notices=with_distinct_names(self.members.here, self._notice),
            suspected=self.members.suspected,
            heard=dict(self.heard),
            other_versions=list(self.other_versions.values()),
            connected=self.connected,
            searched=self.searched,
            refused=dict(self.refused),
            reachable=self.call_back.reachable,
            tried=self.call_back.tried,
            clock_shift=clock.shift(),
            twin=self.twin,
            bytes_sent=self.service.bytes_sent,
            bytes_received=self.service.bytes_received,
        )

    def others_of(self, run_id: str, donor: PeerID) -> list[PeerID]:
        """Who else has a state of that run and can give it, and so may have what the donor has."""
        if self._notice is None:
            return []
        others = [other for other in self.members.here if other.run_id == run_id and can_give(self._notice, other)]
        return [PeerID.from_base58(other.peer) for other in others if other.peer != donor.to_base58()]

    async def share(self, ids_path: Path, tokenizer_sha256: str) -> None:
        """From now on give the ids in that file to whoever asks."""
        await ShardService(ids_path, tokenizer_sha256, self.service).add_p2p_handlers(self.dht.p2p)

    async def take_shard(self, donor: PeerID | None, kept: Callable[[], KeptShards], tokenizer_sha256: str) -> Stock:
        """One more shard of the donor's, or of nobody: then it is only looked at what is here."""
        if self._gathering is None:
            opened = await asyncio.get_running_loop().run_in_executor(None, kept)  # which hashes all that is here
            self._gathering = Gathering(self.dht.p2p, opened, tokenizer_sha256, self.service)
        return await self._gathering.take(donor)

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
            self._full_until = time.monotonic() + PERIOD_SECONDS
            del self.addresses[given_up]
            self.refused.pop(given_up, None)
        self.addresses[address] = _Attempt()

    def _on_found(self, announced: Announcement) -> None:
        address = announced.address
        try:
            peer = Address.parse(address).peer_id
        except ValueError:
            return
        if peer == self.dht.peer_id:
            started = announced.started
            self._compare(Notice(peer=self.peer, name="?", address=address, role=Role.LOOKING, started=started))
            return
        if announced.other_version is not None:
            if announced.run == self.run:
                self._hear_of(announced.other_version)
            return
        self.remember(address)
        if address in self.addresses:
            self.addresses[address].not_before = 0.0
        if announced.run == self.run and len(self.heard) < MAX_ADDRESSES:
            self.heard[address] = announced.name

    def _hear_of(self, other: OtherVersion) -> None:
        if len(self.other_versions) < MAX_OTHER_VERSIONS:
            self.other_versions.setdefault(other.peer, other)

    def _compare(self, other: Notice) -> None:
        """Somebody says to have our identity: if it was there first, we take another (`network/handle.py`)."""
        me = other.model_copy(update={"address": self._address, "started": round(self.started, 1)})
        if other.role != Role.LEFT and other.address != self._address and is_earlier_twin(other, me):
            self._suspected = other.address

    async def _ask_twin(self) -> None:
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

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            started = time.monotonic()
            with suppress(Exception):  # a swarm in flux fails in many ways, and the next turn is a second away
                await asyncio.wait_for(step(), STEP_SECONDS)  # hivemind may wait for ever for what was cut off
            await asyncio.sleep(max(0.1, PERIOD_SECONDS - (time.monotonic() - started)))

    async def _meet_peers(self) -> None:
        """Connect to every address known and take the peer into the routing table: so two DHTs become one."""
        forget_if_too_much(self.dht.protocol.storage)
        self.connected = [info.peer_id.to_base58() for info in await self.dht.p2p.list_peers()]
        if not self.connected:
            self._time_is_shared = False  # the only one with whom it was may have had it wrong
        for notice in self.members.here:
            self.remember(notice.address)
        now = time.monotonic()
        for address, attempt in self.addresses.items():
            # a task each: who does not answer holds up nobody else
            if attempt.not_before <= now and (attempt.task is None or attempt.task.done()):
                attempt.task = asyncio.create_task(self._meet(address, attempt))

    async def _ask_who_is_here(self) -> None:
        pause = ASK_SECONDS[1] if self.connected else ASK_SECONDS[0]
        if self.discovery is not None and time.monotonic() - self._asked > pause:
            self._asked = time.monotonic()
            await self.discovery.ask_again()

    async def _ask_neighbours(self) -> None:
        """Once soon after the start and ever more rarely after that, and only while nobody else has been found."""
        self.searched = self.searched or bool(self.connected)
        if self.connected or time.monotonic() < self._probe_at:
            return
        self._probe_at = time.monotonic() + self._probe_pause
        self._probe_pause = min(2 * self._probe_pause, PROBE_SECONDS[1])
        try:
            await probe(self.host, self._on_found)
        finally:
            self.searched = True

    async def _ask_for_a_call(self) -> None:
        await self.call_back.ask([PeerID.from_base58(peer) for peer in self.connected])

    async def _meet(self, address: str, attempt: _Attempt) -> None:
        try:
            async with asyncio.timeout(STEP_SECONDS):  # hivemind may wait for ever for what was cut off
                place = Address.parse(address)
                peer = place.peer_id
                if peer == self.dht.peer_id:
                    self.addresses.pop(address, None)
                    return
                known, connected = peer in self.dht.protocol.routing_table, peer.to_base58() in self.connected
                if not (known and connected):
                    if (
                        not connected and place.protocol == "ip4"
                    ):  # each failed call makes p2pd wait longer, up to 5 min
                        await knock(place.host, place.port, CONNECT_SECONDS)
                    await asyncio.wait_for(connect(self.dht.p2p, place), CONNECT_SECONDS)
                    await self._agree_on_time(peer)
                    if await self.dht.protocol.call_ping(peer) is None:
                        raise ConnectionError("something listens there, but it is no DHT node")
                    await self.dht.find_nearest_nodes([self.dht.node_id])
                    self.dht.blacklist.register_success(peer)
                    search_again(self.dht)
                self.refused.pop(address, None)
                attempt.met, attempt.pause = True, RETRY_SECONDS[0]
                attempt.not_before = time.monotonic() + attempt.pause
        except Exception as error:
            if address in self.addresses:
                self.refused[address] = _reason(error)
            attempt.not_before = time.monotonic() + attempt.pause
            attempt.pause = min(2 * attempt.pause, RETRY_SECONDS[1 if attempt.met else 2])

    async def _agree_on_time(self, peer: PeerID) -> None:
        """Take the time of the first one we meet, or let it take ours. Raises ConnectionError as long as they differ.

        Whoever shares the time with others keeps it; of two that do not, the one with the higher peer id moves first.
        Nobody is stored with, or stored for, before: what expires in the future of a wrong clock would stay for hours.
        """
        asked = clock.now()
        answer = await self.dht.protocol.get_stub(peer).rpc_ping(dht_pb2.PingRequest(), timeout=CONNECT_SECONDS)
        answered = clock.now()
        ahead = answer.dht_time - (asked + answered) / 2
        if not abs(ahead) < MAX_CLOCK_SECONDS:  # also where it is not a number
            raise ConnectionError("its clock shows no time at all")
        if abs(ahead) <= clock.AGREEMENT_SECONDS + (answered - asked) / 2:
            self._time_is_shared = True
            self._disagreed.pop(peer, None)
            return
        since = self._disagreed.setdefault(peer, time.monotonic())
        ours_to_move = self.peer > peer.to_base58() or time.monotonic() > since + CLOCK_SECONDS
        if self._time_is_shared or not ours_to_move:
            raise ConnectionError(f"its clock is {clock.spoken(ahead)} {'ahead of' if ahead > 0 else 'behind'} ours")
        clock.shift_by(ahead)
        self.dht.protocol.storage.clear()
        self._time_is_shared = True
        self._disagreed.clear()

    async def _post(self) -> None:
        """Say where we stand, for as long as training does: a device that was stopped is none to wait for."""
        notice = self._notice
        if notice is None:
            return
        patience = self._silent_seconds + STALLED_STEPS * notice.step_seconds
        if notice.role == Role.TRAINING and time.monotonic() > self._noticed_at + patience:
            return
        await self.board.post(self._address, notice.model_dump(mode="json"), clock.now() + SILENCE_SECONDS)

    async def _read(self) -> None:
        """Take in what the notice board says; an entry expires SILENCE_SECONDS after it was written."""
        asked, entries = clock.now(), {}
        with suppress(TimeoutError):
            entries = await asyncio.wait_for(self.board.read(), READ_SECONDS)
        members = apply(self.members, Passed(asked))
        for address, (value, expiration) in entries.items():
            notice = parse_notice(address, value) if isinstance(address, str) else None
            if notice is None and isinstance(address, str) and (other := parse_other_version(address, value)):
                self._hear_of(other)
            said = expiration - SILENCE_SECONDS
            if notice is not None and notice.peer != self.peer:
                members = apply(members, Heard(notice, said))
            elif notice is not None and said > self.started + clock.AGREEMENT_SECONDS:  # no word of our own from before
                self._compare(notice)
        before = {notice.peer: notice.address for notice in self.members.here}
        self.members = members
        for notice in members.here:
            if before.get(notice.peer, notice.address) != notice.address:
                await self._let_go(PeerID.from_base58(notice.peer))

    async def _let_go(self, peer: PeerID) -> None:
        """Of the connection to a device that has moved, with which p2pd would go on; anybody may say that one has."""
        if await self.dht.protocol.call_ping(peer) is None:
            await disconnect(self.dht.p2p, peer)

    async def _end_with_p2pd(self) -> None:
        """Without p2pd nothing here works: end, and be started again (`peer/network/handle.py`)."""
        daemon = daemon_of(self.dht.p2p)
        if daemon is not None and daemon.returncode is not None:
            os._exit(1)


MAX_DONORS = 4  # that state is taken from at once


def _the_node() -> Node:
    assert _node is not None, "Network starts the node before anything else"
    return _node


async def _start(
    dht: DHT, node: DHTNode, *, run: str, name: str, address: Address, checkpoints: Path, known: list[str]
) -> str | None:
    global _node
    _node = Node(node, run, checkpoints)
    return await _node.start(name=name, address=address, known=known)


async def _post(dht: DHT, node: DHTNode, *, notice: Notice | None, silent_seconds: float) -> View:
    _the_node().take(notice, silent_seconds)
    return _the_node().view()


async def _expect_silence(dht: DHT, node: DHTNode, *, seconds: float) -> None:
    _the_node().expect_silence(seconds)


async def _stop(dht: DHT, node: DHTNode) -> None:
    await _the_node().stop()


@fails_softly
async def _fetch_manifest(dht: DHT, node: DHTNode, *, peer: str, run: str) -> Manifest:
    return await fetch_manifest(node.p2p, PeerID.from_base58(peer), run)


@fails_softly
async def _fetch_bytes(dht: DHT, node: DHTNode, *, peer: str, manifest: Manifest, name: str) -> bytes:
    return await fetch_bytes(node.p2p, PeerID.from_base58(peer), manifest, name)


@fails_softly
async def _fetch_settings(dht: DHT, node: DHTNode, *, peer: str, run: str) -> bytes:
    donor = PeerID.from_base58(peer)
    return await fetch_bytes(node.p2p, donor, await fetch_manifest(node.p2p, donor, run), SETTINGS)


@fails_softly
async def _fetch_means(dht: DHT, node: DHTNode, *, peer: str, run_folder: Path, lineage: str, size: int) -> list[Path]:
    return await fetch_means(node.p2p, PeerID.from_base58(peer), run_folder, lineage, size, _the_node().service)


@fails_softly
async def _fetch(
    dht: DHT,
    node: DHTNode,
    *,
    peer: str,
    run_id: str,
    root: Path,
    skip: tuple[str, ...],
    newer_than: State | None,
    or_followed: bool,
) -> Path:
    donor, run = PeerID.from_base58(peer), run_id.rpartition("-")[0]
    manifest = await fetch_manifest(node.p2p, donor, run)
    if manifest.run_id != run_id:
        raise TransferError(f"it has a state of run {manifest.run_id}, and this is {run_id}")
    progress = manifest.progress
    old = newer_than is not None and (progress.samples, progress.round, progress.lineage) <= newer_than
    if old and not (or_followed and await is_followed(node.p2p, donor, run, progress.anchor_name)):
        raise TransferError("the donor has not written its newest state yet")
    donors = [donor, *_the_node().others_of(manifest.run_id, donor)][:MAX_DONORS]
    return await fetch(node.p2p, donors, manifest, root, _the_node().service, skip)


@fails_softly
async def _share(dht: DHT, node: DHTNode, *, ids_path: Path, tokenizer_sha256: str) -> None:
    await _the_node().share(ids_path, tokenizer_sha256)


@fails_softly
async def _take_shard(
    dht: DHT, node: DHTNode, *, peer: str | None, kept: Callable[[], KeptShards], tokenizer_sha256: str
) -> Stock:
    donor = None if peer is None else PeerID.from_base58(peer)
    return await _the_node().take_shard(donor, kept, tokenizer_sha256)


_node: Node | None = None

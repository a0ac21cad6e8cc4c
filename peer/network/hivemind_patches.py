"""Every place where we change hivemind, or reach into what it does not promise to keep: why, and in which version.

All of it was found in hivemind 1.1.12 and is needed there. When hivemind is updated, this is the file to go through:
each function names what it touches, so that it can be looked up in the new source. `start_dht` puts all of it to work.

Elsewhere are only what subclasses of hivemind's averager override (`peer/outer/`); two settings that hivemind reads
while it is imported (`peer/__init__.py`); and public attributes of its DHT node, its storage, blacklist and routing
table (`dht_board.py`, `dht_records.py`, `meeting.py`, `proofs.py`, `common_time.py`).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hivemind import DHT
from hivemind.dht.protocol import DHTProtocol
from hivemind.p2p import P2P, PeerID
from hivemind.proto import dht_pb2
from hivemind.utils.mpfuture import MPFuture, SharedBytes
from hivemind.utils.multiaddr import Multiaddr
from hivemind.utils.timed_storage import TimedStorage

from peer.device.processes import socket_folder
from peer.network import clock
from peer.network.address import Address, NetworkError
from peer.network.dht_records import SoundRecords, board_of
from peer.network.door import Door, Doorway, of_this_process, put_up
from peer.network.identity_key import make_identity

# ---------------------------------------------------------------------- p2pd, and the connections that it keeps


def keep_sockets_together() -> None:
    """Give hivemind's unix sockets a folder of this process.

    Changes `P2P._UNIX_SOCKET_PREFIX`: hivemind puts them into /tmp, and leaves them there where a process is killed.
    """
    P2P._UNIX_SOCKET_PREFIX = f"/unix{socket_folder()}/"


def dial_from_other_ports() -> None:
    """Let p2pd dial from any port but the one that it listens on.

    Sets LIBP2P_TCP_REUSEPORT, which go-libp2p reads (p2pd of hivemind 1.1.12). Two that dial each other at once, one of
    them behind a firewall, would share a connection that both have opened (RFC 9293, 3.5: simultaneous open), and both
    would begin the handshake.
    """
    os.environ["LIBP2P_TCP_REUSEPORT"] = "false"


async def connect(p2p: P2P, address: Address) -> None:
    """Open a connection to a peer. Raises what p2pd says where nobody answers there, or somebody else does.

    Uses `P2P._client`: hivemind itself dials only the initial peers of its start, and whom these name.
    """
    await p2p._client.connect(address.peer_id, [Multiaddr(address.dialable)])


async def disconnect(p2p: P2P, peer: PeerID) -> None:
    """Close the connections to a peer. Uses `P2P._client`: hivemind never closes one."""
    await p2p._client.disconnect(peer)


def pass_the_door(door: Door) -> None:
    """Let all that hivemind says and hears pass that door, in this process and in those that it forks from now on.

    Changes `P2P._ping_daemon`, which `P2P.create` and `P2P.replicate` call last, to put a `Doorway` in the place of
    `P2P._client`: hivemind's own authorizer covers the DHT alone, binds no token to a peer, and no stream.
    """
    put_up(door)
    P2P._ping_daemon = _ping_daemon_and_stand_in_the_door


async def _ping_daemon_and_stand_in_the_door(p2p: P2P) -> None:
    p2p.peer_id, p2p._visible_maddrs = await p2p._client.identify()
    p2p._client = Doorway(p2p._client, p2p.peer_id, of_this_process())
    if p2p._child is not None:  # the DHT's process
        await p2p._client.answer_proofs()


def doorway_of(p2p: P2P) -> Doorway:
    """Return where a process of ours passes the door. Uses `P2P._client`."""
    doorway: Doorway = p2p._client
    return doorway


def daemon_of(p2p: P2P) -> asyncio.subprocess.Process | None:
    """Return the process of p2pd; None if another process of ours has started it.

    Uses `P2P._child`: hivemind does not notice that it has died.
    """
    daemon: asyncio.subprocess.Process | None = p2p._child
    return daemon


# ---------------------------------------------------------------------- time

_system_clock = time.time


def read_our_clock() -> None:
    """Let all of hivemind read the swarm's time. Call before its processes start.

    Changes `get_dht_time`, which is `time.time` in `hivemind.utils.timed_storage`, in every module that has imported
    it: hivemind wants all clocks within 3 s of each other (`MAX_DHT_TIME_DISCREPANCY_SECONDS`), and phones' are not.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("hivemind") and getattr(module, "get_dht_time", None) is _system_clock:
            module.get_dht_time = clock.now  # type: ignore[attr-defined]


# ---------------------------------------------------------------------- futures and processes


class OutlivingLock:
    """A lock between processes that does not stay locked when the one that holds it is killed.

    hivemind has one for all futures of all processes. Held by a process that has ended it stops the DHT for good, and
    with it whatever is started or asked next; who has waited so long goes on, and it is open again afterwards.
    """

    SECONDS = 3.0  # far more than any honest owner needs

    def __init__(self) -> None:
        self._lock = multiprocessing.Lock()

    def __enter__(self) -> None:
        self._lock.acquire(timeout=self.SECONDS)

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):  # two waited in vain, and the other one has opened it
            self._lock.release()


def outlive_the_dead() -> None:
    """Exchange hivemind's locks between processes, once. Call before any of them starts.

    Changes `MPFuture._initialization_lock`, `MPFuture._update_lock` and `SharedBytes._lock`.
    """
    if not isinstance(MPFuture._update_lock, OutlivingLock):
        MPFuture._initialization_lock = OutlivingLock()
        MPFuture._update_lock = OutlivingLock()
        SharedBytes._lock = OutlivingLock()


class PatientDHT(DHT):
    """A DHT that goes on where a process that asks it for something ends in the middle of asking.

    Changes `DHT._inner_pipe`: what hivemind's loop does not catch while it reads a request (EOFError) ends it, and what
    it catches (OSError, RuntimeError) has it sleep for `wait_timeout`.
    """

    _inner_pipe: Any

    def run(self) -> None:
        """Serve requests until the end; in the child process."""
        self._inner_pipe = _Requests(self._inner_pipe)
        super().run()

    async def _nothing(self) -> None:
        """The request whose asker is no more."""


class _Requests:
    """The end of a DHT's pipe at which requests come out.

    A request holds memory that it shares with its asker, and which the asker itself hands over while it is read.
    """

    def __init__(self, pipe: Connection):
        self.fileno, self.poll, self._pipe = pipe.fileno, pipe.poll, pipe

    def recv(self) -> tuple[str, Iterable[Any], dict[str, Any]]:
        """Return the next request: a method of the DHT's, and its arguments."""
        content = self._pipe.recv_bytes()
        try:
            # as `Connection.recv` does; only processes of our own have the other end
            request: tuple[str, Iterable[Any], dict[str, Any]] = pickle.loads(content)
        except (EOFError, OSError, RuntimeError):
            return "_nothing", (), {}
        return request


def answer_from_the_first_moment() -> None:
    """Let hivemind's DHT know who it is before it takes requests: who asked in between brought a traceback.

    Changes `DHTProtocol.node_info`, which `DHTProtocol.create` sets only after it has added its handlers.
    """
    of_itself = cached_property(lambda protocol: dht_pb2.NodeInfo(node_id=protocol.node_id.to_bytes()))
    of_itself.__set_name__(DHTProtocol, "node_info")
    DHTProtocol.node_info = of_itself


# ---------------------------------------------------------------------- what is stored


def keep_the_newer() -> None:
    """Let what was said earlier, and comes later, not shorten the life of what is stored.

    Changes `TimedStorage.store`, which takes note of when the older one expires before it finds that it is older, and
    forgets the newer one then: whoever repeats a notice of seconds ago would silence its device.
    """
    if TimedStorage.store is not _store_newer:
        TimedStorage.store = _store_newer


_store = TimedStorage.store


def _store_newer(storage: TimedStorage[Any, Any], key: Any, value: Any, expiration_time: float) -> bool:
    known = storage.data.get(key)
    if known is not None and known.expiration_time >= expiration_time:
        return False
    stored: bool = _store(storage, key, value, expiration_time)
    return stored


# ---------------------------------------------------------------------- all of it at once

STARTUP_SECONDS = 60.0


def start_dht(host: str, port: int, identity: Path, run: str, door: Door) -> DHT:
    """Start a DHT node that listens on `host:port` under a kept identity, behind a door. Raises NetworkError."""
    try:
        identity.parent.mkdir(parents=True, exist_ok=True)
        if not identity.exists():
            make_identity(identity)
    except OSError as error:
        raise NetworkError(f"{identity} cannot be kept, which says who this device is: {error.strerror}") from error
    keep_sockets_together()
    dial_from_other_ports()
    outlive_the_dead()
    read_our_clock()
    answer_from_the_first_moment()
    pass_the_door(door)
    keep_the_newer()
    try:
        return PatientDHT(
            start=True,
            host_maddrs=[Address(host, port, peer="").dialable],
            identity_path=str(identity),
            check_if_identity_free=False,  # starts a second p2pd: slow
            nat_port_map=False,
            auto_nat=False,
            use_relay=False,
            startup_timeout=STARTUP_SECONDS,
            wait_timeout=2,
            record_validators=[SoundRecords(board_of(run))],
            # notices are a second old at most; a cache would only make them older
            cache_locally=False,
            cache_on_store=False,
            cache_nearest=0,
            cache_refresh_before_expiry=0,
        )
    except Exception as error:
        raise NetworkError(f"the network part (p2pd) did not start on {host}:{port}: {error}") from error

"""Every private name of hivemind that is changed: what, why, and since which version it is needed.

Found against hivemind 1.1.12. When hivemind is updated, this is the file to go through.
"""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import pickle
import shutil
import tempfile
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

from peer.device.processes import is_alive
from peer.network import clock
from peer.network.address import Address, NetworkError
from peer.network.dht_records import SoundRecords, board_of

SOCKETS = "cellmind-"  # begins the name of a folder of sockets; the owner's pid follows


def keep_sockets_together() -> None:
    """Give hivemind's unix sockets a folder of this process; gone at the end, or at the next start after a kill."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SOCKETS}*"):
        pid = folder.name.removeprefix(SOCKETS).partition("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{SOCKETS}{os.getpid()}-"))
    P2P._UNIX_SOCKET_PREFIX = f"/unix{folder}/"  # hivemind has no other way to say so
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


async def connect(p2p: P2P, address: Address) -> None:
    """Open a connection to a peer. Raises what p2pd says where nobody answers there, or somebody else does.

    `P2P._client` (1.1.12): hivemind itself dials only those that it is given at its start.
    """
    await p2p._client.connect(address.peer_id, [Multiaddr(address.dialable)])


async def disconnect(p2p: P2P, peer: PeerID) -> None:
    """Close the connections to a peer; see `connect`."""
    await p2p._client.disconnect(peer)


def daemon_of(p2p: P2P) -> asyncio.subprocess.Process | None:
    """Return the process of p2pd; None before it has started, and after it was ended in an orderly way.

    `P2P._child` (1.1.12): hivemind does not notice that it has died.
    """
    daemon: asyncio.subprocess.Process | None = p2p._child
    return daemon


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
    """Exchange hivemind's locks between processes, once. Call before any of them starts."""
    if not isinstance(MPFuture._update_lock, OutlivingLock):
        MPFuture._initialization_lock = OutlivingLock()
        MPFuture._update_lock = OutlivingLock()
        SharedBytes._lock = OutlivingLock()


STARTUP_SECONDS = 60.0


class PatientDHT(DHT):
    """Goes on where a process that asks it for something ends in the middle of asking: hivemind's would end as well."""

    _inner_pipe: Any

    def run(self) -> None:
        self._inner_pipe = _Requests(self._inner_pipe)
        super().run()

    async def _nothing(self) -> None:
        """What a request is whose asker is no more."""


class _Requests:
    """The end of a DHT's pipe at which requests come out.

    A request holds memory that it shares with its asker, and which the asker itself hands over while it is read.
    """

    def __init__(self, pipe: Connection):
        self.fileno, self.poll, self._pipe = pipe.fileno, pipe.poll, pipe

    def recv(self) -> tuple[str, Iterable[Any], dict[str, Any]]:
        request = self._pipe.recv_bytes()
        try:
            return pickle.loads(request)  # as `Connection.recv` does; only processes of our own have the other end
        except (EOFError, OSError, RuntimeError):
            return "_nothing", (), {}


def answer_from_the_first_moment() -> None:
    """Let hivemind's DHT know who it is before it takes requests: who asked in between brought a traceback."""
    of_itself = cached_property(lambda protocol: dht_pb2.NodeInfo(node_id=protocol.node_id.to_bytes()))
    of_itself.__set_name__(DHTProtocol, "node_info")
    DHTProtocol.node_info = of_itself


def start_dht(host: str, port: int, identity: Path, run: str) -> DHT:
    """A DHT node that listens on `host:port` under a kept identity. Raises NetworkError."""
    identity.parent.mkdir(parents=True, exist_ok=True)
    keep_sockets_together()
    # p2pd would dial from the port that it listens on: two that dial each other at once, one of them behind a firewall,
    # then share a connection that both have opened (RFC 9293, 3.5: simultaneous open), and both begin the handshake
    os.environ["LIBP2P_TCP_REUSEPORT"] = "false"
    outlive_the_dead()
    clock.install()
    answer_from_the_first_moment()
    try:
        return PatientDHT(
            start=True,
            host_maddrs=[f"/ip4/{host}/tcp/{port}"],
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

"""The training process's handle on the network: one child process with the DHT node and all that lives beside it.

Calls that training makes return at once; those that wait say so. What runs in the child is in `peer/node.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from hivemind import DHT
from hivemind.dht import DHTNode
from hivemind.p2p import PeerID
from hivemind.utils import MPFuture

from minigpt.manifest import SETTINGS, Manifest
from peer import clock
from peer.history import HistoryError
from peer.membership import Notice, State
from peer.node import Node, View
from peer.processes import keep_sockets_together, outlive_the_dead
from peer.transfer import TransferError, fetch, fetch_bytes, fetch_manifest, fetch_means

STARTUP_SECONDS = 60.0
MAX_REMEMBERED = 50
MAX_DONORS = 4  # that state is taken from at once


class NetworkError(Exception):
    """The network cannot be used as asked; the message is for the user."""


@dataclass(frozen=True)
class Failure:
    """What a coroutine in the child returns instead of raising: hivemind prints a traceback for what is raised."""

    kind: type[Exception]
    message: str


def check_port(host: str, port: int) -> None:
    """Raises NetworkError if `host:port` cannot be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NetworkError(
                f"port {port} of {host} cannot be used: {error.strerror}. Choose another with --port, or end its user."
            ) from error


def free_port(host: str, preferred: int) -> int:
    """The preferred port, so that the address stays the same after a restart; any free one if it is taken."""
    try:
        check_port(host, preferred)
        return preferred
    except NetworkError:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])


def lock_folder(folder: Path) -> TextIO:
    """Two peers in one folder would be one identity twice. Raises NetworkError; the lock lasts as long as the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, children do not inherit it
    except OSError as error:
        raise NetworkError(
            f"another peer runs in {folder} already; end it, or give this one a folder with --checkpoints"
        ) from error
    return file


def start_dht(host: str, port: int, identity: Path) -> DHT:
    """A DHT node that listens on `host:port` under a kept identity. Raises NetworkError."""
    identity.parent.mkdir(parents=True, exist_ok=True)
    keep_sockets_together()
    outlive_the_dead()
    clock.install()
    try:
        return DHT(
            start=True,
            host_maddrs=[f"/ip4/{host}/tcp/{port}"],
            identity_path=str(identity),
            check_if_identity_free=False,  # starts a second p2pd: slow
            nat_port_map=False,
            auto_nat=False,
            use_relay=False,
            startup_timeout=STARTUP_SECONDS,
            wait_timeout=2,
            # notices are a second old at most; a cache would only make them older
            cache_locally=False,
            cache_on_store=False,
            cache_nearest=0,
            cache_refresh_before_expiry=0,
        )
    except Exception as error:
        raise NetworkError(f"the network part (p2pd) did not start on {host}:{port}: {error}") from error


class Network:
    """This device in the swarm.

    :param run: name of the run, which is the name of its notice board; "" for a bootstrap node
    :param name: what people call the device
    :param checkpoints: the folder whose newest checkpoint others may take, where identity and addresses are kept too
    :param addresses: multiaddrs to begin with, besides the remembered ones and what zeroconf finds
    """

    def __init__(self, *, run: str, name: str, host: str, port: int, checkpoints: Path, addresses: Sequence[str] = ()):
        self._lock = lock_folder(checkpoints)
        self._addresses_file = checkpoints / "peers.json"
        self._remembered = _read_addresses(self._addresses_file)
        self.dht = start_dht(host, port, checkpoints / "identity.key")
        self.peer = self.dht.peer_id.to_base58()
        self.address = f"/ip4/{host}/tcp/{port}/p2p/{self.peer}"
        self.view = View()
        self._asked: MPFuture | None = None
        start = partial(
            _start,
            run=run,
            name=name,
            address=self.address,
            checkpoints=checkpoints.resolve(),
            known=[*addresses, *self._remembered],
        )
        self.zeroconf_problem: str | None = self._call(start)

    def post(self, notice: Notice | None) -> View:
        """Leave our notice, if we have one, and take the newest view of the swarm that has come in; never waits."""
        if self._asked is not None and self._asked.done():
            self.view = self._asked.result()
            self._asked = None
            self._remember()
        if self._asked is None:
            self._asked = self.dht.run_coroutine(partial(_post, notice=notice), return_future=True)
        return self.view

    def fetch_manifest(self, peer: str, run: str) -> Manifest:
        """What the donor's newest checkpoint holds. Waits; raises TransferError."""
        return self._call(partial(_fetch_manifest, peer=peer, run=run))

    def fetch_bytes(self, peer: str, manifest: Manifest, name: str) -> bytes:
        """One small file of it. Waits; raises TransferError."""
        return self._call(partial(_fetch_bytes, peer=peer, manifest=manifest, name=name))

    def fetch_settings(self, peer: str, run: str) -> Callable[[], bytes | None]:
        """Begin to take the settings.json of the donor's run; the function returned gives it once it is here.

        It raises TransferError.
        """
        future = self.dht.run_coroutine(partial(_fetch_settings, peer=peer, run=run), return_future=True)
        return lambda: unwrap(future.result()) if future.done() else None

    def fetch(
        self, peer: str, run: str, root: Path, *, skip: tuple[str, ...] = (), newer_than: State | None = None
    ) -> Callable[[], Path | None]:
        """Begin to take the donor's newest checkpoint, with the help of others who have the same; the function returned
        gives its folder once it is here.

        It raises TransferError (also where the donor has nothing `newer_than` that state), and OSError where the disk
        does not take it.
        """
        task = partial(_fetch, peer=peer, run=run, root=root.resolve(), skip=skip, newer_than=newer_than)
        future = self.dht.run_coroutine(task, return_future=True)
        return lambda: unwrap(future.result()) if future.done() else None

    def fetch_means(self, peer: str, run_folder: Path, lineage: str, size: int) -> Callable[[], list[Path] | None]:
        """Begin to take the means that followed our anchor; the function returned gives their files once they are here.

        None of them if the donor has none; it raises TransferError, HistoryError and OSError.

        :param size: how many numbers a mean has
        """
        task = partial(_fetch_means, peer=peer, run_folder=run_folder.resolve(), lineage=lineage, size=size)
        future = self.dht.run_coroutine(task, return_future=True)
        return lambda: unwrap(future.result()) if future.done() else None

    def stop(self) -> None:
        """Say goodbye and end the child process. Waits a few seconds at most."""
        pid = self.dht.pid
        with suppress(Exception):  # going away counts, not how
            self.dht.run_coroutine(_stop, return_future=True).result(timeout=2)
        self.dht.shutdown()
        if self.dht.is_alive() and pid is not None:
            self.dht.kill()

    def _call(self, coroutine: Callable[..., Any]) -> Any:
        if not self.dht.is_alive():
            raise NetworkError("the network part of this peer has ended")
        return unwrap(self.dht.run_coroutine(coroutine))

    def _remember(self) -> None:
        """Keep the addresses of those we are connected to, for the next start on a network without multicast."""
        known = [notice.address for notice in self.view.notices if notice.peer in self.view.connected]
        addresses = list(dict.fromkeys([*known, *self._remembered]))[:MAX_REMEMBERED]
        if addresses != self._remembered:
            self._remembered = addresses
            temporary = self._addresses_file.with_name(f".{self._addresses_file.name}.{os.getpid()}")
            try:
                temporary.write_text(json.dumps({"addresses": addresses}, indent=2))
                os.replace(temporary, self._addresses_file)
            except OSError:  # a convenience of the next start, no reason to stop this one
                temporary.unlink(missing_ok=True)


def _read_addresses(path: Path) -> list[str]:
    try:
        addresses = json.loads(path.read_text())["addresses"]
        return [address for address in addresses if isinstance(address, str)][:MAX_REMEMBERED]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def unwrap(result: Any) -> Any:
    if isinstance(result, Failure):
        raise result.kind(result.message)
    return result


# ---------------------------------------------------------------------- in the child process

_node: Node | None = None


def _the_node() -> Node:
    assert _node is not None, "Network starts the node before anything else"
    return _node


async def _start(
    dht: DHT, node: DHTNode, *, run: str, name: str, address: str, checkpoints: Path, known: list[str]
) -> str | None:
    global _node
    _node = Node(node, run, checkpoints)
    return await _node.start(name=name, address=address, known=known)


async def _post(dht: DHT, node: DHTNode, *, notice: Notice | None) -> View:
    _the_node().notice = notice
    return _the_node().view()


async def _stop(dht: DHT, node: DHTNode) -> None:
    await _the_node().stop()


async def _fetch_manifest(dht: DHT, node: DHTNode, *, peer: str, run: str) -> Manifest | Failure:
    try:
        return await fetch_manifest(node.p2p, PeerID.from_base58(peer), run)
    except TransferError as error:
        return Failure(TransferError, str(error))


async def _fetch_bytes(dht: DHT, node: DHTNode, *, peer: str, manifest: Manifest, name: str) -> bytes | Failure:
    try:
        return await fetch_bytes(node.p2p, PeerID.from_base58(peer), manifest, name)
    except TransferError as error:
        return Failure(TransferError, str(error))


async def _fetch_settings(dht: DHT, node: DHTNode, *, peer: str, run: str) -> bytes | Failure:
    manifest = await _fetch_manifest(dht, node, peer=peer, run=run)
    if isinstance(manifest, Failure):
        return manifest
    return await _fetch_bytes(dht, node, peer=peer, manifest=manifest, name=SETTINGS)


async def _fetch_means(
    dht: DHT, node: DHTNode, *, peer: str, run_folder: Path, lineage: str, size: int
) -> list[Path] | Failure:
    try:
        donor = PeerID.from_base58(peer)
        return await fetch_means(node.p2p, donor, run_folder, lineage, size, _the_node().service)
    except (TransferError, HistoryError) as error:
        return Failure(type(error), str(error))
    except OSError as error:
        return Failure(OSError, str(error))


async def _fetch(
    dht: DHT, node: DHTNode, *, peer: str, run: str, root: Path, skip: tuple[str, ...], newer_than: State | None
) -> Path | Failure:
    try:
        donor = PeerID.from_base58(peer)
        manifest = await fetch_manifest(node.p2p, donor, run)
        progress = manifest.progress
        if newer_than is not None and (progress.samples, progress.round, progress.lineage) <= newer_than:
            raise TransferError("the donor has not written its newest state yet")
        donors = [donor, *_the_node().others_of(manifest.run_id, donor)][:MAX_DONORS]
        return await fetch(node.p2p, donors, manifest, root, _the_node().service, skip)
    except TransferError as error:
        return Failure(TransferError, str(error))
    except OSError as error:
        return Failure(OSError, str(error))

"""The training process's handle on the network: one child process with the DHT node and all that lives beside it.

Calls that training makes return at once; those that wait say so. What runs in the child is in `peer/node.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial, wraps
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, TextIO, TypeVar

from hivemind import DHT
from hivemind.dht import DHTNode
from hivemind.dht.protocol import DHTProtocol
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2
from hivemind.utils import MPFuture

from minigpt.checkpoint.manifest import SETTINGS, Manifest
from minigpt.encoding import DatasetError
from peer import clock
from peer.device.processes import keep_sockets_together, outlive_the_dead
from peer.discovery import LOOPBACK
from peer.history import HistoryError
from peer.membership import Notice, State
from peer.node import STALLED_SECONDS, Node, View, parse_address
from peer.records import SoundRecords, board_of
from peer.shards import KeptShards, Stock
from peer.transfer import TransferError, fetch, fetch_bytes, fetch_manifest, fetch_means, is_followed, reason

STARTUP_SECONDS = 60.0
MAX_REMEMBERED = 50
PEERS, OWN_ADDRESS = "peers.json", "address.json"  # addresses of others, and ours, beside the runs
MAX_DONORS = 4  # that state is taken from at once
LOOK_SECONDS = 2.0  # between two looks at our own address
RETRY_SECONDS = 5.0  # between two starts of a network part that does not start
ANSWER_SECONDS = 10.0  # after which a view that has not come is lost; seen where 32 devices start on two cores
IDENTITY = "identity.key"
IDENTITY_SECONDS = 60.0  # that a new one is kept at least: somebody may follow us with claims to be us
LOST = "the network part of this device ended unexpectedly"


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


def check_addresses(addresses: Iterable[str]) -> None:
    """Raises NetworkError for the first that is no peer's address."""
    for address in addresses:
        try:
            parse_address(address)
        except ValueError as error:
            raise NetworkError(str(error)) from error


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise NetworkError(
            f"nothing can be kept in {folder}: {error.strerror}. Give this peer another folder with --checkpoints"
        ) from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, children do not inherit it
    except OSError as error:
        raise NetworkError(
            f"another peer runs in {folder} already; end it, or give this one a folder with --checkpoints"
        ) from error
    return file


def runs_in(folder: Path) -> bool:
    """Whether a peer runs in that folder."""
    try:
        with (folder / ".lock").open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def known_addresses(folder: Path) -> list[str]:
    """Addresses of those whom the peer in that folder has met."""
    return _read_addresses(folder / PEERS)


def last_address(folder: Path) -> tuple[str, str] | None:
    """The address of the peer that runs in that folder, or ran there last, and its run."""
    try:
        kept = json.loads((folder / OWN_ADDRESS).read_text())
        return str(kept["address"]), str(kept["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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


class Network:
    """This device in the swarm.

    Where its process has died, or the device has moved to another address, it is started again, under the same
    identity; where another device has that as well, and had it before us, under a new one. What stands on it has to be
    started again then, whenever `starts` has grown.

    :param run: name of the run, which is the name of its notice board; "" for a bootstrap node
    :param name: what people call the device; "" for one that only looks, and does not announce itself
    :param checkpoints: the folder whose newest checkpoint others may take, where identity and addresses are kept too
    :param addresses: multiaddrs to begin with, besides the remembered ones and what zeroconf finds
    :param report: gets a line where another device turns out to have the same identity
    :param own_address: tells the device's address on the LAN; `host` is kept where there is nobody to ask
    """

    def __init__(
        self,
        *,
        run: str,
        name: str,
        host: str,
        port: int,
        checkpoints: Path,
        report: Callable[[str], None],
        addresses: Sequence[str] = (),
        own_address: Callable[[], str] | None = None,
    ):
        self._lock = lock_folder(checkpoints)
        self._addresses_file = checkpoints / PEERS
        self._remembered = _read_addresses(self._addresses_file)
        self._run, self._name, self._checkpoints, self._given = run, name, checkpoints.resolve(), list(addresses)
        self._host, self._port, self._own_address = host, port, own_address
        self._report, self._identity_until = report, 0.0
        self._looked_at = time.monotonic()  # at our own address
        self._not_before = 0.0  # after a start that failed
        self._asked: MPFuture | None = None  # for the newest view
        self._asked_at = 0.0
        self._shared: Callable[..., Any] | None = None  # how a new child is told what text to give
        self._traffic_before = (0, 0)  # bytes sent and received before the last start
        self.view = View()
        self.zeroconf_problem: str | None = None
        self.starts = 0
        self._start()

    @property
    def is_alive(self) -> bool:
        """Whether the child process lives: without it there is nobody but us."""
        return self.dht.is_alive()

    def post(self, notice: Notice | None, silent_seconds: float = STALLED_SECONDS) -> View:
        """Leave our notice, if we have one, and take the newest view of the swarm that has come in.

        Never waits, but for a second or two where the network part has to be started again. While that does not work,
        nobody is there, and it is tried again every few seconds.

        :param silent_seconds: the notice is repeated for so long without another; after that, training has stopped
        """
        if not self.is_alive or self._has_moved():
            self.start_again()
        if not self.is_alive:
            return self.view
        if self._asked is not None and self._asked.done():
            view = self._asked.result()
            sent, received = self._traffic_before
            self.view = replace(view, bytes_sent=sent + view.bytes_sent, bytes_received=received + view.bytes_received)
            self._asked = None
            self._remember()
            if view.twin is not None and time.monotonic() > self._identity_until:
                self._take_another_identity(view.twin)
        if (self._asked is None or time.monotonic() > self._asked_at + ANSWER_SECONDS) and self.is_alive:
            if notice is not None:
                mine = {"peer": self.peer, "address": self.address, "reachable": self.view.reachable}
                notice = notice.model_copy(update=mine)
            self._asked = self.dht.run_coroutine(
                partial(_post, notice=notice, silent_seconds=silent_seconds), return_future=True
            )
            self._asked_at = time.monotonic()
        return self.view

    def expect_silence(self, seconds: float) -> None:
        """Training will leave no notice for a while, and lives: until the next one the last is repeated for so long."""
        if self.is_alive:
            self.dht.run_coroutine(partial(_expect_silence, seconds=seconds), return_future=True)

    def _take_another_identity(self, twin: str) -> None:
        """Whoever copies a folder to a second device copies who it is: everything of it is kept but that."""
        self._identity_until = time.monotonic() + IDENTITY_SECONDS
        (self._checkpoints / IDENTITY).unlink(missing_ok=True)
        self._report(
            f"the device at {twin.split('/')[2]} has the same identity, from a copied {IDENTITY}: "
            "this one goes on with a new one"
        )
        self.start_again()

    def start_again(self) -> None:
        """End the child process, if it lives, and start another; not more often than every few seconds if it fails."""
        if time.monotonic() < self._not_before:
            return
        self._end()
        try:
            self._start()
        except (NetworkError, TransferError):
            self._not_before = time.monotonic() + RETRY_SECONDS
            self._end()
            self.view = replace(self.view, notices=[], suspected=frozenset(), connected=[])

    def _start(self) -> None:
        self.dht = start_dht(self._host, self._port, self._checkpoints / IDENTITY, self._run)
        self.starts += 1
        self.peer = self.dht.peer_id.to_base58()
        self.address = f"/ip4/{self._host}/tcp/{self._port}/p2p/{self.peer}"
        _write_json(self._checkpoints / OWN_ADDRESS, {"address": self.address, "run": self._run})
        self._traffic_before = self.view.bytes_sent, self.view.bytes_received
        self._asked = None
        start = partial(
            _start,
            run=self._run,
            name=self._name,
            address=self.address,
            checkpoints=self._checkpoints,
            known=[*self._given, *self._remembered],
        )
        self.zeroconf_problem = self._call(start)
        if self._shared is not None:
            self._call(self._shared)

    def _has_moved(self) -> bool:
        """Whether this device is elsewhere on the LAN than it was: a phone roams, a laptop wakes at another place."""
        if self._own_address is None or time.monotonic() < self._looked_at + LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        host, before = self._own_address(), self._host
        if host != LOOPBACK:  # without any network the old address may come back
            self._host = host
        return self._host != before

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
        return self._begin(partial(_fetch_settings, peer=peer, run=run))

    def fetch(
        self,
        peer: str,
        run_id: str,
        root: Path,
        *,
        skip: tuple[str, ...] = (),
        newer_than: State | None = None,
        or_followed: bool = False,
    ) -> Callable[[], Path | None]:
        """Begin to take the donor's newest checkpoint of that run, with the help of others who have the same.

        The function returned gives its folder once it is here.

        It raises TransferError (also where the donor has nothing `newer_than` that state), and OSError where the disk
        does not take it.

        :param or_followed: an older one will do as well where the donor keeps the means that lead on from it
        """
        return self._begin(
            partial(
                _fetch,
                peer=peer,
                run_id=run_id,
                root=root.resolve(),
                skip=skip,
                newer_than=newer_than,
                or_followed=or_followed,
            )
        )

    def fetch_means(self, peer: str, run_folder: Path, lineage: str, size: int) -> Callable[[], list[Path] | None]:
        """Begin to take the means that followed our anchor; the function returned gives their files once they are here.

        None of them if the donor has none; it raises TransferError, HistoryError and OSError.

        :param size: how many numbers a mean has
        """
        return self._begin(
            partial(_fetch_means, peer=peer, run_folder=run_folder.resolve(), lineage=lineage, size=size)
        )

    def share(self, ids_path: Path, tokenizer_sha256: str) -> None:
        """From now on give the token ids in that file to whoever asks. Waits; raises TransferError."""
        self._shared = partial(_share, ids_path=ids_path.resolve(), tokenizer_sha256=tokenizer_sha256)
        self._call(self._shared)

    def take_shard(
        self, peer: str | None, folder: Path, run_id: str, tokenizer_sha256: str, vocab_size: int
    ) -> Callable[[], Stock | None]:
        """Begin to take one more shard of the peer's text into `folder`; the function returned tells what is there.

        Without a peer it only tells what is there, once it is checked. It raises TransferError and OSError.
        """
        kept = partial(KeptShards, folder.resolve(), run_id, vocab_size)
        return self._begin(partial(_take_shard, peer=peer, kept=kept, tokenizer_sha256=tokenizer_sha256))

    def stop(self) -> None:
        """Say goodbye and end the child process. Waits a few seconds at most."""
        with suppress(Exception):  # going away counts, not how
            self.dht.run_coroutine(_stop, return_future=True).result(timeout=2)
        self._end()

    def _end(self) -> None:
        self.dht.shutdown()
        if self.dht.is_alive():
            self.dht.kill()
            self.dht.join(1.0)  # leaves no zombie

    def _begin(self, task: Callable[..., Any]) -> Callable[[], Any]:
        """Begin a task in the child process; the function returned gives its result, and None until it is there.

        It raises what the task fails with, and TransferError if the process it ran in is no more.
        """
        future, starts = self.dht.run_coroutine(task, return_future=True), self.starts

        def poll() -> Any:
            if future.done():
                return unwrap(future.result())
            if self.starts != starts:
                raise TransferError(LOST)
            return None

        return poll

    def _call(self, task: Callable[..., Any]) -> Any:
        """The result of a task in the child process. Waits; raises what it fails with, TransferError if that died."""
        future = self.dht.run_coroutine(task, return_future=True)
        while True:
            try:
                return unwrap(future.result(timeout=1.0))
            except TimeoutError:
                if not self.dht.is_alive():
                    raise TransferError(LOST) from None

    def _remember(self) -> None:
        """Keep the addresses of those we are connected to, for the next start on a network without multicast."""
        known = [notice.address for notice in self.view.notices if notice.peer in self.view.connected]
        addresses = list(dict.fromkeys([*known, *self._remembered]))[:MAX_REMEMBERED]
        if addresses != self._remembered:
            self._remembered = addresses
            _write_json(self._addresses_file, {"addresses": addresses})


def _read_addresses(path: Path) -> list[str]:
    try:
        addresses = json.loads(path.read_text())["addresses"]
        return [address for address in addresses if isinstance(address, str)][:MAX_REMEMBERED]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content, indent=2))
        os.replace(temporary, path)
    except OSError:  # a convenience, no reason to stop
        temporary.unlink(missing_ok=True)


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


async def _post(dht: DHT, node: DHTNode, *, notice: Notice | None, silent_seconds: float) -> View:
    _the_node().take(notice, silent_seconds)
    return _the_node().view()


async def _expect_silence(dht: DHT, node: DHTNode, *, seconds: float) -> None:
    _the_node().expect_silence(seconds)


async def _stop(dht: DHT, node: DHTNode) -> None:
    await _the_node().stop()


Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def fails_softly(work: Callable[Asked, Awaitable[Answer]]) -> Callable[Asked, Awaitable[Answer | Failure]]:
    """Gives a Failure for whatever `work` raises: what strangers have sent may make it raise anything."""

    @wraps(work)
    async def answer(*arguments: Asked.args, **keywords: Asked.kwargs) -> Answer | Failure:
        try:
            return await work(*arguments, **keywords)
        except HistoryError as error:
            return Failure(HistoryError, str(error))
        except OSError as error:
            return Failure(OSError, str(error))
        except (TransferError, DatasetError) as error:
            return Failure(TransferError, str(error))
        except Exception as error:
            return Failure(TransferError, reason(error))

    return answer


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

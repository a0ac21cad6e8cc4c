"""The training process's handle on the network: one child process with the DHT node and all that lives beside it.

Calls that training makes return at once; those that wait say so. What runs in the child is in `peer/network/node.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hivemind.utils import MPFuture

from minigpt.checkpoint.manifest import Manifest
from peer.network.address import LOOPBACK, Address, NetworkError
from peer.network.child_calls import unwrap
from peer.network.folder import MAX_REMEMBERED, OWN_ADDRESS, PEERS, _read_addresses, _write_json, lock_folder
from peer.network.hivemind_patches import start_dht
from peer.network.node import (
    STALLED_SECONDS,
    View,
    _expect_silence,
    _fetch,
    _fetch_bytes,
    _fetch_manifest,
    _fetch_means,
    _fetch_settings,
    _post,
    _share,
    _start,
    _stop,
    _take_shard,
)
from peer.state.fetching import TransferError
from peer.state.shards import KeptShards, Stock
from peer.wire import PROTOCOL_VERSION, Notice, OtherVersion, State

LOOK_SECONDS = 2.0  # between two looks at our own address
RETRY_SECONDS = 5.0  # between two starts of a network part that does not start
ANSWER_SECONDS = 10.0  # after which a view that has not come is lost; seen where 32 devices start on two cores
IDENTITY = "identity.key"
IDENTITY_SECONDS = 60.0  # that a new one is kept at least: somebody may follow us with claims to be us
LOST = "the network part of this device ended unexpectedly"


def what_to_update(other: OtherVersion) -> str:
    """Return the line that tells the user which of two devices is older, and to bring it up to date."""
    who = f"{other.name} ({Address.parse(other.address).host})"
    if other.version < PROTOCOL_VERSION:
        return f"{who} runs an older version of CellMind and does not train with this one: update it (git pull)"
    return f"{who} runs a newer version of CellMind and does not train with this one: update this device (git pull)"


class Network:
    """This device in the swarm.

    Where its process has died, or the device has moved to another address, it is started again, under the same
    identity; where another device has that as well, and had it before us, under a new one. What stands on it has to be
    started again then, whenever `starts` has grown.

    :param run: name of the run, which is the name of its notice board; "" for a bootstrap node
    :param name: what people call the device; "" for one that only looks, and does not announce itself
    :param checkpoints: the folder whose newest checkpoint others may take, where identity and addresses are kept too
    :param addresses: multiaddrs to begin with, besides the remembered ones and what zeroconf finds
    :param report: gets a line where another device turns out to have the same identity, or another version
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
        self._told: set[str] = set()  # peer ids of devices with another version, of which the user knows
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
            self._tell_of_other_versions()
            if view.twin is not None and time.monotonic() > self._identity_until:
                self._take_another_identity(view.twin)
        if (self._asked is None or time.monotonic() > self._asked_at + ANSWER_SECONDS) and self.is_alive:
            if notice is not None:
                mine = {"peer": self.peer, "address": str(self.address), "reachable": self.view.reachable}
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

    def _tell_of_other_versions(self) -> None:
        """Say once of every device here that it does not understand us, and which of the two is older."""
        for other in self.view.other_versions:
            if other.peer not in self._told:
                self._told.add(other.peer)
                self._report(what_to_update(other))

    def _take_another_identity(self, twin: str) -> None:
        """Whoever copies a folder to a second device copies who it is: everything of it is kept but that."""
        self._identity_until = time.monotonic() + IDENTITY_SECONDS
        (self._checkpoints / IDENTITY).unlink(missing_ok=True)
        self._report(
            f"the device at {Address.parse(twin).host} has the same identity, from a copied {IDENTITY}: "
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
        self.address = Address(self._host, self._port, self.peer)
        _write_json(self._checkpoints / OWN_ADDRESS, {"address": str(self.address), "run": self._run})
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

        None of them if the donor has none; it raises TransferError, MeanError and OSError.

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


# ---------------------------------------------------------------------- in the child process

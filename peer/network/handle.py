"""The training process's handle on the network: one child process with the DHT node and all that lives beside it.

Calls that training makes return at once; those that wait say so. What runs in the child is in `peer/network/node.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hivemind import DHT

from minigpt.checkpoint.manifest import Manifest
from peer.network.address import LOOPBACK, Address, NetworkError
from peer.network.child_calls import Pending
from peer.network.folder import MAX_REMEMBERED, keep_addresses, keep_own_address, known_addresses, lock_folder
from peer.network.node import View
from peer.network.notices import STALLED_SECONDS
from peer.network.other_versions import what_to_update
from peer.network.process import NodeProcess
from peer.state.fetching import TransferError
from peer.state.shards import KeptShards, Stock
from peer.wire import Notice, State

LOOK_SECONDS = 2.0  # between two looks at our own address
RETRY_SECONDS = 5.0  # between two starts of a network part that does not start
ANSWER_SECONDS = 10.0  # after which a view that has not come is lost; seen where 32 devices start on two cores
IDENTITY = "identity.key"
IDENTITY_SECONDS = 60.0  # that a new one is kept at least: somebody may follow us with claims to be us


class Place:
    """The address of this device on the LAN: a phone roams, a laptop wakes at another place.

    :param host: the first one
    :param own_address: tells the address of now; None where `host` is to be kept
    """

    def __init__(self, host: str, own_address: Callable[[], str] | None):
        self.host, self._own_address = host, own_address
        self._looked_at = time.monotonic()

    def has_changed(self) -> bool:
        """Return whether this device is elsewhere than it was, when last looked; `host` is where it is now."""
        if self._own_address is None or time.monotonic() < self._looked_at + LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        host, before = self._own_address(), self.host
        if host != LOOPBACK:  # without any network the old address may come back
            self.host = host
        return self.host != before


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
        self._remembered = known_addresses(checkpoints)
        self._run, self._name, self._checkpoints, self._given = run, name, checkpoints.resolve(), list(addresses)
        self._place, self._port = Place(host, own_address), port
        self._report, self._identity_until = report, 0.0
        self._not_before = 0.0  # after a start that failed
        self._asked: Pending[View] | None = None  # for the newest view
        self._asked_at = 0.0
        self._shared: dict[str, Any] | None = None  # what a new child is told of the text that is given
        self._traffic_before = (0, 0)  # bytes sent and received before the last start
        self._told: set[str] = set()  # peer ids of devices with another version, of which the user knows
        self.view = View()
        self.zeroconf_problem: str | None = None
        self.starts = 0
        self._start()

    @property
    def dht(self) -> DHT:
        """hivemind's handle on the DHT, for those who bring more of hivemind."""
        return self._process.dht

    @property
    def peer(self) -> str:
        """Our peer id."""
        return self._process.address.peer

    @property
    def address(self) -> Address:
        """Our own address."""
        return self._process.address

    @property
    def is_alive(self) -> bool:
        """Return whether the child process lives: without it there is nobody but us."""
        return self._process.is_alive

    def post(self, notice: Notice | None, silent_seconds: float = STALLED_SECONDS) -> View:
        """Leave our notice, if we have one, and take the newest view of the swarm that has come in.

        Never waits, but for a second or two where the network part has to be started again. While that does not work,
        nobody is there, and it is tried again every few seconds.

        :param silent_seconds: the notice is repeated for so long without another; after that, training has stopped
        """
        if not self.is_alive or self._place.has_changed():
            self.start_again()
        if not self.is_alive:
            return self.view
        if self._asked is not None and self._asked.is_done:
            self._take_in(self._asked.wait())
        if (self._asked is None or time.monotonic() > self._asked_at + ANSWER_SECONDS) and self.is_alive:
            if notice is not None:
                mine = {"peer": self.peer, "address": str(self.address), "reachable": self.view.reachable}
                notice = notice.model_copy(update=mine)
            self._asked = self._process.begin("post", notice=notice, silent_seconds=silent_seconds)
            self._asked_at = time.monotonic()
        return self.view

    def _take_in(self, view: View) -> None:
        """Take the newest view, and do what it asks for."""
        sent, received = self._traffic_before
        self.view = replace(view, bytes_sent=sent + view.bytes_sent, bytes_received=received + view.bytes_received)
        self._asked = None
        self._remember()
        self._tell_of_other_versions()
        if view.twin is not None and time.monotonic() > self._identity_until:
            self._take_another_identity(view.twin)

    def expect_silence(self, seconds: float) -> None:
        """Repeat the last notice for so long: training will leave none for a while, and lives."""
        if self.is_alive:
            self._process.begin("expect_silence", seconds=seconds)

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
        self._process.end()
        try:
            self._start()
        except (NetworkError, TransferError):
            self._not_before = time.monotonic() + RETRY_SECONDS
            self._process.end()
            self.view = replace(self.view, notices=[], suspected=frozenset(), connected=[])

    def _start(self) -> None:
        self._process = NodeProcess(self._place.host, self._port, self._checkpoints / IDENTITY, self._run)
        self.starts += 1
        keep_own_address(self._checkpoints, str(self.address), self._run)
        self._traffic_before = self.view.bytes_sent, self.view.bytes_received
        self._asked = None
        known = [*self._given, *self._remembered]
        self.zeroconf_problem = self._process.start_node(self._name, self._checkpoints, known)
        if self._shared is not None:
            self._process.call("share", **self._shared)

    def fetch_manifest(self, peer: str, run: str) -> Manifest:
        """Return what the donor's newest checkpoint holds. Waits; raises TransferError."""
        manifest: Manifest = self._process.call("fetch_manifest", peer=peer, run=run)
        return manifest

    def fetch_bytes(self, peer: str, manifest: Manifest, name: str) -> bytes:
        """Return one small file of it. Waits; raises TransferError."""
        content: bytes = self._process.call("fetch_bytes", peer=peer, manifest=manifest, name=name)
        return content

    def fetch_settings(self, peer: str, run: str) -> Pending[bytes]:
        """Begin to take the settings.json of the donor's run. What is returned raises TransferError."""
        return self._process.begin("fetch_settings", peer=peer, run=run)

    def fetch(
        self,
        peer: str,
        run_id: str,
        root: Path,
        *,
        skip: tuple[str, ...] = (),
        newer_than: State | None = None,
        or_followed: bool = False,
    ) -> Pending[Path]:
        """Begin to take the donor's newest checkpoint of that run, with the help of others who have the same.

        What is returned gives its folder. It raises TransferError (also where the donor has nothing `newer_than` that
        state), and OSError where the disk does not take it.

        :param or_followed: an older one will do as well where the donor keeps the means that lead on from it
        """
        which = {"skip": skip, "newer_than": newer_than, "or_followed": or_followed}
        return self._process.begin("fetch", peer=peer, run_id=run_id, root=root.resolve(), **which)

    def fetch_means(self, peer: str, run_folder: Path, lineage: str, size: int) -> Pending[list[Path]]:
        """Begin to take the means that followed our anchor. What is returned gives their files.

        None of them if the donor has none; it raises TransferError, MeanError and OSError.

        :param size: how many numbers a mean has
        """
        return self._process.begin(
            "fetch_means", peer=peer, run_folder=run_folder.resolve(), lineage=lineage, size=size
        )

    def share(self, ids_path: Path, tokenizer_sha256: str) -> None:
        """From now on give the token ids in that file to whoever asks. Waits; raises TransferError."""
        self._shared = {"ids_path": ids_path.resolve(), "tokenizer_sha256": tokenizer_sha256}
        self._process.call("share", **self._shared)

    def take_shard(
        self, peer: str | None, folder: Path, run_id: str, tokenizer_sha256: str, vocab_size: int
    ) -> Pending[Stock]:
        """Begin to take one more shard of the peer's text into `folder`. What is returned tells what is there.

        Without a peer it only tells what is there, once it is checked. It raises TransferError and OSError.
        """
        kept = partial(KeptShards, folder.resolve(), run_id, vocab_size)
        return self._process.begin("take_shard", peer=peer, kept=kept, tokenizer_sha256=tokenizer_sha256)

    def stop(self) -> None:
        """Say goodbye and end the child process. Waits a few seconds at most."""
        self._process.stop()

    def _remember(self) -> None:
        """Keep the addresses of those we are connected to, for the next start on a network without multicast."""
        known = [notice.address for notice in self.view.notices if notice.peer in self.view.connected]
        addresses = list(dict.fromkeys([*known, *self._remembered]))[:MAX_REMEMBERED]
        if addresses != self._remembered:
            self._remembered = addresses
            keep_addresses(self._checkpoints, addresses)

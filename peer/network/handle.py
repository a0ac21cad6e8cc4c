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
from peer.network.answering import Answer
from peer.network.child_calls import Pending
from peer.network.folder import IDENTITY, keep_own_address, lock_folder
from peer.network.household import Home
from peer.network.node import View
from peer.network.notices import STALLED_SECONDS
from peer.network.process import NodeProcess
from peer.network.remembered import Remembered
from peer.network.telling import Told
from peer.state.fetching import TransferError
from peer.state.shards import KeptShards, Stock
from peer.swarm.household import is_ejected
from peer.swarm.knocking import Knock
from peer.wire import Notice, State, WhichState
from peer.wire_asking import AnswerRequest
from peer.wire_household import Household

LOOK_SECONDS = 2.0  # between two looks at our own address
RETRY_SECONDS = 5.0  # between two starts of a network part that does not start
ANSWER_SECONDS = 10.0  # after which a view that has not come is lost; seen where 32 devices start on two cores
IDENTITY_SECONDS = 60.0  # that a new one is kept at least: somebody may follow us with claims to be us


class Place:
    """The address of this device on the LAN: a phone roams, a laptop wakes at another place.

    :param host: the first one
    :param port: TCP port, which stays
    :param own_address: tells the address of now; None where `host` is to be kept
    """

    def __init__(self, host: str, port: int, own_address: Callable[[], str] | None):
        self.host, self.port, self._own_address = host, port, own_address
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
    :param checkpoints: the folder whose newest and best checkpoint others may take; identity and addresses are kept
        there as well
    :param addresses: multiaddrs to begin with, besides the remembered ones and what zeroconf finds
    :param report: gets a line where another device turns out to have the same identity, or another version
    :param own_address: tells the device's address on the LAN; `host` is kept where there is nobody to ask
    :param invited: the household that an invite has the key of, to come in with it; or, without a name, to look in.
        The one that is kept here is taken in any case

    Raises NetworkError, and HouseholdError where the household that is kept here cannot be used.
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
        invited: Household | None = None,
    ):
        self._lock = lock_folder(checkpoints)
        self._remembered = Remembered(checkpoints)
        self._run, self._name, self._checkpoints, self._given = run, name, checkpoints.resolve(), list(addresses)
        self._place = Place(host, port, own_address)
        self._report, self._identity_until = report, 0.0
        self._not_before = 0.0  # after a start that failed
        self._asked: Pending[View] | None = None  # for the newest view
        self._asked_at = 0.0
        self._repeated: dict[str, dict[str, Any]] = {}  # calls that a new child gets as well, by method
        self._traffic_before = (0, 0)  # bytes sent and received before the last start
        self._told = Told(report)
        self._home = Home(run, checkpoints.resolve(), report, invited)
        self.view = View(household=self._home.household)
        self.zeroconf_problem: str | None = None
        self.starts = 0
        self._start()
        household, peer = self.view.household, self.peer
        is_locked = household is not None and household.is_locked
        self.view = replace(self.view, locked=is_locked, ejected=is_ejected(household, peer))

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
        self._remembered.update(self.view)
        self._told.update(self.view, self.peer, {**self.names, self.peer: self._name or "this device"})
        if view.twin is not None and time.monotonic() > self._identity_until:
            self._take_another_identity(view.twin)

    def expect_silence(self, seconds: float) -> None:
        """Repeat the last notice for so long: training will leave none for a while, and lives."""
        if self.is_alive:
            self._process.begin("expect_silence", seconds=seconds)

    def know(self, peers: frozenset[str]) -> None:
        """Tell the network part who has trained with us: they alone say what time it is."""
        if self.is_alive and self._repeated.get("know", {"peers": frozenset()}) != {"peers": peers}:
            self._repeated["know"] = {"peers": peers}
            self._process.begin("know", peers=peers)

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
        except (NetworkError, TransferError, OSError):  # OSError: a household that the disk does not take now
            self._not_before = time.monotonic() + RETRY_SECONDS
            self._process.end()
            self.view = replace(self.view, notices=[], suspected=frozenset(), connected=[])

    def _start(self) -> None:
        home = self._home
        home.look_again(self.view.household)
        place = self._place
        self._process = NodeProcess(place.host, place.port, self._checkpoints / IDENTITY, self._run, home.door)
        self.starts += 1
        keep_own_address(self._checkpoints, str(self.address), self._run)
        self._traffic_before = self.view.bytes_sent, self.view.bytes_received
        self._asked = None
        known = [*self._given, *self._remembered.addresses]
        self.zeroconf_problem = self._process.start_node(self._name, self._checkpoints, known, home.household)
        for method, arguments in self._repeated.items():
            self._process.call(method, **arguments)

    @property
    def household(self) -> Household | None:
        """The household that this device belongs to; its key is "" where the run is open again. None for none."""
        return self.view.household

    @property
    def names(self) -> dict[str, str]:
        """Peer id -> the name that a member of our locked run had when it was last here."""
        return self._remembered.names

    @property
    def run_id(self) -> str:
        """The id of the run that we are in; "" where there is none yet."""
        return self.view.run_id or (self.household.run_id if self.household is not None else "")

    def lock(self, run_id: str = "", among: Sequence[str] | None = None) -> Pending[Household]:
        """Begin to lock the run: everybody who is in it gets the key. What is returned gives the household.

        It raises HouseholdError where that cannot be, OSError where the key cannot be kept, and TransferError.

        :param run_id: of a run that was founded a moment ago; without it the one that our notice names
        :param among: peer ids of the others who may get the key; None for everybody
        """
        return self._process.begin("lock", run_id=run_id, among=among)

    def unlock(self) -> Pending[Household]:
        """Begin to open the run again; see `lock`."""
        return self._process.begin("unlock")

    def eject(self, peer: str) -> Pending[Household]:
        """Begin to send a member away, under a new key for all others; see `lock`."""
        return self._process.begin("eject", peer=peer)

    def admit(self, number: str) -> Pending[Knock]:
        """Begin to let in the device that knocks with a number. What is returned gives its knock.

        It raises KnockRefused where there is none, or more than one, and what `lock` raises.
        """
        return self._process.begin("admit", number=number)

    def ask_in(self, wanted: bool) -> None:
        """Knock at locked runs from now on, until somebody lets us in; or do not, or no more."""
        if self._repeated.get("ask_in", {"wanted": False}) != {"wanted": wanted}:
            self._repeated["ask_in"] = {"wanted": wanted}
            self._process.begin("ask_in", wanted=wanted)

    @property
    def asks_in(self) -> bool:
        """Whether this device asks to be let in, and is not."""
        is_in = self.view.locked and not self.view.ejected
        return bool(self._repeated.get("ask_in", {}).get("wanted")) and not is_in

    def ask(self, peer: str, request: AnswerRequest) -> Pending[int]:
        """Begin to ask the model of another device. What is returned gives the question's number."""
        return self._process.begin("ask", peer=peer, request=request)

    def heard(self, number: int) -> Pending[Answer]:
        """Begin to look how far the answer to a question is."""
        return self._process.begin("heard", number=number)

    def drop(self, number: int) -> None:
        """Want no more of an answer."""
        self._process.begin("drop", number=number)

    def fetch_manifest(self, peer: str, run: str, state: WhichState = "newest") -> Manifest:
        """Return what the donor's newest or best checkpoint holds. Waits; raises TransferError."""
        manifest: Manifest = self._process.call("fetch_manifest", peer=peer, run=run, state=state)
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
        state: WhichState = "newest",
        hurried: bool = False,
    ) -> Pending[Path]:
        """Begin to take the donor's newest or best checkpoint of that run, with the help of others who have the same.

        What is returned gives its folder. It raises TransferError (also where the donor has nothing `newer_than` that
        state), and OSError where the disk does not take it.

        :param or_followed: an older one will do as well where the donor keeps the means that lead on from it
        :param hurried: give up a donor that sends slowly, for there are others
        """
        which = {"skip": skip, "newer_than": newer_than, "or_followed": or_followed, "state": state, "hurried": hurried}
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
        self._repeated["share"] = {"ids_path": ids_path.resolve(), "tokenizer_sha256": tokenizer_sha256}
        self._process.call("share", **self._repeated["share"])

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

"""The notice board as one device uses it: our own notice is kept fresh on it, and those of the others are taken in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hivemind.p2p import PeerID

from peer.network import clock
from peer.network.dht_board import Board
from peer.network.identity import Identity
from peer.network.other_versions import OtherVersions
from peer.network.signatures import Signer, Signers
from peer.swarm.clocks import SAME_SECONDS
from peer.swarm.membership import SILENCE_SECONDS, Heard, Members, Passed, apply, can_give
from peer.swarm.names import Names
from peer.wire import Notice, Role, parse_notice, parse_other_version

STALLED_SECONDS, STALLED_STEPS = 10.0, 3  # training that leaves no notice for so long, and so many steps, is stopped
MOST_UNPROVED = 64  # devices that are told of though nothing proves them; more is somebody playing tricks
READ_SECONDS = 5.0  # that the notice board has for an answer; without one everybody seems more silent than before


class Notices:
    """The notices of the devices of a run, our own among them.

    :param signer: signs what we say
    :param proved: tells who has proved to be there: nobody else's notice counts
    :param other_versions: gets to know those whose notices are of another version
    :param moved: called for a peer whose notice names another address than before
    :param household: tells the fingerprint of the household that this device knows
    """

    def __init__(
        self,
        board: Board,
        identity: Identity,
        signer: Signer,
        proved: Callable[[], frozenset[str]],
        other_versions: OtherVersions,
        moved: Callable[[PeerID], Awaitable[None]],
        household: Callable[[], str],
    ):
        self.board, self.members = board, Members()
        self._identity, self._other_versions, self._moved = identity, other_versions, moved
        self._household = household
        self._signer, self._signers, self._proved = signer, Signers(), proved
        self._names = Names()
        self._letting_go: dict[str, asyncio.Task[None]] = {}  # of those that have moved, by peer id
        self._own: Notice | None = None
        self._said_at, self._silent_seconds = 0.0, STALLED_SECONDS

    @property
    def run_id(self) -> str:
        """The id of the run that we are in; "" for none yet."""
        return "" if self._own is None else self._own.run_id

    @property
    def rests(self) -> str:
        """Why this device does not train, by our own notice."""
        return "" if self._own is None else self._own.paused

    @property
    def others(self) -> list[Notice]:
        """The notices of the others that have proved to be there, under names that tell them apart."""
        proved = self._proved()
        here = [notice for notice in self.members.here if notice.peer in proved]
        return self._names.distinct(here, self._own, time.monotonic())

    @property
    def unproved(self) -> list[Notice]:
        """The notices of those that have not, or not yet; of very many only some."""
        proved = self._proved()
        return [notice for notice in self.members.here if notice.peer not in proved][:MOST_UNPROVED]

    def say(self, notice: Notice | None, silent_seconds: float = STALLED_SECONDS) -> None:
        """From now on say this of ourselves, unless training is silent for so long."""
        started = round(self._identity.started, 1)
        self._own = None if notice is None else notice.model_copy(update={"started": started})
        self._said_at, self._silent_seconds = time.monotonic(), silent_seconds

    def expect_silence(self, seconds: float) -> None:
        """Repeat for so long what training said last, but for being ready: it will say nothing meanwhile, and lives."""
        if self._own is not None:
            self._own = self._own.model_copy(update={"ready": False})
        self._silent_seconds = seconds

    async def say_goodbye(self) -> None:
        """Leave a last notice, so that nobody has to notice our silence."""
        if self._own is not None:
            self.say(self._own.model_copy(update={"role": Role.LEFT}))
            await self.post()

    async def post(self) -> None:
        """Leave our notice on the board while training lives: a device that was stopped is none to wait for."""
        if self._own is None:
            return
        patience = self._silent_seconds + STALLED_STEPS * self._own.step_seconds
        if self._own.role == Role.TRAINING and time.monotonic() > self._said_at + patience:
            return
        said = {**self._own.model_dump(mode="json"), "household": self._household()}
        expiration = clock.now() + SILENCE_SECONDS
        signed = self._signer.signed(self.board.key, said, expiration)
        await self.board.post(self._identity.address, signed, expiration)

    async def read(self) -> None:
        """Take in what the board says; an entry expires SILENCE_SECONDS after it was written."""
        asked, entries = clock.now(), {}
        with suppress(TimeoutError):
            entries = await asyncio.wait_for(self.board.read(), READ_SECONDS)
        members = apply(self.members, Passed(asked))
        for address, (value, expiration) in entries.items():
            if isinstance(address, str) and self._signers.admit(self.board.key, address, value, expiration):
                members = self._take_in(members, address, value, expiration - SILENCE_SECONDS)
        before = {notice.peer: notice.address for notice in self.members.here}
        self.members = members
        for notice in members.here:
            if before.get(notice.peer, notice.address) != notice.address:
                self._begin_to_let_go(notice.peer)

    def _begin_to_let_go(self, peer: str) -> None:
        """Begin to end the connection to a peer's old address: whoever does not answer there keeps nobody waiting."""

        async def let_go() -> None:
            with suppress(Exception):  # it may be gone altogether
                await self._moved(PeerID.from_base58(peer))

        if peer not in self._letting_go:
            self._letting_go[peer] = asyncio.create_task(let_go())
            self._letting_go[peer].add_done_callback(lambda _: self._letting_go.pop(peer, None))

    def _take_in(self, members: Members, address: str, value: object, said: float) -> Members:
        """Return the members after an entry of the board, which its own device has written at `said`."""
        notice = parse_notice(address, value)
        if notice is None:
            other = parse_other_version(address, value)
            if other is not None and other.peer != self._identity.peer:  # ours are from before an update
                self._other_versions.hear_of(other)
        elif notice.peer != self._identity.peer:
            return apply(members, Heard(notice, said))
        elif said > self._identity.started + SAME_SECONDS:  # no word of our own from before
            self._identity.hear_of(notice)
        return members

    def others_of(self, run_id: str, donor: PeerID) -> list[PeerID]:
        """Return who else has a state of that run and can give it, and so may have what the donor has."""
        if self._own is None:
            return []
        others = [other for other in self.others if other.run_id == run_id and can_give(self._own, other)]
        return [PeerID.from_base58(other.peer) for other in others if other.peer != donor.to_base58()]

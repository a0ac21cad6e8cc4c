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
from peer.swarm.membership import SILENCE_SECONDS, Heard, Members, Passed, apply, can_give, with_distinct_names
from peer.wire import Notice, Role, parse_notice, parse_other_version

STALLED_SECONDS, STALLED_STEPS = 10.0, 3  # training that leaves no notice for so long, and so many steps, is stopped
READ_SECONDS = 5.0  # that the notice board has for an answer; without one everybody seems more silent than before


class Notices:
    """The notices of the devices of a run, our own among them.

    :param other_versions: gets to know those whose notices are of another version
    :param moved: called for a peer whose notice names another address than before
    """

    def __init__(
        self,
        board: Board,
        identity: Identity,
        other_versions: OtherVersions,
        moved: Callable[[PeerID], Awaitable[None]],
    ):
        self.board, self.members = board, Members()
        self._identity, self._other_versions, self._moved = identity, other_versions, moved
        self._own: Notice | None = None
        self._said_at, self._silent_seconds = 0.0, STALLED_SECONDS

    @property
    def others(self) -> list[Notice]:
        """The notices of the others, under names that tell them apart."""
        return with_distinct_names(self.members.here, self._own)

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
        notice = self._own.model_dump(mode="json")
        await self.board.post(self._identity.address, notice, clock.now() + SILENCE_SECONDS)

    async def read(self) -> None:
        """Take in what the board says; an entry expires SILENCE_SECONDS after it was written."""
        asked, entries = clock.now(), {}
        with suppress(TimeoutError):
            entries = await asyncio.wait_for(self.board.read(), READ_SECONDS)
        members = apply(self.members, Passed(asked))
        for address, (value, expiration) in entries.items():
            if isinstance(address, str):
                members = self._take_in(members, address, value, expiration - SILENCE_SECONDS)
        before = {notice.peer: notice.address for notice in self.members.here}
        self.members = members
        for notice in members.here:
            if before.get(notice.peer, notice.address) != notice.address:
                await self._moved(PeerID.from_base58(notice.peer))

    def _take_in(self, members: Members, address: str, value: object, said: float) -> Members:
        """Return the members after an entry of the board, which was written at `said`; anybody may have written it."""
        notice = parse_notice(address, value)
        if notice is None:
            other = parse_other_version(address, value)
            if other is not None and other.peer != self._identity.peer:  # ours are from before an update
                self._other_versions.hear_of(other)
        elif notice.peer != self._identity.peer:
            return apply(members, Heard(notice, said))
        elif said > self._identity.started + clock.AGREEMENT_SECONDS:  # no word of our own from before
            self._identity.hear_of(notice)
        return members

    def others_of(self, run_id: str, donor: PeerID) -> list[PeerID]:
        """Return who else has a state of that run and can give it, and so may have what the donor has."""
        if self._own is None:
            return []
        others = [other for other in self.members.here if other.run_id == run_id and can_give(self._own, other)]
        return [PeerID.from_base58(other.peer) for other in others if other.peer != donor.to_base58()]

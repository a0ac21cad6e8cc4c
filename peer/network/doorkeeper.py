"""The work at the door of one node, turn by turn: who is connected proves to belong to us, or is brought up to date, or
goes.

A member that was away has an old key: it asks for the household of now, and we hand it over to whoever is a member and
does not know it. Where all keys are equal, notices tell whose household differs, and two devices put theirs together.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from hivemind.p2p import P2P, PeerID

from peer.network.door import Door
from peer.network.hivemind_patches import disconnect, doorway_of
from peer.network.household import HouseholdKeeper
from peer.network.porch import ask_to_renew, hand_over
from peer.swarm.household import fingerprint, is_ejected, is_member

STRANGER_SECONDS = 5.0  # that whoever is connected has to prove something
AGAIN_SECONDS = 2.0  # before the same peer is asked once more
PROVE_SECONDS = 3.0
MOST_AT_ONCE = 8  # peers that households are compared with in one turn
MOST_STRANGERS = 16  # that are met at once; all others wait for their turn, or go


class Doorkeeper:
    """Keeps the door of one node."""

    def __init__(self, p2p: P2P, door: Door, keeper: HouseholdKeeper):
        self._p2p, self._door, self._keeper = p2p, door, keeper
        self._strangers: dict[PeerID, float] = {}  # and since when
        self._asked: dict[PeerID, float] = {}  # and when, by us
        self._waiting: dict[PeerID, float] = {}  # strangers that may stay, and until when
        self._tasks: dict[PeerID, asyncio.Task[None]] = {}  # what is under way with whom

    def let_wait(self, peer: PeerID, seconds: float) -> None:
        """Let a stranger stay connected for so long: it has asked to be let in."""
        self._waiting[peer] = time.monotonic() + seconds

    async def spread(self) -> None:
        """Hand the household to all members that are connected, at once, and part from whoever was ejected."""
        ours = self._keeper.household
        if ours is None:
            return
        connected = await self._connected()
        await asyncio.gather(
            *(disconnect(self._p2p, peer) for peer in connected if is_ejected(ours, peer.to_base58())),
            *(self._hand_over(peer) for peer in connected if is_member(ours, peer.to_base58())),
            return_exceptions=True,
        )
        await self.take_a_turn()

    async def take_a_turn(self) -> None:
        """Begin what is to be done once a second; whoever does not answer holds up nobody else."""
        notices = self._keeper.look()
        with suppress(OSError):  # a full disk keeps nobody at the door: it is tried again
            self._keeper.keep()
        ours = self._keeper.household
        if ours is None:
            return
        connected = await self._connected()
        self._forget_all_but(connected)
        await self._meet_strangers([peer for peer in connected if not self._door.lets_in(peer)])
        differing = {notice.peer for notice in notices if notice.household != fingerprint(ours)}
        differing |= {peer.to_base58() for peer in self._door.refused}  # their run is locked, and ours is open
        for peer in connected:
            if peer in self._tasks or not self._door.lets_in(peer):
                continue
            if (self._keeper.comes_in or peer.to_base58() in differing) and len(self._tasks) < MOST_AT_ONCE:
                self._tasks[peer] = asyncio.create_task(self._exchange(peer))

    def stop(self) -> None:
        """End what is under way."""
        for task in self._tasks.values():
            task.cancel()

    def _forget_all_but(self, connected: list[PeerID]) -> None:
        here = set(connected)
        self._tasks = {peer: task for peer, task in self._tasks.items() if not task.done()}
        self._strangers = {peer: since for peer, since in self._strangers.items() if peer in here}
        self._asked = {peer: asked for peer, asked in self._asked.items() if peer in here}
        self._waiting = {peer: until for peer, until in self._waiting.items() if peer in here}

    async def _meet_strangers(self, strangers: list[PeerID]) -> None:
        """Begin to meet as many as can be at once: members first, who were away, then whoever has waited longest.

        Of the others those part whose time is over, as many in one turn.
        """
        now = time.monotonic()
        for peer in strangers:
            self._strangers.setdefault(peer, now)
        ours = self._keeper.household
        waiting = [peer for peer in strangers if peer not in self._tasks]
        waiting.sort(key=lambda peer: (not is_member(ours, peer.to_base58()), self._strangers[peer]))
        free = max(0, MOST_STRANGERS - (len(strangers) - len(waiting)))
        for peer in waiting[:free]:
            self._tasks[peer] = asyncio.create_task(self._meet_stranger(peer))
        over = [peer for peer in waiting[free:] if not self._may_stay(peer)]
        for peer in over[:MOST_STRANGERS]:
            await disconnect(self._p2p, peer)

    def _may_stay(self, peer: PeerID) -> bool:
        since = self._strangers.get(peer, time.monotonic())
        return time.monotonic() < max(since + STRANGER_SECONDS, self._waiting.get(peer, 0.0))

    async def _meet_stranger(self, peer: PeerID) -> None:
        """Let whoever is connected prove to have our key; else compare households; else part, after some seconds."""
        with suppress(Exception):  # it has another key, or none, or nothing to say
            await asyncio.wait_for(doorway_of(self._p2p).prove(peer), PROVE_SECONDS)
            self._strangers.pop(peer, None)
            return
        with suppress(Exception):
            await self._exchange(peer)
        if not self._may_stay(peer) and not self._door.lets_in(peer):
            self._strangers.pop(peer, None)
            await disconnect(self._p2p, peer)

    async def _exchange(self, peer: PeerID) -> None:
        """Take the household of somebody who belongs to us, and hand ours over where that one knows another."""
        ours = self._keeper.household
        now = time.monotonic()
        if ours is None or not self._keeper.exchanges_with(peer) or now < self._asked.get(peer, 0.0) + AGAIN_SECONDS:
            return
        self._asked[peer] = now
        known = await ask_to_renew(self._p2p, peer, ours.run_id, self._keeper.comes_in)
        if known.household is not None:
            self._keeper.take(known.household, peer)
        if self._keeper.exchanges_with(peer) and fingerprint(known.household) != self._keeper.fingerprint:
            await self._hand_over(peer)

    async def _hand_over(self, peer: PeerID) -> None:
        """Hand our household over, and take what is known there besides."""
        ours = self._keeper.household
        assert ours is not None
        known = await hand_over(self._p2p, peer, ours)
        if known.household is not None:
            self._keeper.take(known.household, peer)

    async def _connected(self) -> list[PeerID]:
        return [info.peer_id for info in await self._p2p.list_peers()]

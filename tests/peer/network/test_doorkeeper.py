"""The work at the door: how many strangers are met at once, and who comes first."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from peer.network import doorkeeper  # first, for it tells hivemind how little to log

# isort: split

from hivemind.p2p import P2P, PeerID

from peer.network.door import Door
from peer.network.doorkeeper import MOST_STRANGERS, STRANGER_SECONDS, Doorkeeper
from peer.network.household import HouseholdKeeper
from tests.households import household
from tests.tiny import stand_in

STRANGERS = [PeerID(b"\x12\x20" + bytes([number]) * 32) for number in range(1, 101)]
MEMBER = STRANGERS[-1]
HOME = household("cellmind-1a2b3c4d5e6f", "Desk", MEMBER.to_base58())


class Doorstep:
    """A locked device that many are connected to, none of whom says anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.connected = list(STRANGERS)
        self.met: list[PeerID] = []
        monkeypatch.setattr(doorkeeper, "doorway_of", lambda p2p: self)
        monkeypatch.setattr(doorkeeper, "disconnect", self._disconnect)
        door = Door()
        door.set(HOME)
        keeper = stand_in(
            household=HOME, look=list, keep=lambda: None, comes_in=False, exchanges_with=lambda other: False
        )
        self.keeper = Doorkeeper(cast(P2P, self), door, cast(HouseholdKeeper, keeper))

    async def turn(self) -> None:
        await self.keeper.take_a_turn()
        for _ in range(10):  # until what has begun waits
            await asyncio.sleep(0)

    async def list_peers(self) -> list[Any]:
        return [stand_in(peer_id=peer) for peer in self.connected]

    async def prove(self, peer: PeerID) -> None:
        self.met.append(peer)
        await asyncio.Event().wait()

    async def _disconnect(self, p2p: object, peer: PeerID) -> None:
        self.connected.remove(peer)


def test_a_hundred_strangers_are_met_a_few_at_once_a_member_that_was_away_first_and_all_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        step = Doorstep(monkeypatch)
        await step.turn()
        assert len(step.met) == MOST_STRANGERS and step.met[0] == MEMBER
        await step.turn()
        assert len(step.met) == MOST_STRANGERS and len(step.connected) == len(STRANGERS)

        now = [time.monotonic() + STRANGER_SECONDS]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        step.keeper.let_wait(STRANGERS[50], 1000.0)
        for _ in range(10):
            now[0] += STRANGER_SECONDS
            await step.turn()
        assert step.connected == [STRANGERS[50]], "who knocks may stay"
        step.keeper.stop()

    asyncio.run(work())

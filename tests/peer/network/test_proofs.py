"""Who has proved to be there, and what time it is then: only of those that answer does anything count."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTNode
from hivemind.p2p import P2P, PeerID

from peer.network import clock, common_time, proofs
from peer.network.address import Address
from peer.network.common_time import FAR_SECONDS, PATIENCE_SECONDS, RELUCTANCE_SECONDS, CommonTime
from peer.network.dht_records import SoundRecords, board_of
from peer.network.folder import IDENTITY
from peer.network.node import Node
from peer.network.proofs import LOST_SECONDS, PROOF_SECONDS, RENEW_SECONDS, Proofs
from peer.network.signatures import Signer
from peer.swarm.membership import SILENCE_SECONDS
from peer.wire import Notice, Role
from tests.clock import Clock
from tests.dht import node_in

A, B, C = (PeerID.from_base58(f"Qm{letter * 44}") for letter in "abc")
HOUR, YEARS = 3600.0, 10 * 365 * 86_400.0


class Dht:
    """A node of the DHT whose calls are answered with the time at each peer, or not at all."""

    def __init__(self, me: PeerID):
        self.peer_id, self.ahead = me, dict[PeerID, float]()  # of our device's own clock
        self.calls: list[PeerID] = []
        self.cleared = 0
        storage = SimpleNamespace(clear=self._clear)
        self.protocol = SimpleNamespace(storage=storage, get_stub=self._stub)

    def _clear(self) -> None:
        self.cleared += 1

    def _stub(self, whom: PeerID) -> Any:
        async def rpc_ping(request: object, timeout: float) -> Any:
            self.calls.append(whom)
            if whom not in self.ahead:
                raise TimeoutError
            return SimpleNamespace(dht_time=clock.own() + self.ahead[whom])

        return SimpleNamespace(rpc_ping=rpc_ping)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(clock._shift, "value", 0.0)
    return Clock().replace_time(monkeypatch, proofs, common_time)


def names(*peers: PeerID) -> list[str]:
    return [known.to_base58() for known in peers]


async def renewed(made: Proofs) -> None:
    """Ask whoever is due, and wait for the answers."""
    made.renew()
    await asyncio.gather(*made._questions.values())


def test_an_answer_proves_that_a_peer_is_there_for_as_long_as_it_is_connected(later: Clock) -> None:
    async def work() -> None:
        dht = Dht(A)
        made = Proofs(cast(DHTNode, dht))
        dht.ahead = {B: 0.0}
        made.saw(names(B, C))
        assert not made.proved, "a connection is not enough"
        await renewed(made)
        assert made.proved == set(names(B)), "C does not answer"
        calls = len(dht.calls)
        await renewed(made)
        assert len(dht.calls) == calls, "nobody is asked all the time"
        later.now += RENEW_SECONDS
        made.saw(names(B, C))
        await renewed(made)
        assert dht.calls.count(B) == 2
        dht.ahead = {}
        while later.now < 1000.0 + RENEW_SECONDS + PROOF_SECONDS - 1.0:
            later.now += 1.0
            made.saw(names(B))
            assert made.proved == set(names(B)), "a busy device is not cast out for answers that do not come"
        later.now += 1.0
        assert not made.proved

    asyncio.run(work())


def test_a_lost_connection_is_forgiven_for_a_moment(later: Clock) -> None:
    async def work() -> None:
        dht = Dht(A)
        made = Proofs(cast(DHTNode, dht))
        dht.ahead = {B: 0.0}
        made.saw(names(B))
        await renewed(made)
        later.now += LOST_SECONDS - 1.0
        made.saw([])
        assert made.proved == set(names(B))
        later.now += 1.0
        made.saw([])
        assert not made.proved and not made.clocks, "whoever is gone has no clock that counts"

    asyncio.run(work())


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e30])
def test_who_tells_no_time_proves_nothing(later: Clock, odd: float) -> None:
    async def work() -> None:
        dht = Dht(A)
        made = Proofs(cast(DHTNode, dht))
        dht.ahead = {B: odd}
        with pytest.raises(ConnectionError, match="shows no time"):
            await made.ask(B)
        assert not made.proved

    asyncio.run(work())


def device(me: PeerID) -> tuple[Dht, Proofs, CommonTime]:
    """Return what a device asks others by, whom it has proofs of, and the time that it shares with them."""
    dht = Dht(me)
    made = Proofs(cast(DHTNode, dht))
    return dht, made, CommonTime(cast(DHTNode, dht), made)


def settle(later: Clock, dht: Dht, common: CommonTime, made: Proofs, seconds: float) -> None:
    """Keep the common time for so many seconds."""

    async def work() -> None:
        for _ in range(int(seconds)):
            later.now += 1.0
            made.saw(names(*dht.ahead))
            await renewed(made)
            common.settle()

    asyncio.run(work())


def test_who_was_led_astray_comes_back_to_the_time_of_those_who_are_here(later: Clock) -> None:
    dht, made, common = device(B)
    dht.ahead = {A: 20 * HOUR}
    asyncio.run(common.agree(A))
    assert clock.shift() == pytest.approx(20 * HOUR, abs=1.0), "of two the one with the lower peer id stays"
    assert dht.cleared == 1, "what was stored expires at another time"
    dht.ahead = {A: 20 * HOUR, C: 0.5}
    settle(later, dht, common, made, RELUCTANCE_SECONDS[1] + 2)
    assert clock.shift() == pytest.approx(0.0, abs=1.0)
    assert dht.cleared == 2
    with pytest.raises(ConnectionError, match=r"its clock is 20 h ahead of ours"):
        asyncio.run(common.agree(A))
    settle(later, dht, common, made, 60)
    assert clock.shift() == pytest.approx(0.0, abs=1.0), "and stays there"


def test_a_time_that_somebody_shares_is_not_left_at_once(later: Clock) -> None:
    """A newcomer comes over meanwhile."""
    dht, made, common = device(A)
    clock.shift_by(3 * HOUR)
    dht.ahead = {B: 3 * HOUR, C: 0.0}
    settle(later, dht, common, made, RELUCTANCE_SECONDS[0] - 1)
    dht.ahead = {B: 3 * HOUR, C: 3 * HOUR}
    settle(later, dht, common, made, 20)
    assert clock.shift() == 3 * HOUR and dht.cleared == 0


def test_of_two_the_one_that_stays_moves_where_the_other_never_does(later: Clock) -> None:
    dht, made, common = device(A)
    dht.ahead = {B: HOUR}
    with pytest.raises(ConnectionError, match="its clock is 1 h ahead of ours"):
        asyncio.run(common.agree(B))
    settle(later, dht, common, made, PATIENCE_SECONDS + 2)
    assert clock.shift() == pytest.approx(HOUR, abs=1.0)
    dht.ahead = {}
    settle(later, dht, common, made, LOST_SECONDS + 1)
    dht.ahead = {C: 0.0}
    settle(later, dht, common, made, PATIENCE_SECONDS + 2)
    assert clock.shift() == pytest.approx(0.0, abs=1.0), "it is agreed again with whoever comes next"


def test_who_is_ten_years_off_is_not_believed_before_a_while_has_passed_alone_with_it(later: Clock) -> None:
    dht, made, common = device(B)
    dht.ahead = {A: YEARS}
    with pytest.raises(ConnectionError, match="its clock is 3650 days ahead of ours"):
        asyncio.run(common.agree(A))
    settle(later, dht, common, made, FAR_SECONDS - 5)
    dht.ahead = {A: YEARS, C: 0.5}
    settle(later, dht, common, made, 2 * FAR_SECONDS)
    assert clock.shift() == 0.0 and dht.cleared == 0, "the others had come"
    dht.ahead = {A: YEARS}
    settle(later, dht, common, made, LOST_SECONDS + FAR_SECONDS + 3)
    assert clock.shift() == pytest.approx(YEARS, abs=1.0), "it may be our own clock that is wrong"


def test_those_that_have_trained_with_us_say_what_time_it_is_while_one_of_them_is_here(later: Clock) -> None:
    dht, made, common = device(C)
    common.know(frozenset(names(B)))
    dht.ahead = {A: HOUR, B: 0.0}
    settle(later, dht, common, made, 60)
    assert clock.shift() == 0.0 and dht.cleared == 0
    dht.ahead = {A: HOUR}
    settle(later, dht, common, made, LOST_SECONDS + PATIENCE_SECONDS + 2)
    assert clock.shift() == pytest.approx(HOUR, abs=1.0)


@pytest.mark.lan
def test_made_up_devices_count_for_nothing_and_nobody_speaks_in_another_s_place(tmp_path: Path) -> None:
    """By stock hivemind, on the board of a node of ours: beside a device that is there, and one that is not."""

    async def work() -> None:
        folders = [tmp_path / name for name in ("ours", "honest", "stock")]
        for folder in folders:
            folder.mkdir()
        ours = await node_in(folders[0], record_validator=SoundRecords(board_of("cellmind")))
        known = {"initial_peers": await ours.get_visible_maddrs()}
        honest, stock = await node_in(folders[1], **known), await node_in(folders[2], **known)
        try:
            node = Node(ours, "cellmind", Address("127.0.0.1", 1, ours.peer_id.to_base58()), folders[0])
            board, until = node.notices.board.key, clock.now() + SILENCE_SECONDS
            signer, ghost = Signer(folders[1] / IDENTITY), Signer(_identity(tmp_path))
            there = str((await honest.get_visible_maddrs())[0])

            def notice(peer: str, address: str, **said: Any) -> dict[str, Any]:
                made = Notice(peer=peer, name="desk", address=address, role=Role.TRAINING, run_id="a-1", **said)
                return made.model_dump(mode="json")

            async def store(address: str, said: dict[str, object], expiration: float) -> bool:
                return bool(await stock.store(board_of("cellmind"), said, expiration, subkey=address))

            true = notice(signer.peer, there)
            await store(there, signer.signed(board, true, until), until)
            left = {**true, "role": "left"}
            for forgery in (left, ghost.signed(board, left, until + 3.5), {**left, "version": 3}):
                await store(there, forgery, until + 3.5)
            nowhere = f"/ip4/127.0.0.1/tcp/9/p2p/{ghost.peer}"
            made_up = notice(ghost.peer, nowhere, trained=2**30)
            await store(nowhere, ghost.signed(board, made_up, until), until)
            await node.notices.read()
            heard = {seen.peer for seen in node.notices.members.here}
            assert heard == {signer.peer, ghost.peer}, "no forgery has taken the place of what was said"
            deadline = time.monotonic() + 60.0
            while not node.view().notices and time.monotonic() < deadline:
                until = clock.now() + SILENCE_SECONDS  # both say it again and again, as devices do
                await store(there, signer.signed(board, true, until), until)
                await store(nowhere, ghost.signed(board, made_up, until), until)
                await node._meet_peers()
                await node._read_notices()
                await asyncio.sleep(0.1)
            assert [seen.peer for seen in node.view().notices] == [signer.peer]
            assert ghost.peer in {seen.peer for seen in node.view().unproved}
        finally:
            node.meetings.stop()
            await asyncio.gather(*(started.shutdown() for started in (ours, honest, stock)))

    asyncio.run(work())


def _identity(folder: Path) -> Path:
    """A key that nobody on the network has."""
    P2P.generate_identity(str(folder / "ghost.key"))
    return folder / "ghost.key"

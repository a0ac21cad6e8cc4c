"""Knocking between real nodes: one device is let in by one number, and whoever stands in between is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.p2p import P2P, P2PContext, PeerID
from hivemind.proto import runtime_pb2

from peer.network import asking_in
from peer.network.address import Address
from peer.network.asking_in import AskingIn
from peer.network.door import Door
from peer.network.hivemind_patches import connect, pass_the_door
from peer.network.knocks import KnockService
from peer.network.porch import Porch
from peer.swarm.household import admitting, is_member, members
from peer.swarm.knocking import MOST, NONCE_BYTES, KnockRefused, Knocks, commitment
from peer.wire import parse
from peer.wire_household import Household
from peer.wire_knocking import KnockAnswer, KnockNonce, KnockRequest
from tests.households import Named, household

RUN_ID = "cellmind-1a2b3c4d5e6f"


@asynccontextmanager
async def node() -> Any:
    p2p = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    try:
        yield p2p
    finally:
        await p2p.shutdown()


class Member:
    """A member of the household, with its porch."""

    def __init__(self, p2p: P2P):
        self.p2p, self.peer = p2p, p2p.peer_id.to_base58()
        self.household = household(RUN_ID, self.peer)
        self.others: list[str] = []  # members that it tells
        self.let_wait: list[PeerID] = []
        self.disk_is_full = False
        self.service = KnockService(p2p, self.peer, lambda: self.others, self._let_in)

    async def _let_in(self, other: str) -> Household:
        if self.disk_is_full:
            raise OSError(28, "No space left on device")
        self.household = admitting(self.household, other, Named(self.peer))
        return self.household

    async def start(self, run: str = "cellmind") -> str:
        """Return the address that others knock at."""
        keeper: Any = self
        await Porch(keeper, self.service, self._host_of, lambda other, _: self.let_wait.append(other)).add_p2p_handlers(
            self.p2p
        )
        await self.service.add_p2p_handlers(self.p2p)
        self._run = run
        return await address_of(self.p2p)

    def can_let_in(self, run: str) -> bool:
        return run in ("", self._run)

    async def _host_of(self, other: PeerID) -> str:
        return "10.0.0.9"


async def address_of(p2p: P2P) -> str:
    return str((await p2p.get_visible_maddrs())[0])


class Outsider:
    """A device that knocks at these addresses."""

    def __init__(self, p2p: P2P, *doors: str, run: str = "cellmind", tag: str = ""):
        self.peer = p2p.peer_id.to_base58()
        self.household: Household | None = None
        self.asking = AskingIn(p2p, self.peer, run, lambda: dict.fromkeys(doors, tag), self._take)
        self.asking.name = "phone"
        self.asking.want(True)

    def _take(self, household: Household) -> None:
        self.household = household

    async def step(self) -> str:
        """Go on by a turn; return the number on its screen."""
        await self.asking.step()
        return self.asking.outside.number


Work = Callable[[Member, AsyncExitStack], Awaitable[None]]


def with_member(work: Work) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await asyncio.wait_for(work(Member(await stack.enter_async_context(node())), stack), 60)

    pass_the_door(Door())
    asyncio.run(run())


@pytest.fixture(autouse=True)
def nobody_dawdles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking_in, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(asking_in, "SHOWN_SECONDS", 0.0)


def test_who_could_not_be_let_in_for_the_disk_is_full_knocks_anew_and_is_let_in_then() -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        phone = Outsider(await stack.enter_async_context(node()), await member.start())
        number, member.disk_is_full = await phone.step(), True
        with pytest.raises(OSError, match="No space"):
            await member.service.admit(number)
        assert await phone.step() == "" and phone.household is None, "it does not wait for what will not come"
        anew, member.disk_is_full = await phone.step(), False
        await member.service.admit(anew)
        await phone.step()
        assert phone.household == member.household

    with_member(work)


def test_who_shows_the_number_is_let_in_and_nobody_else() -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        door = await member.start()
        phone, other = [Outsider(await stack.enter_async_context(node()), door) for _ in range(2)]
        number, others = await phone.step(), await other.step()
        assert [knock.number for knock in member.service.heard] == [number, others]
        assert {(knock.name, knock.host) for knock in member.service.heard} == {("phone", "10.0.0.9")}
        wrong = next(text for text in ("0000", "0001", "0002") if text not in (number, others))
        with pytest.raises(KnockRefused, match=f"nobody knocks with {wrong}"):
            await member.service.admit(wrong)
        await phone.step()
        assert phone.household is None and len(member.let_wait) == 2

        knock = await member.service.admit(number)
        assert knock.peer == phone.peer
        for outsider in (phone, other):
            await outsider.step()
        assert phone.household == member.household and is_member(member.household, phone.peer)
        assert (phone.asking.outside.let_in_by, other.asking.outside.let_in_by) == (member.peer, "")
        assert other.household is None and not is_member(member.household, other.peer)
        with pytest.raises(KnockRefused, match="nobody knocks"):
            await member.service.admit(number)  # once more

    with_member(work)


def test_a_number_that_is_over_lets_nobody_in_and_there_is_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        phone = Outsider(await stack.enter_async_context(node()), await member.start())
        number = await phone.step()
        member.service._own = Knocks(member.service._own.heard, {})  # as two minutes later
        with pytest.raises(KnockRefused, match="nobody knocks"):
            await member.service.admit(number)
        assert await phone.step() == "" and phone.household is None
        assert phone.asking.outside.problem == "its knock is over before anybody has let it in"
        anew = await phone.step()
        await member.service.admit(anew)
        await phone.step()
        assert phone.household is not None

    with_member(work)


def test_who_is_let_in_by_nobody_is_told_so_after_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        monkeypatch.setattr(asking_in, "LIFE_SECONDS", 0.0)
        phone = Outsider(await stack.enter_async_context(node()), await member.start())
        assert await phone.step() and await phone.step() == ""
        assert phone.asking.outside.problem.startswith("nobody has let it in within ")

    with_member(work)


def test_of_ten_knocks_at_once_none_comes_in_by_the_number_of_another() -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        await member.start()
        nonces = [f"{number:0{2 * NONCE_BYTES}x}" for number in range(10)]
        answers = [
            member.service.begin(
                f"K{n + 1}", f"10.0.0.{n}", KnockRequest(name="k", run="", commitment=commitment(nonce))
            )
            for n, nonce in enumerate(nonces)
        ]
        assert [bool(answer.problem) for answer in answers] == [False] * MOST + [True] * 2
        for n, nonce in enumerate(nonces):
            member.service.show(f"K{n + 1}", nonce)
        shown = [knock.number for knock in member.service.heard]
        assert len(shown) == MOST
        waiting = member.service._own.waiting
        twice = {k.peer: replace(k, number="4827") for k in list(waiting.values())[:2]}
        member.service._own = Knocks(member.service._own.heard, {**waiting, **twice})
        with pytest.raises(KnockRefused, match="more than one device shows 4827"):
            await member.service.admit("4827")
        assert len(member.service.heard) == MOST - 2 and members(member.household) == [member.peer]

    with_member(work)


def test_a_person_at_another_member_decides_as_well() -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        other = Member(await stack.enter_async_context(node()))
        await connect(other.p2p, Address.parse(await member.start()))
        await other.start()
        member.others, other.others = [other.peer], [member.peer]
        phone = Outsider(await stack.enter_async_context(node()), await address_of(member.p2p))
        number = await phone.step()
        assert other.service.heard == []
        await member.service.tell_members()
        [knock] = other.service.heard
        assert (knock.number, knock.name, knock.peer) == (number, "phone", phone.peer)
        other.service._me, me = phone.peer, other.service._me
        assert other.service.heard == [], "once it is in itself, before the member has forgotten it"
        other.service._me = me
        await other.service.admit(number)
        await phone.step()
        assert await phone.step() == number and phone.household is None, "which waits until the member hears of it"
        assert is_member(other.household, phone.peer) and not is_member(member.household, phone.peer)
        member.household = other.household
        await phone.step()
        assert phone.household == member.household and phone.asking.outside.let_in_by == other.peer
        await member.service.tell_members()
        assert other.service.heard == []

    with_member(work)


def test_a_member_that_is_busy_is_waited_for_and_one_that_is_gone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        async with node() as p2p:
            leaving = Member(p2p)
            phone = Outsider(await stack.enter_async_context(node()), await leaving.start())
            number = await phone.step()
        assert number and await phone.step() == number
        monkeypatch.setattr(asking_in, "PATIENCE_SECONDS", 0.0)
        assert await phone.step() == "" and phone.asking.outside.problem == "no answer"

    with_member(work)


def test_where_one_device_of_a_run_sleeps_another_one_is_knocked_at() -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        async with node() as p2p:
            asleep = await address_of(p2p)
        awake, p2p = await member.start(), await stack.enter_async_context(node())
        phone = Outsider(p2p, asleep, awake, tag="ab" * 8)
        assert await phone.step() == "" and phone.asking.outside.problem == "no answer"
        assert await phone.step() and member.service.heard

    with_member(work)


def test_a_device_of_another_run_is_not_knocked_at_again() -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        phone = Outsider(await stack.enter_async_context(node()), await member.start("another"))
        assert phone.asking.outside.doors
        await phone.step()
        assert not phone.asking.outside.doors and not member.service.heard

    with_member(work)


class Between(Porch):
    """A member to whoever knocks here, and a device that knocks to the member behind it: it hands all words on."""

    def __init__(self, p2p: P2P, behind: PeerID, own_nonce: str | None):
        self._p2p, self._behind, self._own = p2p, behind, own_nonce
        self.numbers: list[str] = []

    async def _ask(self, method: str, said: str) -> runtime_pb2.ExpertInfo:
        stub = Porch.get_stub(self._p2p, self._behind)
        answer: runtime_pb2.ExpertInfo = await getattr(stub, method)(runtime_pb2.ExpertUID(uid=said), timeout=5)
        return answer

    async def rpc_knock(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        knock = parse(KnockRequest, request.uid)
        if self._own is not None:
            knock = knock.model_copy(update={"commitment": commitment(self._own)})
        return await self._ask("rpc_knock", knock.model_dump_json())

    async def rpc_show(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        said = request.uid if self._own is None else KnockNonce(nonce=self._own).model_dump_json()
        return await self._ask("rpc_show", said)

    async def rpc_ask(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        return await self._ask("rpc_ask", "")


@pytest.mark.parametrize("own_nonce", [None, "5a" * NONCE_BYTES], ids=["hands all on", "with a nonce of its own"])
def test_whoever_stands_in_between_shows_another_number_inside(own_nonce: str | None) -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        door = await member.start()
        p2p = await stack.enter_async_context(node())
        await connect(p2p, Address.parse(door))
        as_a_porch = type("Porch", (Between,), {})  # handlers are called by the name of the class
        await as_a_porch(p2p, member.p2p.peer_id, own_nonce).add_p2p_handlers(p2p)
        phone = Outsider(await stack.enter_async_context(node()), await address_of(p2p))
        outside = await phone.step()
        [knock] = member.service.heard
        assert knock.peer == p2p.peer_id.to_base58(), "the member knows who is at the other end of its connection"
        assert outside and outside != knock.number
        with pytest.raises(KnockRefused, match="nobody knocks"):
            await member.service.admit(outside)

    with_member(work)


class Picky(Between):
    """Stands in between and refuses every number that it does not like, before it is on a screen."""

    async def rpc_show(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        self.numbers.append(parse(KnockNonce, request.uid).nonce)
        return runtime_pb2.ExpertInfo(
            serialized_info=KnockAnswer(nonce="", problem="no", other_run=False).model_dump_json().encode()
        )


def test_whoever_stands_in_between_has_one_guess_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(member: Member, stack: AsyncExitStack) -> None:
        monkeypatch.setattr(asking_in, "SHOWN_SECONDS", 40.0)
        door = await member.start()
        p2p = await stack.enter_async_context(node())
        await connect(p2p, Address.parse(door))
        picky = type("Porch", (Picky,), {})(p2p, member.p2p.peer_id, None)
        await picky.add_p2p_handlers(p2p)
        phone = Outsider(await stack.enter_async_context(node()), await address_of(p2p))
        for _ in range(3):
            await phone.step()
        assert len(picky.numbers) == 1 and phone.asking.outside.problem == "no"

    with_member(work)

"""The knocks at this device, and those at other members: heard, told of, and decided by the word of a person.

Strangers reach it through the porch alone (`peer/network/porch.py`); what members say to each other of knocks passes
the door. What is heard at all is decided in `peer/swarm/knocking.py`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import runtime_pb2

from peer.device.event_log import KnownLine
from peer.swarm.knocking import NONCE_BYTES, Knock, KnockRefused, Knocks, Waiting, meant_by
from peer.wire import parse
from peer.wire_household import Household
from peer.wire_knocking import HeardKnock, HeardKnocks, KnockAnswer, KnockDecision, KnockRequest

TOLD_SECONDS = 5.0  # that what a member tells of its knocks holds; it tells them every second
ANSWER_SECONDS = 3.0  # that a member has for an answer
DONE = b"done"


class KnockService(ServicerBase):
    """The knocks of one member, and what the others tell of theirs.

    :param me: our own peer id
    :param members: tells of the other members that we are connected to
    :param let_in: makes a device a member of the household
    """

    def __init__(
        self, p2p: P2P, me: str, members: Callable[[], Iterable[str]], let_in: Callable[[str], Awaitable[Household]]
    ):
        self._p2p, self._me, self._members, self._let_in = p2p, me, members, let_in
        self._own = Knocks()
        self._told: dict[str, tuple[float, list[Knock]]] = {}  # by the member that tells, and until when
        self._said: list[Knock] = []  # what was told to the others last
        self.admitted: set[str] = set()  # peer ids: who knocked here, and may be given the household

    # ------------------------------------------------------------------ what strangers do, through the porch

    def begin(self, peer: str, host: str, request: KnockRequest) -> KnockAnswer:
        """Hear a knock, and answer it with a nonce of ours."""
        nonce = secrets.token_hex(NONCE_BYTES)
        knock = Waiting(peer, request.name, host, time.monotonic(), request.commitment, nonce)
        try:
            self._own = self._own.begin(knock)
        except KnockRefused as error:
            return _answer(problem=str(error))
        self.admitted.discard(peer)
        return _answer(nonce=nonce)

    def show(self, peer: str, nonce: str) -> KnockAnswer:
        """Take the nonce that a device has committed to: from now on people see its number."""
        try:
            self._own = self._own.show(peer, nonce, self._me, time.monotonic())
        except KnockRefused as error:
            return _answer(problem=str(error))
        return _answer()

    def is_waiting(self, peer: str) -> bool:
        """Return whether the device's knock is still heard, or it is let in this moment."""
        return peer in self.admitted or peer in self._own.at(time.monotonic()).waiting

    # ------------------------------------------------------------------ what members see and decide

    @property
    def heard(self) -> list[Knock]:
        """The knocks that people are shown: those at this device, and those that other members tell of.

        Without an earlier one of our own, which a member may still tell of.
        """
        now = time.monotonic()
        told = [knock for until, knocks in self._told.values() if now < until for knock in knocks]
        told = [knock for knock in told if knock.peer != self._me]
        return [*self._of_ours(), *told]

    async def admit(self, number: str) -> Knock:
        """Let in the device that shows that number, wherever it knocks. Raises KnockRefused, and as `let_in` does.

        Where two devices show it, neither is let in: both knock anew, and get other numbers.
        """
        meant = [knock for knock in self.heard if knock.number == number]
        peers = meant_by(((knock.peer, knock.number) for knock in meant), number)
        if not peers:
            text = (
                f"nobody knocks with {number}: a number is good for two minutes; look at the device that is to come in"
            )
            raise KnockRefused(KnownLine(text, "nobody_knocks", number=number))
        decisions = [KnockDecision(peer=peer, number=number, let_in=len(peers) == 1) for peer in sorted(peers)]
        heard = [await self._decide(decision) for decision in decisions]
        if len(peers) > 1:
            names = ", ".join(f"{knock.name} ({knock.host})" for knock in meant)
            text = f"more than one device shows {number}: {names}; none is let in, wait for their new numbers"
            raise KnockRefused(KnownLine(text, "same_number", number=number, names=names))
        if not all(heard):
            text = f"the device at which {meant[0].name} knocks is not there any more; wait for its new number"
            raise KnockRefused(KnownLine(text, "knock_is_lost", name=meant[0].name))
        try:
            await self._let_in(meant[0].peer)  # here, so that it is signed by the device whose owner has decided
        except Exception:  # the disk is full: it does not wait here, but knocks anew
            self.admitted.discard(meant[0].peer)
            raise
        return meant[0]

    async def _decide(self, decision: KnockDecision) -> bool:
        """Do as decided where the device knocks; return whether that was done."""
        if self._take(decision):
            return True
        tellers = [member for member, (_, knocks) in self._told.items() if any(k.peer == decision.peer for k in knocks)]
        done = [await self._tell(member, "rpc_decide", decision.model_dump_json()) for member in tellers]
        return any(done)

    def _take(self, decision: KnockDecision) -> bool:
        """Do as decided if the device knocks here with that number; return whether it does.

        It is given the household as soon as the member that has decided makes it one of it.
        """
        self._own = self._own.at(time.monotonic())
        knock = self._own.waiting.get(decision.peer)
        if knock is None or knock.number != decision.number:
            return False
        if decision.let_in:
            self.admitted.add(decision.peer)
        self._own = self._own.without(decision.peer)
        return True

    # ------------------------------------------------------------------ between members, through the door

    async def rpc_hear(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Take in which devices knock at another member."""
        now, member = time.monotonic(), context.remote_id.to_base58()
        knocks = parse(HeardKnocks, request.uid).knocks
        self._told[member] = (
            now + TOLD_SECONDS,
            [Knock(knock.name, knock.host, knock.number, knock.peer, now - knock.age) for knock in knocks],
        )
        return runtime_pb2.ExpertInfo(serialized_info=DONE)

    async def rpc_decide(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Do as a person at another member has decided."""
        done = self._take(parse(KnockDecision, request.uid))
        return runtime_pb2.ExpertInfo(serialized_info=DONE if done else b"")

    async def tell_members(self) -> None:
        """Tell the other members of the knocks here, as long as there are any, and once that there are none."""
        self._told = {member: told for member, told in self._told.items() if time.monotonic() < told[0]}
        knocks = self._of_ours()
        if not knocks and not self._said:
            return
        self._said, now = knocks, time.monotonic()
        said = HeardKnocks(
            knocks=[
                HeardKnock(
                    peer=knock.peer, name=knock.name, host=knock.host, number=knock.number, age=now - knock.since
                )
                for knock in knocks
            ]
        )
        await asyncio.gather(*(self._tell(member, "rpc_hear", said.model_dump_json()) for member in self._members()))

    async def _tell(self, member: str, method: str, said: str) -> bool:
        """Say something to a member; return whether it was heard, and done."""
        with suppress(Exception):  # it may be gone
            stub = KnockService.get_stub(self._p2p, PeerID.from_base58(member))
            answer = await getattr(stub, method)(runtime_pb2.ExpertUID(uid=said), timeout=ANSWER_SECONDS)
            return bool(answer.serialized_info == DONE)
        return False

    def _of_ours(self) -> list[Knock]:
        waiting = self._own.at(time.monotonic()).waiting.values()
        return [Knock(k.name, k.host, k.number, k.peer, k.began) for k in waiting if k.number]


def _answer(nonce: str = "", problem: str = "") -> KnockAnswer:
    return KnockAnswer(nonce=nonce, problem=problem, other_run=False)

"""The proof that a peer is there: it is connected to us, and has answered a call of ours lately.

Anybody can leave notices of as many devices as it likes, each signed with a key of its own. What they say of themselves
(to be ahead, to stand at our anchor, to have a clock) counts only of those that have proved to be there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from hivemind.dht import DHTNode
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2

from peer.network import clock
from peer.swarm.clocks import SAME_SECONDS, is_same

ANSWER_SECONDS = 10.0  # that a busy device has to answer
PROOF_SECONDS = 60.0  # that an answer counts: several questions may be lost in between
RENEW_SECONDS = 20.0  # after which a peer is asked again
OTHER_TIME_SECONDS = 2.0  # the same for one whose clock differs from ours: one of us is about to move
LOST_SECONDS = 10.0  # that a connection may be lost without its peer being gone: a Wi-Fi has its moments
MAX_DIFFERENCE_SECONDS = 100 * 365 * 86_400.0  # a phone without a battery begins in 1970


@dataclass
class Proof:
    """The last that one peer has shown of itself, by `time.monotonic`.

    :param connected: when it was connected to us
    :param answered: when it has answered
    :param asked: when it was asked, whether it has answered or not
    :param clock: the time there, in seconds ahead of our device's own clock
    """

    connected: float
    answered: float = -PROOF_SECONDS
    asked: float = -PROOF_SECONDS
    clock: float = 0.0


class Proofs:
    """The proofs of all peers that one node is connected to."""

    def __init__(self, dht: DHTNode):
        self._dht = dht
        self._proofs: dict[str, Proof] = {}  # by peer id
        self._questions: dict[str, asyncio.Task[None]] = {}  # that are under way, by peer id

    @property
    def proved(self) -> frozenset[str]:
        """The peer ids of those that have proved to be there."""
        now = time.monotonic()
        return frozenset(peer for peer, proof in self._proofs.items() if now < proof.answered + PROOF_SECONDS)

    @property
    def clocks(self) -> dict[str, float]:
        """The time at each of them, by peer id, in seconds ahead of our device's own clock."""
        return {peer: self._proofs[peer].clock for peer in self.proved}

    def saw(self, connected: Iterable[str]) -> None:
        """Take in who is connected now; forget those that are no longer."""
        now = time.monotonic()
        for peer in connected:
            self._proofs.setdefault(peer, Proof(now)).connected = now
        self._proofs = {peer: proof for peer, proof in self._proofs.items() if now < proof.connected + LOST_SECONDS}

    async def ask(self, peer: PeerID) -> float:
        """Ask a peer what time it is, and return that in seconds ahead of our device's own clock.

        Raises whatever keeps it from answering, and ConnectionError where it tells no time.
        """
        proof = self._proofs.setdefault(peer.to_base58(), Proof(time.monotonic()))
        proof.asked = time.monotonic()
        asked = clock.own()
        answer = await self._dht.protocol.get_stub(peer).rpc_ping(dht_pb2.PingRequest(), timeout=ANSWER_SECONDS)
        answered = clock.own()
        theirs = answer.dht_time - (asked + answered) / 2
        if not abs(theirs) < MAX_DIFFERENCE_SECONDS:  # also where it is not a number
            raise ConnectionError("its clock shows no time at all")
        may_be_same = abs(theirs - clock.shift()) <= SAME_SECONDS + (answered - asked) / 2
        proof.clock = clock.shift() if may_be_same else theirs
        proof.answered = time.monotonic()
        return proof.clock

    def renew(self) -> None:
        """Begin to ask those again whose last answer is old."""
        now = time.monotonic()
        self._questions = {peer: question for peer, question in self._questions.items() if not question.done()}
        for peer, proof in self._proofs.items():
            is_settled = now < proof.answered + PROOF_SECONDS and is_same(proof.clock, clock.shift())
            is_due = now >= proof.asked + (RENEW_SECONDS if is_settled else OTHER_TIME_SECONDS)
            if is_due and peer not in self._questions:
                self._questions[peer] = asyncio.create_task(self._ask_softly(PeerID.from_base58(peer)))

    def stop(self) -> None:
        """End what is under way."""
        for question in self._questions.values():
            question.cancel()

    async def _ask_softly(self, peer: PeerID) -> None:
        with suppress(Exception):  # who does not answer proves nothing
            await self.ask(peer)

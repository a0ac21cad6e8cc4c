"""A device without a key before locked runs: it knocks at one of them after the other until somebody lets it in.

It knocks at one device at a time, so that its own screen shows one number: more of them would be more guesses for
whoever sits between two devices (`peer/swarm/knocking.py`).
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Mapping

from hivemind.p2p import P2P, PeerID
from hivemind.proto import runtime_pb2

from peer.network.address import Address
from peer.network.hivemind_patches import connect
from peer.network.porch import Porch
from peer.network.reachability import try_port
from peer.swarm.household import HouseholdError, admitted_by
from peer.swarm.knocking import LIFE_SECONDS, MOST_OF_ONE, NONCE_BYTES, Outside, commitment, knock_name, number_of
from peer.wire import parse
from peer.wire_household import Household
from peer.wire_knocking import KnockAnswer, KnockNonce, KnockRequest, KnockState

ANSWER_SECONDS = 5.0  # that a member has for an answer
PATIENCE_SECONDS = 15.0  # that a member at whom we have knocked may be silent
PAUSE_SECONDS = 5.0  # between two knocks where one was not heard
# Between two nonces that we show: whoever sits in between knows a number before it is on our screen, and would have us
# knock anew until it is one that a member shows.
SHOWN_SECONDS = LIFE_SECONDS / MOST_OF_ONE
NO_ANSWER = "no answer"
OTHER_RUN_SECONDS = 3600.0  # that devices of another run are not knocked at again


class KnockFailed(Exception):
    """A knock that has come to nothing; the message says why, to people."""


class AskingIn:
    """The knocks of one device that is outside.

    :param me: our own peer id
    :param run: name of the run that it wants to come into; "" for any
    :param doors: tells the addresses of the locked devices that were heard of, each with the tag of its run
    :param take: takes the household that a member gives us
    """

    def __init__(
        self,
        p2p: P2P,
        me: str,
        run: str,
        doors: Callable[[], Mapping[str, str]],
        take: Callable[[Household], None],
    ):
        self._p2p, self._me, self._run = p2p, me, run
        self.name = ""  # that people inside are told
        self._all_doors, self._take = doors, take
        self._wanted = False
        self._address = ""  # at which we have knocked, and wait
        self._until = self._not_before = self._answered = 0.0
        self._shown = -math.inf  # of `time.monotonic`: when we last showed a nonce
        # by tag and by address, and when: other runs have their turn first, then other devices of the same
        self._tried: dict[str, float] = {}
        self._other_runs: dict[str, float] = {}  # by tag or address, and until when it is taken for another run
        self._number = self._problem = self._let_in_by = ""

    @property
    def outside(self) -> Outside:
        """What is seen from here."""
        return Outside(self._may_be_ours(), self._number, self._problem, self._let_in_by)

    def _may_be_ours(self) -> tuple[str, ...]:
        now = time.monotonic()
        return tuple(door for door, tag in self._all_doors().items() if now >= self._other_runs.get(tag or door, 0.0))

    def want(self, wanted: bool) -> None:
        """Knock from now on, until we are let in; or knock no more."""
        if wanted and not self._wanted:
            self._let_in_by = ""
        self._wanted = wanted
        if not wanted:
            self._address = self._number = self._problem = ""

    async def step(self) -> None:
        """Knock where nobody has heard us yet, or ask whether we are let in; once a second."""
        if not self._wanted or time.monotonic() < self._not_before:
            return
        try:
            if self._address:
                await self._ask()
            elif time.monotonic() >= self._shown + SHOWN_SECONDS:
                await self._knock()
        except (KnockFailed, HouseholdError) as error:
            self._over(str(error))
        except Exception:  # the member is busy, or gone, or says what no member says
            if not self._address or time.monotonic() > self._answered + PATIENCE_SECONDS:
                self._over(NO_ANSWER)

    def _over(self, problem: str) -> None:
        self._address, self._number, self._problem = "", "", problem
        self._not_before = time.monotonic() + PAUSE_SECONDS

    async def _knock(self) -> None:
        """Raises KnockFailed, and whatever the network fails with."""
        doors, known = self._may_be_ours(), self._all_doors()
        if not doors:
            return
        address = min(doors, key=lambda door: (self._tried.get(known[door] or door, 0.0), self._tried.get(door, 0.0)))
        self._tried[known[address] or address] = self._tried[address] = time.monotonic()
        place = Address.parse(address)
        await try_port(place.host, place.port, ANSWER_SECONDS)  # each failed call makes p2pd wait longer
        await asyncio.wait_for(connect(self._p2p, place), ANSWER_SECONDS)
        peer = place.peer_id
        nonce = secrets.token_hex(NONCE_BYTES)
        request = KnockRequest(name=knock_name(self.name), run=self._run, commitment=commitment(nonce))
        answer = await self._call(peer, "rpc_knock", request.model_dump_json())
        if answer.other_run:
            self._other_runs[known[address] or address] = time.monotonic() + OTHER_RUN_SECONDS
            return
        if answer.problem or not answer.nonce:
            raise KnockFailed(answer.problem or NO_ANSWER)
        self._shown = time.monotonic()
        shown = await self._call(peer, "rpc_show", KnockNonce(nonce=nonce).model_dump_json())
        if shown.problem:
            raise KnockFailed(shown.problem)
        self._number = number_of(nonce, answer.nonce, self._me, peer.to_base58())
        self._address, self._problem, self._answered = address, "", time.monotonic()
        self._until = self._answered + LIFE_SECONDS

    async def _ask(self) -> None:
        """Raises KnockFailed, and whatever the network fails with."""
        peer = Address.parse(self._address).peer_id
        stub = Porch.get_stub(self._p2p, peer)
        answer = await stub.rpc_ask(runtime_pb2.ExpertUID(), timeout=ANSWER_SECONDS)
        state, self._answered = parse(KnockState, answer.serialized_info), time.monotonic()
        if state.household is not None:
            if not self._is_wanted(state.household):
                raise KnockFailed("whoever has let it in belongs to another run than it said")
            self._take(state.household)
            self._let_in_by = admitted_by(state.household, self._me)
            self.want(False)
        elif time.monotonic() > self._until:
            raise KnockFailed(f"nobody has let it in within {LIFE_SECONDS / 60:.0f} minutes")
        elif not state.waiting:
            raise KnockFailed("its knock is over before anybody has let it in")

    def _is_wanted(self, household: Household) -> bool:
        return self._run in ("", household.run_id.rpartition("-")[0])

    async def _call(self, peer: PeerID, method: str, said: str) -> KnockAnswer:
        stub = Porch.get_stub(self._p2p, peer)
        answer = await getattr(stub, method)(runtime_pb2.ExpertUID(uid=said), timeout=ANSWER_SECONDS)
        return parse(KnockAnswer, answer.serialized_info)

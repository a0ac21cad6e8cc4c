"""The porch: the only handlers that anybody may call, with the key or without it.

Here a member that was away gets the newest household, a new household is handed over, and whoever has no key knocks.
Whoever calls is authenticated by p2pd; whether it is believed, and what it is given, is decided in
`peer/swarm/household.py` and `peer/swarm/knocking.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import runtime_pb2

from peer.network.household import HouseholdKeeper
from peer.network.knocks import KnockService
from peer.swarm.household import is_ejected, is_member, may_have, proof_against
from peer.swarm.knocking import LIFE_SECONDS
from peer.wire import Message, parse
from peer.wire_household import Household, Renewal, RenewalRequest
from peer.wire_knocking import KnockAnswer, KnockNonce, KnockRequest, KnockState

ANSWER_SECONDS = 4.0


class Porch(ServicerBase):
    """Answers at the door of one node. Its name begins the names of the handlers: see `PORCH` in `door.py`."""

    def __init__(
        self,
        keeper: HouseholdKeeper,
        knocks: KnockService,
        host_of: Callable[[PeerID], Awaitable[str]],
        let_wait: Callable[[PeerID, float], None],
    ):
        self._keeper, self._knocks, self._host_of, self._let_wait = keeper, knocks, host_of, let_wait

    async def rpc_renew(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Return our household to a member of it, and what proves that to whoever was ejected; to others nothing."""
        wanted = parse(RenewalRequest, request.uid)
        ours = self._keeper.household
        if wanted.comes_in and ours is not None and ours.run_id == wanted.run_id:
            self._keeper.welcome(context.remote_id)
        return self._renewal(wanted.run_id, context.remote_id)

    async def rpc_take_household(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Take a household over from somebody who may hand us one, and answer as to `rpc_renew`."""
        if not self._keeper.hears(context.remote_id):  # before all that is read
            return _info(Renewal(household=None))
        offered = parse(Household, request.uid)
        self._keeper.take(offered, context.remote_id)
        return self._renewal(offered.run_id, context.remote_id)

    async def rpc_knock(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Hear the knock of a device that commits to a nonce, and answer with ours; see `peer/swarm/knocking.py`."""
        knock, peer = parse(KnockRequest, request.uid), context.remote_id
        if not self._keeper.can_let_in(knock.run):
            return _info(KnockAnswer(nonce="", problem="", other_run=True))
        answer = self._knocks.begin(peer.to_base58(), await self._host_of(peer), knock)
        if not answer.problem:
            self._let_wait(peer, LIFE_SECONDS)
        return _info(answer)

    async def rpc_show(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Take the nonce that a device has committed to."""
        nonce = parse(KnockNonce, request.uid).nonce
        return _info(self._knocks.show(context.remote_id.to_base58(), nonce))

    async def rpc_ask(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Give the household to a device that was let in here; tell any other whether its knock is still heard."""
        ours, peer = self._keeper.household, context.remote_id.to_base58()
        if peer in self._knocks.admitted and is_member(ours, peer):
            return _info(KnockState(household=ours, waiting=False))
        return _info(KnockState(household=None, waiting=self._knocks.is_waiting(peer)))

    def _renewal(self, run_id: str, peer: PeerID) -> runtime_pb2.ExpertInfo:
        ours, asker = self._keeper.household, peer.to_base58()
        given = None
        if ours is not None and ours.run_id == run_id:
            if may_have(ours, asker, self._keeper.has_key(peer)):
                given = ours
            elif is_ejected(ours, asker):
                given = proof_against(ours, asker)
        return _info(Renewal(household=given))


def _info(answer: Message) -> runtime_pb2.ExpertInfo:
    return runtime_pb2.ExpertInfo(serialized_info=answer.model_dump_json().encode())


async def ask_to_renew(p2p: P2P, peer: PeerID, run_id: str, comes_in: bool) -> Renewal:
    """Ask a peer for the household of a run. Raises whatever keeps it from answering, and ProtocolViolation.

    :param comes_in: we have its key, and want to belong to it
    """
    request = runtime_pb2.ExpertUID(uid=RenewalRequest(run_id=run_id, comes_in=comes_in).model_dump_json())
    answer = await Porch.get_stub(p2p, peer).rpc_renew(request, timeout=ANSWER_SECONDS)
    return parse(Renewal, answer.serialized_info)


async def hand_over(p2p: P2P, peer: PeerID, household: Household) -> Renewal:
    """Hand a household over to a member of it; return what it knows then. Raises as `ask_to_renew` does."""
    request = runtime_pb2.ExpertUID(uid=household.model_dump_json())
    answer = await Porch.get_stub(p2p, peer).rpc_take_household(request, timeout=ANSWER_SECONDS)
    return parse(Renewal, answer.serialized_info)

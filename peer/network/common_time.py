"""Agreeing on the swarm's time with those that are met (`peer/network/clock.py` keeps it)."""

from __future__ import annotations

import time

from hivemind.dht import DHTNode
from hivemind.p2p import PeerID
from hivemind.proto import dht_pb2

from peer.network import clock

ANSWER_SECONDS = 5.0
PATIENCE_SECONDS = 5.0  # that the device with the lower peer id waits for a newcomer to take its time
MAX_DIFFERENCE_SECONDS = 100 * 365 * 86_400.0  # a phone without a battery begins in 1970


class CommonTime:
    """The agreement of one node with the others on what time it is."""

    def __init__(self, dht: DHTNode):
        self._dht = dht
        self._is_shared = False  # with anybody
        self._disagreed: dict[PeerID, float] = {}  # since when somebody's clock differs from ours

    def is_alone(self) -> None:
        """Take in that nobody is connected: the only one with whom the time was shared may have had it wrong."""
        self._is_shared = False

    async def agree(self, peer: PeerID) -> None:
        """Take the time of the first one we meet, or let it take ours. Raises ConnectionError as long as they differ.

        Whoever shares the time with others keeps it; of two that do not, the one with the higher peer id moves first.
        Nobody is stored with, or stored for, before: what expires in the future of a wrong clock would stay for hours.
        """
        asked = clock.now()
        answer = await self._dht.protocol.get_stub(peer).rpc_ping(dht_pb2.PingRequest(), timeout=ANSWER_SECONDS)
        answered = clock.now()
        ahead = answer.dht_time - (asked + answered) / 2
        if not abs(ahead) < MAX_DIFFERENCE_SECONDS:  # also where it is not a number
            raise ConnectionError("its clock shows no time at all")
        if abs(ahead) <= clock.AGREEMENT_SECONDS + (answered - asked) / 2:
            self._is_shared = True
            self._disagreed.pop(peer, None)
            return
        since = self._disagreed.setdefault(peer, time.monotonic())
        is_higher = self._dht.peer_id.to_base58() > peer.to_base58()
        ours_to_move = is_higher or time.monotonic() > since + PATIENCE_SECONDS
        if self._is_shared or not ours_to_move:
            raise ConnectionError(f"its clock is {clock.spoken(ahead)} {'ahead of' if ahead > 0 else 'behind'} ours")
        clock.shift_by(ahead)
        self._dht.protocol.storage.clear()
        self._is_shared = True
        self._disagreed.clear()

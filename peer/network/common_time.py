"""Agreeing on the swarm's time with those that have proved to be here (`peer/network/clock.py` keeps it)."""

from __future__ import annotations

import random
import time

from hivemind.dht import DHTNode
from hivemind.p2p import PeerID

from peer.network import clock
from peer.network.proofs import Proofs
from peer.swarm.clocks import agreed_time, believed, is_same, is_shared

FAR_SECONDS = 60.0  # in which clocks that are more than a day off are not believed, though there are no others
PATIENCE_SECONDS = 5.0  # that those with whom we share no time have to take ours, where it is theirs to move
# Before we leave a time that somebody shares with us: a newcomer comes over to ours meanwhile, and of two that would
# change places one is first.
RELUCTANCE_SECONDS = (2.0, 8.0)


class CommonTime:
    """The agreement of one node with the others on what time it is (`peer/swarm/clocks.py` decides).

    :param proofs: of who is here, and what time it is there
    """

    def __init__(self, dht: DHTNode, proofs: Proofs):
        self._dht, self._proofs = dht, proofs
        self._known: frozenset[str] = frozenset()  # peer ids
        self._differs_since: float | None = None  # of `time.monotonic`: when more than half of the others began to
        self._reluctance = 0.0  # seconds, drawn anew whenever they begin to

    def know(self, peers: frozenset[str]) -> None:
        """Agree with these alone from now on, while any of them is here: they have trained with us."""
        self._known = peers

    async def agree(self, peer: PeerID) -> None:
        """Take a peer's time, or let it take ours. Raises ConnectionError as long as they differ.

        Nobody is stored with, or stored for, before: what expires in the future of a wrong clock would stay for hours.
        """
        theirs = await self._proofs.ask(peer)
        if not is_same(theirs, clock.shift()):
            self.settle()
        ahead = theirs - clock.shift()
        if not is_same(ahead, 0.0):
            raise ConnectionError(f"its clock is {clock.spoken(ahead)} {'ahead of' if ahead > 0 else 'behind'} ours")

    async def keep(self) -> None:
        """Ask those whose answers are old what time it is there, and go by what most say."""
        self._proofs.renew()
        self.settle()

    def settle(self) -> None:
        """Go by the time that those who are here agree on, where that is another one than ours."""
        here, current, now = self._proofs.clocks, clock.shift(), time.monotonic()
        here = {peer: theirs for peer, theirs in here.items() if peer in self._known} or here
        clocks = believed(current, here)
        agreeing = sum(is_same(current, theirs) for theirs in clocks.values())
        if 2 * agreeing > len(clocks) or not here:
            self._differs_since = None
            return
        if self._differs_since is None:
            self._differs_since, self._reluctance = now, random.uniform(*RELUCTANCE_SECONDS)
        waited = now - self._differs_since
        if not clocks:
            clocks, waited = here, waited - FAR_SECONDS
            if waited < 0:
                return
        if is_shared(current, clocks.values()) and waited < self._reluctance:
            return
        wanted = agreed_time(self._dht.peer_id.to_base58(), current, clocks, patient=waited < PATIENCE_SECONDS)
        if wanted != current:
            clock.shift_by(wanted - current)
            self._dht.protocol.storage.clear()
            self._differs_since = None

"""Leaving out whoever gives what it should not: what is found of it is said, and exchanges go on without it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from peer.outer.averager_process import AveragerProcess
from peer.outer.events import Event, Setback, happened
from peer.outer.exchanging import Exchanging
from peer.outer.findings import SAID_OF_US, TOO_MUCH, UNDOES, UNDOES_OURS, WRONG_MEAN
from peer.outer.outer_state import OuterState
from peer.outer.peers import Peers
from peer.state.anchor import snapshot
from peer.state.means import Mean


class LeavingOut:
    """Looks at what exchanges have shown of others, and leaves them out."""

    def __init__(self, exchanging: Exchanging, peers: Peers, process: AveragerProcess, state: OuterState):
        self._exchanging, self._peers, self._process, self._state = exchanging, peers, process, state
        self._has_parted = False

    def look(self, me: str, known: Collection[str]) -> Iterator[Event]:
        """Leave out whom we, and enough of those that we know, have found to be at odds with the others; say so.

        Where it is said of us, that is said as well: a device may be broken, and cannot see so itself.

        :param me: our peer id
        :param known: of those that have moved the anchor with us
        """
        findings, pair = self._exchanging.findings, self._exchanging.pair
        complaints = self._process.averager.complaints()
        for peer, _ in complaints:
            findings.left_out(peer)  # our notice says so: who reduced no part of it has not seen it
        yield from happened(self._peers.shun(complaints))
        self._exchanging.look_at_others(me, lambda: snapshot(self._state.inner.parameters))
        yield from self._leave_out(findings.to_leave_out(self._peers.others, known), UNDOES)
        yield from self._leave_out(self._exchanging.take_complaints(), TOO_MUCH)
        if pair.to_leave:  # we go on from where we stood before it looked as if it undid what we learn
            yield from self._leave_out([pair.to_leave], UNDOES_OURS)
            if pair.before is not None:
                self._state.go_on_from(pair.before)
            pair.forget()
            self._has_parted = True
        if findings.is_said_of_us(me, self._peers.others, known):
            yield Setback(SAID_OF_US)

    def objection(self, me: str, means: Sequence[Mean]) -> str:
        """Return why means are not to be taken that were missed, in words; "" where there is nothing against them.

        :param me: our peer id
        """
        given = self._state.pseudo_gradient.given
        return WRONG_MEAN if means and self._exchanging.objects_to(means[0], given, me) else ""

    def has_parted(self) -> bool:
        """Return whether we have parted from the other one of two since this was last asked."""
        has_parted, self._has_parted = self._has_parted, False
        return has_parted

    def _leave_out(self, peers: list[str], what: str) -> Iterator[Event]:
        seconds = {peer: self._exchanging.findings.left_out(peer) for peer in peers}
        for peer in peers:
            self._process.averager.shun(peer, seconds[peer])
        yield from happened(self._peers.leave_out(seconds, what))

"""The company of this device: who is here, who was in the last exchange, and how long it has been alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from peer.outer.events import Setback
from peer.outer.shunned import SHUN_SECONDS, Shunned
from peer.swarm.membership import MAX_MEMBERS
from peer.wire import Notice

GRACE_SECONDS = 4.0  # in which notices catch up with an exchange
# That the anchor stays as it is when everybody else has gone silent: they may be back, and then the means that were
# missed are enough. After a cut of a moment it took up to 14 s until they were heard again.
REUNION_SECONDS = 30.0
MEET_SECONDS = 10.0  # the same at the start, when others may hold the checkpoint that we begin with
LONGEST_TICK_SECONDS = 5.0  # that count as alone between two updates: a device has slept through longer ones


class Peers:
    """The others of our run, as far as their notices tell.

    :param run_id: of our run; peers of other runs are no company
    """

    def __init__(self, run_id: str):
        self.others: list[Notice] = []  # training or about to, without those we shun
        self.last_group: list[str] = []  # the peer ids of our last exchange; empty where we are not in step with it
        self._run_id = run_id
        self._names: dict[str, str] = {}  # by peer id, of those who have left as well
        self._shunned = Shunned()
        self._exchanged_at = 0.0
        self._caught_up_at = -math.inf
        self._alone_seconds = REUNION_SECONDS - MEET_SECONDS  # without company, while we were awake to see it
        self._updated_at = time.monotonic()

    def update(self, notices: Iterable[Notice], is_left_out: Callable[[Notice], bool] = lambda notice: False) -> None:
        """Take in who is here now. Call it in every tick: the time between two of them may be time alone.

        :param is_left_out: tells whether somebody is nobody to us
        """
        present = [notice for notice in notices if notice.run_id == self._run_id and not is_left_out(notice)]
        here = {notice.peer: notice.name for notice in present}
        self._names = here if len(self._names) > MAX_MEMBERS else {**self._names, **here}
        self.others = [notice for notice in present if notice.peer not in self._shunned]
        now = time.monotonic()
        self._alone_seconds += min(now - self._updated_at, LONGEST_TICK_SECONDS)
        self._updated_at = now

    def shun(self, complaints: Sequence[tuple[str, str]]) -> Setback | None:
        """Leave peers out of `others` from now on and for a while; return the event that names them.

        :param complaints: ids of peers that sent what cannot be, and what it was
        """
        if not complaints:
            return None
        for peer, _ in complaints:
            self._shunned.add(peer, SHUN_SECONDS)
        self.others = [other for other in self.others if other.peer not in self._shunned]
        what = ", and ".join(f"{self.name_of(peer)} sent {what}" for peer, what in complaints)
        return Setback(f"{what}: exchanges go on without it for {SHUN_SECONDS / 60:.0f} minutes")

    def leave_out(self, findings: Mapping[str, float], what: str) -> Setback | None:
        """Leave peers out of `others` for a while; return the event that names them.

        :param findings: seconds by peer id
        :param what: they do, in words
        """
        if not findings:
            return None
        for peer, seconds in findings.items():
            self._shunned.add(peer, seconds)
        self.others = [other for other in self.others if other.peer not in self._shunned]
        names = " and ".join(self.name_of(peer) for peer in findings)
        minutes = max(findings.values()) / 60
        return Setback(f"{names} {what}: exchanges go on without it for {minutes:.0f} minutes")

    def name_of(self, peer: str) -> str:
        """Return what people call a peer, or the end of its id where it never gave a name."""
        return self._names.get(peer, peer[-6:])

    def met(self) -> None:
        """Take in that there is somebody to exchange with, or to be followed by."""
        self._alone_seconds = 0.0

    @property
    def is_gone(self) -> bool:
        """True where there has been no company for so long that nobody is expected back."""
        return self._alone_seconds > REUNION_SECONDS

    def exchanged(self, peers: Iterable[str]) -> None:
        """Take in who was in an exchange with us that has just moved the anchor."""
        self.last_group, self._exchanged_at = list(peers), time.monotonic()

    @property
    def recent_group(self) -> list[str]:
        """The last group, where notices may not have caught up with that exchange yet; else nobody."""
        return self.last_group if time.monotonic() < self._exchanged_at + GRACE_SECONDS else []

    def fell_behind(self) -> None:
        """Take in that the others went on without us: we are not in step with our last group."""
        self.last_group = []

    def caught_up(self) -> None:
        """Take in that a mean which we had missed has just moved our anchor."""
        self._caught_up_at = time.monotonic()

    @property
    def has_just_caught_up(self) -> bool:
        """True while notices may be older than the last mean that we had missed and took."""
        return time.monotonic() < self._caught_up_at + GRACE_SECONDS

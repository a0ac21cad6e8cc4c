"""The scrutiny of what is ahead of us: whether so much can have been trained, and whether the state is one to take.

Nothing of a state from elsewhere is a proof of its training. So it is held against what this device has seen itself:
the time, its own speed (`peer/swarm/plausible.py`) and its own text (`judge.py`), or where it has none, what others say
that have some (`peer/swarm/jury.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from torch import Tensor

from peer.inner.loop import InnerLoop
from peer.outer.catching_up import NewerAnchor
from peer.outer.doubts import Doubts
from peer.outer.judge import Judge, Trust
from peer.outer.outer_state import OuterState, StartingPoint
from peer.state.contributions import Contributions
from peer.state.earlier import WentBack
from peer.state.means import Mean
from peer.swarm.jury import judges_among, said_by
from peer.swarm.membership import MAX_MEMBERS
from peer.swarm.plausible import most_plausible
from peer.wire import MAX_PROGRESS, MOST_REFUSED, Notice

LONG_APART_SECONDS = 600.0  # after which nothing of what a device was is left on the way between the two


class Scrutiny:
    """Looks at what others claim and give.

    :param me: our peer id
    :param start: what this device goes on from
    """

    def __init__(self, inner: InnerLoop, judge: Judge, doubts: Doubts, me: str, start: StartingPoint):
        self.judge, self.went_back, self._me = judge, start.went_back, me
        self._inner, self._doubts, self._began_with = inner, doubts, start.progress.samples
        # how long ago it was, for the clock may be set while we train
        self._age, self._began = max(0.0, time.time() - start.written), time.monotonic()
        self._batch = 1  # sequences of the last step
        self._refused: list[str] = []  # peer ids, the last one is the newest
        self._told: set[str] = set()  # of whom the person at this device was told
        self._seen_ahead: dict[str, float] = {}  # of `time.monotonic`, by peer id: the first time

    @property
    def refuses(self) -> tuple[str, ...]:
        """The ids of the peers whose newer states were looked at and not taken, as our notice says them."""
        return tuple(peer for peer in self._refused if self._doubts.refuses(peer))[-MOST_REFUSED:]

    def trained(self, sequences: int) -> None:
        """Take in that a step of so many sequences was made."""
        self._batch = max(1, sequences)

    def leaves_out(self, other: Notice, me: Notice, contributions: Contributions) -> bool:
        """Return whether a peer is nobody to us, as long as it is ahead: its newer state was refused, or we left it."""
        if other.state <= me.state or other.run_id != me.run_id:
            return False
        return self._doubts.refuses(other.peer) or self._may_be_where_we_were(other, contributions)

    def _may_be_where_we_were(self, other: Notice, contributions: Contributions) -> bool:
        """Return whether a peer may be at what we have gone back from.

        So may anybody who has not moved the anchor with us since we went back; but for those who had before, and have
        gone back as well since we had taken it. What the device says that it came from does not count.
        """
        if not self.went_back.taken or self._doubts.knows(other.peer):
            return False
        has_gone_back = other.went_back >= self.went_back.taken and contributions.has_moved_with(other.peer)
        return not has_gone_back or other.peer == self.went_back.donor

    def go_back(self, went_back: WentBack) -> None:
        """Take in that this device has gone back."""
        self.went_back = went_back
        self._doubts.forget_known()

    def disbelief(self, donor: Notice, me: Notice) -> str:
        """Return why a donor's claim cannot be, in words; "" where it can. Nothing counts of it then for a while."""
        if why := self._impossible(donor.trained, me.trained):
            self._doubts.implausible(donor.peer)
        return why

    def _impossible(self, samples: int, has: int) -> str:
        """Return why nobody can have trained so many sequences, in words; "" where somebody can have.

        :param samples: behind a state that is ahead of ours
        :param has: behind ours
        """
        seconds = self._age + time.monotonic() - self._began
        speed = self._batch / max(self._inner.step_seconds, 1e-3) if self._inner.step_seconds else 0.0
        most = min(MAX_PROGRESS // 2, most_plausible(self._began_with, has, seconds, speed))
        if samples <= most:
            return ""
        return f"it claims {samples:,} sequences, and by now nobody can have trained more than {most:,} of this run"

    def refusal_of_others(self, donor: Notice, others: Iterable[Notice]) -> str:
        """Return, in words, that those do not take a donor's state who have text to judge it by, where we have none."""
        if self._by_others(donor, others) != "refuse":
            return ""
        self._doubts.refused(donor.peer)
        return "those who have text to judge it by do not take it"

    def waits_for_others(self, donor: Notice, others: Iterable[Notice]) -> bool:
        """Return whether others that have text have not had the time to look at a donor's state, where we have none."""
        return self._by_others(donor, others) == "wait"

    def _by_others(self, donor: Notice, others: Iterable[Notice]) -> str:
        if self.judge.can_tell:
            return "take"  # and look at it then
        now = time.monotonic()
        if len(self._seen_ahead) > MAX_MEMBERS:
            self._seen_ahead = {}
        waited = now - self._seen_ahead.setdefault(donor.peer, now)
        judges = judges_among((other for other in others if self._doubts.knows(other.peer)), donor.peer)
        return said_by(judges, donor.peer, waited)

    def objection(self, state: OuterState, newer: NewerAnchor | None, means: Sequence[Mean], donor: Notice) -> str:
        """Return why a newer anchor that is here, or else means, are not to be taken, in words; "" where they are.

        Raise ValueError for means that cannot be.
        """
        has, ours = state.progress.samples, state.anchor.parameters
        trust = self._trust(donor, state.contributions)
        if newer is not None:
            theirs: Sequence[Tensor] = [newer.parameters[name] for name, _ in state.anchor_model.named_parameters()]
            why = self._impossible(newer.progress.samples, has)
            return why or self.judge.objection(theirs, ours, trust)
        if not means or means[0].previous != state.progress.lineage:  # we have moved meanwhile, and they go
            return ""
        claimed = has + sum(sum(mean.samples.values()) for mean in means)
        why = self._impossible(claimed, has)
        return why or self.judge.objection(state.anchor_after(means), ours, trust)

    def _trust(self, donor: Notice, contributions: Contributions) -> Trust:
        """Return how far a donor is believed to have learnt what we know nothing of."""
        moved_with = contributions.moved_with or dict.fromkeys(contributions.met, 0.0)  # in a checkpoint of before
        others = moved_with.keys() - {self._me}
        if not others:  # a device that was always alone is to come to others, whoever they are
            return Trust.LONG_APART
        if donor.peer not in others:
            return Trust.STRANGER
        return Trust.LONG_APART if time.time() > moved_with[donor.peer] + LONG_APART_SECONDS else Trust.MATE

    def refused(self, donor: Notice) -> bool:
        """Take in that the newer state of a peer is not taken; return whether that is news to the person here."""
        is_news = donor.peer not in self._told
        self._told = {donor.peer} if len(self._told) > MAX_MEMBERS else self._told | {donor.peer}
        self._refused = [*(peer for peer in self._refused if peer != donor.peer), donor.peer][-MOST_REFUSED:]
        return is_news

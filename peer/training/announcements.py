"""The lines by which the person at this device follows the swarm: who comes and goes, what went wrong, what to change.

Rounds are told of in `peer/training/round_log.py`.
"""

from __future__ import annotations

import time

from minigpt.settings import Settings
from peer.device.display import Display
from peer.device.event_log import KnownLine
from peer.inner.loop import InnerLoop
from peer.joining.outside import lines_outside
from peer.network import clock
from peer.network.address import Address
from peer.network.handle import Network
from peer.outer.events import CaughtUp, Reconnected, Setback
from peer.outer.interface import OuterLoop
from peer.state.earlier import EarlierStates
from peer.swarm.advice import advice
from peer.swarm.household import is_ejected, is_member, members
from peer.swarm.membership import MAX_MEMBERS, came_and_left, pauses_changed
from peer.training.other_runs import OtherRuns
from peer.training.round_log import RoundAtHand
from peer.wire import Notice

BAR_SECONDS = 0.5
RECENT_SECONDS = 24 * 3600.0  # in which it is news that a device went back
CHANGE_SECONDS = 30.0  # that a household has to hear that its run was locked or opened


class Announcements:
    """Says each change around this device once, and each piece of advice once; fills the bar of the round at hand."""

    def __init__(
        self,
        inner: InnerLoop,
        outer: OuterLoop,
        network: Network,
        other_runs: OtherRuns,
        earlier: EarlierStates,
        settings: Settings,
        display: Display,
    ):
        self._inner, self._outer, self._network, self._display = inner, outer, network, display
        self._samples_per_round = settings.swarm.samples_per_round
        self._other_runs, self._earlier = other_runs, earlier
        self._others: list[Notice] = []  # who was here
        self._trained_with: set[str] = set()  # peer ids of all who were
        self._clock_shift = network.view.clock_shift
        self._advised: set[str] = set()  # of what, and of whom
        self._shut: dict[str, float] = {}  # addresses of locked devices, and since when
        self._saw_doors: set[bool] = set()  # of a locked run, and whether ours was one
        self._said_outside: set[str] = set()  # lines of a device that asks to be let in again
        self._setback: Setback | None = None  # the last one
        self._went_back: dict[str, float] = {}  # who did, by peer id, and when
        self._bar_at = 0.0

    def poll(self) -> None:
        """Say what has changed since the last call; never waits."""
        self._say_membership()
        self._say_who_went_back()
        self._say_clock()
        if self._network.view.ejected:
            self._ask_in()
        else:
            self._network.ask_in(False)
            self._say_doors()
        self._other_runs.update(self._network.view.notices)
        self._advise()

    def say(self, event: CaughtUp | Reconnected | Setback) -> None:
        """Say what happened in the outer loop."""
        if isinstance(event, CaughtUp):
            round, text = self._outer.progress.round, f"took the newer state of {event.donor}: round "
            self._display.note(KnownLine(f"{text}{round}", "took_state", name=event.donor, round=round))
            if event.apart:
                self._display.note(
                    f"what this device has learnt since {event.donor} was out of reach, from {event.apart:,} "
                    "sequences, goes into the next exchange"
                )
            if event.given_up:
                self._display.note(
                    f"what this device had learnt meanwhile, from {event.given_up:,} sequences, does not fit that "
                    "state and is given up"
                )
        elif isinstance(event, Reconnected):
            text = f"the network part of this device was started again, at {event.address}"
            self._display.note(KnownLine(text, "network_again", address=event.address))
        elif event != self._setback:
            self._display.note(event.reason)
            self._setback = event  # which may repeat every second until it is overcome

    def show_progress(self, round: RoundAtHand) -> None:
        """Fill the bar as far as the whole swarm is in this round, every half a second."""
        if time.monotonic() <= self._bar_at:
            return
        self._bar_at = time.monotonic() + BAR_SECONDS
        names = ", ".join(notice.name for notice in self._others) or "alone"
        self._display.progress(
            self._outer.progress.round + 1,
            self._outer.round_progress,
            self._samples_per_round,
            f"loss {round.loss:.3f} · {round.tokens_per_second:,.0f} tokens/s · {names}",
        )

    def _say_membership(self) -> None:
        others = self._outer.others
        came, left = came_and_left(self._others, others)
        self._trained_with.update(notice.peer for notice in came)
        for notice in came:
            host = Address.parse(notice.address).host
            self._display.note(KnownLine(f"{notice.name} is here ({host})", "joined", name=notice.name, host=host))
        for notice in left:
            self._display.note(KnownLine(f"{notice.name} left", "left", name=notice.name))
        for notice in pauses_changed(self._others, others):
            text, kind = (f"rests: {notice.paused}", "rests") if notice.paused else ("trains again", "trains_again")
            self._display.note(KnownLine(f"{notice.name} {text}", kind, name=notice.name, why=notice.paused))
        self._others = others

    def _say_who_went_back(self) -> None:
        """Say once that somebody has gone back to a state of its own; each owner decides for their own device."""
        for notice in self._outer.others:
            said = self._went_back.get(notice.peer, clock.now() - RECENT_SECONDS)
            if not said < notice.went_back <= clock.now() + RECENT_SECONDS:
                continue
            if len(self._went_back) > MAX_MEMBERS:
                self._went_back = {}
            self._went_back[notice.peer] = notice.went_back
            text = f"{notice.name} went back to an earlier state of its own, of round {notice.round}"
            if self._earlier.newest() is not None:
                text += ", and trains on without those that have not: python -m peer --go-back does the same here"
            self._display.note(KnownLine(text, "other_went_back", name=notice.name, round=notice.round))

    def _say_clock(self) -> None:
        if self._network.view.clock_shift != self._clock_shift:
            self._clock_shift = self._network.view.clock_shift
            self._display.note(clock.difference(self._clock_shift) or "this device's clock is right again")

    def _ask_in(self) -> None:
        """Ask to be let in again where this device was ejected; what it has of the run stays as it is until then."""
        self._network.ask_in(True)
        for line in lines_outside(self._network.view.outside):
            if line not in self._said_outside:
                self._said_outside.add(line)
                self._display.note(line)

    def _say_doors(self) -> None:
        """Say once that there are devices whose run is locked, where this one has no key: they may be its own.

        A lock, and its end, take some seconds to reach all of a household.
        """
        view, now = self._network.view, time.monotonic()
        doors = [door for door in view.outside.doors if self._may_be_ours(Address.parse(door).peer)]
        self._shut = {door: self._shut.get(door, now) for door in doors}
        shut = [door for door, since in self._shut.items() if now >= since + CHANGE_SECONDS]
        if not shut or view.locked in self._saw_doors:
            return
        self._saw_doors.add(view.locked)
        hosts = ", ".join(dict.fromkeys(Address.parse(door).host for door in shut))
        text = (
            f"a locked run is trained at {hosts}, and this device has no key of it. If it is yours, end this with "
            "Ctrl+C, and start it with an invite of theirs (python -m peer --invite)"
        )
        if view.locked and not members(view.household):
            text = (
                f"the invite of this device opens nothing at {hosts}, where the run has another key by now: it trains "
                "alone. End it with Ctrl+C, and start it with a new invite of theirs (python -m peer --invite)"
            )
        elif view.locked:
            text = (
                f"the run was locked once more, apart, at {hosts}: that lock and the one of this device do not become "
                "one by themselves. If all are yours, choose one of the two; end each device of the other with Ctrl+C, "
                "and start it with an invite that python -m peer --invite shows on a device of the chosen one"
            )
        self._display.note(text)

    def _may_be_ours(self, peer: str) -> bool:
        """Return whether a device whose door is shut for us may be of our household.

        Where our own run is locked, one that has trained it with us since our start, and was neither ejected nor let
        in: it belongs to another lock. A member that was away is let in within seconds, and neighbours have another
        run. While nobody has let us in, our key may be an old one.
        """
        view = self._network.view
        if peer in {notice.peer for notice in view.notices}:
            return False
        is_known = is_member(view.household, peer) or is_ejected(view.household, peer)
        return not (view.locked and members(view.household)) or (peer in self._trained_with and not is_known)

    def _advise(self) -> None:
        report = self._outer.exchange_report
        if report is None:
            return
        for of, text in advice(report.seconds, self._inner.step_seconds, report.balance, report.group):
            if of not in self._advised:
                self._advised.add(of)
                self._display.note(text)

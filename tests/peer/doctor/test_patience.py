"""The patience of `--doctor`: it waits for news and not by the clock alone, because a device under load is slow."""

from __future__ import annotations

import time

import pytest

from peer.doctor.examine import LONGEST_SECONDS, MEET_SECONDS, SETTLE_SECONDS, Patience
from peer.network.node import View
from peer.wire import Notice, Role

DESK = Notice(peer="A" * 12, name="desk", address="", role=Role.TRAINING)


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def test_it_ends_once_all_is_known_and_clocks_have_been_compared(clock: Clock) -> None:
    patience = Patience()
    view = View(connected=[DESK.peer], notices=[DESK], searched=True, tried=True)
    assert not patience.is_over(view, {DESK.peer})
    clock.now += SETTLE_SECONDS
    assert patience.is_over(view, {DESK.peer})
    assert not Patience().is_over(view, {DESK.peer, "B" * 12}), "somebody else was heard of"


def test_neighbours_that_were_not_asked_yet_and_news_that_comes_late_are_waited_for(clock: Clock) -> None:
    patience = Patience()
    clock.now += 1.5 * MEET_SECONDS
    assert not patience.is_over(View(), set()), "the search itself was slow"
    clock.now += 1.0
    assert not patience.is_over(View(connected=[DESK.peer], searched=True), {DESK.peer})
    clock.now += 0.9 * MEET_SECONDS
    assert not patience.is_over(View(connected=[DESK.peer], searched=True), {DESK.peer})
    clock.now += 0.2 * MEET_SECONDS
    assert patience.is_over(View(connected=[DESK.peer], searched=True), {DESK.peer}), "it says nothing"


def test_it_never_takes_longer_than_a_minute(clock: Clock) -> None:
    patience = Patience()
    clock.now += LONGEST_SECONDS + 0.1
    assert patience.is_over(View(), set())

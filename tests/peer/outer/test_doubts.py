"""Doubts: each claim that was not kept makes them last longer, and those that were take them away."""

from __future__ import annotations

import pytest

from peer.outer import doubts as doubts_module
from peer.outer import shunned
from peer.outer.doubts import (
    ABSENCES,
    DOUBT_SECONDS,
    IN_VAIN_SECONDS,
    LONGEST_SECONDS,
    STRANGE_AGAIN,
    Doubts,
)
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().replace_time(monkeypatch, doubts_module, shunned)


def test_who_has_moved_the_anchor_with_us_is_trusted_until_it_breaks_its_word(clock: Clock) -> None:
    doubts = Doubts()
    doubts.exchanged(["A", "B"], ["A", "B"])
    assert not doubts.knows("A"), "too few had come"
    doubts.moved(["A", "B"])
    assert doubts.trusts("A") and doubts.trusts("B")
    doubts.broken("A")
    assert doubts.knows("A") and not doubts.trusts("A") and doubts.trusts("B")
    doubts.kept("A")
    assert doubts.trusts("A")


def test_doubt_grows_up_to_a_bound_and_fades(clock: Clock) -> None:
    doubts = Doubts()
    for _ in range(20):
        doubts.broken("A")
    clock.now += LONGEST_SECONDS - 1
    assert not doubts.asks("A")
    clock.now += 2
    assert doubts.asks("A")
    for _ in range(5):
        doubts.exchanged(["A"], ["A"])
    doubts.broken("A")
    clock.now += DOUBT_SECONDS + 1
    assert doubts.asks("A"), "it has begun anew"


def test_a_stranger_that_does_not_come_is_not_waited_for(clock: Clock) -> None:
    doubts = Doubts()
    for _ in range(ABSENCES):
        assert doubts.awaits("B")
        doubts.exchanged(["A"], ["A", "B"])
    assert not doubts.awaits("B")
    clock.now += LONGEST_SECONDS + 1
    assert doubts.awaits("B"), "it is given another chance"
    doubts.exchanged([], ["B"])
    assert not doubts.awaits("B")
    doubts.exchanged(["B"], [])
    clock.now += LONGEST_SECONDS + 1
    doubts.exchanged([], ["B"])
    assert doubts.awaits("B")


def test_whom_we_know_may_miss_some_exchanges_in_a_row_and_is_a_stranger_after_more(clock: Clock) -> None:
    doubts = Doubts()
    doubts.moved(["A"])
    for _ in range(3):
        for _ in range(STRANGE_AGAIN - 1):
            doubts.exchanged([], ["A"])
        assert doubts.knows("A") and doubts.awaits("A"), "a device under load may miss many an exchange"
        doubts.exchanged(["A"], ["A"])
    for _ in range(STRANGE_AGAIN):
        doubts.exchanged([], ["A"])
    assert not doubts.knows("A") and not doubts.awaits("A")


def test_strangers_that_keep_a_majority_from_coming_count_no_more_after_a_while(clock: Clock) -> None:
    doubts = Doubts()
    doubts.moved(["A"])
    for _ in range(10):  # as where many devices start at once
        doubts.in_vain([], ["A", "B"])
        clock.now += IN_VAIN_SECONDS / 12
    assert doubts.counts("B")
    doubts.moved([])
    clock.now += IN_VAIN_SECONDS
    doubts.in_vain([], ["A", "B"])
    assert doubts.counts("B"), "it came about in between"
    clock.now += IN_VAIN_SECONDS + 1
    doubts.in_vain([], ["A", "B"])
    assert doubts.counts("A") and not doubts.counts("B")
    clock.now += LONGEST_SECONDS + 1
    assert doubts.counts("B")

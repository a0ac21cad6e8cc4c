"""Newcomers: who has taken something is on the way, and all of them together cost a share of the time at most."""

from __future__ import annotations

import pytest

from peer.outer import newcomers as newcomers_module
from peer.outer.newcomers import (
    MOST_PAUSES,
    MOST_SECONDS,
    PART_AGAIN,
    SHARE,
    WAY_PAUSES,
    WAY_SECONDS,
    Newcomers,
)
from tests.clock import Clock

PAUSE = 0.5  # seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().replace_time(monkeypatch, newcomers_module)


def hold_up(newcomers: Newcomers, clock: Clock, seconds: float) -> None:
    newcomers.hold_up(True)
    clock.now += seconds
    newcomers.hold_up(False)


def test_who_only_says_that_it_comes_does_not_hold_us_up(clock: Clock) -> None:
    newcomers = Newcomers()
    assert not newcomers.has("A", PAUSE)
    newcomers.took({"A": clock.now})
    assert newcomers.has("A", PAUSE) and not newcomers.has("B", PAUSE)
    clock.now += WAY_SECONDS + 1
    assert not newcomers.has("A", PAUSE)
    assert newcomers.has("A", 14.0), "where pauses are long, there is much to take"
    clock.now += WAY_PAUSES * 14.0
    assert not newcomers.has("A", 14.0)


def test_all_newcomers_together_cost_a_share_of_the_time(clock: Clock) -> None:
    """Each of them in turn would have had as much."""
    newcomers, began, held_up = Newcomers(), clock.now, 0.0
    for number in range(10_000):
        newcomers.took({f"stranger {number}": clock.now})
        if newcomers.has(f"stranger {number}", PAUSE):
            hold_up(newcomers, clock, 1.0)
            held_up += 1.0
        else:
            clock.now += 1.0
    passed = clock.now - began
    assert SHARE * passed <= held_up <= MOST_SECONDS + SHARE * passed + 1


def test_an_honest_one_has_as_long_at_once_as_a_slow_link_takes(clock: Clock) -> None:
    newcomers = Newcomers()
    for pause, most in ((PAUSE, MOST_SECONDS), (14.0, MOST_PAUSES * 14.0)):
        newcomers = Newcomers()
        for _ in range(int(most) - 1):
            newcomers.took({"A": clock.now})
            assert newcomers.has("A", pause)
            hold_up(newcomers, clock, 1.0)
        newcomers.cost(2.0)
        newcomers.took({"A": clock.now})
        assert not newcomers.has("A", pause)


def test_what_is_used_up_grows_again_to_be_of_use(clock: Clock) -> None:
    newcomers = Newcomers()
    newcomers.cost(MOST_SECONDS + 1)
    assert not newcomers.has("A", PAUSE)
    clock.now += MOST_SECONDS * PART_AGAIN / SHARE
    newcomers.took({"A": clock.now})
    assert not newcomers.has("A", PAUSE)
    clock.now += 2 / SHARE
    newcomers.took({"A": clock.now})
    assert newcomers.has("A", PAUSE)
    newcomers.cost(1.0)
    assert newcomers.has("A", PAUSE)

"""Leaders: one is left where everybody has come and it does not begin, and leads no more for a while."""

from __future__ import annotations

import pytest

from peer.outer import leaders as leaders_module
from peer.outer import shunned
from peer.outer.leaders import BEGIN_SECONDS, LONGEST_SECONDS, STALLED_SECONDS, Company, Following, StallingLeaders
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().replace_time(monkeypatch, leaders_module, shunned)


def test_a_leader_has_its_time_and_longer_where_exchanges_take_longer(clock: Clock) -> None:
    quick, slow = Following("AB", 0.1), Following("AB", 8.0)
    assert not quick.is_worth_a_look
    clock.now += BEGIN_SECONDS + 0.1
    assert quick.is_worth_a_look and not slow.is_worth_a_look
    clock.now += 8.0
    assert slow.is_worth_a_look


def test_a_leader_that_may_wait_for_somebody_is_not_left(clock: Clock) -> None:
    following = Following("ABC", 0.1)
    assert not following.is_to_be_left("ABC"), "it may have come this moment"
    assert not following.is_to_be_left("AB"), "it is late"
    assert not following.is_to_be_left("ABCD")
    assert following.is_to_be_left("ABC")


def test_of_two_neither_leaves_the_other(clock: Clock) -> None:
    following = Following("A", 0.1)
    clock.now += 1000.0
    assert not following.is_worth_a_look, "there is nobody else to exchange with"


def test_who_did_not_begin_leads_no_more_for_longer_and_longer(clock: Clock) -> None:
    stalling = StallingLeaders()
    for seconds in (STALLED_SECONDS, 2 * STALLED_SECONDS, 4 * STALLED_SECONDS):
        stalling.add("A")
        clock.now += seconds - 1
        assert stalling.now == {"A"}
        clock.now += 2
        assert not stalling.now
    for _ in range(100):
        stalling.add("A")
    clock.now += LONGEST_SECONDS + 1
    assert not stalling.now


def test_a_company_without_somebody_neither_follows_nor_awaits_it() -> None:
    company = Company(frozenset("ABC"), frozenset("AB"), frozenset("ABC"), most=4)
    assert company.without("A") == Company(frozenset("ABC"), frozenset("B"), frozenset("BC"), most=3)
    assert company.without("C").most == 4, "it was not awaited"

"""Who is here, who is shunned, and for how long a device has been alone."""

from __future__ import annotations

import pytest

from peer.outer import company as company_module
from peer.outer import shunning
from peer.outer.company import GRACE_SECONDS, LONGEST_TICK_SECONDS, MEET_SECONDS, REUNION_SECONDS, Company
from peer.outer.shunning import SHUN_SECONDS, Shunned
from peer.wire import Notice, Role

ANA, BEN = "A" * 12, "B" * 12


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(company_module, "time", clock)
    monkeypatch.setattr(shunning, "time", clock)
    return clock


def notice(peer: str, name: str, run_id: str = "ours") -> Notice:
    return Notice(peer=peer, name=name, address="", role=Role.TRAINING, run_id=run_id)


def names(company: Company) -> list[str]:
    return [other.name for other in company.others]


def test_only_peers_of_our_run_are_company(clock: Clock) -> None:
    company = Company("ours")
    company.update([notice(ANA, "Ana"), notice(BEN, "Ben", "theirs")])
    assert names(company) == ["Ana"]
    company.update([])
    assert names(company) == []
    assert (company.name_of(ANA), company.name_of(BEN)) == ("Ana", BEN[-6:]), "who left is still known by its name"


def test_who_is_shunned_is_nobody_until_its_time_is_over(clock: Clock) -> None:
    company, here = Company("ours"), [notice(ANA, "Ana"), notice(BEN, "Ben")]
    company.update(here)
    assert company.shun([]) is None
    setback = company.shun([(ANA, "noise"), (BEN, "nothing but noise")])
    assert setback is not None
    assert setback.reason == (
        "Ana sent noise, and Ben sent nothing but noise: exchanges go on without it for 10 minutes"
    )
    assert names(company) == [], "from now on"
    company.update(here)
    assert names(company) == []
    clock.now += SHUN_SECONDS + 1
    company.update(here)
    assert names(company) == ["Ana", "Ben"]


def test_a_second_complaint_makes_the_time_longer(clock: Clock) -> None:
    shunned = Shunned()
    assert ANA not in shunned
    shunned.add(ANA, 10)
    clock.now += 8
    shunned.add(ANA, 10)
    clock.now += 8
    assert ANA in shunned and BEN not in shunned
    clock.now += 8
    assert ANA not in shunned


def test_nobody_is_gone_before_there_was_time_to_be_heard_again(clock: Clock) -> None:
    company = Company("ours")

    def wait(seconds: float) -> None:
        clock.now += seconds
        company.update([])

    for _ in range(round(MEET_SECONDS)):
        wait(1)
    assert not company.is_gone
    wait(1)
    assert company.is_gone, "at the start it takes less time"
    company.met()
    assert not company.is_gone
    wait(600)  # asleep: only LONGEST_TICK_SECONDS of it count
    for _ in range(round(REUNION_SECONDS - LONGEST_TICK_SECONDS)):
        wait(1)
    assert not company.is_gone
    wait(1)
    assert company.is_gone


def test_the_last_group_is_recent_while_notices_catch_up_with_it(clock: Clock) -> None:
    company = Company("ours")
    assert company.recent_group == []
    company.exchanged([ANA, BEN])
    assert company.recent_group == [ANA, BEN]
    clock.now += GRACE_SECONDS
    assert (company.recent_group, company.last_group) == ([], [ANA, BEN])
    company.exchanged([ANA])
    company.fell_behind()
    assert company.recent_group == company.last_group == []


def test_who_has_just_caught_up_gives_notices_time(clock: Clock) -> None:
    company = Company("ours")
    assert not company.has_just_caught_up
    company.caught_up()
    assert company.has_just_caught_up
    clock.now += GRACE_SECONDS
    assert not company.has_just_caught_up

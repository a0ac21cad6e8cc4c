"""The peers of a device: who is here, who is shunned, and for how long it has been alone."""

from __future__ import annotations

import pytest

from peer.outer import peers as company_module
from peer.outer import shunned
from peer.outer.peers import GRACE_SECONDS, LONGEST_TICK_SECONDS, MEET_SECONDS, REUNION_SECONDS, Peers
from peer.outer.shunned import SHUN_SECONDS, Shunned
from peer.wire import Notice, Role
from tests.clock import Clock

ANA, BEN = "A" * 12, "B" * 12


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().replace_time(monkeypatch, company_module, shunned)


def notice(peer: str, name: str, run_id: str = "ours") -> Notice:
    return Notice(peer=peer, name=name, address="", role=Role.TRAINING, run_id=run_id)


def names(peers: Peers) -> list[str]:
    return [other.name for other in peers.others]


def test_only_peers_of_our_run_are_company(clock: Clock) -> None:
    peers = Peers("ours")
    peers.update([notice(ANA, "Ana"), notice(BEN, "Ben", "theirs")])
    assert names(peers) == ["Ana"]
    peers.update([])
    assert names(peers) == []
    assert (peers.name_of(ANA), peers.name_of(BEN)) == ("Ana", BEN[-6:]), "who left is still known by its name"


def test_who_is_left_out_is_named_and_is_nobody_until_its_time_is_over(clock: Clock) -> None:
    peers, here = Peers("ours"), [notice(ANA, "Ana"), notice(BEN, "Ben")]
    peers.update(here)
    assert peers.leave_out({}, "lies") is None
    setback = peers.leave_out({ANA: 1200.0}, "lies")
    assert setback is not None and setback.reason == "Ana lies: exchanges go on without it for 20 minutes"
    assert names(peers) == ["Ben"]
    clock.now += 1201.0
    peers.update(here)
    assert names(peers) == ["Ana", "Ben"]


def test_who_is_shunned_is_nobody_until_its_time_is_over(clock: Clock) -> None:
    peers, here = Peers("ours"), [notice(ANA, "Ana"), notice(BEN, "Ben")]
    peers.update(here)
    assert peers.shun([]) is None
    setback = peers.shun([(ANA, "noise"), (BEN, "nothing but noise")])
    assert setback is not None
    assert setback.reason == (
        "Ana sent noise, and Ben sent nothing but noise: exchanges go on without it for 10 minutes"
    )
    assert names(peers) == [], "from now on"
    peers.update(here)
    assert names(peers) == []
    clock.now += SHUN_SECONDS + 1
    peers.update(here)
    assert names(peers) == ["Ana", "Ben"]


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
    peers = Peers("ours")

    def wait(seconds: float) -> None:
        clock.now += seconds
        peers.update([])

    for _ in range(round(MEET_SECONDS)):
        wait(1)
    assert not peers.is_gone
    wait(1)
    assert peers.is_gone, "at the start it takes less time"
    peers.met()
    assert not peers.is_gone
    wait(600)  # asleep: only LONGEST_TICK_SECONDS of it count
    for _ in range(round(REUNION_SECONDS - LONGEST_TICK_SECONDS)):
        wait(1)
    assert not peers.is_gone
    wait(1)
    assert peers.is_gone


def test_the_last_group_is_recent_while_notices_catch_up_with_it(clock: Clock) -> None:
    peers = Peers("ours")
    assert peers.recent_group == []
    peers.exchanged([ANA, BEN])
    assert peers.recent_group == [ANA, BEN]
    clock.now += GRACE_SECONDS
    assert (peers.recent_group, peers.last_group) == ([], [ANA, BEN])
    peers.exchanged([ANA])
    peers.fell_behind()
    assert peers.recent_group == peers.last_group == []


def test_who_has_just_caught_up_gives_notices_time(clock: Clock) -> None:
    peers = Peers("ours")
    assert not peers.has_just_caught_up
    peers.caught_up()
    assert peers.has_just_caught_up
    clock.now += GRACE_SECONDS
    assert not peers.has_just_caught_up

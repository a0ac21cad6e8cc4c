"""Contributions: the part of this device's training that the others have."""

import pytest

from minigpt.checkpoint.manifest import Standing
from peer.state import contributions as module
from peer.state.contributions import Contributions
from peer.wire import Notice, Role

PEER = "D" * 12


def notice(anchor: str, role: Role = Role.TRAINING) -> Notice:
    return Notice(peer=PEER, name="peer", address="", role=role, lineage=anchor)


def trained(contributions: Contributions, lineage: str, own: int) -> None:
    """An exchange: so many sequences of ours, and as many of others."""
    after = contributions.own + own
    contributions.remember_anchor(lineage, 2 * after, after // 4, own)


def test_who_was_seen_at_an_anchor_of_ours_lacks_what_came_after_it() -> None:
    contributions = Contributions(Standing())
    for lineage in "abc":
        trained(contributions, lineage, 10)
    assert contributions.take_back(PEER) == 0, "it may have all of it"
    contributions.update([notice("a", Role.JOINING)])
    assert contributions.take_back(PEER) == 0, "a joiner has no anchor yet"
    contributions.update([notice("a")])
    contributions.update([notice("somewhere else")])
    assert (contributions.last_with(PEER).own, contributions.last_with(PEER).steps) == (10, 2)
    assert contributions.take_back(PEER) == 20
    assert contributions.own == 10
    assert contributions.take_back(PEER) == 0, "once"


def test_who_gave_to_the_mean_that_led_here_has_all_of_ours() -> None:
    contributions = Contributions(Standing())
    for lineage in "ab":
        trained(contributions, lineage, 10)
        contributions.together([PEER])
    trained(contributions, "c", 5)
    assert contributions.take_back(PEER) == 5


def test_it_is_known_after_an_end_as_well() -> None:
    contributions = Contributions(Standing())
    trained(contributions, "a", 10)
    contributions.together([PEER])
    trained(contributions, "b", 10)
    again = Contributions(Standing(own=contributions.own, met=contributions.met))
    assert again.last_with(PEER) == contributions.last_with(PEER)
    assert again.take_back(PEER) == 10


def test_it_keeps_no_more_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANCHORS", 3)
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    contributions = Contributions(Standing())
    for number in range(5):
        trained(contributions, f"anchor {number}", 10)
        contributions.together([f"peer {number}"])
    assert set(contributions.met) == {"peer 3", "peer 4"}
    contributions.update([notice("anchor 0")])
    assert contributions.take_back(PEER) == 0, "too long ago"
    contributions.update([notice("anchor 2")])
    assert contributions.take_back(PEER) == 20

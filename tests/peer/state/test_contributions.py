"""What of this device's training the others have."""

import pytest

from minigpt.checkpoint.manifest import Standing
from peer.state import contributions as module
from peer.state.contributions import Ledger
from peer.swarm.notice import Notice, Role

PEER = "D" * 12


def notice(anchor: str, role: Role = Role.TRAINING) -> Notice:
    return Notice(peer=PEER, name="peer", address="", role=role, anchor=anchor)


def trained(ledger: Ledger, lineage: str, own: int) -> None:
    """An exchange: so many sequences of ours, and as many of others."""
    ledger.own += own
    ledger.stand(lineage, 2 * ledger.own, ledger.own // 4)


def test_who_was_seen_at_an_anchor_of_ours_lacks_what_came_after_it() -> None:
    ledger = Ledger(Standing())
    for lineage in "abc":
        trained(ledger, lineage, 10)
    assert ledger.take_back(PEER) == 0, "it may have all of it"
    ledger.look([notice("a", Role.JOINING)])
    assert ledger.take_back(PEER) == 0, "a joiner has no anchor yet"
    ledger.look([notice("a")])
    ledger.look([notice("somewhere else")])
    assert (ledger.last_with(PEER).own, ledger.last_with(PEER).steps) == (10, 2)
    assert ledger.take_back(PEER) == 20
    assert ledger.own == 10
    assert ledger.take_back(PEER) == 0, "once"


def test_who_gave_to_the_mean_that_led_here_has_all_of_ours() -> None:
    ledger = Ledger(Standing())
    for lineage in "ab":
        trained(ledger, lineage, 10)
        ledger.together([PEER])
    trained(ledger, "c", 5)
    assert ledger.take_back(PEER) == 5


def test_it_is_known_after_an_end_as_well() -> None:
    ledger = Ledger(Standing())
    trained(ledger, "a", 10)
    ledger.together([PEER])
    trained(ledger, "b", 10)
    again = Ledger(Standing(own=ledger.own, met=ledger.met))
    assert again.last_with(PEER) == ledger.last_with(PEER)
    assert again.take_back(PEER) == 10


def test_it_keeps_no_more_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANCHORS", 3)
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    ledger = Ledger(Standing())
    for number in range(5):
        trained(ledger, f"anchor {number}", 10)
        ledger.together([f"peer {number}"])
    assert set(ledger.met) == {"peer 3", "peer 4"}
    ledger.look([notice("anchor 0")])
    assert ledger.take_back(PEER) == 0, "too long ago"
    ledger.look([notice("anchor 2")])
    assert ledger.take_back(PEER) == 20

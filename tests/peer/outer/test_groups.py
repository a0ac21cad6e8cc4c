"""The group of an exchange on the wire: who is in it, who is waited for, and who leads it."""

from __future__ import annotations

from functools import partial

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from peer.outer import averager as averager_module
from peer.wire import MAX_PEERS
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND, PATIENCE, Start, exchange, outcome


def test_a_group_is_as_large_as_the_best_informed_of_its_members_expects(start: Start) -> None:
    averagers = start()
    sizes = [2, 3, 2]  # two of them have not heard of the third yet, or not that it is ready
    informed = exchange(averagers[1], sizes[1])
    key = f"{averagers[1].prefix}.0b"
    assert wait_until(partial(averagers[0].dht.get, key, latest=True), BOUND), "it is the first that others will ask"
    controls = [exchange(averagers[0], sizes[0]), informed, exchange(averagers[2], sizes[2])]
    everybody = {averager.peer_id.to_base58(): 1 for averager in averagers}
    assert [outcome(control) for control in controls] == [everybody] * 3


def test_a_full_group_starts_at_once(start: Start) -> None:
    averagers = start(2)
    patience = 3 * BOUND
    controls = [exchange(averager, 2, patience=patience) for averager in averagers]
    assert all(outcome(control) for control in controls), "not within a third of the time a group may wait"


def test_who_expects_more_than_there_are_is_not_believed(start: Start) -> None:
    """One of a group that said 64 had all others wait for them, and none of their exchanges counted."""
    averagers = start(3)
    patience = 3 * BOUND
    controls = [exchange(averager, size, patience=patience) for averager, size in zip(averagers, (3, 64, 3))]
    assert [len(outcome(control) or {}) for control in controls] == [3] * 3


def test_nobody_asks_for_a_place_with_somebody_who_is_not_there(start: Start) -> None:
    """What looks for a group may be made up, and each of them would cost a while."""
    stranger, *known = start(3)
    alone = exchange(stranger, 3, patience=1.0, leaders=[])
    controls = [exchange(averager, 2, patience=PATIENCE, leaders=known, most=2) for averager in known]
    assert [len(outcome(control) or {}) for control in controls] == [2, 2]
    assert outcome(alone) is None


def test_a_group_waits_for_a_peer_that_does_not_come_as_long_as_it_was_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averager_module, "MATCHMAKING_SECONDS", 3.0)
    averagers = start(2)
    controls = [exchange(averager, 3, patience=3.0) for averager in averagers]
    together = {averager.peer_id.to_base58(): 1 for averager in averagers}
    assert [outcome(control) for control in controls] == [together] * 2


def test_a_peer_at_another_anchor_is_in_no_group_of_ours(start: Start) -> None:
    averagers = start()
    stranger = exchange(averagers[2], 2, lineage="bb")
    key = f"{averagers[2].prefix}.0b"
    looking = partial(averagers[0].dht.get, key, latest=True)
    assert wait_until(looking, BOUND), "the stranger is the first that the others will ask"
    controls = [exchange(averager, 2) for averager in averagers[:2]]
    together = {averager.peer_id.to_base58(): 1 for averager in averagers[:2]}
    assert [outcome(control) for control in controls] == [together] * 2
    assert not stranger.done()
    mate = exchange(averagers[0], 2, lineage="bb")
    assert outcome(stranger) == outcome(mate) is not None, "it only waited for somebody at the same place"


def test_a_stranger_takes_nobody_s_place(start: Start) -> None:
    first, second, stranger = start()
    begun = exchange(first, 2, leaders=[second])
    key = f"{first.prefix}.0b"
    assert wait_until(partial(second.dht.get, key, latest=True), BOUND)
    alone = exchange(stranger, 2, leaders=[first])
    assert not wait_until(alone.done, 2.0), "it was there first, and there are as many as were to come"
    controls = [begun, exchange(second, 2, leaders=[first]), alone]
    everybody = {averager.peer_id.to_base58(): 1 for averager in (first, second, stranger)}
    assert [outcome(control) for control in controls] == [everybody] * 3


def test_a_leader_that_does_not_begin_though_all_have_come_is_left_and_leads_no_more(start: Start) -> None:
    """It says that it expects a group of 64; before, it could have all others wait as often as it led them."""
    liar, *honest = start()
    patience = 3 * BOUND
    for lineage in ("aa", "bb"):
        lie = exchange(liar, 3, patience=patience, lineage=lineage, expects=MAX_PEERS)
        key = f"{liar.prefix}.0b"
        assert wait_until(partial(honest[0].dht.get, key, latest=True), BOUND), "it is the first that others will ask"
        controls = [exchange(averager, 3, patience=patience, lineage=lineage) for averager in honest]
        together = {averager.peer_id.to_base58(): 1 for averager in honest}
        assert [outcome(control) for control in controls] == [together] * 2
        lie.cancel()

"""What others have trained beside our anchor: while some have moved and others have not, nothing is lost sight of."""

from __future__ import annotations

from typing import Any

from peer.outer.offers import MAX_ANCHORS, MOST_TIMES, Offers
from peer.wire import Notice, Role

ROUND = 1000


def at(lineage: str, trained: int, offered: int, peer: str = "A", **more: Any) -> Notice:
    role = more.pop("role", Role.TRAINING)
    return Notice(
        peer=peer, name=peer, address="", role=role, lineage=lineage, trained=trained, offered=offered, **more
    )


def test_at_our_anchor_it_is_what_they_say_up_to_a_round_each() -> None:
    offers = Offers("one", ROUND)
    offers.update([at("one", 300, 40), at("one", 300, 10**9, "B"), at("", 0, 7, "C", role=Role.JOINING)], 300, own=0)
    assert (offers.samples, offers.ahead) == (40 + ROUND, 300)
    offers.update([at("one", 300, 50)], 300, own=0)
    assert offers.samples == 50, "B has left, and may never give what it had"


def test_where_exchanges_are_rare_several_rounds_are_believed_of_who_is_about_as_fast_as_we_are() -> None:
    offers = Offers("one", ROUND)
    offers.update([at("one", 300, 3 * ROUND), at("one", 300, 10**9, "B")], 300, own=2 * ROUND)
    assert offers.samples == 3 * ROUND + MOST_TIMES * 2 * ROUND


def test_what_was_trained_beside_an_exchange_counts_on_when_we_have_moved() -> None:
    offers = Offers("one", ROUND)
    offers.update([at("one", 300, 90)], 300, own=0)
    offers.anchor_moved("two", {"me": 30, "A": 60})
    assert offers.samples == 30, "known at once"
    offers.update([at("one", 300, 100)], 390, own=0)
    assert offers.samples == 40, "it has not moved yet, or the notice is from before"
    offers.update([at("one", 300, 60 + ROUND)], 390, own=0)
    assert offers.samples == ROUND, "no more than a round beside our anchor of now"
    offers.update([at("one", 300, 100)], 390, own=0)
    offers.anchor_moved("three", {"A": 25})
    offers.update([at("one", 300, 110)], 415, own=0)
    assert offers.samples == 25, "two exchanges later"
    offers.update([at("two", 390, 50)], 415, own=0)
    assert offers.samples == 25
    offers.update([at("three", 415, 27, paused="battery at 9 %")], 415, own=0)
    assert offers.samples == 27, "who rests has trained it all the same"


def test_who_is_ahead_tells_of_what_we_have_missed_and_no_more_than_a_round() -> None:
    offers = Offers("one", ROUND)
    offers.update([at("one", 300, 90)], 300, own=0)
    offers.update(
        [at("two", 400, 20), at("two", 400, 5, "B"), at("other", 410, 3, "C"), at("old", 200, 9, "D")], 300, own=0
    )
    assert (offers.samples, offers.ahead) == (90, 425)
    offers.update([at("two", 10**9, 20)], 300, own=0)
    assert offers.ahead == 300 + ROUND
    offers.update([], 300, own=0)
    assert (offers.samples, offers.ahead) == (0, 300)


def test_at_an_anchor_from_elsewhere_it_begins_anew() -> None:
    offers = Offers("one", ROUND)
    offers.update([at("one", 300, 90)], 300, own=0)
    offers.begin("other")
    assert offers.samples == 0
    offers.update([at("one", 300, 95), at("other", 500, 5, "B")], 500, own=0)
    assert offers.samples == 5


def test_an_anchor_of_long_ago_is_forgotten() -> None:
    offers = Offers("0", ROUND)
    for number in range(1, MAX_ANCHORS + 1):
        offers.anchor_moved(str(number), {"A": 1})
    offers.update([at("0", 300, 500)], 600, own=0)
    assert offers.samples == 0
    offers.update([at("1", 301, 500)], 600, own=0)
    assert offers.samples == 500 - (MAX_ANCHORS - 1)

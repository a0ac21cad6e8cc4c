"""What decides, without a socket: who founds, when a round closes, whose state is newest, what counts as a notice."""

from typing import Any

import pytest

from peer.membership import (
    Notice,
    Role,
    Start,
    came_and_left,
    decide_start,
    groupmates,
    newer_state,
    parse_notice,
    round_is_over,
)

RUN = "cellmind-0123456789ab"


def notice(letter: str, role: Role = Role.TRAINING, **fields: object) -> Notice:
    known: dict[str, Any] = {"run_id": RUN, "anchor": "aa", "round": 3, "trained": 300}
    return Notice(peer=letter * 12, name=f"device {letter}", address="", role=role, **{**known, **fields})


ME = notice("M", offered=10)


def test_a_peer_joins_whoever_trains_even_if_somebody_else_is_founding() -> None:
    me = notice("M", Role.LOOKING)
    assert decide_start(me, [notice("A", Role.FOUNDING), notice("Z")], False) is Start.JOIN


@pytest.mark.parametrize(
    ("role", "others", "looked", "expected"),
    [
        (Role.LOOKING, [], False, Start.LOOK),
        (Role.LOOKING, [], True, Start.FOUND),
        (Role.LOOKING, [("A", Role.LOOKING)], False, Start.LOOK),
        (Role.LOOKING, [("A", Role.LOOKING)], True, Start.WAIT),
        (Role.LOOKING, [("Z", Role.LOOKING)], True, Start.FOUND),
        (Role.LOOKING, [("Z", Role.FOUNDING)], True, Start.WAIT),
        (Role.FOUNDING, [("A", Role.LOOKING)], True, Start.FOUND),
        (Role.FOUNDING, [("A", Role.FOUNDING)], True, Start.WAIT),
        (Role.FOUNDING, [("Z", Role.FOUNDING)], True, Start.FOUND),
        (Role.LOOKING, [("A", Role.JOINING)], True, Start.FOUND),
    ],
)
def test_exactly_one_of_several_founds(
    role: Role, others: list[tuple[str, Role]], looked: bool, expected: Start
) -> None:
    assert decide_start(notice("M", role), [notice(*other) for other in others], looked) is expected


def test_two_that_look_at_the_same_instant_agree_on_one_founder() -> None:
    first, second = notice("A", Role.LOOKING), notice("B", Role.LOOKING)
    assert {decide_start(first, [second], True), decide_start(second, [first], True)} == {Start.FOUND, Start.WAIT}


def test_only_peers_at_our_round_and_anchor_are_groupmates() -> None:
    others = [
        notice("A"),
        notice("B", round=2),
        notice("C", anchor="bb"),
        notice("D", run_id="other"),
        notice("E", Role.JOINING),
    ]
    assert [mate.peer[0] for mate in groupmates(ME, others)] == ["A"]


def test_a_round_is_over_when_the_swarm_has_trained_it_together() -> None:
    assert not round_is_over(ME, [notice("A", offered=53)], 64)
    assert round_is_over(ME, [notice("A", offered=54)], 64)
    assert not round_is_over(ME, [notice("A", offered=500, anchor="bb", trained=200)], 64)


def test_a_round_is_over_when_a_mate_is_already_exchanging() -> None:
    assert round_is_over(ME, [notice("A", exchanging=True)], 64)
    assert not round_is_over(ME, [notice("A", exchanging=True, round=4)], 64)


def test_a_round_stays_open_for_a_joiner_but_not_for_ever() -> None:
    joining = notice("J", Role.JOINING, round=0, anchor="", trained=0)
    assert round_is_over(notice("M", offered=64), [], 64)
    assert not round_is_over(notice("M", offered=64), [joining], 64)
    assert round_is_over(notice("M", offered=256), [joining], 64)


def test_a_joiner_of_another_run_is_not_waited_for() -> None:
    assert round_is_over(notice("M", offered=64), [notice("J", Role.JOINING, run_id="other")], 64)


def test_the_newest_state_is_the_one_with_the_most_training_behind_it() -> None:
    ahead, further = notice("A", trained=301, round=4), notice("B", trained=400, round=4, anchor="bb")
    assert newer_state(ME, [ahead, further]) == further
    assert newer_state(ME, [notice("A"), notice("B", trained=200, round=2)]) is None
    assert newer_state(ME, [notice("A", trained=900, run_id="other"), notice("B", Role.JOINING, trained=900)]) is None


def test_of_two_anchors_at_the_same_place_one_wins_on_both_sides() -> None:
    other = notice("A", anchor="bb")
    assert newer_state(ME, [other]) == other
    assert newer_state(other, [ME]) is None


def test_who_came_and_who_left() -> None:
    came, left = came_and_left([notice("A"), notice("B")], [notice("B", offered=5), notice("C")])
    assert ([peer.peer[0] for peer in came], [peer.peer[0] for peer in left]) == (["C"], ["A"])


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "notice",
        {},
        {"round": -1},
        {"round": "3"},
        {"trained": 2**60},
        {"tokens_per_second": float("nan")},
        {"role": "emperor"},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "two\nlines"},
        {"name": "\x1b[31mred"},
        {"peer": "Z" * 12},
        {"extra": 1},
    ],
)
def test_what_is_not_a_notice_is_not_taken_for_one(broken: object) -> None:
    good = ME.model_dump(mode="json")
    assert parse_notice(ME.peer, good) == ME
    value = {**good, **broken} if isinstance(broken, dict) and broken else broken
    assert parse_notice(ME.peer, value) is None

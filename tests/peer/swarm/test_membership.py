"""Decisions without a socket: who founds, who exchanges with whom, whose state is newest, what is a notice."""

from typing import Any

import pytest

from peer.state.anchor import steps_of
from peer.swarm.grouping import (
    can_exchange,
    expected_group,
    full_group,
    groupmates,
    holds_us_up,
    in_company,
    is_quorum,
    mates_among,
    somebody_falters,
    wait_for_somebody,
)
from peer.swarm.membership import (
    MAX_MEMBERS,
    SILENCE_SECONDS,
    SUSPICION_SECONDS,
    Heard,
    Members,
    Passed,
    Start,
    apply,
    came_and_left,
    can_give,
    decide_start,
    is_earlier_twin,
    newer_state,
    pauses_changed,
)
from peer.swarm.names import KEPT_SECONDS, Names
from peer.wire import Notice, Role, parse_notice

RUN = "cellmind-0123456789ab"


def notice(letter: str, role: Role = Role.TRAINING, **fields: object) -> Notice:
    known: dict[str, Any] = {"run_id": RUN, "lineage": "aa", "round": 3, "trained": 300, "name": f"device {letter}"}
    address = f"/ip4/10.0.0.1/tcp/1/p2p/{letter * 12}"
    return Notice(**{"peer": letter * 12, "address": address, "role": role, **known, **fields})


ME = notice("M", offered=10)
NOBODY: frozenset[str] = frozenset()


def after(*events: Heard | Passed) -> Members:
    """The members after events that begin at 100 s."""
    members = apply(Members(), Passed(100.0))
    for event in events:
        members = apply(members, event)
    return members


def names(members: Members) -> list[str]:
    return [notice.name for notice in members.here]


def test_a_silent_peer_is_suspected_and_then_gone() -> None:
    spoke = Heard(notice("A"), 100.0)
    assert names(after(spoke)) == ["device A"]
    assert not after(spoke, Passed(100.0 + SUSPICION_SECONDS)).suspected
    silent = after(spoke, Passed(100.1 + SUSPICION_SECONDS))
    assert names(silent) == ["device A"]
    assert silent.suspected == {"A" * 12}
    assert not apply(silent, Heard(notice("A"), 104.0)).suspected, "it has only been slow"
    assert not names(after(spoke, Passed(100.0 + SILENCE_SECONDS)))
    assert SILENCE_SECONDS <= 10


def test_a_goodbye_counts_at_once_and_older_words_do_not_undo_it() -> None:
    spoke, goodbye = Heard(notice("A"), 100.0), Heard(notice("A", Role.LEFT), 101.0)
    assert not names(after(spoke, goodbye))
    assert not names(after(goodbye, spoke)), "words that come late"
    assert names(after(goodbye, Heard(notice("A", Role.LOOKING), 103.0))) == ["device A"], "it was started again"


def test_the_newest_word_counts_in_whatever_order_words_come() -> None:
    events = [Heard(notice("A", round=round), 100.0 + round) for round in (2, 1, 3, 0)]
    assert [member.round for member in after(*events).here] == [3]


def test_one_look_that_finds_nothing_makes_nobody_leave() -> None:
    members = after(Heard(notice("A"), 100.0), Heard(notice("B"), 99.0), Passed(102.0))
    assert names(members) == ["device A", "device B"]


def test_who_speaks_from_the_future_is_not_heard() -> None:
    members = after(Heard(notice("A"), 200.0), Heard(notice("B"), 103.0))
    assert names(members) == ["device B"], "clocks of one swarm may differ by seconds"


def test_a_flood_of_members_does_not_push_out_those_who_are_here() -> None:
    here = Heard(notice("A"), 100.0)
    flood = {f"{number:012}": Heard(notice("B"), 100.0) for number in range(MAX_MEMBERS - 1)}
    full = Members({**flood, here.notice.peer: here}, 100.0)
    assert len(apply(full, Heard(notice("C"), 101.0)).newest) == MAX_MEMBERS
    assert apply(full, Heard(notice("A", round=9), 101.0)).newest[here.notice.peer].notice.round == 9


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


def test_only_peers_at_our_anchor_are_groupmates() -> None:
    others = [
        notice("A"),
        notice("C", lineage="bb"),
        notice("D", run_id="other"),
        notice("E", Role.JOINING),
    ]
    assert [mate.peer[0] for mate in groupmates(ME, others)] == ["A"]


def test_who_rests_is_not_waited_for() -> None:
    resting = notice("R", paused="battery at 9 %")
    assert groupmates(ME, [resting]) == []
    assert expected_group(ME, [resting], [resting.peer]) == []
    assert in_company(ME, [resting]), "but can follow us"
    assert newer_state(ME, [notice("R", trained=900, paused="battery at 9 %")]) is not None, "and still gives its state"
    assert not wait_for_somebody([], [resting], NOBODY)


def test_whoever_is_on_the_way_to_our_anchor_is_waited_for() -> None:
    mate, late, joiner = notice("A"), notice("B", lineage="bb"), notice("J", Role.JOINING)
    assert wait_for_somebody([mate], [mate, late], NOBODY)
    assert not wait_for_somebody([mate], [mate, joiner], NOBODY)
    assert wait_for_somebody([], [joiner], NOBODY) and wait_for_somebody([], [late], NOBODY)
    assert not wait_for_somebody([mate], [mate, late], frozenset([late.peer])), "it may have left"


def test_who_knows_somebody_waits_for_strangers_no_more_unless_they_are_on_the_way() -> None:
    known, stranger, newcomer = notice("A"), notice("S"), notice("N")
    here, all_come = [known, stranger, newcomer], frozenset([known.peer, stranger.peer, newcomer.peer])
    friends, new = frozenset([known.peer]), frozenset([newcomer.peer])
    assert mates_among(here, all_come, NOBODY, NOBODY) == here, "at the start nobody knows anybody"
    assert mates_among(here, all_come, friends, NOBODY) == [known]
    assert mates_among(here, all_come, friends, new) == [known, newcomer]
    assert mates_among(here, friends, friends, new) == [known], "it did not come when it was waited for"
    assert mates_among([stranger, newcomer], all_come, friends, new) == [stranger, newcomer], "nobody else is here"
    assert mates_among([stranger], NOBODY, NOBODY, NOBODY) == [stranger], "for want of others"


def test_a_group_is_full_when_all_have_come_that_are_waited_for() -> None:
    assert full_group(["A", "B"], ["A"], 0) == 3
    assert full_group(["A", "B"], ["S"], 0) == 4, "a stranger takes nobody's place"
    assert full_group(["A"], ["A", "S"], 3) == 3, "nor is it waited for itself"
    assert full_group(["A"], ["A"], 4) == 4, "one of us has heard of more"


def test_whose_cable_is_out_stays_where_the_others_find_it() -> None:
    """For some seconds it only hears nothing: it moved on alone, one mean behind, and had to take the whole state."""
    mate, late = notice("A"), notice("B", lineage="bb")
    silent = frozenset([late.peer])
    known = frozenset([mate.peer])
    assert somebody_falters([], [late], silent, NOBODY)
    assert not somebody_falters([], [late], NOBODY, NOBODY)
    assert not somebody_falters([mate], [mate, late], silent, known), "the two of them go on"
    assert somebody_falters([mate], [mate, late], known, known)
    assert not somebody_falters([mate], [mate, late], known, NOBODY), "a stranger that falls silent holds up nobody"


def test_a_stranger_s_claim_to_be_ahead_holds_up_nobody_who_has_others_to_exchange_with() -> None:
    mate, second = notice("A"), notice("B")
    ahead = notice("C", lineage="cc", trained=2**30)
    also_ahead = notice("D", lineage="cc", trained=2**30)
    known = frozenset([ahead.peer])
    assert not holds_us_up(ME, [mate, ahead], NOBODY, NOBODY)
    assert holds_us_up(ME, [mate, ahead], known, NOBODY), "whom we know has only been faster"
    assert holds_us_up(ME, [mate, ahead, also_ahead], NOBODY, NOBODY), "most of the others are elsewhere"
    assert not holds_us_up(ME, [mate, second, ahead, also_ahead], NOBODY, NOBODY)
    assert holds_us_up(ME, [ahead], NOBODY, NOBODY), "there is nobody else"
    relay = notice("R", Role.RELAYING, lineage="cc", trained=2**30)
    assert holds_us_up(ME, [relay], NOBODY, NOBODY) and not holds_us_up(ME, [mate, relay], NOBODY, NOBODY)
    assert not holds_us_up(ME, [mate, second], known, NOBODY), "nobody is ahead"
    friend = frozenset([mate.peer])
    assert not holds_us_up(ME, [mate, ahead, also_ahead], friend, friend), "strangers may be as many as they like"
    assert holds_us_up(ME, [second, ahead, also_ahead], friend, friend), "we know nobody who stands with us"
    resting = mate.model_copy(update={"paused": "hot"})
    assert holds_us_up(ME, [resting, ahead], NOBODY, NOBODY), "who rests is in no exchange"


def test_nobody_waits_alone_for_who_is_on_the_way() -> None:
    late = notice("L", lineage="bb")
    mates = [notice("A", ready=True), notice("B", ready=True), notice("C"), notice("D")]
    assert wait_for_somebody(mates, [*mates, late], NOBODY), "two of five"
    mates[2] = notice("C", ready=True)
    assert not wait_for_somebody(mates, [*mates, late], NOBODY), "three of five go on"


def test_that_somebody_rests_is_said_once_and_not_for_every_per_cent() -> None:
    awake, resting, lower = notice("A"), notice("A", paused="battery at 9 %"), notice("A", paused="battery at 8 %")
    assert pauses_changed([awake], [resting]) == [resting]
    assert pauses_changed([resting], [lower]) == []
    assert pauses_changed([lower], [awake]) == [awake]
    assert pauses_changed([], [resting]) == [resting] and pauses_changed([], [awake]) == []


def test_company_is_whoever_trains_our_run_or_is_about_to() -> None:
    assert in_company(ME, [notice("A", lineage="bb")])
    assert in_company(ME, [notice("J", Role.JOINING, round=0, lineage="", trained=0)])
    assert not in_company(ME, [notice("A", run_id="other"), notice("L", Role.LOOKING)])


def test_those_of_the_last_exchange_are_expected_though_their_notices_are_behind() -> None:
    others = [notice("A"), notice("B", lineage="old", trained=200), notice("C", lineage="old", trained=200)]
    assert [mate.peer[0] for mate in expected_group(ME, others, [])] == ["A"]
    assert [mate.peer[0] for mate in expected_group(ME, others, [others[1].peer, ME.peer])] == ["A", "B"]
    assert expected_group(ME, [notice("B", run_id="other")], [notice("B").peer]) == []


@pytest.mark.parametrize(("came", "expected", "enough"), [(1, 2, False), (2, 2, True), (2, 4, False), (3, 4, True)])
def test_of_two_halves_of_a_swarm_at_most_one_moves_the_anchor(came: int, expected: int, enough: bool) -> None:
    assert is_quorum(came, expected) is enough


def test_the_anchor_takes_about_the_steps_of_who_trained_most() -> None:
    assert steps_of([(32, 8)]) == 8
    assert steps_of([(32, 8), (8, 2)]) == 8
    assert steps_of([(64, 16), (16, 4)]) == 16, "a slow one does not hold the fast one back"
    assert steps_of([(4 * steps, steps) for steps in (5, 5, 4, 8, 4, 6, 5, 5)]) == 6, "chance is no speed"
    assert steps_of([(16, 4)] * 3 + [(16, 2**20)]) == 4, "nor is what one of four says"
    assert steps_of([(0, 0)]) == 0
    assert steps_of([(16, 4), (10, 10)]) == 4, "many small steps of a phone are not many steps"


def test_the_newest_state_is_the_one_with_the_most_training_behind_it() -> None:
    ahead, further = notice("A", trained=301, round=4), notice("B", trained=400, round=4, lineage="bb")
    assert newer_state(ME, [ahead, further]) == further
    assert newer_state(ME, [notice("A"), notice("B", trained=200, round=2)]) is None
    assert newer_state(ME, [notice("A", trained=900, run_id="other"), notice("B", Role.JOINING, trained=900)]) is None
    relay = notice("R", Role.RELAYING, trained=900)
    assert newer_state(ME, [relay]) == relay
    assert groupmates(ME, [relay]) == expected_group(ME, [relay], [relay.peer]) == [], "it does not exchange"
    assert not in_company(ME, [relay])
    assert decide_start(notice("M", Role.LOOKING), [relay], True) is Start.JOIN


def test_of_two_devices_that_let_nothing_in_neither_gives_the_other_anything() -> None:
    me, open_one, shut = (
        notice("M", reachable=False),
        notice("A", trained=400),
        notice("Z", trained=500, reachable=False),
    )
    assert newer_state(me, [open_one, shut]) == open_one
    assert newer_state(notice("M"), [open_one, shut]) == shut
    assert not can_give(notice("M"), notice("A", Role.JOINING))


def test_an_exchange_needs_one_device_that_the_others_can_reach() -> None:
    me, open_one, shut = notice("M", reachable=False), notice("A"), notice("Z", reachable=False)
    assert can_exchange(me, [open_one, shut])
    assert can_exchange(me, [shut, notice("B", Role.JOINING)]), "a state that it can follow is made for it now"
    assert not can_exchange(me, [shut, notice("B", Role.LOOKING)])
    assert not can_exchange(me, [shut, notice("B", run_id="another")])
    assert can_exchange(notice("M"), [shut])


def test_of_two_anchors_at_the_same_place_one_wins_on_both_sides() -> None:
    other = notice("A", lineage="bb")
    assert newer_state(ME, [other]) == other
    assert newer_state(other, [ME]) is None


def test_who_came_and_who_left() -> None:
    came, left = came_and_left([notice("A"), notice("B")], [notice("B", offered=5), notice("C")])
    assert ([peer.peer[0] for peer in came], [peer.peer[0] for peer in left]) == (["C"], ["A"])


def test_of_two_with_one_identity_the_later_one_takes_another() -> None:
    first, second = notice("A", started=10.0), notice("A", started=12.0, address="/ip4/10.0.0.2/tcp/1/p2p/AAAAAAAAAAAA")
    assert is_earlier_twin(first, second) and not is_earlier_twin(second, first)
    assert not is_earlier_twin(first, first) and not is_earlier_twin(notice("B", started=1.0), first)
    at_once = second.model_copy(update={"started": first.started})
    assert is_earlier_twin(first, at_once) != is_earlier_twin(at_once, first)


def test_devices_of_one_name_are_told_apart_by_everybody_alike() -> None:
    desk, second, third = (
        notice(letter, name="desk", started=started) for letter, started in (("B", 1.0), ("C", 2.0), ("A", 3.0))
    )
    phone = notice("P", name="phone", started=0.0)

    def seen_by(me: Notice | None) -> dict[str, str]:
        others = [other for other in (desk, second, third, phone) if other != me]
        return {other.peer[0]: other.name for other in Names().distinct(others, me, 0.0)}

    assert seen_by(None) == {"B": "desk", "C": "desk (2)", "A": "desk (3)", "P": "phone"}
    assert seen_by(second) == {"B": "desk", "A": "desk (3)", "P": "phone"}
    assert seen_by(desk) == {"C": "desk (2)", "A": "desk (3)", "P": "phone"}


def test_a_device_that_takes_another_s_name_cannot_rename_it() -> None:
    desk, me = notice("B", name="desk", started=5.0), notice("M", name="phone", started=6.0)
    thief, second = notice("C", name="desk", started=0.0), notice("A", name="phone", started=0.0)
    twice = notice("D", name="desk (2)", started=1.0)
    names = Names()

    def seen(*others: Notice, now: float) -> list[str]:
        return [other.name for other in names.distinct(others, me, now)]

    assert seen(desk, now=0.0) == ["desk"]
    assert seen(thief, second, desk, now=100.0) == ["desk (2)", "phone (2)", "desk"], "whatever it says of its start"
    assert seen(twice, thief, now=101.0) == ["desk (2) (2)", "desk (2)"]
    assert seen(thief, desk, now=KEPT_SECONDS) == ["desk (2)", "desk"], "it was away, and has kept its name"
    renamed = desk.model_copy(update={"name": "hall"})
    assert seen(renamed, thief, now=KEPT_SECONDS + 1) == ["hall", "desk (2)"]
    newcomer = Names()
    assert newcomer.distinct([], me, 0.0) == []
    first = notice("F", name="phone", started=1.0)
    assert [other.name for other in newcomer.distinct([first], me, 1.0)] == ["phone"], "it was here before us"
    later = notice("E", name="desk", started=9.0)
    assert seen(later, now=KEPT_SECONDS + 2) == ["desk"], "nobody has it any more"


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
        {"paused": "\x1b[31mred"},
        {"paused": "x" * 65},
        {"peer": "Z" * 12},
        {"address": "/ip4/10.0.0.2/tcp/1/p2p/MMMMMMMMMMMM"},
        {"address": ""},
        {"started": float("inf")},
        {"started": -1.0},
        {"extra": 1},
    ],
)
def test_what_is_not_a_notice_is_not_taken_for_one(broken: object) -> None:
    good = ME.model_dump(mode="json")
    assert parse_notice(ME.address, good) == ME
    value = {**good, **broken} if isinstance(broken, dict) and broken else broken
    assert parse_notice(ME.address, value) is None
    assert parse_notice(f"{ME.address}M", good) is None


@pytest.mark.parametrize("peer", ["0" * 12, "Il" * 6, "Q" * 100])
def test_who_has_no_peer_id_is_not_heard(peer: str) -> None:
    address = f"/ip4/10.0.0.1/tcp/1/p2p/{peer}"
    assert parse_notice(address, {**ME.model_dump(mode="json"), "peer": peer, "address": address}) is None


@pytest.mark.parametrize("place", ["/ip4/\x1b[2J/tcp/1", "/dns4/evil/tcp/1", "/ip4/10.0.0.1/udp/1", "/ip4/1/tcp/1"])
def test_who_gives_no_address_is_not_heard(place: str) -> None:
    address = f"{place}/p2p/{ME.peer}"
    assert parse_notice(address, {**ME.model_dump(mode="json"), "address": address}) is None

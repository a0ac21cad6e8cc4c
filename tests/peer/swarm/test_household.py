"""The household: who belongs to it, what two devices know together, and whom to believe."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable

import pytest

from peer.swarm.changes import EPOCHS_AT_ONCE
from peer.swarm.household import (
    EJECTIONS_LEFT,
    HouseholdError,
    admitting,
    ejecting,
    fingerprint,
    is_ejected,
    is_member,
    locked,
    may_be_taken,
    may_have,
    members,
    merged,
    proof_against,
    unlocked,
    whole,
)
from peer.wire_household import MAX_CHANGES, MAX_DEVICES, MAX_EPOCH, Household
from tests.households import Named

RUN, OTHER_RUN = "cellmind-1a2b3c4d5e6f", "cellmind-f6e5d4c3b2a1"
KEYS = [f"{number:02x}" * 32 for number in range(16)]
DESK, PHONE, GUEST, NEW, TABLET, PUPPET = (Named(name) for name in ("Desk", "Phone", "Guest", "New", "Tabet", "Puppet"))
HOME = locked(None, RUN, ["Desk", "Phone", "Guest"], KEYS[0], DESK)
FOUR = locked(None, RUN, ["Desk", "Phone", "Guest", "Tabet"], KEYS[0], DESK)
INVITE = Household(run_id=RUN, epoch=1, key=KEYS[0])


def together(*known: Household, me: Named = DESK, new_key: str = KEYS[7]) -> Household:
    """What several devices know, as one of them puts it together in that order."""
    all_of_it = known[0]
    for other in known[1:]:
        all_of_it = merged(all_of_it, other, new_key, me)
    return all_of_it


def in_any_order(*known: Household, me: Named = DESK) -> Household:
    """The same, which has to be the same in any order, and again."""
    orders = [together(*order, *order, me=me) for order in itertools.permutations(known)]
    assert len({tuple(sorted(members(order))) for order in orders}) == 1
    return orders[0]


# ---------------------------------------------------------------------- what one device changes


def test_a_lock_makes_members_of_those_who_are_in() -> None:
    assert (HOME.epoch, HOME.key, members(HOME)) == (1, KEYS[0], ["Desk", "Guest", "Phone"])
    assert not is_member(HOME, "New") and not is_ejected(HOME, "New")
    assert not is_member(None, "Desk") and not is_ejected(None, "Desk") and fingerprint(None) == ""
    assert whole(HOME) == HOME


def test_who_is_ejected_is_out_under_a_new_key_and_can_be_let_in_again() -> None:
    without = ejecting(HOME, "Guest", KEYS[1], PHONE)
    assert (without.epoch, without.key) == (2, KEYS[1])
    assert is_ejected(without, "Guest") and not is_member(without, "Guest") and not may_have(without, "Guest", False)
    assert ejecting(without, "Guest", KEYS[2], DESK) == without, "two people may be of one mind"
    assert may_have(without, "Phone", False) and may_have(without, "New", True)
    assert may_have(unlocked(without, DESK), "Guest", False)
    again = admitting(without, "Guest", DESK)
    assert is_member(again, "Guest") and (again.epoch, again.key) == (2, KEYS[1])
    assert admitting(again, "Guest", DESK) == again


def test_who_was_let_in_may_send_away_who_let_it_in() -> None:
    """The desk that locked the run is sold."""
    with_new = admitting(HOME, "New", DESK)
    without = ejecting(ejecting(with_new, "Desk", KEYS[1], NEW), "Guest", KEYS[2], NEW)
    assert members(without) == ["New", "Phone"]
    assert members(in_any_order(without, with_new, HOME)) == ["New", "Phone"]


def test_a_run_that_is_opened_and_locked_again_has_another_key_and_whoever_is_there() -> None:
    opened = unlocked(ejecting(HOME, "Guest", KEYS[1], DESK), PHONE)
    assert not opened.is_locked and opened.epoch == 3
    again = locked(opened, RUN, ["Desk", "Guest"], KEYS[2], PHONE)
    assert (again.epoch, again.key) == (4, KEYS[2]) and members(again) == ["Desk", "Guest", "Phone"]
    anew = locked(opened, RUN, ["Desk", "Phone"], KEYS[3], NEW)
    assert (anew.epoch, members(anew)) == (4, ["Desk", "New", "Phone"]), "by somebody who came while it was open"
    here = together(opened, anew)
    there = together(anew, here, me=NEW)
    assert here.key == there.key == KEYS[3] and members(here) == members(there) == ["Desk", "New", "Phone"]
    assert fingerprint(here) == fingerprint(there)
    assert together(HOME, here, me=PHONE).key == KEYS[3], "who was away since before it was open follows"
    assert together(opened, anew, me=GUEST) == anew, "who was ejected, and is in the open run again, begins with it"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: locked(HOME, RUN, ["Desk"], KEYS[1], DESK), "locked already"),
        (lambda: locked(unlocked(HOME, DESK), OTHER_RUN, ["Desk"], KEYS[1], DESK), "is of run"),
        (lambda: locked(None, "", ["Desk"], KEYS[1], DESK), "trains no run yet"),
        (lambda: unlocked(None, DESK), "open already"),
        (lambda: unlocked(unlocked(HOME, DESK), DESK), "open already"),
        (lambda: ejecting(unlocked(HOME, DESK), "Guest", KEYS[1], DESK), "lock it first"),
        (lambda: ejecting(HOME, "New", KEYS[1], DESK), "does not belong"),
        (lambda: ejecting(HOME, "Guest", KEYS[1], NEW), "this device does not belong"),
        (lambda: merged(HOME, locked(None, OTHER_RUN, [], KEYS[1], DESK), KEYS[1], DESK), "is of run"),
        (lambda: locked(None, RUN, [f"P{number}" for number in range(MAX_DEVICES)], KEYS[0], DESK), "at most"),
        (lambda: whole(HOME.model_copy(update={"key": KEYS[1]})), "is not the one"),
        (lambda: whole(HOME.model_copy(update={"first": "ab" * 32})), "is not the one"),
    ],
)
def test_what_cannot_be_is_said(change: Callable[[], object], said: str) -> None:
    with pytest.raises(HouseholdError, match=re.escape(said)):
        change()


# ---------------------------------------------------------------------- what two know together


def test_what_several_devices_know_is_put_together_alike_in_any_order() -> None:
    ejected = ejecting(HOME, "Guest", KEYS[1], PHONE)
    known = [HOME, ejected, admitting(HOME, "New", DESK), unlocked(HOME, DESK)]
    known += [admitting(admitting(ejected, "Guest", DESK), "New", DESK)]
    results = {fingerprint(together(*order)) for order in itertools.permutations(known)}
    assert len(results) == 1


def test_two_locks_at_once_on_two_halves_end_in_one() -> None:
    everybody = ["Desk", "Phone", "Guest"]
    left = locked(None, RUN, everybody, KEYS[1], DESK)
    right = locked(None, RUN, [*everybody, "New"], KEYS[2], PHONE)
    here, there = together(left, right), together(right, left, me=PHONE)
    assert fingerprint(here) == fingerprint(there) != fingerprint(left) and here.key in KEYS[1:3] and here.epoch == 1
    assert members(here) == members(there) == ["Desk", "Guest", "New", "Phone"]
    later = in_any_order(ejecting(here, "Phone", KEYS[3], GUEST), ejecting(there, "New", KEYS[4], GUEST), left, right)
    assert members(later) == ["Desk", "Guest"]


def test_no_key_that_an_ejected_device_knows_wins() -> None:
    """Each half has ejected a device of the other half, which has the key of the other half."""
    left, right = ejecting(FOUR, "Guest", KEYS[1], DESK), ejecting(FOUR, "Phone", KEYS[2], TABLET)
    here, there = together(left, right, new_key=KEYS[3]), together(right, left, me=TABLET, new_key=KEYS[4])
    assert here.epoch == there.epoch == 3 and members(here) == members(there) == ["Desk", "Tabet"]
    assert (here.key, there.key) == (KEYS[3], KEYS[4])
    assert fingerprint(together(here, there)) == fingerprint(together(there, here, me=TABLET))
    assert together(here, right) == here, "which has nothing new in it"


def test_an_open_run_needs_no_new_key() -> None:
    again = locked(unlocked(admitting(HOME, "New", DESK), DESK), RUN, ["Desk"], KEYS[5], PHONE)
    opened = unlocked(again, DESK)
    assert in_any_order(ejecting(HOME, "Guest", KEYS[1], DESK), opened).key == ""


# ---------------------------------------------------------------------- what an ejected device makes up

NOW = ejecting(FOUR, "Guest", KEYS[1], DESK)  # and the tablet was away


def test_an_ejected_device_lets_nobody_in_by_a_member_that_was_away() -> None:
    made_up = admitting(FOUR, "Puppet", GUEST)
    assert is_member(made_up, "Puppet"), "which the tablet believes, alone with it"
    for makes_up in (made_up, admitting(made_up, "New", PUPPET), unlocked(made_up, GUEST)):
        away = together(FOUR, makes_up, me=TABLET)
        ours = in_any_order(NOW, away)
        assert members(ours) == ["Desk", "Phone", "Tabet"] and ours.key == KEYS[1]


def test_an_ejected_device_sends_nobody_away_but_whoever_ejected_it() -> None:
    made_up = ejecting(ejecting(FOUR, "Phone", KEYS[3], GUEST), "Desk", KEYS[4], GUEST)
    away = together(FOUR, made_up, me=TABLET)
    assert members(away) == ["Guest", "Tabet"]
    ours = in_any_order(NOW, away, me=TABLET)
    assert members(ours) == ["Phone", "Tabet"] and is_ejected(ours, "Guest")
    assert ours.key == KEYS[7], "a new one, by the tablet"
    again = admitting(ours, "Desk", PHONE)
    assert members(in_any_order(again, away, NOW)) == ["Desk", "Phone", "Tabet"], "once, and no more"


def test_who_was_let_in_by_an_ejected_device_does_not_undo_its_ejection() -> None:
    revenge = ejecting(admitting(FOUR, "Puppet", GUEST), "Desk", KEYS[3], PUPPET)
    assert members(in_any_order(NOW, revenge, me=TABLET)) == ["Phone", "Tabet"]


def test_nor_do_two_ejected_devices_that_both_vouch_for_it() -> None:
    five = admitting(FOUR, "New", DESK)
    now = ejecting(ejecting(five, "Guest", KEYS[1], DESK), "New", KEYS[2], DESK)
    both = together(admitting(five, "Puppet", GUEST), admitting(five, "Puppet", NEW), me=TABLET)
    ours = in_any_order(now, ejecting(both, "Desk", KEYS[4], PUPPET), me=TABLET)
    assert members(ours) == ["Phone", "Tabet"]


def test_a_lock_that_an_ejected_device_makes_up_is_none() -> None:
    lock = locked(None, RUN, ["Tabet", "Guest", "Puppet"], KEYS[5], GUEST)
    another = locked(None, RUN, ["Desk", "Guest", "New"], KEYS[6], PUPPET)
    away = together(FOUR, lock, another, ejecting(another, "Desk", KEYS[6], NEW), me=TABLET)
    ours = in_any_order(NOW, away, me=TABLET)
    assert not {"Guest", "New", "Puppet"} & set(members(ours)) and {"Phone", "Tabet"} <= set(members(ours))


@pytest.mark.parametrize("locker", [GUEST, PUPPET])
def test_an_ejected_device_does_not_capture_a_member_by_opening_the_run_and_locking_it_anew(locker: Named) -> None:
    opened = together(FOUR, unlocked(FOUR, GUEST), me=TABLET)
    assert not opened.is_locked
    captured = together(opened, locked(opened, RUN, ["Tabet", "Guest"], KEYS[5], PUPPET), me=TABLET)
    if locker is GUEST:
        captured = together(opened, locked(opened, RUN, ["Tabet", "Puppet"], KEYS[5], GUEST), me=TABLET)
    assert captured.key == KEYS[5] and is_member(captured, "Puppet")
    ours = in_any_order(NOW, captured, me=TABLET)
    assert members(ours) == ["Desk", "Phone", "Tabet"] and ours.key == KEYS[1]


def test_what_it_did_while_it_was_a_member_stays() -> None:
    before = admitting(HOME, "New", GUEST)
    ours = in_any_order(ejecting(before, "Guest", KEYS[1], DESK), before, admitting(before, "Puppet", GUEST))
    assert members(ours) == ["Desk", "New", "Phone"]
    assert members(admitting(ours, "Guest", NEW)) == ["Desk", "Guest", "New", "Phone"]


def test_who_is_let_in_again_does_not_bring_back_what_it_made_up() -> None:
    made_up = admitting(FOUR, "Puppet", GUEST)
    ours = in_any_order(admitting(NOW, "Guest", PHONE), made_up)
    assert members(ours) == ["Desk", "Guest", "Phone", "Tabet"]
    late = ejecting(ours, "Guest", KEYS[5], PHONE)
    assert members(in_any_order(late, admitting(NOW, "New", DESK), made_up)) == ["Desk", "New", "Phone", "Tabet"]


def test_who_has_an_old_key_does_not_come_in_by_it() -> None:
    away = admitting(FOUR, "Puppet", TABLET, has_key=True)  # which has the key from the guest
    assert members(in_any_order(NOW, away)) == ["Desk", "Phone", "Tabet"]
    by_a_person = admitting(FOUR, "New", TABLET)
    assert is_member(in_any_order(NOW, by_a_person), "New"), "who looked at a number"


def test_an_unlock_of_an_ejected_device_opens_nothing_by_whatever_way_it_comes_back() -> None:
    unaware, again = unlocked(FOUR, GUEST), admitting(NOW, "Guest", PHONE)
    opening = unaware.changes[-1]
    aware = type(opening).model_validate({**opening.model_dump(), "known": (NOW.changes[-1].id,), "epoch": 3})
    made_up = NOW.model_copy(update={"changes": (*NOW.changes, aware), "key": "", "epoch": 3})
    for opened in (unaware, made_up):
        for inside in (NOW, again, admitting(again, "New", DESK)):
            ours = in_any_order(inside, opened)
            assert ours.key == KEYS[1] and members(ours) == members(inside), "met, or let in with what it had"
    proof = proof_against(NOW, "Guest")
    outside = together(unaware, proof, me=GUEST)
    assert is_ejected(outside, "Guest")
    for change in (lambda: unlocked(outside, GUEST), lambda: locked(outside, RUN, ["Guest"], KEYS[5], GUEST)):
        with pytest.raises(HouseholdError, match="was ejected"):
            change()


def test_a_run_that_its_members_open_is_open_for_whom_they_ejected() -> None:
    opened = unlocked(NOW, DESK)
    assert not is_ejected(opened, "Guest") and not is_member(opened, "Guest")
    again = locked(opened, RUN, ["Desk", "Guest"], KEYS[5], DESK)
    assert is_member(again, "Guest") and is_ejected(locked(opened, RUN, ["Desk"], KEYS[5], DESK), "Guest")


def test_a_circle_of_ejections_leaves_none_of_it_in() -> None:
    circle = [
        ejecting(FOUR, "Phone", KEYS[1], DESK),
        ejecting(FOUR, "Guest", KEYS[2], PHONE),
        ejecting(FOUR, "Desk", KEYS[3], GUEST),
    ]
    ours = in_any_order(*circle, ejecting(FOUR, "Tabet", KEYS[4], GUEST), me=TABLET)
    assert members(ours) == ["Tabet"]


def test_an_epoch_that_nobody_can_follow_does_not_count() -> None:
    made_up = locked(None, RUN, ["Tabet", "Guest"], KEYS[5], GUEST)
    made_up = made_up.model_copy(
        update={"changes": (made_up.changes[0].model_copy(update={"epoch": MAX_EPOCH}),), "epoch": MAX_EPOCH}
    )
    ours = together(FOUR, made_up, me=TABLET)
    assert ours.epoch == 1 and ejecting(ours, "Guest", KEYS[1], TABLET).epoch == 2


def test_random_changes_come_to_the_same_wherever_they_are_put_together() -> None:
    rng, people = random.Random(5), [DESK, PHONE, GUEST, TABLET, NEW, PUPPET]
    for _ in range(30):
        views = [FOUR] * 3
        for _ in range(9):
            place, author, other = rng.randrange(3), rng.choice(people), rng.choice(people)
            try:
                if rng.random() < 0.5:
                    views[place] = ejecting(views[place], other.peer, rng.choice(KEYS), author)
                else:
                    views[place] = admitting(views[place], other.peer, author, has_key=rng.random() < 0.5)
            except (HouseholdError, ValueError):  # no member, or itself
                continue
            if rng.random() < 0.2:
                views[place] = together(views[place], rng.choice(views), me=author)
        in_any_order(*views, me=PUPPET)


# ---------------------------------------------------------------------- bounds


def test_who_fills_a_household_can_be_ejected() -> None:
    full, number = HOME, 0
    while len(full.changes) < MAX_CHANGES - EJECTIONS_LEFT:  # all at once, none of which knows of another
        number += 1
        puppet = f"Puppet{number}".replace("0", "z")
        full = full.model_copy(update={"changes": (*full.changes, admitting(HOME, puppet, GUEST).changes[-1])})
    with pytest.raises(HouseholdError, match=r"can change no more but by ejections: found the run anew"):
        admitting(full, "New", DESK)
    with pytest.raises(HouseholdError, match="changed more than"):
        together(full, admitting(HOME, "New", GUEST))
    ours = ejecting(full, "Guest", KEYS[1], DESK)
    assert is_ejected(ours, "Guest") and is_ejected(together(full, ours), "Guest")


def test_whatever_a_household_holds_fits_in_a_message() -> None:
    everybody = [f"P{number}".replace("0", "z").ljust(46, "x") for number in range(MAX_DEVICES - 1)]
    full, number = locked(None, RUN, everybody, KEYS[0], DESK), 0
    with pytest.raises(HouseholdError, match="too much at once"):
        while True:
            number += 1
            another = locked(None, RUN, everybody, f"{number:064x}", Named(everybody[number]))
            full = together(full, another, me=NEW)
    assert 20 < number < 40 and len(full.model_dump_json()) < Household.MAX_BYTES
    ours = ejecting(full, everybody[0], KEYS[1], DESK)
    assert len(ours.model_dump_json()) < Household.MAX_BYTES and together(full, ours, me=NEW) != full


def test_who_came_in_last_changes_something_where_many_did_at_once() -> None:
    many = HOME
    for number in range(1, 40):
        puppet = f"P{number}".replace("0", "z")
        many = many.model_copy(update={"changes": (*many.changes, admitting(HOME, puppet, DESK).changes[-1])})
    assert all(is_ejected(ejecting(many, "Guest", KEYS[1], Named(f"P{number}")), "Guest") for number in (1, 19, 39))


# ---------------------------------------------------------------------- whom to believe


@pytest.mark.parametrize(
    ("ours", "giver", "trained_with", "taken"),
    [
        (HOME, "Desk", False, True),
        (HOME, "New", True, False),  # a stranger, whatever it trains
        (HOME, "1nvited", False, True),
        (INVITE, "1nvited", False, True),
        (INVITE, "Desk", True, False),
        (None, "Desk", True, True),
        (None, "Desk", False, False),
        (unlocked(HOME, DESK), "Desk", False, True),
        (unlocked(HOME, DESK), "New", True, True),
        (unlocked(HOME, DESK), "New", False, False),
    ],
)
def test_a_household_is_taken_from_members_and_a_first_one_from_whoever_trains(
    ours: Household | None, giver: str, trained_with: bool, taken: bool
) -> None:
    offered = HOME.model_copy(update={"epoch": 9, "key": KEYS[6]})
    has_key = giver == "1nvited"
    assert may_be_taken(offered, ours, me="Phone", giver=giver, has_key=has_key, trained_with=trained_with) is taken


@pytest.mark.parametrize(
    ("ours", "me", "proved", "taken"),
    [
        (NOW, "Phone", ["Desk", "Tabet"], False),  # the tablet agrees
        (NOW, "Phone", [], True),  # we have it from the desk alone
        (NOW, "Phone", ["Desk"], True),
        (NOW, "Phone", ["Guest"], True),
        (NOW, "Desk", [], False),  # which has ejected it
        (admitting(NOW, "Puppet", DESK), "Phone", ["Puppet"], True),  # whom the desk has let in
    ],
)
def test_an_ejected_device_is_heard_as_long_as_nobody_else_agrees_with_who_ejected_it(
    ours: Household, me: str, proved: list[str], taken: bool
) -> None:
    assert may_be_taken(HOME, ours, me=me, giver="Guest", has_key=False, trained_with=True, proved=proved) is taken


def test_who_was_ejected_gets_what_proves_it_and_no_key() -> None:
    proof = proof_against(admitting(NOW, "New", DESK), "Guest")
    assert proof.key == "" and len(proof.changes) == 2
    assert is_ejected(together(FOUR, proof, me=GUEST), "Guest")
    assert together(FOUR, proof, me=GUEST).key == KEYS[0], "its door does not open by that"
    assert not is_ejected(together(admitting(NOW, "Guest", DESK), proof, me=GUEST), "Guest"), "let in again since"


def test_a_first_household_without_us_is_none_of_ours() -> None:
    assert not may_be_taken(HOME, None, me="New", giver="Desk", has_key=False, trained_with=True)


@pytest.mark.parametrize("left_out", [ejecting(HOME, "Guest", KEYS[1], DESK), HOME])
def test_nobody_locks_an_open_run_without_our_company(left_out: Household) -> None:
    """A stranger would part us from the others, by a lock that one of us has and another one has not."""
    absent = "Guest" if left_out is not HOME else "New"
    assert not may_be_taken(
        left_out, None, me="Phone", giver="Desk", has_key=False, trained_with=True, company=["Desk", absent]
    )
    assert may_be_taken(left_out, None, me="Phone", giver="Desk", has_key=False, trained_with=True, company=["Desk"])


def test_nobody_says_who_belongs_to_an_open_run() -> None:
    """A stranger would name itself, leave, and get the key of the owner's lock without having been shown."""
    planted = unlocked(locked(None, RUN, ["New", "Phone"], KEYS[1], NEW), NEW)
    for ours in (None, unlocked(HOME, DESK)):
        assert not may_be_taken(planted, ours, me="Phone", giver="New", has_key=False, trained_with=True)


def test_a_first_household_leaves_room_for_other_keys() -> None:
    made_up = HOME.model_copy(update={"epoch": EPOCHS_AT_ONCE + 1})
    assert not may_be_taken(made_up, None, me="Phone", giver="Desk", has_key=False, trained_with=True)

"""What the user is told of others, each thing once."""

from __future__ import annotations

import pytest

from peer.network import telling
from peer.network.node import View
from peer.network.telling import Told
from peer.swarm.household import admitting, ejecting
from peer.swarm.knocking import Knock, Outside
from peer.wire import Notice, Role
from tests.households import Named, household

HOME = household("cellmind-1a2b3c4d5e6f", "A", "B", ejected=("C",))


def test_that_the_run_was_locked_or_opened_by_somebody_is_told_once() -> None:
    said: list[str] = []
    told = Told(said.append)
    told.update(View(household=HOME, locked=True))
    assert not said, "it was when this device started, which says so itself"
    opened = View(household=HOME.model_copy(update={"key": "", "epoch": 2}))
    for view in (opened, opened, View(household=HOME, locked=True), View(household=HOME, locked=True)):
        told.update(view)
    assert ["open again" in said[0], "2 devices" in said[1], len(said)] == [True, True, 2]


def test_a_lock_that_was_refused_is_told_once_with_what_to_do() -> None:
    said: list[str] = []
    told, laptop = Told(said.append), Notice(peer="L", name="laptop", address="", role=Role.TRAINING)
    for view in (View(), *[View(notices=[laptop], left_out=("L",))] * 3, View(left_out=("M",))):
        told.update(view)
    assert len(said) == 1 and "it leaves out laptop" in said[0]
    assert "--invite" in said[0] and "--lock" in said[0]


def test_who_knocks_is_told_once_with_its_number_and_again_with_another_one() -> None:
    said: list[str] = []
    told = Told(said.append)
    for number in ("4827", "4827", "0001"):
        told.update(View(household=HOME, locked=True, knocks=[Knock("phone", "10.0.0.3", number, "P", 0.0)]))
    assert [line.split(" (where")[0] for line in said] == [
        "phone (10.0.0.3) knocks: 4827",
        "phone (10.0.0.3) knocks: 0001",
    ]
    assert "--admit 4827" in said[0]


def test_that_a_device_which_knocks_was_ejected_is_told() -> None:
    said: list[str] = []
    Told(said.append).update(View(household=HOME, locked=True, knocks=[Knock("phone", "10.0.0.3", "4827", "C", 0.0)]))
    assert said[0].startswith("phone (10.0.0.3) knocks: 4827 (it was ejected before; where it shows the same number")


DAD = Notice(peer="B", name="dad", address="/ip4/10.0.0.2/tcp/1/p2p/B", role=Role.TRAINING)
LET_IN = View(household=HOME, locked=True, outside=Outside(let_in_by="B"))


def test_who_was_let_in_is_told_by_whom_and_who_was_ejected_that_it_was() -> None:
    said: list[str] = []
    told = Told(said.append)
    met = View(household=HOME, locked=True, notices=[DAD], outside=LET_IN.outside)
    for view in (View(), LET_IN):
        told.update(view)
    assert not said, "it has not met the one that has signed it"
    for view in (met, met, View(household=HOME, locked=True, ejected=True, outside=LET_IN.outside)):
        told.update(view)
    assert said[0].startswith("let in by dad (10.0.0.2): ") and "was ejected from run" in said[1] and len(said) == 2
    assert "--admit NUMBER" in said[1] and "new invite" in said[1], "what to do"


def test_who_is_let_in_again_is_told_by_whom_though_a_member_came_before_its_question() -> None:
    said: list[str] = []
    told = Told(said.append)
    without = ejecting(HOME, "A", "cd" * 32, Named("B"))
    again = View(household=admitting(without, "A", Named("B")), locked=True, notices=[DAD])
    out = View(household=without, locked=True, ejected=True, outside=LET_IN.outside)
    for view in (out, again, View(**{**vars(again), "outside": LET_IN.outside}), out, again):
        told.update(view, "A")
    assert [line.split(":")[0].split(", and")[0] for line in said] == [
        "this device was ejected from run cellmind-1a2b3c4d5e6f",
        "let in by dad (10.0.0.2)",
    ] * 2


def test_nobody_is_named_who_has_not_proved_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "NAME_SECONDS", 0.0)
    said: list[str] = []
    Told(said.append).update(LET_IN)
    assert len(said) == 1 and said[0].startswith("let in: if none of you")


def test_all_members_are_told_who_was_let_in_or_ejected_and_by_whom() -> None:
    said: list[str] = []
    told, names = Told(said.append), {"A": "mom"}
    without = ejecting(HOME, "B", "cd" * 32, Named("A"))
    again = admitting(admitting(without, "B", Named("A")), "D", Named("A"), has_key=True)
    for known in (HOME, without, without, again):
        told.update(View(household=known, locked=True, notices=[DAD]), "A", names)
    assert said == ["mom ejected dad: there is a new key", "mom let dad in"], "the third has told no name yet"
    phone = DAD.model_copy(update={"peer": "D", "name": "phone"})
    for _ in range(2):
        told.update(View(household=again, locked=True, notices=[DAD, phone]), "A", names)
    assert said[2:] == ["phone came in by an invite"]
    Told(said.append).update(View(household=again, locked=True), "A", names)
    assert len(said) == 3, "what was before this device started"

"""A device before a locked run: whether it knocks, and what its user is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from minigpt import checkpoint
from minigpt.settings import run_id
from peer.device.processes import Stopped
from peer.joining import find_run, found_run, presence
from peer.joining.errors import JoinError
from peer.joining.find_run import SHUT_SECONDS, come_back, decide, find_donor, join_or_found
from peer.joining.found_run import found
from peer.joining.invite import Invite
from peer.joining.wanted_run import Wanted
from peer.network.address import Address
from peer.network.node import View
from peer.swarm.household import HouseholdError
from peer.swarm.knocking import Outside
from peer.swarm.membership import Start
from peer.wire import Role
from tests.peer.joining.test_join import (
    DESK,
    GIVEN,
    LATE,
    ME,
    PLAIN,
    RUN_ID,
    SOON,
    Said,
    like,
    presence_where,
    seen,
    settings_here,
)
from tests.tiny import SETTINGS, stand_in

SHUT = Outside(doors=(GIVEN,))
OPEN_INVITE, LOCKED_INVITE = Invite(GIVEN, "cellmind", RUN_ID), Invite(GIVEN, "cellmind", RUN_ID, "ab" * 32, 1)
GIVEN_PEER = Address.parse(GIVEN).peer


@pytest.fixture(autouse=True)
def nobody_dawdles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(find_run, "LOOK_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("view", "elapsed", "start"),
    [
        (seen(outside=SHUT), SOON, Start.LOOK),
        (seen(outside=SHUT), LATE, Start.KNOCK),
        (seen(DESK, outside=SHUT), SOON, Start.JOIN),
        (seen(like(DESK, "D", role=Role.FOUNDING), outside=SHUT), LATE, Start.WAIT),
        (seen(like(ME, "A"), outside=SHUT), LATE, Start.KNOCK),
        (seen(locked=True), SOON, Start.LOOK),
    ],
    ids=[
        "an open run may come",
        "only locked ones",
        "an open run beside it",
        "somebody founds",
        "somebody else knocks",
        "let in a moment ago",
    ],
)
def test_who_hears_of_locked_runs_alone_knocks(
    view: View, elapsed: float, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_run, "LOOK_SECONDS", 3.0)
    assert decide(ME, PLAIN, view, elapsed) is start


def test_who_was_let_in_founds_nothing_where_nobody_can_give_the_state() -> None:
    with pytest.raises(JoinError, match=r"belongs to a locked run, and nobody who has its state.*rm .*\.household"):
        decide(ME, PLAIN, seen(locked=True), LATE)


def test_an_address_of_a_locked_run_is_knocked_at_and_an_invite_to_it_says_what_is_wrong() -> None:
    wanted = Wanted(SETTINGS, Path("checkpoints"), given=(GIVEN,))
    assert decide(ME, wanted, seen(outside=SHUT), SOON) is Start.KNOCK
    before = Wanted(SETTINGS, Path("checkpoints"), given=(GIVEN,), invite=OPEN_INVITE)
    with pytest.raises(JoinError, match="the run of this invite is locked by now: ask for a new invite, or leave"):
        decide(ME, before, seen(outside=SHUT), SOON)
    old = Wanted(SETTINGS, Path("checkpoints"), given=(GIVEN,), invite=LOCKED_INVITE)
    assert decide(ME, old, seen(outside=SHUT), SOON) is Start.LOOK, "it may take a moment"
    with pytest.raises(JoinError, match="has a new key since it was made: ask for a new invite"):
        decide(ME, old, seen(outside=SHUT), SHUT_SECONDS + 1)
    inside = seen(DESK, locked=True, connected=[GIVEN_PEER])
    assert decide(ME, old, inside, SOON) is Start.JOIN


def test_the_number_is_told_once_and_a_new_one_again() -> None:
    said, asked = Said(), list[bool]()
    numbers = ["", "4827", "4827", "0001"]
    views = iter([seen(outside=Outside((GIVEN,), number)) for number in numbers] + 2 * [seen(DESK, locked=True)])
    me = presence_where(lambda: next(views), said, ask_in=asked.append)
    assert join_or_found(me, PLAIN) is Start.JOIN
    assert [line for line in said.lines if "let it in" in line] == [
        "asking the others to let it in: 4827",
        "asking the others to let it in: 0001",
    ]
    assert sum("--admit NUMBER" in line for line in said.lines) == sum("--run NAME" in line for line in said.lines) == 1
    assert asked == [True, True, True, False], "who is in does not knock"


def test_a_knock_that_has_come_to_nothing_is_said() -> None:
    said = Said()
    views = iter(2 * [seen(outside=Outside((GIVEN,), "", "nobody has let it in within 2 minutes"))] + [seen(DESK)])
    assert join_or_found(presence_where(lambda: next(views), said), PLAIN) is Start.JOIN
    assert "not in yet: nobody has let it in within 2 minutes; it asks again" in said.lines


def test_an_ejected_device_asks_to_be_let_in_before_it_goes_on() -> None:
    said, asked = Said(), list[bool]()
    views = iter([seen(ejected=True, outside=Outside((GIVEN,), "4827"))] * 3 + [seen(locked=True)])
    come_back(presence_where(lambda: next(views), said, ask_in=asked.append), PLAIN)
    assert "asking the others to let it in: 4827" in said.lines and asked[0] is True
    assert sum("rm checkpoints/cellmind.household checkpoints/cellmind.locked" in line for line in said.lines) == 1


def test_who_only_wants_the_state_of_a_locked_run_is_told_to_join_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_run, "UNANSWERED_SECONDS", 0.05)
    with pytest.raises(JoinError, match="there is a locked run on this network, and this device has no key"):
        find_donor(presence_where(seen(outside=SHUT), Said()), PLAIN, {})


# -- founding


@pytest.fixture
def founding(tmp_path: Path, tokenizer_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wanted]:
    monkeypatch.setattr(found_run, "RECOUNTS", 2)
    yield Wanted(settings_here(tmp_path, tokenizer_model), tmp_path / "checkpoints", private=True)


def test_a_private_run_is_locked_before_there_is_anything_of_it_to_take(
    founding: Wanted, tokenizer_model: Path
) -> None:
    locked: list[str] = []

    def lock(run: str, among: object) -> Any:
        assert among == () and not founding.checkpoints.exists()
        locked.append(run)
        return stand_in(wait=lambda: None)

    assert found(presence_where(seen(), Said(), lock=lock), founding) is not None
    assert locked == [run_id(founding.settings, checkpoint.file_sha256(tokenizer_model))]


def test_a_private_run_that_cannot_be_locked_is_not_founded(founding: Wanted) -> None:
    def lock(run: str, among: object) -> Any:
        raise HouseholdError("no space left on device")

    with pytest.raises(JoinError, match="cannot be founded as a private one: no space left"):
        found(presence_where(seen(), Said(), lock=lock), founding)
    assert not founding.checkpoints.exists()


def test_whoever_hears_of_a_locked_run_while_it_founds_asks_there_first(founding: Wanted) -> None:
    assert found(presence_where(seen(outside=SHUT), Said()), founding) is None


def test_who_knocks_can_be_ended() -> None:
    me = presence_where(seen(outside=SHUT), Said())
    me._deadline = 0.0
    with pytest.raises(Stopped):
        join_or_found(me, PLAIN)

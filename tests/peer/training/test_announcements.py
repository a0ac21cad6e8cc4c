"""The lines by which the person at a device follows the swarm, each said once."""

import time
from typing import Any

import pytest

from minigpt.settings import Settings
from peer.joining.outside import HOW_TO_ADMIT
from peer.network import clock
from peer.outer.events import CaughtUp, Reconnected, Setback
from peer.outer.interface import ExchangeReport
from peer.swarm.knocking import Outside
from peer.training import announcements
from peer.training.announcements import Announcements
from peer.training.round_log import RoundAtHand
from peer.wire import Notice, Role
from peer.wire_household import Household
from tests.households import household
from tests.tiny import stand_in


class Device:
    """A device whose screen is a list of lines."""

    def __init__(self) -> None:
        self.said, self.bar, self.asked = list[str](), list[tuple[Any, ...]](), list[list[Notice]]()
        self.inner = stand_in(step_seconds=0.5)
        self.outer = stand_in(
            others=[], exchange_report=ExchangeReport(0.0, None, []), progress=stand_in(round=4), round_progress=9
        )
        self.asked_in = list[bool]()
        view = stand_in(
            clock_shift=0.0, notices=[], locked=False, ejected=False, household=None, outside=Outside((), "", "")
        )
        self.network = stand_in(view=view, ask_in=self.asked_in.append)
        display = stand_in(
            note=lambda line, *about: self.said.append(line), progress=lambda *shown: self.bar.append(shown)
        )
        other_runs = stand_in(update=self.asked.append)
        self.earlier = stand_in(newest=lambda: None)
        self.announcements = Announcements(
            self.inner, self.outer, self.network, other_runs, self.earlier, Settings(), display
        )

    def polled(self) -> list[str]:
        """Return what one more call says."""
        self.said.clear()
        self.announcements.poll()
        return list(self.said)


@pytest.fixture
def device() -> Device:
    return Device()


def phone(**more: Any) -> Notice:
    return Notice(peer="A" * 12, name="phone", address="/ip4/10.0.0.2/tcp/1/p2p/A", role=Role.TRAINING, **more)


def test_who_comes_rests_and_leaves_is_said_once(device: Device) -> None:
    for others, line in (
        ([phone()], "phone is here (10.0.0.2)"),
        ([phone(paused="battery at 12 %")], "phone rests: battery at 12 %"),
        ([phone()], "phone trains again"),
        ([], "phone left"),
    ):
        device.outer.others = others
        assert (device.polled(), device.polled()) == ([line], [])
    assert len(device.asked) == 8, "other runs are looked for every time"


def test_a_locked_run_that_this_device_has_no_key_of_is_told_of_once(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "CHANGE_SECONDS", 0.0)
    door = f"/ip4/10.0.0.2/tcp/1/p2p/{'A' * 12}"
    device.network.view.outside = Outside((door,), "", "")
    device.network.view.locked, device.network.view.household = True, household("cellmind-1a2b3c4d5e6f", "Me")
    assert not device.polled(), "it has the key of its own run, and neighbours have another"
    device.network.view.locked = False
    [line], then = device.polled(), device.polled()
    assert "10.0.0.2" in line and "--invite" in line and not then


def test_a_lock_of_the_same_run_made_apart_is_told_of_once_with_the_way_out(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "CHANGE_SECONDS", 0.0)
    doors = {peer: f"/ip4/10.0.0.{number}/tcp/1/p2p/{peer}" for number, peer in enumerate("ABCD")}
    device.outer.others = [phone().model_copy(update={"peer": peer}) for peer in "ABC"]
    device.polled()
    device.outer.others = []
    assert device.polled() == ["phone left"] * 3
    view = device.network.view
    view.locked, view.outside = True, Outside(tuple(doors.values()))
    view.household = household("cellmind-1a2b3c4d5e6f", "Me", "A", ejected=("C",))
    [line], then = device.polled(), device.polled()
    assert "locked once more, apart, at 10.0.0.1:" in line and "--invite" in line and not then, (
        "A belongs to us and was away, C was ejected, and D is a neighbour that trains something else"
    )


def test_an_invite_that_opens_nothing_any_more_is_told_of_though_a_checkpoint_is_gone_on_with(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "CHANGE_SECONDS", 0.0)
    view = device.network.view
    view.locked, view.outside = True, Outside(("/ip4/10.0.0.2/tcp/1/p2p/A",))
    view.household = Household(run_id="cellmind-1a2b3c4d5e6f", epoch=1, key="ab" * 32)
    [line], then = device.polled(), device.polled()
    assert "the invite of this device opens nothing at 10.0.0.2" in line and "a new invite" in line and not then


def test_a_member_whose_run_was_opened_is_not_told_of_a_locked_one_meanwhile(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others were locked a moment ago as well, and some have not heard of it."""
    device.network.view.outside = Outside((f"/ip4/10.0.0.2/tcp/1/p2p/{'A' * 12}",), "", "")
    assert not device.polled()
    later = time.monotonic() + announcements.CHANGE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    device.network.view.notices = [phone()]
    assert not device.polled(), "which is here, whatever it announced before"
    device.network.view.notices = []
    assert not device.polled(), "its door is shut from now on"
    monkeypatch.setattr(time, "monotonic", lambda: 2 * later)
    assert len(device.polled()) == 1


def test_an_ejected_device_asks_to_be_let_in_again_and_shows_its_number(device: Device) -> None:
    device.network.view.ejected, device.network.view.outside = True, Outside(("door",), "4827")
    assert device.polled() == ["asking the others to let it in: 4827", HOW_TO_ADMIT] and not device.polled()
    device.network.view.ejected = False
    device.network.view.outside = Outside()
    assert not device.polled() and device.asked_in == [True, True, False]


def test_a_clock_that_is_wrong_and_right_again(device: Device) -> None:
    device.network.view.clock_shift = -3 * 3600.0
    [wrong], then = device.polled(), device.polled()
    assert "3" in wrong and "clock" in wrong and not then
    device.network.view.clock_shift = 0.0
    assert device.polled() == ["this device's clock is right again"]


def test_advice_is_given_once(device: Device) -> None:
    device.outer.exchange_report = ExchangeReport(20.0, None, [])
    [line] = device.polled()
    assert line.startswith("an exchange took 20 s, as long as 40 steps")
    device.outer.exchange_report = ExchangeReport(30.0, None, [])
    assert not device.polled()


def test_a_setback_that_repeats_is_said_once(device: Device) -> None:
    for reason in ("too few came", "too few came", "nobody came", "too few came"):
        device.announcements.say(Setback(reason))
    assert device.said == ["too few came", "nobody came", "too few came"]


def test_a_newer_state_and_a_new_network_part(device: Device) -> None:
    device.announcements.say(CaughtUp("phone", 1200, 0))
    device.announcements.say(CaughtUp("phone", 0, 300))
    device.announcements.say(Reconnected("10.0.0.3"))
    newer, kept, again, given_up, network = device.said
    assert newer == again == "took the newer state of phone: round 4"
    assert "1,200 sequences, goes into the next exchange" in kept
    assert "300 sequences, does not fit that state and is given up" in given_up
    assert network == "the network part of this device was started again, at 10.0.0.3"


def test_the_bar_shows_the_swarm_s_round_and_this_device_s_own_speed(device: Device) -> None:
    round = RoundAtHand()
    round.add(2.0, 64)
    device.announcements.show_progress(round)
    device.announcements.show_progress(round)
    [(number, done, total, status)] = device.bar  # no more than two in a second
    assert (number, done, total) == (5, 9, 256)
    assert status.startswith("loss 2.000 · ") and status.endswith(" tokens/s · alone")


def test_who_went_back_is_named_once_and_the_way_to_do_the_same_is_said_where_there_is_one(device: Device) -> None:
    said = {"peer": "P" * 12, "name": "phone", "address": f"/ip4/10.0.0.3/tcp/1/p2p/{'P' * 12}", "role": Role.TRAINING}
    phone = Notice.model_validate({**said, "round": 12, "went_back": clock.now() - 5.0})
    device.outer.others = [phone]
    assert "phone went back to an earlier state of its own, of round 12" in device.polled()
    assert device.polled() == []
    device.earlier.newest = lambda: "a state"
    device.outer.others = [phone.model_copy(update={"went_back": clock.now()})]
    (line,) = device.polled()
    assert line.endswith("and trains on without those that have not: python -m peer --go-back does the same here")
    device.outer.others = [phone.model_copy(update={"peer": "X" * 12, "went_back": clock.now() - 3 * 86_400.0})]
    assert not any("went back" in line for line in device.polled()), "that was long ago"

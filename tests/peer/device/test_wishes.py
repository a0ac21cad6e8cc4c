"""The owner's wishes: what they make of a device, what is kept, and what the control channel lets in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from peer.device import wishes as module
from peer.device.control import ControlError
from peer.device.device_requests import DeviceRequests
from peer.device.power import Cause
from peer.device.wishes import WISHES, QuietHours, Wishes
from tests.tiny import stand_in


@pytest.mark.parametrize(
    ("begins", "ends", "within", "without"),
    [
        ("22:00", "07:00", ["22:00", "23:59", "00:00", "06:59"], ["07:00", "12:00", "21:59"]),
        ("09:00", "17:30", ["09:00", "17:29"], ["08:59", "17:30", "23:00"]),
        ("08:00", "08:00", [], ["08:00", "20:00"]),
    ],
)
def test_quiet_hours(begins: str, ends: str, within: list[str], without: list[str]) -> None:
    hours = QuietHours(begins=begins, ends=ends)
    assert [now for now in (*within, *without) if hours.are_at(now)] == within


def test_a_pause_goes_first_and_ends_with_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", stand_in(strftime=lambda form: "23:00"))
    wishes = Wishes(tmp_path)
    assert wishes.rest is None
    wishes.set_quiet_hours(QuietHours(begins="22:00", ends="07:00"))
    wishes.pause()
    assert wishes.rest is not None and wishes.rest.cause is Cause.OWNER
    again = Wishes(tmp_path)
    assert again.rest is not None and again.rest.why == "quiet hours until 07:00"
    again.set_quiet_hours(None)
    assert Wishes(tmp_path).rest is None


def test_the_share_of_time_is_kept_and_the_command_line_goes_first(tmp_path: Path) -> None:
    Wishes(tmp_path).set_share_of_time(0.25)
    assert Wishes(tmp_path).share_of_time == 0.25
    assert Wishes(tmp_path, 0.5).share_of_time == 0.5
    assert Wishes(tmp_path).share_of_time == 0.25, "the command line is not kept"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"share_of_time": 0}', '{"quiet_hours": {"begins": "9"}}', "\xff"])
def test_wishes_that_cannot_be_read_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / WISHES).write_text(content, encoding="latin-1")
    wishes = Wishes(tmp_path)
    assert (wishes.share_of_time, wishes.quiet_hours) == (1.0, None)


def test_what_is_asked_once_is_done_once(tmp_path: Path) -> None:
    wishes = Wishes(tmp_path)
    wishes.ask_once("sync")
    assert (wishes.take("checkpoint"), wishes.take("sync"), wishes.take("sync")) == (False, True, False)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        *(("share", arguments) for arguments in ([], ["x"], ["0"], ["1.5"], ["nan"], ["-1"])),
        *(("quiet", arguments) for arguments in (["22:00"], ["24:00", "07:00"], ["22:00", "7"], ["", ""])),
    ],
)
def test_wishes_that_make_no_sense_get_a_word(tmp_path: Path, action: str, arguments: Sequence[str]) -> None:
    wishes = Wishes(tmp_path)
    with pytest.raises(ControlError):
        DeviceRequests(wishes).actions[action](arguments)
    assert (wishes.share_of_time, wishes.quiet_hours) == (1.0, None)


def test_a_wish_that_cannot_be_kept_counts_and_says_so(tmp_path: Path) -> None:
    wishes = Wishes(tmp_path / "nowhere")
    with pytest.raises(ControlError, match="is not kept for the next start: No such file"):
        DeviceRequests(wishes).share(["0.5"])
    assert wishes.share_of_time == 0.5

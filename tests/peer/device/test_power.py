"""Kind to the device: what makes training rest and go on, what is read of a device, and a real peer that rests."""

from __future__ import annotations

import os
import shlex
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from minigpt.settings import DeviceSettings
from peer.device import power
from peer.device.power import Breather, Cause, Reading, Rest, Watch, ask_termux, decide, parse_termux, read_device
from tests.devices import GentleDevice
from tests.lan import Lan, is_running, requirements_missing, wait_until

LIMITS = DeviceSettings()  # 20 %, 42 and 95 degrees
START = 180.0  # seconds
LOW = Rest(Cause.BATTERY, "battery at 9 %", "at 30 % or on a charger")


def supply(sys: Path, name: str, **files: str) -> Path:
    folder = sys / "class" / "power_supply" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(f"{text}\n")
    return folder


def zone(sys: Path, number: int, kind: str, temp: str) -> None:
    folder = sys / "class" / "thermal" / f"thermal_zone{number}"
    folder.mkdir(parents=True)
    (folder / "type").write_text(f"{kind}\n")
    (folder / "temp").write_text(f"{temp}\n")


# ---------------------------------------------------------------------- deciding


@pytest.mark.parametrize(
    ("reading", "cause"),
    [
        (Reading(), None),
        (Reading(battery=9), Cause.BATTERY),
        (Reading(battery=20), None),
        (Reading(battery=9, charging=True), None),
        (Reading(battery_celsius=43), Cause.BATTERY_HEAT),
        (Reading(battery=9, charging=True, battery_celsius=43), Cause.BATTERY_HEAT),
        (Reading(processor_celsius=96), Cause.PROCESSOR_HEAT),
        (Reading(battery=60, battery_celsius=42, processor_celsius=95), None),
    ],
)
def test_low_battery_without_a_charger_and_heat_are_reasons_to_rest(reading: Reading, cause: Cause | None) -> None:
    rest = decide(reading, LIMITS, None)
    assert (rest and rest.cause) is cause


def test_why_is_said_with_the_figure_and_when_it_goes_on() -> None:
    assert decide(Reading(battery=9), LIMITS, None) == LOW
    hot = decide(Reading(processor_celsius=101.4), LIMITS, None)
    assert hot is not None and (hot.why, hot.until) == ("processor at 101 °C", "at 91 °C")


@pytest.mark.parametrize(
    ("reading", "before", "rests"),
    [
        (Reading(battery=29), LOW, True),
        (Reading(battery=30), LOW, False),
        (Reading(battery=29, charging=True), LOW, False),
        (Reading(battery=29), None, False),
        (Reading(battery=25, battery_celsius=39), Rest(Cause.BATTERY_HEAT, "", ""), True),
        (Reading(battery=25, battery_celsius=38), Rest(Cause.BATTERY_HEAT, "", ""), False),
        (Reading(), LOW, False),
    ],
)
def test_who_rests_goes_on_once_it_is_better_by_a_margin(reading: Reading, before: Rest | None, rests: bool) -> None:
    assert (decide(reading, LIMITS, before) is not None) is rests


def test_a_threshold_of_none_never_rests() -> None:
    assert decide(Reading(battery=0), DeviceSettings(lowest_battery=0), None) is None


@pytest.mark.parametrize(("share", "rest"), [(1.0, 0.0), (0.5, 2.0), (0.25, 6.0)])
def test_a_step_is_followed_by_as_much_rest_as_its_share_of_time_asks_for(share: float, rest: float) -> None:
    breather = Breather(share)
    assert breather.left(100.0) == 0
    breather.worked(100.0, 102.0)
    assert breather.left(102.0) == pytest.approx(rest)
    assert breather.left(102.0 + rest / 2) == pytest.approx(rest / 2)
    assert breather.left(110.0) == 0


# ---------------------------------------------------------------------- reading


def test_no_sys_at_all_says_nothing(tmp_path: Path) -> None:
    assert read_device(tmp_path / "nowhere") == Reading()


def test_a_laptop_with_two_batteries_and_a_mouse(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="0")
    supply(tmp_path, "BAT0", type="Battery", status="Discharging", capacity="10", present="1")
    supply(tmp_path, "BAT1", type="Battery", status="Unknown", capacity="70", present="1")
    supply(tmp_path, "BAT2", type="Battery", status="Unknown", capacity="0", present="0")
    supply(tmp_path, "hid-mouse", type="Battery", scope="Device", status="Discharging", capacity="3")
    zone(tmp_path, 0, "x86_pkg_temp", "71000")
    zone(tmp_path, 1, "acpitz", "-273200")
    assert read_device(tmp_path) == Reading(battery=40, charging=False, processor_celsius=71)
    supply(tmp_path, "AC", online="1")
    supply(tmp_path, "BAT0", status="Not charging")
    assert read_device(tmp_path).charging


def test_a_phone_on_a_weak_charger_is_not_being_charged(tmp_path: Path) -> None:
    supply(tmp_path, "usb", type="USB", online="1")
    supply(tmp_path, "battery", type="Battery", status="Discharging", capacity="9", temp="315")
    zone(tmp_path, 7, "battery", "33000")
    assert read_device(tmp_path) == Reading(battery=9, charging=False, battery_celsius=33)


@pytest.mark.parametrize("nonsense", ["", "banana", "-5", "300", "9 9", "0x09", "1e400", "\x00\xff", "9" * 5000])
def test_nonsense_in_the_files_is_not_known(tmp_path: Path, nonsense: str) -> None:
    supply(tmp_path, "battery", type="Battery", status=nonsense, capacity=nonsense, temp="99999")
    zone(tmp_path, 0, nonsense, nonsense if nonsense not in ("-5", "300") else "900000")
    assert read_device(tmp_path) == Reading()


def test_files_that_are_folders_and_kinds_that_are_missing(tmp_path: Path) -> None:
    (supply(tmp_path, "battery", type="Battery") / "capacity").mkdir()
    supply(tmp_path, "what", capacity="5")
    (tmp_path / "class" / "power_supply" / "file").write_text("")
    assert read_device(tmp_path) == Reading()


def test_termux_answers_are_read_and_nonsense_is_not() -> None:
    answer = b'{"percentage": 9, "plugged": "UNPLUGGED", "status": "DISCHARGING", "temperature": 29.7}'
    assert parse_termux(answer) == Reading(battery=9, battery_celsius=29.7)
    plugged = b'{"percentage": 9, "plugged": "PLUGGED_AC", "status": "CHARGING", "temperature": 29.7}'
    assert parse_termux(plugged).charging
    for nonsense in (
        b"",
        b"[]",
        b"\xff",
        b'{"percentage": "9"}',
        b'{"percentage": true}',
        b'{"percentage": NaN}',
        b"{",
    ):
        assert parse_termux(nonsense) == Reading()


def install_termux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "termux-battery-status"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_termux_is_asked_where_sys_says_nothing_of_a_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_termux(tmp_path, monkeypatch, """echo '{"percentage": 9, "status": "DISCHARGING"}'""")
    watch = Watch(LIMITS, tmp_path / "nowhere")
    watch.start()
    try:
        assert wait_until(lambda: watch.rest is not None, START)
        assert watch.rest == LOW
    finally:
        watch.stop()


def test_a_program_that_cannot_be_started_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_termux(tmp_path, monkeypatch, "")
    (tmp_path / "termux-battery-status").write_bytes(b"\x7fELF of another processor")
    assert ask_termux() == Reading()


def test_a_question_that_android_never_answers_is_given_up_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_termux(tmp_path, monkeypatch, f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    monkeypatch.setattr(power, "TERMUX_SECONDS", 2.0)  # in which it has started its own
    started = time.monotonic()
    assert ask_termux() == Reading()
    assert time.monotonic() - started < 60
    pid = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not is_running(pid), START)


@pytest.mark.parametrize(
    ("battery", "reading", "rests"),
    [
        (SimpleNamespace(percent=9, secsleft=600, power_plugged=False), Reading(battery=9), True),
        (SimpleNamespace(percent=9, secsleft=-2, power_plugged=True), Reading(battery=9, charging=True), False),
        (SimpleNamespace(percent=9, secsleft=-1, power_plugged=None), Reading(battery=9), True),
        (SimpleNamespace(percent=-1, secsleft=-1, power_plugged=False), Reading(), False),
        (None, Reading(), False),  # an iMac
    ],
)
def test_a_mac_is_asked_through_psutil(
    battery: SimpleNamespace | None, reading: Reading, rests: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    supply(tmp_path, "battery", type="Battery", status="Discharging", capacity="60")
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(sensors_battery=lambda: battery))
    assert read_device(tmp_path).battery == 60, "Linux has files for it, and no psutil"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert read_device(tmp_path) == reading
    watch = Watch(LIMITS, tmp_path)
    watch.start()
    try:
        assert wait_until(lambda: watch.reading == reading, START)
        assert (watch.rest is not None) is rests
    finally:
        watch.stop()


# ---------------------------------------------------------------------- a real peer


@pytest.mark.lan
@pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")
def test_a_peer_on_a_low_battery_rests_stays_a_member_gives_its_state_and_goes_on(
    tmp_path: Path, round_zero: Path
) -> None:
    if not Path("/sys/class/power_supply").is_dir():
        pytest.skip("this kernel shows no power supplies for the test to hide behind a battery of its own")
    battery = supply(tmp_path, "battery", type="Battery", status="Discharging", capacity="60")
    with Lan(hosts=2) as lan:
        phone, desk = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        phone.prepare(round_zero)
        desk.prepare(round_zero, with_run=False)
        mount = shlex.join(("mount", "--bind", str(battery.parent), "/sys/class/power_supply"))
        peer = shlex.join((sys.executable, "-u", "-m", "peer", "--join", "--go-on", "--name", "phone"))
        resting = phone.host.start(
            *("unshare", "--mount", "sh", "-c", f"{mount} && exec {peer}"),
            cwd=phone.folder,
            log=phone.folder / "peer.log",
            env={"OMP_NUM_THREADS": "1"},
        )
        resting.wait_for("^phone trains", START)
        (battery / "capacity").write_text("9\n")
        resting.wait_for("^training rests: battery at 9 %; it goes on at 30 % or on a charger", START)

        working = desk.join()
        working.wait_for("^joined run .* through phone", START)
        working.wait_for("^phone rests: battery at 9 %", START)
        rounds = len(desk.metrics())
        alone = desk.wait_for_rounds(rounds + 3, START)[rounds:]
        assert len(alone) >= 3 and all(line["peers"] == ["host2"] for line in alone), "who rests is waited for"
        assert "phone left" not in working.output()
        assert wait_until(lambda: len(lan.hosts[0].pids()) <= 1 + 4, 30), (
            "more than four child processes, of which Android ends some"
        )

        (battery / "capacity").write_text("60\n")
        resting.wait_for("^training goes on", START)
        working.wait_for("^phone trains again", START)
        together = lambda: [line for line in desk.metrics() if len(line["peers"]) == 2 and line["share"] < 1]  # noqa: E731
        assert wait_until(together, START), resting.output() + working.output()
        assert "Traceback" not in resting.output() + working.output()

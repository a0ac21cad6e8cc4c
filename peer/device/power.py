"""The reasons why a device had better not train: its battery is low and not being charged, or it is hot.

What decides comes first, plain values in and out. What reads follows: on Linux `/sys/class/power_supply` and
`/sys/class/thermal`, on Android `termux-battery-status` (Termux:API) where these say nothing of a battery, on macOS
psutil. What cannot be read, or makes no sense, is not known, and what is not known is no reason to rest.
"""

from __future__ import annotations

import enum
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minigpt.settings import DeviceSettings

MARGIN_PERCENT = 10  # that a battery must have won before training goes on
MARGIN_DEGREES = 4  # that a device must have cooled down before it does
SENSIBLE_DEGREES = (-30.0, 150.0)  # what lies beyond is no temperature
FED = ("Charging", "Full", "Not charging")  # what a battery says that is not being used up
PERIOD_SECONDS = 3.0  # between two looks at files
TERMUX_PERIOD_SECONDS = 30.0  # between two questions to Android, each of which starts a program
TERMUX_SECONDS = 10.0  # that an answer may take: without the Termux:API app it never comes
MAX_BYTES = 4096  # of a file or an answer; a reading is a word


class Cause(enum.Enum):
    """The reasons to rest."""

    BATTERY = "battery"
    BATTERY_HEAT = "the battery's heat"
    PROCESSOR_HEAT = "the processor's heat"
    LEARNT = "nothing left to learn"
    OWNER = "the owner's pause"
    QUIET_HOURS = "quiet hours"
    FAULT = "a fault of its own"


@dataclass(frozen=True)
class Reading:
    """The state of the device as it says itself; None where it does not say."""

    battery: float | None = None  # per cent
    charging: bool = False  # or full, or held where it is by a charger
    battery_celsius: float | None = None
    processor_celsius: float | None = None


@dataclass(frozen=True)
class Rest:
    """The reason why training rests, in words that others read too, and when it goes on."""

    cause: Cause
    why: str
    until: str


def decide(reading: Reading, limits: DeviceSettings, before: Rest | None) -> Rest | None:
    """Return why to rest now, or None to train.

    A device that rests already, for the reason `before`, goes on only when that has become better by a margin.
    """

    def margin(cause: Cause, size: int) -> int:
        return size if before is not None and before.cause is cause else 0

    charge = limits.lowest_battery + margin(Cause.BATTERY, MARGIN_PERCENT)
    if limits.lowest_battery and reading.battery is not None and not reading.charging and reading.battery < charge:
        enough = limits.lowest_battery + MARGIN_PERCENT
        return Rest(Cause.BATTERY, f"battery at {reading.battery:.0f} %", f"at {enough} % or on a charger")
    for cause, what, celsius, hottest in (
        (Cause.BATTERY_HEAT, "battery", reading.battery_celsius, limits.hottest_battery),
        (Cause.PROCESSOR_HEAT, "processor", reading.processor_celsius, limits.hottest_processor),
    ):
        if celsius is not None and celsius > hottest - margin(cause, MARGIN_DEGREES):
            return Rest(cause, f"{what} at {celsius:.0f} °C", f"at {hottest - MARGIN_DEGREES} °C")
    return None


class Breather:
    """The rest between steps that keeps them to a share of the time, above 0 and up to 1."""

    def __init__(self, share: float):
        self._until = 0.0
        self.keep_to(share)

    def keep_to(self, share: float) -> None:
        """Take another share of the time, from the next step on."""
        self._rest_a_second = 1 / share - 1  # of work

    def worked(self, started: float, ended: float) -> None:
        """Take in a step, which began and ended at these seconds of `time.monotonic`."""
        self._until = ended + (ended - started) * self._rest_a_second

    def left(self, now: float) -> float:
        """Return the seconds to rest before the next step."""
        return max(0.0, self._until - now)


# ---------------------------------------------------------------------- reading


def read_device(sys_folder: Path) -> Reading:
    """Return what this device says: on macOS through psutil, elsewhere through the kernel's files in `sys_folder`."""
    return read_psutil() if sys.platform == "darwin" else read_sys(sys_folder)


def read_psutil() -> Reading:
    """Return the battery's state as psutil has it. Of heat it says nothing on macOS."""
    import psutil  # installed on macOS alone (setup.py)

    battery = psutil.sensors_battery()
    if battery is None:  # a desktop
        return Reading()
    return Reading(battery=_sensible(battery.percent, (0.0, 100.0)), charging=bool(battery.power_plugged))


def read_sys(sys_folder: Path) -> Reading:
    """Return what Linux says in `sys_folder`, which is /sys."""
    charges: list[float | None] = []
    temperatures: list[float | None] = []
    statuses: set[str | None] = set()
    plugged_in = False
    for supply in _folders(sys_folder / "class" / "power_supply"):
        kind = _word(supply / "type")
        if kind != "Battery":
            plugged_in = plugged_in or (kind not in (None, "UPS") and _word(supply / "online") == "1")
        elif (
            _word(supply / "scope") != "Device" and _word(supply / "present") != "0"
        ):  # not of a mouse, nor an empty bay
            charges.append(_number(supply / "capacity", 1, (0.0, 100.0)))
            temperatures.append(_number(supply / "temp", 10, SENSIBLE_DEGREES))
            statuses.add(_word(supply / "status"))
    known = [charge for charge in charges if charge is not None]
    zones: dict[bool, list[float | None]] = {True: temperatures, False: []}
    for zone in _folders(sys_folder / "class" / "thermal"):
        if zone.name.startswith("thermal_zone"):
            is_battery = "batt" in (_word(zone / "type") or "").lower()
            zones[is_battery].append(_number(zone / "temp", 1000, SENSIBLE_DEGREES))
    return Reading(
        battery=sum(known) / len(known) if known else None,
        charging="Discharging" not in statuses and (plugged_in or not statuses.isdisjoint(FED)),
        battery_celsius=_highest(zones[True]),
        processor_celsius=_highest(zones[False]),
    )


def ask_termux() -> Reading:
    """Return what Android says by way of the Termux:API app, if that is installed. Waits up to TERMUX_SECONDS."""
    command = shutil.which("termux-battery-status")
    if command is None:
        return Reading()
    try:
        with subprocess.Popen(
            [command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as asking:
            try:
                answer, _ = asking.communicate(timeout=TERMUX_SECONDS)
            finally:
                with suppress(ProcessLookupError):  # it starts others, one of which waits for ever
                    os.killpg(asking.pid, signal.SIGKILL)
    except (subprocess.TimeoutExpired, OSError):  # Android limits how many processes there are
        return Reading()
    return parse_termux(answer)


def parse_termux(answer: bytes) -> Reading:
    """Return the reading in Termux's answer, empty where it makes no sense.

    It is such as {"percentage": 55, "plugged": "UNPLUGGED", "status": "DISCHARGING", "temperature": 29.7}.
    """
    try:
        status = json.loads(answer[:MAX_BYTES])
    except (ValueError, RecursionError):
        return Reading()
    if not isinstance(status, dict):
        return Reading()
    return Reading(
        battery=_sensible(status.get("percentage"), (0.0, 100.0)),
        charging=status.get("status") in ("CHARGING", "FULL", "NOT_CHARGING") and status.get("plugged") != "UNPLUGGED",
        battery_celsius=_sensible(status.get("temperature"), SENSIBLE_DEGREES),
    )


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # Android lets nobody look; some systems have no /sys at all
        return []


def _word(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path, divisor: int, allowed: tuple[float, float]) -> float | None:
    try:
        return _sensible(float(_word(path) or "") / divisor, allowed)
    except ValueError:
        return None


def _sensible(value: object, allowed: tuple[float, float]) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and allowed[0] <= value <= allowed[1]:
        return float(value)
    return None


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


class Watch:
    """The newest reading, taken on a thread of its own: a sensor may take seconds, and Android may never answer.

    :param sys_folder: where Linux shows its devices
    """

    def __init__(self, limits: DeviceSettings, sys_folder: Path = Path("/sys")):
        self.reading = Reading()
        self._limits, self._sys_folder = limits, sys_folder
        self._rest: Rest | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="power", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    @property
    def rest(self) -> Rest | None:
        """The reason not to train now, or None."""
        self._rest = decide(self.reading, self._limits, self._rest)
        return self._rest

    def _look(self) -> None:
        termux, asked_in = Reading(), 0.0
        while not self._over.is_set():
            reading = read_device(self._sys_folder)
            if reading.battery is None:
                if asked_in <= 0:
                    termux, asked_in = ask_termux(), TERMUX_PERIOD_SECONDS
                reading = Reading(
                    battery=termux.battery,
                    charging=termux.charging,
                    battery_celsius=_highest((termux.battery_celsius, reading.battery_celsius)),
                    processor_celsius=reading.processor_celsius,
                )
            self.reading = reading
            asked_in -= PERIOD_SECONDS
            self._over.wait(PERIOD_SECONDS)

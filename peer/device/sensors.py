"""Thermal sensors that are stuck: they show the same, to the last digit, whatever the device does.

A hot one keeps its device from training for ever, and a cool one lets a hot device train on. Neither is overruled here,
for a sensor that is believed in vain costs less than a device that burns: both are said, once a start, to whoever can
look. Looks are counted and not hours, so that a device that was asleep has missed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from peer.device.power import PERIOD_SECONDS, Cause, Reading, Rest

HOT_LOOKS = 600  # half an hour of rest, in which a device that trained has cooled down by a digit at least
SAME_LOOKS = 3600  # three hours,
LOOKS_OF_EACH = 200  # with ten minutes of training and of rest among them at least
KINDS = (
    ("processor", Cause.PROCESSOR_HEAT, "hottest_processor"),
    ("battery", Cause.BATTERY_HEAT, "hottest_battery"),
)


class Thermometer:
    """One temperature, and for how many looks it has been the same.

    :param what: it is of, in words
    :param cause: of a rest, where it is too high
    :param limit: the setting that says when it is
    """

    def __init__(self, what: str, cause: Cause, limit: str):
        self._what, self._cause, self._limit = what, cause, limit
        self._celsius: float | None = None
        self._training = self._resting = self._hot = 0  # looks since it has changed; the last of them by its own heat
        self._is_said = False

    def look(self, celsius: float | None, rest: Rest | None) -> str:
        """Take in a reading, None where there is none; return what is to be said of it, or ""."""
        if celsius is None or celsius != self._celsius:
            self._celsius, self._training, self._resting, self._hot = celsius, 0, 0, 0
            return ""
        is_hot = rest is not None and rest.cause is self._cause
        self._training += rest is None
        self._resting += rest is not None
        self._hot = self._hot + 1 if is_hot else 0
        found = self._found()
        if not found or self._is_said:
            return ""
        self._is_said = True
        return found

    def _found(self) -> str:
        shows = f"the {self._what} is said to be at {self._celsius:.1f} °C"
        if self._hot >= HOT_LOOKS:
            return (
                f"{shows}, unchanged through {minutes(self._hot)} minutes of rest: its sensor seems to be stuck. If "
                f"the device is cool, set device.{self._limit} in config.json above that, and start it again"
            )
        is_long = self._training + self._resting >= SAME_LOOKS
        if is_long and min(self._training, self._resting) >= LOOKS_OF_EACH:
            hours = minutes(self._training + self._resting) // 60
            return (
                f"{shows}, unchanged through {hours} hours of training and rest: its sensor seems to be stuck, so this "
                "device cannot tell when it is hot; look after it yourself"
            )
        return ""


class StuckSensors:
    """Looks at every new reading once."""

    def __init__(self) -> None:
        self._last: Reading | None = None
        self._processor, self._battery = (Thermometer(*kind) for kind in KINDS)

    def look(self, reading: Reading, rest: Rest | None) -> Iterator[str]:
        """Yield what is to be said of a reading.

        :param rest: the reason why the device does not train now; None where it does
        """
        if reading is self._last:
            return
        self._last = reading
        found = (
            self._processor.look(reading.processor_celsius, rest),
            self._battery.look(reading.battery_celsius, rest),
        )
        yield from filter(None, found)


def minutes(looks: int) -> int:
    """Return how long so many looks take, in minutes."""
    return round(looks * PERIOD_SECONDS / 60)

"""A thermal sensor that is stuck is told from one that is not."""

from __future__ import annotations

import pytest

from peer.device.power import Cause, Reading, Rest
from peer.device.sensors import HOT_LOOKS, LOOKS_OF_EACH, SAME_LOOKS, StuckSensors

HOT = Rest(Cause.PROCESSOR_HEAT, "processor at 95 °C", "at 86 °C")
WARM = Rest(Cause.BATTERY_HEAT, "battery at 45 °C", "at 38 °C")
OWNER = Rest(Cause.OWNER, "paused by its owner", "when its owner says so")


def lines(sensors: StuckSensors, looks: int, rest: Rest | None, *celsius: float | None) -> list[str]:
    """What is said in so many looks, of which each takes the next of these temperatures of the processor."""
    found: list[str] = []
    for look in range(looks):
        reading = Reading(processor_celsius=celsius[look % len(celsius)], battery_celsius=30.0 + look % 7)
        found += sensors.look(reading, rest)
    return found


def test_a_hot_sensor_that_no_rest_cools_is_told_once() -> None:
    sensors = StuckSensors()
    assert lines(sensors, HOT_LOOKS, HOT, 95.0) == []
    (line,) = lines(sensors, 5 * HOT_LOOKS, HOT, 95.0)
    assert line == (
        "the processor is said to be at 95.0 °C, unchanged through 30 minutes of rest: its sensor seems to be stuck. "
        "If the device is cool, set device.hottest_processor in config.json above that, and start it again"
    )


def test_a_device_that_cools_down_slowly_has_no_stuck_sensor() -> None:
    sensors = StuckSensors()
    for degree in range(20):
        assert lines(sensors, HOT_LOOKS - 1, HOT, 100.0 - degree) == []


def test_a_sensor_that_shows_the_same_through_training_and_rest_is_told_once() -> None:
    sensors = StuckSensors()
    assert lines(sensors, SAME_LOOKS - LOOKS_OF_EACH + 1, None, 27.8) == []
    (line,) = lines(sensors, SAME_LOOKS, OWNER, 27.8)
    assert line.startswith("the processor is said to be at 27.8 °C, unchanged through 3 hours of training and rest: ")


@pytest.mark.parametrize("rest", (None, OWNER, WARM))
def test_the_same_temperature_under_the_same_load_says_nothing(rest: Rest | None) -> None:
    assert lines(StuckSensors(), 3 * SAME_LOOKS, rest, 51.0) == []


def test_one_other_reading_an_hour_is_enough() -> None:
    sensors = StuckSensors()
    for load in (None, OWNER) * 6:
        assert lines(sensors, SAME_LOOKS // 3, load, 51.0) == [] and lines(sensors, 1, load, 51.1) == []


def test_a_device_without_sensors_and_one_that_is_asleep_say_nothing() -> None:
    assert lines(StuckSensors(), 2 * SAME_LOOKS, None, None) == []
    asleep, reading = StuckSensors(), Reading(processor_celsius=95.0, battery_celsius=50.0)
    assert [line for _ in range(10 * SAME_LOOKS) for line in asleep.look(reading, HOT)] == []

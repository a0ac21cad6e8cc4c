"""The swarm's time: shifted once for all of hivemind, and never jumping."""

import sys
import time

import pytest
from hivemind.utils.timed_storage import TimedStorage

from peer.network import clock
from peer.network.hivemind_patches import read_our_clock


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("hivemind") and hasattr(module, "get_dht_time"):
            monkeypatch.setattr(module, "get_dht_time", module.get_dht_time)
    monkeypatch.setattr(clock._shift, "value", 0.0)


def test_it_is_the_systems_time_until_others_say_otherwise() -> None:
    assert clock.now() == pytest.approx(time.time(), abs=1.0)
    clock.shift_by(-3600.0)
    clock.shift_by(-60.0)
    assert clock.shift() == -3660.0
    assert clock.now() == pytest.approx(time.time() - 3660.0, abs=1.0)


def test_all_of_hivemind_reads_it_and_of_ours() -> None:
    read_our_clock()
    stale = [
        name
        for name, module in sys.modules.items()
        if name.startswith(("hivemind", "peer")) and getattr(module, "get_dht_time", clock.now) is not clock.now
    ]
    assert not stale
    storage: TimedStorage[str, int] = TimedStorage()
    storage.store("key", 1, time.time() + 100)
    assert "key" in storage
    clock.shift_by(200.0)
    assert "key" not in storage, "what expires follows the swarm's time"


def test_a_clock_that_is_set_right_meanwhile_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: before + 86_400)
    assert clock.now() == pytest.approx(before, abs=1.0)


def test_people_are_told_of_what_is_worth_telling() -> None:
    assert clock.difference(0.8) is None
    assert clock.difference(-10_800.0) == "this device's clock is 3 h ahead of the others': theirs is used"
    assert "is 2 days behind the others'" in (clock.difference(172_800.0) or "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2.4, "2 s"),
        (59.7, "1 min"),
        (-75.0, "1 min 15 s"),
        (10_799.98, "3 h"),
        (11_100.0, "3 h 5 min"),
        (-200_000.0, "2 days 8 h"),
    ],
)
def test_differences_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert clock.spoken(seconds) == words

"""What time it is: one of many cannot set the clock of all, and whoever was led astray by one comes back."""

from __future__ import annotations

import random

import pytest

from peer.swarm.clocks import FAR_SECONDS, agreed_time, believed, is_same, is_shared

HOUR, YEARS = 3600.0, 10 * 365 * 86_400.0


def settled(
    own: dict[str, float], current: dict[str, float], unreachable: dict[str, str], seed: int = 1
) -> dict[str, float]:
    """Return the absolute time of each device after all have asked each other, in some order, for a while.

    :param own: of each device, how far its own clock is ahead; of attackers as well, who never move
    :param current: the time that it goes by now
    :param unreachable: attackers, and the one device that each of them lets itself be reached by
    """
    order, times = random.Random(seed), dict(current)
    honest = [device for device in own if device not in unreachable]
    for turn in range(12):
        for device in order.sample(honest, len(honest)):
            seen = {
                other: times[other] - own[device]
                for other in own
                if other != device and unreachable.get(other, device) == device
            }
            mine = times[device] - own[device]
            if is_shared(mine, seen.values()) and order.random() < 0.5:  # it is reluctant to leave a shared time
                continue
            times[device] = own[device] + agreed_time(device, mine, seen, patient=turn < 3)
    return {device: times[device] for device in honest}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("own", "current"),
    [
        ({"A": 0.0, "B": 3 * HOUR}, {}),
        ({"A": 3 * HOUR, "B": 0.0}, {}),
        ({"A": 0.0, "B": 0.3, "C": -YEARS}, {}),
        ({"A": 0.0, "B": HOUR, "C": 2 * HOUR, "D": 3 * HOUR}, {}),
        ({"A": 0.0, "B": HOUR, "C": 2 * HOUR, "D": 0.0}, {"A": 0.0, "B": 0.0, "C": 2 * HOUR, "D": 2 * HOUR}),
        ({"A": 0.0, "B": 3 * HOUR, "C": 0.0}, {"A": 3 * HOUR, "B": 3 * HOUR}),
        ({str(number): number * HOUR for number in range(9)}, {}),
    ],
)
def test_honest_devices_end_in_one_time_whatever_their_clocks_say(
    own: dict[str, float], current: dict[str, float], seed: int
) -> None:
    times = list(settled(own, {**own, **current}, {}, seed).values())
    assert all(is_same(times[0], time) for time in times)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("names", ["ABXY", "XYAB", "AXYB"], ids="".join)
def test_two_attackers_ten_years_off_split_no_household(names: str, seed: int) -> None:
    """Each of them lets itself be reached by one victim only, which has taken its time before it met the others."""
    first, second, early, late = list(names)
    own = {first: 0.0, second: 0.5, early: -YEARS, late: YEARS}
    astray = {**own, first: -YEARS, second: YEARS}
    for current in (own, astray):
        times = settled(own, current, {early: first, late: second}, seed)
        assert all(abs(time) < 1.0 for time in times.values())


def test_a_household_does_not_follow_a_newcomer_and_a_newcomer_follows_the_household() -> None:
    assert agreed_time("A", 0.0, {"B": 0.2, "Z": HOUR}) == 0.0
    assert agreed_time("Z", 0.0, {"A": -HOUR, "B": -HOUR}) == -HOUR
    assert agreed_time("A", 5.0, {}) == 5.0, "alone there is nobody to agree with"


def test_of_two_the_one_with_the_lower_peer_id_stays_unless_the_other_never_moves() -> None:
    assert agreed_time("A", 0.0, {"B": HOUR}) == 0.0
    assert agreed_time("B", 0.0, {"A": HOUR}) == HOUR
    assert agreed_time("A", 0.0, {"B": HOUR}, patient=False) == HOUR


def test_a_clock_that_is_more_than_a_day_off_counts_only_where_we_go_by_it() -> None:
    clocks = {"A": 3 * HOUR, "B": -FAR_SECONDS, "C": YEARS, "D": -YEARS}
    assert believed(0.0, clocks).keys() == {"A", "B"}
    assert believed(YEARS + 0.5, clocks).keys() == {"A", "B", "C"}, "our own clock may be the odd one"

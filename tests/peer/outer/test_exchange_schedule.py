"""The exchange schedule: how often and how precisely a peer exchanges, from what exchanges have cost it."""

import pytest

from peer.outer.exchange_schedule import (
    CATCHING_UP_SECONDS,
    COST_SHARE,
    FINE_SHARE,
    LONGEST_PAUSE_SECONDS,
    MIN_PAUSE_SECONDS,
    USE,
    WHOLE_COST,
    ExchangeSchedule,
)
from peer.state.anchor import COARSE, FINE
from peer.state.codec import PART
from peer.wire import Notice, Role

SIZE = 4 * PART


def after(*costs: float, bits: int = COARSE) -> ExchangeSchedule:
    """A pace after exchanges that cost so many processor seconds each, on a link that is no hindrance."""
    made = ExchangeSchedule(SIZE)
    for cost in costs:
        made.exchanged(moved=10**9, seconds=1.0, processor_seconds=cost, brought=1.0)
        made.anchor_moved(bits)
    return made


KNOWN = frozenset(letter * 12 for letter in "ABC")


def mate(letter: str, pause: float) -> Notice:
    return Notice(peer=letter * 12, name=letter, address="", role=Role.TRAINING, pause=pause)


def test_exchanges_take_no_more_than_their_share_of_the_processor() -> None:
    assert after(9.0, 0.6).pause == pytest.approx(0.6 / COST_SHARE), "the first one is no measure"
    assert after(9.0).pause == MIN_PAUSE_SECONDS
    assert after(9.0, 0.001).pause == MIN_PAUSE_SECONDS
    assert after(9.0, 0.2, 0.2, 0.9).pause == pytest.approx(0.2 / COST_SHARE), "nor is a bad moment"
    assert after(9.0, 0.2, 0.2, 0.9, 0.9, 0.9).pause == pytest.approx(0.9 / COST_SHARE)
    assert after(9.0, 0.6, bits=FINE).pause == MIN_PAUSE_SECONDS, "rare ones in eight bits do not make all of them rare"


def test_a_group_keeps_to_the_longest_pause_that_one_of_it_needs() -> None:
    mates = [mate("A", 3.0), mate("B", 40.0)]
    assert after(9.0, 0.6).pause_with(mates, False, KNOWN) == 40.0
    assert after(9.0, 6.0).pause_with(mates, False, KNOWN) == pytest.approx(6.0 / COST_SHARE)
    assert after(9.0, 0.6).pause_with([mate("C", 9999.0)], False, KNOWN) == LONGEST_PAUSE_SECONDS
    stranger = after(9.0, 0.6).pause_with([mate("S", 300.0)], False, KNOWN)
    assert stranger == after(9.0, 0.6).pause, "one that has been in no exchange yet says what it likes"


def test_whoever_is_on_the_way_to_our_anchor_is_waited_for_longer_and_longer() -> None:
    made, mates = after(9.0, 0.001), [mate("A", 0.5)]
    pauses = []
    for _ in range(6):
        pauses.append(made.pause_with(mates, True, KNOWN))
        made.anchor_moved(COARSE)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 120.0]
    assert made.pause_with(mates, False, KNOWN) == 0.5, "it is here"
    assert made.pause_with([], True, KNOWN) == 120.0, "alone there is no hurry"
    assert made.pause_with(mates, True, KNOWN) == 5.0
    assert made.pause_with([], True, KNOWN) == 120.0, "not after mates that have just gone on, either"


def test_others_are_told_to_wait_for_a_newcomer_that_only_we_know_of() -> None:
    made, mates = after(9.0, 0.001), [mate("A", 0.5)]
    assert made.pause_to_tell(newcomers_are_awaited=False) == MIN_PAUSE_SECONDS
    assert made.pause_to_tell(newcomers_are_awaited=True) == CATCHING_UP_SECONDS[0]
    for _ in range(2):
        made.pause_with(mates, True, KNOWN)
        made.anchor_moved(COARSE)
    assert made.pause_to_tell(newcomers_are_awaited=True) == 4 * CATCHING_UP_SECONDS[0]
    assert made.longest_pause(mates, KNOWN) == MIN_PAUSE_SECONDS


def test_what_exchanges_cost_and_bring_is_known_after_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = ExchangeSchedule(SIZE), 0.0
    monkeypatch.setattr("peer.outer.exchange_schedule.time.monotonic", lambda: now)
    for number, brought in enumerate((9.0, 0.1, 0.1, 0.1, 0.2)):
        assert made.balance(cores=1) is None, number
        made.exchanged(moved=10**6, seconds=1.0, processor_seconds=0.5, brought=brought)
        made.anchor_moved(COARSE)
        now += 10.0
    cost, gain = made.balance(cores=1) or (0.0, 0.0)
    assert cost == pytest.approx(WHOLE_COST * 0.5 / 10.0)
    assert gain == pytest.approx(USE * 0.1), "one that comes with a long way behind it is no measure"
    assert made.balance(cores=4) == pytest.approx((cost / 4, gain)), "there is more to share"


def test_a_long_way_is_given_in_eight_bits_where_link_and_processor_have_room() -> None:
    quick = after(9.0, 0.01)
    assert quick.bits(trained_seconds=60.0, peers=2) == FINE
    assert after(9.0, 3.0).bits(trained_seconds=60.0, peers=2) == COARSE, "the processor has none"
    slow = after(9.0, 0.01)
    slow.exchanged(moved=10**5, seconds=1.0, processor_seconds=0.0, brought=1.0)
    assert slow.bits(trained_seconds=60.0, peers=2) == COARSE, "the link has none"
    assert slow.bits(trained_seconds=600.0, peers=2) == FINE


def test_what_goes_over_a_link_that_nobody_has_measured_is_small() -> None:
    """A joiner at 5 Mbit/s took 115 s for the means of 326 s, and the first exchange kept all else off its link."""
    assert ExchangeSchedule(SIZE).bits(trained_seconds=600.0, peers=2) == COARSE
    assert ExchangeSchedule(SIZE).bits(trained_seconds=600.0, peers=1) == COARSE, (
        "whoever comes will have to take that mean"
    )
    measured = ExchangeSchedule(SIZE)
    seconds = 4 * SIZE / 2 / 2.5e6  # half of what is given and half of the mean, out and in, at 20 Mbit/s
    measured.exchanged(moved=2_500_000, seconds=1.0, processor_seconds=0.0, brought=1.0)
    assert measured.bits(1.05 * seconds / FINE_SHARE, peers=2) == FINE
    assert measured.bits(0.95 * seconds / FINE_SHARE, peers=2) == COARSE

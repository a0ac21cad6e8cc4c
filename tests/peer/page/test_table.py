"""A run's rounds as columns: thinned, told anew or one by one, and put together where they are too many."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from peer.page import table
from peer.page.table import MetricsTable, rising


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"time": 1000.0 + number, "round": number, "tokens": 100 * number, "loss": 2.0, **more}


def rows(count: int) -> MetricsTable:
    made = MetricsTable("cellmind-1")
    for number in range(1, count + 1):
        made.add(row(number), "here")
    return made


def test_all_rounds_are_told_in_so_many_points_and_the_newest_is_the_last() -> None:
    made = rows(1000)
    for points in (1, 7, 999, 1000, 5000):
        told = made.thinned(points)
        assert len(told.round) == len(told.time) == len(told.loss) == min(points, 1000)
        assert told.round[-1] == 1000 and told.next == 1000 and told.reset
    assert MetricsTable("").thinned(10).round == []


def test_a_held_out_loss_is_not_thinned_away_and_losses_are_averaged() -> None:
    made = MetricsTable("")
    for number in range(100):
        made.add(row(number, loss=float(number % 2), **({"valid_loss": 3.0} if number == 41 else {})), "here")
    told = made.thinned(10)
    assert [value for value in told.valid_loss if value is not None] == [3.0]
    assert told.loss == [0.5] * 10


def test_what_is_no_number_is_left_open() -> None:
    made = MetricsTable("")
    made.add(row(1, loss=None, learning_rate="fast", valid_loss=float("nan"), tokens=True), "here")
    told = made.thinned(1)
    assert (told.loss, told.learning_rate, told.valid_loss, told.tokens) == ([None], [None], [None], [None])
    assert "NaN" not in told.model_dump_json()


def test_each_device_has_a_column_of_its_speed_from_when_it_came() -> None:
    made = MetricsTable("")
    made.add(row(1, tokens_per_second=10.0), "laptop")  # as before there were speeds
    made.add(row(2, speeds={"laptop": 11.0, "phone": 5}), "laptop")
    made.add(row(3, speeds={"laptop": 12.0}), "laptop")
    assert made.thinned(9).tokens_per_second == {"laptop": [10.0, 11.0, 12.0], "phone": [None, 5.0, None]}


def test_bytes_are_counted_across_starts() -> None:
    made = MetricsTable("")
    for sent in (5, 9, 2, None, 3):
        made.add(row(1, bytes_sent=sent), "here")
    assert made.thinned(9).bytes_sent == [5, 9, 11, 11, 12]


def test_new_rounds_are_told_alone_and_too_many_all_anew() -> None:
    made = rows(100)
    told = made.since(98, 10)
    assert (told.round, told.reset, told.next) == ([99, 100], False, 100)
    assert made.since(100, 10).round == []
    for count in (0, 50, 101):
        told = made.since(count, 10)
        assert told.reset and len(told.round) == 10 and told.round[-1] == 100


def test_a_long_run_is_kept_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "NEW_ROWS", 32)
    monkeypatch.setattr(table, "MOST_OLD_ROWS", 60)
    made = rows(1500)
    told = made.thinned(10_000)
    assert made.count == told.next == 1500
    assert len(told.round) <= 60 + 64
    numbers = [round for round in told.round if round is not None]
    assert numbers == sorted(numbers) and numbers[-20:] == list(range(1481, 1501))
    gaps = [later - earlier for earlier, later in pairwise(numbers)]
    assert numbers[0] <= 64 and max(gaps) <= 64, "all of the run is there"


def test_a_clock_that_is_set_back_lets_no_time_fall() -> None:
    assert rising([1.0, 9.0, 2.0, None, 3.0]) == [1.0, 2.0, 2.0, 3.0, 3.0]
    assert rising([]) == []

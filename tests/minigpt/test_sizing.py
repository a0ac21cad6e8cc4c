"""The law of sizes: what must follow from it, whatever its numbers are, and the choices that anybody would make."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from minigpt.sizing import LAW, NOTABLE, SIZES, VOCABULARIES, Outlook, Size, best, bytes_per_piece, look_out, saturated

LAPTOP = 50e9  # operations a second, in float32 on one core
MINUTES, NIGHT = 60.0, 8 * 3600.0
AMOUNTS = [10.0**power for power in range(3, 13)]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_more_time_and_more_text_make_nothing_worse(size: Size, vocab_size: int) -> None:
    for text in AMOUNTS:
        bits = [LAW.bits_per_byte(size, vocab_size, trained, text) for trained in AMOUNTS]
        assert all(later <= earlier for earlier, later in pairwise(bits)) and bits[-1] > LAW.floor
    for trained in AMOUNTS:
        bits = [LAW.bits_per_byte(size, vocab_size, trained, text) for text in AMOUNTS]
        assert all(more <= less for less, more in pairwise(bits))


def test_text_that_is_seen_again_teaches_less_and_never_more_than_so_many_passes() -> None:
    assert saturated(99, 100, 15) == 99
    assert saturated(200, 100, 15) == pytest.approx(200, rel=0.02), "the second pass is nearly as good as the first"
    assert 1500 < saturated(10_000, 100, 15) < saturated(1e9, 100, 15) == 1600


def chosen(seconds: float, text: int, rate: float = LAPTOP) -> str:
    """The size that is best after so many seconds."""
    outlooks = {
        name: best(look_out(size, vocab_size, seconds * rate, text) for vocab_size in VOCABULARIES)
        for name, size in SIZES.items()
    }
    least = best(outlooks.values())
    return next(name for name, outlook in outlooks.items() if outlook == least)


def test_minutes_are_for_a_small_model_and_many_nights_of_much_text_for_a_larger_one() -> None:
    assert chosen(10 * MINUTES, 20_000_000) == "small"
    assert chosen(30 * NIGHT, 50_000) in ("small", "medium"), "of so little text there is nothing more to learn"
    assert chosen(60 * NIGHT, 1_000_000_000, rate=20 * LAPTOP) != "small"


def test_of_those_that_are_as_good_the_smallest_is_taken() -> None:
    small, large = (
        Outlook(SIZES["small"], 4000, 1.5, 1.0),
        Outlook(SIZES["large"], 4000, 1.5 * (1 - 0.5 * NOTABLE), 1.0),
    )
    assert best([large, small]) is small
    better = Outlook(SIZES["large"], 4000, 1.5 * (1 - 2 * NOTABLE), 1.0)
    assert best([better, small]) is better


def test_a_token_of_a_larger_vocabulary_stands_for_more_text() -> None:
    counts = [bytes_per_piece(vocab_size) for vocab_size in (300, 2000, 3000, 4000, 8000, 100_000)]
    assert counts == sorted(counts) and counts[0] == counts[1] and counts[-2] == counts[-1]


def test_the_law_is_arithmetic_that_loads_no_torch() -> None:
    code = "import sys, minigpt.sizing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""benchmarks/sizes.py without its training: the law is found again in measurements that follow one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.sizes import Point, fit, points_of, size_of
from minigpt.sizing import LAW, Law


def points(law: Law) -> list[Point]:
    """Measurements of three sizes, two vocabularies and two texts that follow the law."""
    return [
        Point(
            size_of(size), vocab_size, trained, text, law.bits_per_byte(size_of(size), vocab_size, trained, text), 1.0
        )
        for size in ("256x4", "384x6", "512x6")
        for vocab_size in (4000, 8000)
        for text in (3e5, 2e7)
        for trained in (5e5, 1e6, 2e6, 4e6)
    ]


def test_a_law_is_found_again_by_what_it_foretells() -> None:
    planted = replace(LAW, text=1.4 * LAW.text, text_exponent=LAW.text_exponent + 0.03, passes=8.0, lag_exponent=0.12)
    measured = points(planted)
    before = max(abs(point.foretold(LAW) / point.bits - 1) for point in measured)
    after = max(abs(point.foretold(fit(measured)) / point.bits - 1) for point in measured)
    assert before > 0.03 and after < 0.005


def test_what_measurements_say_nothing_of_stays() -> None:
    one_pass = [point for point in points(LAW) if point.trained < point.text]
    assert abs(fit(one_pass).passes / LAW.passes - 1) < 0.01


def test_the_best_so_far_counts_and_the_warm_up_does_not() -> None:
    curve = [(10, 10_000, 2.5), (20, 100_000, 2.0), (40, 200_000, 2.1)]
    measurement: dict[str, Any] = {
        "size": "256x4",
        "in_text": {"text": 400_000, "tokens": 100_000, "vocab_size": 2000},
        "curve": [{"seconds": seconds, "tokens": tokens, "bits": bits} for seconds, tokens, bits in curve],
    }
    assert [(point.trained, point.bits, point.share) for point in points_of(measurement)] == [
        (400_000, 2.0, 0.5),
        (800_000, 2.0, 1.0),
    ]

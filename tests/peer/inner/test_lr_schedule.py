"""The learning rate and its course over a run."""

import pytest

from minigpt.settings import TrainingSettings
from peer.inner.lr_schedule import HOLD_SEQUENCES, learning_rate, lr_of_next_step


def test_the_rate_warms_up_in_equal_steps_and_stays() -> None:
    rates = [learning_rate(0.8, own, own, 8) for own in range(20)]
    assert rates[:8] == pytest.approx([0.1 * step for step in range(1, 9)])
    assert rates[8:] == [0.8] * 12
    assert learning_rate(0.8, HOLD_SEQUENCES, HOLD_SEQUENCES, 8) == 0.8


def test_a_device_warms_up_no_sooner_for_what_others_have_trained() -> None:
    alone = [learning_rate(0.8, own, own, 256) for own in range(0, 256, 8)]
    of_eight = [learning_rate(0.8, 8 * own, own, 256) for own in range(0, 256, 8)]
    assert of_eight == alone


def test_the_rate_falls_with_the_inverse_square_root_and_never_to_nothing() -> None:
    assert learning_rate(0.8, 4 * HOLD_SEQUENCES, HOLD_SEQUENCES, 8) == pytest.approx(0.4)
    assert learning_rate(0.8, 100 * HOLD_SEQUENCES, HOLD_SEQUENCES, 8) == pytest.approx(0.08)
    assert learning_rate(0.8, HOLD_SEQUENCES + 1, HOLD_SEQUENCES, 8) < 0.8
    assert learning_rate(0.8, 2**53, HOLD_SEQUENCES, 8) == pytest.approx(0.008)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(0.8, 0, 0, 0) == 0.8


def test_where_training_diverged_a_share_of_the_rate_is_left() -> None:
    training = TrainingSettings(lr=0.8, warmup_sequences=8)
    assert lr_of_next_step(training, trained_by_all=100, own=3) == learning_rate(0.8, 100, 3, 8)
    rate = lr_of_next_step(training, trained_by_all=4 * HOLD_SEQUENCES, own=100, share=0.25)
    assert rate == learning_rate(0.8, 4 * HOLD_SEQUENCES, 100, 8) / 4 == pytest.approx(0.1)

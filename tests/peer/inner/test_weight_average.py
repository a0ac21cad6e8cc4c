"""The average of the parameters: over which part of the training it is, and when it begins anew."""

from __future__ import annotations

import pytest
import torch

from peer.inner.weight_average import SHARE, STEPS, WeightAverage


def after(steps: int, trained_before: int = 0, devices: int = 1) -> tuple[torch.Tensor, WeightAverage]:
    """A parameter that is n after n steps of 4 sequences on each of the devices, and its average."""
    parameter = torch.zeros(3)
    average = WeightAverage([parameter])
    for step in range(1, steps + 1):
        parameter.fill_(step)
        average.add(4, trained_before + 4 * devices * step)
    return parameter, average


@pytest.mark.parametrize("devices", [1, 10])
def test_it_reaches_back_over_a_tenth_of_all_training(devices: int) -> None:
    _, average = after(4000, devices=devices)
    behind = 4000 - float(average.average[0][0])
    assert behind == pytest.approx(SHARE * 4000, rel=0.15)


def test_who_comes_late_averages_what_it_has_seen() -> None:
    """Of a run that is far on there is no more to average than what was trained here."""
    _, average = after(100, trained_before=10**6)
    assert float(average.average[0][0]) == pytest.approx(52, abs=STEPS)


def test_it_is_the_parameters_themselves_at_the_start_and_after_a_leap() -> None:
    parameter, average = after(500)
    parameter.fill_(-7.0)
    average.begin()
    assert torch.equal(average.average[0], parameter)
    for _ in range(STEPS):
        parameter.add_(1.0)
        average.add(4, 10**6)
    assert torch.equal(average.average[0], parameter), "nothing of before is in it"


def test_steps_that_changed_nothing_do_not_count() -> None:
    parameter, average = after(3)
    for _ in range(10 * STEPS):
        average.add(0, 12)  # a loss that is no number
    assert torch.isfinite(average.average[0]).all()
    assert float(average.average[0][0]) in (0.0, float(parameter[0]))


def test_what_is_judged_after_a_step_has_that_step_in_it() -> None:
    """A round of synchronous averaging may be one step."""
    parameter, average = after(1)
    assert torch.equal(average.average[0], parameter)
    _, average = after(STEPS + 1)
    assert float(average.average[0][0]) > 1
    _, before = after(STEPS)
    assert float(average.average[0][0]) > float(before.average[0][0])

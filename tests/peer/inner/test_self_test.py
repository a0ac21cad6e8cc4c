"""A self-test finds flipped bits, wrong products and steps that come out differently; a sound device passes all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from minigpt.model import MiniGPT
from peer.inner import self_test
from peer.inner.loop import InnerLoop
from peer.inner.self_test import (
    FEW,
    TOLERANCE,
    changed_by_memory,
    difference_of_two_passes,
    find_fault,
    held_by,
    held_by_anchor,
    multiplies_rightly,
)

VOCAB, SEQ_LEN = 50, 24
CPU = torch.device("cpu")


class Sentences(Iterator[tuple[Tensor, Tensor]]):
    """Counting up from anywhere, endlessly."""

    number = 0

    def __next__(self) -> tuple[Tensor, Tensor]:
        starts = torch.randint(VOCAB, (4, 1), generator=torch.Generator().manual_seed(self.number))
        self.number += 1
        ids = (starts + torch.arange(SEQ_LEN + 1)) % VOCAB
        return ids[:, :-1], ids[:, 1:]


def device(autocast: torch.dtype | None = None, steps: int = 8) -> InnerLoop:
    """A device that has trained for a while."""
    torch.manual_seed(0)
    model = MiniGPT(vocab_size=VOCAB, d_model=32, nhead=2, num_layers=2, seq_len=SEQ_LEN, dropout=0.1)
    inner = InnerLoop(model, Sentences(), CPU, autocast)
    for _ in range(steps):
        inner.step(1e-3)
    return inner


@torch.no_grad()
def flip(tensor: Tensor, bit: int) -> None:
    """Flip a bit of the first number, counted from its lowest."""
    word = tensor.detach().view(-1)[:1].view(torch.int32)
    word ^= (1 << bit) if bit < 31 else -(1 << 31)


# -- sound devices


@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize("autocast", (None, torch.bfloat16))
def test_a_sound_device_passes_with_any_number_of_threads(autocast: torch.dtype | None, threads: int) -> None:
    before = torch.get_num_threads()
    inner = device(autocast)
    torch.set_num_threads(threads)
    try:
        assert [find_fault(inner, number) for number in range(4)] == [""] * 4
    finally:
        torch.set_num_threads(before)


def test_it_changes_nothing_of_the_training() -> None:
    tested, other = device(), device()
    for number in range(3):
        dice = torch.get_rng_state()
        assert find_fault(tested, number) == ""
        assert torch.equal(torch.get_rng_state(), dice) and tested.model.training
        torch.manual_seed(number)
        loss = tested.step(1e-3)
        torch.manual_seed(number)
        assert loss == other.step(1e-3)
    assert all(torch.equal(one, two) for one, two in zip(tested.parameters, other.parameters))


def test_training_that_diverges_is_no_fault_of_the_device() -> None:
    inner = device()
    for _ in range(8):
        inner.step(1e9)
        assert find_fault(inner, 0) == ""
    assert max(float(parameter.detach().abs().max()) for parameter in inner.parameters) > self_test.LARGEST_PARAMETER


def test_what_is_no_number_at_all_is_no_fault_of_the_device() -> None:
    inner = device()
    with torch.no_grad():
        for parameter in inner.parameters:
            parameter.fill_(torch.nan)
    assert find_fault(inner, 0) == ""


# -- memory


def test_a_flipped_bit_that_does_harm_is_found_wherever_it_is() -> None:
    inner = device()
    places = [tensor for _, tensor in held_by(inner)]
    assert len(places) > 3 * len(inner.parameters)
    for tensor in places:
        tensor.view(-1)[0] = 0.02
        flip(tensor, 30)
        assert changed_by_memory(held_by(inner)) == [pytest.approx(6.81e36, rel=0.01)]
        flip(tensor, 30)
    assert find_fault(inner, 0) == ""
    flip(places[0], 30)
    assert find_fault(inner, 0) == "memory changed 1 number of the model, one to 6.81e+36"


def test_a_flipped_bit_of_a_parameter_is_found_or_leaves_it_small() -> None:
    inner = device()
    parameter = inner.model.model.embed_tokens.weight
    for bit in range(32):
        flip(parameter, bit)
        assert bool(changed_by_memory(held_by(inner))) is (bit == 30)
        assert bit == 30 or parameter.detach().abs().max() < 2
        flip(parameter, bit)


def test_a_number_that_has_become_none_is_found_in_a_model_and_in_an_anchor() -> None:
    inner = device()
    assert changed_by_memory(held_by_anchor(inner.model)) == []
    with torch.no_grad():
        inner.parameters[3].view(-1)[5] = torch.nan
    assert "memory changed 1 number" in find_fault(inner, 0)
    assert len(changed_by_memory(held_by_anchor(inner.model))) == 1
    with torch.no_grad():
        inner.parameters[3].view(-1)[: FEW + 1] = torch.nan
    assert changed_by_memory(held_by_anchor(inner.model)) == []


# -- products


@pytest.mark.parametrize("number_format", (torch.float32, torch.bfloat16))
def test_a_product_with_one_wrong_bit_is_found(number_format: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(multiplies_rightly(CPU, number_format, number) for number in range(5))
    right, bits = torch.matmul, 32 if number_format is torch.float32 else 16

    def wrong(bit: int, left: Tensor, other: Tensor) -> Tensor:
        product = right(left, other)
        words = product.view(torch.int32 if bits == 32 else torch.int16)
        words[7, 9] ^= (1 << bit) if bit < bits - 1 else -(1 << bit)
        return product

    number = next(number for number in range(9) if first_product(number_format, number)[7, 9] != 0)
    for bit in range(bits):
        monkeypatch.setattr(torch, "matmul", partial(wrong, bit))
        assert not multiplies_rightly(CPU, number_format, number), bit


def first_product(number_format: torch.dtype, number: int) -> Tensor:
    found: list[Tensor] = []
    right = torch.matmul

    def kept(left: Tensor, other: Tensor) -> Tensor:
        found.append(right(left, other))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "matmul", kept)
        multiplies_rightly(CPU, number_format, number)
    return found[0]


def test_the_order_of_a_sum_makes_no_difference_to_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.matmul
    order = torch.randperm(self_test.BETWEEN)
    monkeypatch.setattr(torch, "matmul", lambda left, other: right(left[:, order], other[order]))
    assert multiplies_rightly(CPU, torch.float32, 1) and multiplies_rightly(CPU, torch.bfloat16, 1)


# -- steps


class Core:
    """A processor whose products come out wrong now and then, or are rounded otherwise.

    :param every: of how many products one is wrong
    :param error: relative, of a number in the product
    """

    def __init__(self, patch: pytest.MonkeyPatch, every: int, error: float):
        self.right, self.count, self.every, self.error = torch.nn.functional.linear, 0, every, error
        patch.setattr(torch.nn.functional, "linear", self.linear)

    def linear(self, *factors: Any) -> Tensor:
        product = self.right(*factors)
        self.count += 1
        return product * (1 + self.error) if self.count % self.every == 0 else product


def test_a_step_that_comes_out_otherwise_the_second_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = device()
    assert difference_of_two_passes(inner) == 0
    with monkeypatch.context() as patch:
        Core(patch, every=11, error=1.0)
        assert difference_of_two_passes(inner) > TOLERANCE
        assert find_fault(inner, 0) == "the same step, made twice, came out differently on cpu"
    with monkeypatch.context() as patch:
        Core(patch, every=11, error=1e-3)
        assert 0 < difference_of_two_passes(inner) < TOLERANCE
        assert find_fault(inner, 0) == ""


def test_a_gradient_that_is_none_only_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = device()
    Core(monkeypatch, every=20, error=float("inf"))
    assert find_fault(inner, 0) == "the same step, made twice, came out differently on cpu"

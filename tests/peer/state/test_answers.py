"""What a device finds in the answers of reducers, on made-up movement in the bits that cross the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from peer.state.anchor import COARSE, FINE, MEAN_BITS
from peer.state.answers import FEWEST, Answers
from peer.state.codec import BLOCK, PART, decode
from tests.peer.movement import movement, random
from tests.peer.outer.exchanges import encoded


def decoded(numbers: Tensor, bits: int) -> Tensor:
    decode(encoded(numbers, bits), bits, out := torch.empty(PART))
    return out


def mean_of(parts: list[Tensor], weights: list[float], bits: int = COARSE) -> Tensor:
    total = sum(weights)
    return sum((weight / total * decoded(part, bits) for part, weight in zip(parts, weights)), torch.zeros(PART))


def answered(answers: Answers, given: Tensor, mean: Tensor, share: float, bits: int = COARSE) -> bool:
    answers.begin(bits, MEAN_BITS[bits], share)
    return answers.is_wrong(encoded(given, bits), encoded(mean, MEAN_BITS[bits]))


def wrong(parts: list[Tensor], weights: list[float], answer: Callable[[Tensor], Tensor], bits: int) -> list[bool]:
    """Whether each of those that gave these parts finds the answer wrong, made of their mean, as its first one."""
    mean = answer(mean_of(parts, weights, bits))
    return [answered(Answers(), part, mean, weight / sum(weights), bits) for part, weight in zip(parts, weights)]


def as_long(numbers: Tensor, as_this: Tensor) -> Tensor:
    return numbers * (as_this.norm() / numbers.norm())


def half_opposite(mean: Tensor) -> Tensor:
    return torch.cat([mean[: PART // 2], -mean[PART // 2 :]])


LIES: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda mean: as_long(random(0), mean),
    "the opposite": lambda mean: -mean,
    "three times the opposite": lambda mean: -3 * mean,
    "the opposite in one half": half_opposite,
    "far longer than a step": lambda mean: mean + 9 * random(1),
    "nothing": lambda mean: 0 * mean,
}


@pytest.mark.parametrize(("peers", "bits"), [(2, COARSE), (4, COARSE), (3, FINE)])
@pytest.mark.parametrize("lie", LIES)
def test_everybody_finds_out_a_lie(lie: str, peers: int, bits: int) -> None:
    parts = [movement(number) for number in range(peers)]
    assert wrong(parts, [1.0] * peers, LIES[lie], bits) == [True] * peers


@pytest.mark.parametrize("weights", [[1, 1], [4, 1], [1, 1, 1, 1], [16, 1, 1, 1], [1] * 8])
@pytest.mark.parametrize(("other", "bits"), [(0, COARSE), (1, COARSE), (1, FINE)])
def test_an_honest_mean_is_never_wrong_whatever_the_texts_and_weights(
    weights: list[float], other: int, bits: int
) -> None:
    for signal in (0.0, 0.2, 1.0)[other:]:
        parts = [movement(number, signal, text=other * (number % 2)) for number in range(len(weights))]
        assert not any(wrong(parts, weights, lambda mean: mean, bits))


def test_who_has_seen_some_means_knows_noise_of_any_length_from_the_movement_of_others() -> None:
    answers = Answers()
    for number in range(0, 4 * FEWEST, 4):
        parts = [movement(number + peer) for peer in range(4)]
        assert not answered(answers, parts[0], mean_of(parts, [1.0] * 4), 0.25)
    for times in (1, 2, 4):
        lie = times * as_long(random(times), mean_of(parts, [1.0] * 4))
        assert answered(answers, parts[0], lie, 0.25), times
    newcomer = 0.05 * movement(100)
    parts = [newcomer, *(movement(number, text=1) for number in range(101, 104))]
    assert not answered(answers, newcomer, mean_of(parts, [1.0] * 4), 0.25), "whose learning rate warms up again"


def test_who_has_just_begun_and_moves_little_finds_nothing_wrong() -> None:
    """Its learning rate warms up: what the others give is far longer than what it gives."""
    parts = [0.05 * movement(1), movement(2, text=1), movement(3, text=1), movement(4, text=1)]
    assert wrong(parts, [1.0] * 4, lambda mean: mean, COARSE) == [False] * 4
    assert wrong(parts[:2], [1.0] * 2, lambda mean: mean, COARSE) == [False] * 2


def test_beside_one_that_comes_back_with_a_long_way_nothing_is_wrong() -> None:
    for peers in (2, 3, 4):
        parts = [*(0.5 * movement(number) for number in range(1, peers)), 2 * movement(9, text=1)]
        assert wrong(parts, [1.0] * peers, lambda mean: mean, COARSE) == [False] * peers


def test_what_a_bad_member_gives_makes_no_honest_answer_wrong() -> None:
    """A group lets in what is four times as long, and all of it may be in one block."""
    one_block = torch.cat([movement(4)[:BLOCK] * 60, torch.zeros(PART - BLOCK)])
    for bad in (4 * random(1), -4 * movement(4), one_block):
        parts = [*(movement(number) for number in range(1, 4)), bad]
        assert wrong(parts, [1.0] * 4, lambda mean: mean, COARSE)[:3] == [False] * 3


def test_a_mean_that_lacks_somebody_is_wrong_to_that_one_alone() -> None:
    parts = [movement(number, 0.1) for number in range(4)]
    answer = sum(parts[1:], torch.zeros(PART)) / 3
    assert wrong(parts, [1.0] * 4, lambda mean: answer, COARSE) == [True, False, False, False]


def test_two_that_learn_small_texts_by_heart_find_nothing_wrong() -> None:
    """They undo much of each other's work: measured, the cosine was down to -0.12."""
    own = movement(1)
    parts = [own, movement(2, text=1) - 0.12 * own]
    for weights in ([1.0, 1.0], [4.0, 1.0], [1.0, 4.0]):
        assert wrong(parts, weights, lambda mean: mean, COARSE) == [False, False]


def test_where_hardly_anything_moves_nothing_is_wrong() -> None:
    few = torch.cat([movement(1)[: 8 * BLOCK], torch.zeros(PART - 8 * BLOCK)])
    assert wrong([few, -few], [1.0, 1.0], lambda mean: mean, COARSE) == [False, False]
    assert wrong([torch.zeros(PART)] * 2, [1.0, 1.0], lambda mean: mean, COARSE) == [False, False]

"""The agreement of what peers give, on made-up movement that is about as noisy as that of real training."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from peer.state.agreement import LONGEST, LONGEST_BLOCK, NOT_AGREED, Agreement, at_odds, capped, figures
from peer.state.codec import BLOCK
from tests.peer.movement import NUMBERS, movement, random

PEERS = ["a", "b", "c", "d", "e"]
BAD = {
    "the opposite": lambda seed: -movement(seed),
    "three times the opposite": lambda seed: -3 * movement(seed),
    "random": random,
    "always the same": lambda seed: random(0),
    "a hundred times too long, random": lambda seed: 100 * random(seed),
}


def exchange(agreement: Agreement, parts: list[Tensor], weights: Sequence[float] = (1.0,) * len(PEERS)) -> list[float]:
    agreement.begin()
    return reduce(agreement, parts, weights)


def reduce(agreement: Agreement, parts: list[Tensor], weights: Sequence[float] = (1.0,) * len(PEERS)) -> list[float]:
    return agreement.shares(PEERS[: len(parts)], torch.stack(parts), weights[: len(parts)])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("peers", [3, 4])
def test_one_bad_member_does_not_count_and_is_out(bad: str, peers: int) -> None:
    agreement = Agreement()
    for number in range(3):
        honest = [movement(10 * number + peer) for peer in range(1, peers)]
        assert exchange(agreement, [*honest, BAD[bad](number)]) == [1.0] * (peers - 1) + [0.0]
        assert agreement.out == {PEERS[peers - 1]}


def test_honest_devices_are_never_out_whatever_their_texts() -> None:
    for texts in [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 2)]:
        agreement = Agreement()
        for number in range(6):
            parts = [movement(10 * number + peer, text=text) for peer, text in enumerate(texts)]
            assert exchange(agreement, parts) == [1.0] * 4, texts
            assert not agreement.out


def test_where_nobody_agrees_nobody_is_out() -> None:
    """Near the end of training all that a movement says may be lost in noise; and all devices may be worse at once."""
    agreement = Agreement()
    for number in range(8):
        assert exchange(agreement, [random(10 * number + peer) for peer in range(4)]) == [1.0] * 4
        assert exchange(agreement, [(-1) ** peer * movement(10 * number + peer) for peer in range(4)]) == [1.0] * 4


def test_as_many_bad_ones_as_good_ones_decide_nothing() -> None:
    agreement = Agreement()
    parts = [movement(1), movement(2), -movement(3), -movement(4)]
    assert exchange(agreement, parts) == [1.0] * 4


def test_of_two_neither_is_the_measure_of_the_other() -> None:
    assert exchange(Agreement(), [movement(1), -3 * movement(2)]) == [1.0] * 2


def test_what_is_far_longer_than_the_others_is_made_shorter() -> None:
    shares = exchange(Agreement(), [movement(1), movement(2), movement(3), 10 * movement(4)])
    assert shares[:3] == [1.0] * 3
    assert shares[3] == pytest.approx(LONGEST / 10, rel=0.02)


@pytest.mark.parametrize("noise", [3.0, 6.0])
def test_what_is_long_by_noise_is_made_as_short_as_is_usual(noise: float) -> None:
    """As seen on a test LAN: four times as long as the others, and next to nothing in common with them."""
    agreement = Agreement()
    for number in range(3):
        honest = [movement(10 * number + peer) for peer in range(1, 4)]
        noisy = movement(10 * number) + noise * random(number)
        shares = exchange(agreement, [*honest, 4 * noisy * (honest[0].norm() / noisy.norm())])
        assert shares[:3] == [1.0] * 3
        assert shares[3] <= 1.02 * NOT_AGREED / 4


def test_who_is_long_and_goes_where_the_others_go_counts_in_full() -> None:
    """A fast device between two slow ones whose learning rates still rise: it had up to 3.6 times their length."""
    slow = [movement(1), movement(2)]
    for weights in [(4.0, 1.0, 1.0), (1.0, 1.0, 1.0)]:
        assert exchange(Agreement(), [3 * movement(3, signal=0.4), *slow], weights) == [1.0] * 3


def test_a_short_way_whose_steps_are_longer_counts_in_full() -> None:
    """Of a quarter of the sequences: up to twice as long a step, most of it noise."""
    fast = [movement(1), movement(2), movement(3)]
    assert exchange(Agreement(), [*fast, 2 * movement(4, signal=0.05)], (4.0, 4.0, 4.0, 1.0)) == [1.0] * 4
    assert exchange(Agreement(), [*fast, 2 * movement(4, signal=0.05)])[3] < 0.8


def test_who_undoes_one_part_alone_does_not_count_there() -> None:
    """However honest it is in the other parts, and was before."""
    agreement = Agreement()
    for number in range(4):
        assert exchange(agreement, [movement(10 * number + peer) for peer in range(4)]) == [1.0] * 4
    for _ in range(2):
        assert reduce(agreement, [movement(50), movement(51), movement(52), -movement(53)]) == [1.0] * 3 + [0.0]
        assert reduce(agreement, [movement(60 + peer) for peer in range(4)]) == [1.0] * 4


def in_one_block(seed: int) -> Tensor:
    """A contribution of the usual length, all of it in one of its blocks."""
    numbers = torch.zeros(NUMBERS)
    numbers[:BLOCK] = random(seed)[:BLOCK]
    return numbers * (movement(seed).norm() / numbers.norm())


@pytest.mark.parametrize("honest", [1, 2, 3])
def test_what_is_all_in_one_block_is_made_shorter(honest: int) -> None:
    shares = exchange(Agreement(), [*map(movement, range(honest)), in_one_block(honest)])
    assert shares[:honest] == [1.0] * honest
    assert shares[honest] == pytest.approx(LONGEST_BLOCK / (NUMBERS // BLOCK) ** 0.5, rel=0.02)


def test_the_last_part_of_a_model_which_is_mostly_padding_counts_in_full() -> None:
    def last(seed: int) -> Tensor:
        return torch.cat([random(seed)[: 2 * BLOCK], torch.zeros(NUMBERS - 2 * BLOCK)])

    assert exchange(Agreement(), [last(1), last(2), last(3)]) == [1.0] * 3
    assert exchange(Agreement(), [last(1), last(2)]) == [1.0] * 2


def test_who_has_moved_in_one_block_alone_hides_nobody() -> None:
    agreement = Agreement()
    shares = exchange(agreement, [movement(1), in_one_block(2), movement(3), -3 * movement(4), movement(5)])
    assert shares[0] == shares[2] == shares[4] == 1.0
    assert shares[3] == 0.0 and agreement.out == {"d"}


def test_who_is_honest_again_counts_again() -> None:
    agreement = Agreement()
    for number in range(3):
        exchange(agreement, [*(movement(10 * number + peer) for peer in range(3)), random(number)])
    counts = [
        exchange(agreement, [movement(10 * number + peer) for peer in range(4)])[3] == 1.0 for number in range(5, 13)
    ]
    assert counts == sorted(counts), "once it does, it does"
    assert counts[-1]


def test_blocks_that_did_not_move_say_nothing() -> None:
    one, other = movement(1), random(2)
    still = torch.full((8 * BLOCK,), 3e-8)  # what two bits make of zeros
    before, after = (
        figures(torch.stack([one, other])),
        figures(torch.stack([torch.cat([x, still]) for x in (one, other)])),
    )
    for expected, found in zip(before[:2], after[:2]):
        assert torch.allclose(expected, found, atol=1e-3)
    assert before[2] == after[2] == NUMBERS // BLOCK


def test_nothing_that_moved_is_no_evidence() -> None:
    assert exchange(Agreement(), [torch.zeros(NUMBERS)] * 3) == [1.0] * 3
    assert exchange(Agreement(), [movement(1), movement(2), torch.zeros(NUMBERS)]) == [1.0] * 3


def test_more_than_half_is_never_at_odds() -> None:
    low, high = [[0.0, -0.9, -0.9]] * 3, [[2.0] * 3] * 3
    assert at_odds(low, high, 1000.0) == frozenset()


@pytest.mark.parametrize(
    ("weights", "steps", "expected"),
    [
        ([20, 1, 1, 1], [6, 6, 6, 6], [3, 1, 1, 1]),  # it says that its batches are twenty times as large
        ([4, 1, 1], [4, 1, 1], [4, 1, 1]),  # a fast device
        ([50, 1, 1], [50, 1, 1], [50, 1, 1]),
        ([50, 1], [1, 1], [50, 1]),  # of two, nobody is outvoted
        ([50, 1, 0], [1, 1, 0], [50, 1, 0]),
        ([2, 2, 2], [3, 3, 3], [2, 2, 2]),
        ([9, 0, 4, 1], [0, 0, 0, 0], [5, 0, 4, 1]),
    ],
)
def test_nobody_weighs_more_than_half_without_more_steps(
    weights: list[float], steps: list[int], expected: list[float]
) -> None:
    assert capped(weights, steps) == expected

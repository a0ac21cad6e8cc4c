"""What one of two devices finds out about the other one, on made-up movement in the bits that cross the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from peer.outer.pair import EXCHANGES, Pair
from peer.state.agreement import Agreement
from peer.state.anchor import COARSE, FINE
from peer.state.codec import PART, decode
from tests.peer.movement import movement, random
from tests.peer.outer.exchanges import encoded

ANA, BEN = "A" * 12, "B" * 12


def decoded(numbers: Tensor, bits: int) -> Tensor:
    decode(encoded(numbers, bits), bits, out := torch.empty(PART))
    return out


def exchange(pair: Pair, own: Tensor, other: Tensor, bits: int = COARSE, peer: str = BEN) -> None:
    agreement = Agreement()
    agreement.begin()
    agreement.shares(["us", peer], torch.stack([decoded(own, COARSE), decoded(other, bits)]), [1.0, 1.0])
    if agreement.look is not None:
        pair.exchanged(peer, agreement.look, lambda: [own[:1]])


BAD: dict[str, Callable[[int], Tensor]] = {
    "the opposite": lambda number: -movement(number, 0.4),
    "three times the opposite": lambda number: -3 * movement(number, 0.4),
    "random": random,
    "always the same": lambda number: random(1),
}


@pytest.mark.parametrize("bad", BAD)
def test_who_undoes_what_the_other_learns_is_left_at_once(bad: str) -> None:
    pair = Pair()
    for number in range(EXCHANGES):
        assert not pair.to_leave
        exchange(pair, movement(100 + number, 0.4), BAD[bad](number))
    assert pair.to_leave == BEN
    assert pair.before is not None
    assert torch.equal(pair.before[0], movement(100, 0.4)[:1]), "it goes on from where it stood when it first looked so"
    pair.forget()
    assert not pair.to_leave and pair.before is None


@pytest.mark.parametrize("text", [0, 1])
@pytest.mark.parametrize("bits", [COARSE, FINE])
def test_honest_pairs_stay_together_whatever_their_texts(text: int, bits: int) -> None:
    pair = Pair()
    for number in range(2 * EXCHANGES):
        exchange(pair, movement(100 + number), movement(number, text=text), bits)
        assert not pair.to_leave and pair.before is None


def test_two_that_learn_small_texts_by_heart_stay_together() -> None:
    """They undo much of each other's work: measured, the cosine was down to -0.12."""
    pair = Pair()
    for number in range(2 * EXCHANGES):
        own = movement(100 + number)
        exchange(pair, own, movement(number, text=1) - 0.12 * own)
        assert not pair.to_leave


def test_one_bad_exchange_is_forgotten() -> None:
    pair = Pair()
    exchange(pair, movement(100), random(0))
    assert pair.before is not None
    for number in range(1, 2 * EXCHANGES):
        exchange(pair, movement(100 + number), movement(number))
        assert not pair.to_leave
    assert pair.before is None


def test_with_somebody_else_it_begins_anew() -> None:
    pair = Pair()
    for number in range(EXCHANGES - 1):
        exchange(pair, movement(100 + number), random(number))
    exchange(pair, movement(200), random(50), peer=ANA)
    assert not pair.to_leave


def test_where_nothing_moves_nothing_is_seen() -> None:
    pair = Pair()
    for _ in range(2 * EXCHANGES):
        exchange(pair, torch.zeros(PART), torch.zeros(PART))
        exchange(pair, torch.cat([movement(1)[:5000], torch.zeros(PART - 5000)]), torch.zeros(PART))
    assert not pair.to_leave

"""The anchor as plain computation: the same bits on every peer, nothing learnt meanwhile lost, nonsense refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from minigpt.checkpoint import parameter_hash
from minigpt.model import MiniGPT
from peer.state.anchor import COARSE, FINE, LIMIT, LONG, MEAN_BITS, Anchor, credited, follow, gain, snapshot, steps_of
from peer.state.codec import encode, is_valid, payload_bytes

LR = 1e-3


class Peer:
    """One device: what it trains, and its copy of the swarm's anchor."""

    def __init__(self, seed: int):
        torch.manual_seed(0)
        self.model = MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=1, seq_len=12)
        self.anchor_model = copy.deepcopy(self.model)
        self.anchor = Anchor(self.anchor_model, [LR] * len(self.parameters))
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def parameters(self) -> list[Tensor]:
        return list(self.model.parameters())

    @torch.no_grad()
    def train(self, steps: int, length: float = 1.0) -> None:
        for parameter in self.parameters:
            for _ in range(steps):
                parameter.add_(torch.randn(parameter.shape, generator=self.generator), alpha=LR * length)

    @property
    def hash(self) -> str:
        return parameter_hash(dict(self.anchor_model.named_parameters()))


def distance(one: MiniGPT, other: MiniGPT) -> float:
    pairs = zip(one.parameters(), other.parameters())
    return float(sum((a.detach() - b.detach()).square().sum() for a, b in pairs)) ** 0.5


def exchange(peers: list[Peer], steps: list[int], bits: int = COARSE) -> list[Tensor]:
    """Move every anchor by an exchange, weighted by steps, without the network; return what each gave, a step."""
    gave = []
    for peer, count in zip(peers, steps):
        peer.anchor.agree_alone(peer.anchor.give(peer.parameters, count, bits))  # leaves what was given decoded
        gave.append(peer.anchor._decoded.clone())
    mean = torch.stack([count * numbers for numbers, count in zip(gave, steps)]).sum(0) / sum(steps)
    for peer in peers:
        given_at = snapshot(peer.parameters)
        peer.anchor.move(encoded(mean, MEAN_BITS[bits]), steps_of(zip(steps, steps)))
        follow(peer.parameters, peer.anchor, given_at)
    return gave


def encoded(numbers: Tensor, bits: int) -> Tensor:
    payload = torch.zeros(payload_bytes(len(numbers), bits), dtype=torch.uint8)
    encode(numbers, bits, payload)
    return payload


def test_the_anchor_follows_a_peer_that_is_alone() -> None:
    peer, first = Peer(1), Peer(1).model
    trained = copy.deepcopy(first)
    for _ in range(10):
        before = [parameter.detach().clone() for parameter in peer.parameters]
        peer.train(3)
        with torch.no_grad():
            for whole, now, then in zip(trained.parameters(), peer.parameters, before):
                whole.add_(now - then)
        exchange([peer], [3])
    assert distance(peer.anchor_model, trained) < 0.35 * distance(first, trained), (
        "all but what the last payloads could not say"
    )


def test_peers_end_with_the_same_bits_and_stand_on_the_anchor() -> None:
    peers = [Peer(1), Peer(2), Peer(3)]
    first = peers[0].hash
    for _ in range(3):
        for peer in peers:
            peer.train(4)
        exchange(peers, [4, 4, 4])
    assert peers[0].hash == peers[1].hash == peers[2].hash != first
    assert all(distance(peer.model, peer.anchor_model) < 1e-5 for peer in peers), "nothing was trained since"


def test_what_was_trained_while_the_exchange_ran_is_kept() -> None:
    peer = Peer(1)
    peer.train(2)
    given = peer.anchor.give(peer.parameters, 2, COARSE)
    given_at = snapshot(peer.parameters)
    peer.train(1)
    meanwhile = [now.detach() - then for now, then in zip(peer.parameters, given_at)]
    mean = peer.anchor.agree_alone(given)
    peer.anchor.move(mean, 2)
    follow(peer.parameters, peer.anchor, given_at)
    for parameter, anchored, moved in zip(peer.parameters, peer.anchor.parameters, meanwhile):
        torch.testing.assert_close(parameter.detach(), anchored + moved, rtol=0, atol=1e-6)


def test_who_missed_a_mean_does_not_move_the_anchor_twice_by_the_same() -> None:
    there, here = Peer(1), Peer(1)
    there.train(4)
    here.train(4)  # the same batches: had both taken part, the anchor would be where it is without us
    theirs = there.anchor.agree_alone(there.anchor.give(there.parameters, 4, COARSE))
    there.anchor.move(theirs, 4)
    before = snapshot(here.anchor.parameters)
    here.anchor.move(theirs, 4)
    follow(here.parameters, here.anchor, before, 0.0)
    missed = distance(there.anchor_model, Peer(1).model)
    given = here.anchor.give(here.parameters, 4, COARSE)
    mean = here.anchor.agree_alone(given)
    here.anchor.move(mean, 4)
    assert here.hash != there.hash
    assert distance(here.anchor_model, there.anchor_model) < 0.5 * missed, (
        "it only says what the mean of the others had not said"
    )


def test_a_new_anchor_from_elsewhere_takes_the_place_of_what_was_trained_beside_it() -> None:
    here, there = Peer(1), Peer(1)
    here.train(4)
    there.train(4)
    before = snapshot(here.anchor.parameters)
    here.anchor.begin(there.parameters)
    follow(here.parameters, here.anchor, before, 0.0)
    given = here.anchor.give(here.parameters, 4, COARSE)
    mean = here.anchor.agree_alone(given)
    here.anchor.move(mean, 4)
    assert distance(here.anchor_model, there.model) < 1e-3, "both had trained the same"


def test_a_slow_peer_does_not_hold_a_fast_one_back() -> None:
    """All move the same way: the anchor has to get as far as the fast one did."""
    fast, slow = Peer(1), Peer(2)
    with torch.no_grad():
        for peer, steps in ((fast, 8), (slow, 2)):
            for parameter in peer.parameters:
                parameter.add_(LR * steps)
    target = copy.deepcopy(fast.model)
    first = Peer(1).model
    exchange([fast, slow], [8, 2])
    assert fast.hash == slow.hash
    assert distance(fast.anchor_model, target) < 0.6 * distance(first, target), "two bits a number, once"
    moved = torch.cat([(a - b).flatten() for a, b in zip(fast.anchor.parameters, first.parameters())]).mean()
    assert float(moved.detach()) == pytest.approx(8 * LR, rel=0.6)


def test_what_could_not_be_said_is_said_later() -> None:
    peer, first = Peer(1), Peer(1).model
    peer.train(4)
    target = copy.deepcopy(peer.model)
    misses = []
    for _ in range(6):
        exchange([peer], [4])
        misses.append(distance(peer.anchor_model, target))
    assert misses[-1] < 0.3 * misses[0] < 0.3 * distance(first, target)


def test_what_was_given_in_vain_is_given_again() -> None:
    peer = Peer(1)
    peer.train(4)
    given = peer.anchor.give(peer.parameters, 4, COARSE)
    peer.anchor.take_back(given, 4, peer.parameters, peer.anchor.parameters)
    assert torch.equal(peer.anchor.give(peer.parameters, 4, COARSE), given)


@pytest.mark.parametrize("bits", [COARSE, FINE])
def test_a_long_way_that_counts_as_few_steps_is_said_in_portions_that_others_believe(bits: int) -> None:
    peer = Peer(1)
    peer.train(1, length=1000)  # away from the swarm, whose exchanges take a step or two each
    for _ in range(10):
        before = distance(peer.model, peer.anchor_model)
        payload = peer.anchor.give(peer.parameters, 1, bits)
        assert is_valid(payload, bits, LIMIT)
        peer.anchor.move(peer.anchor.agree_alone(payload), 1)
        assert distance(peer.model, peer.anchor_model) < before


def test_a_long_way_that_counts_as_few_steps_is_not_led_on_beyond_its_end() -> None:
    """One was apart and has gone far, and that counts as one step; the other has made twenty meanwhile."""
    first, back, other = Peer(1), Peer(1), Peer(2)
    back.train(1, length=300)
    other.train(20)
    way = distance(other.model, first.model)
    exchange([back, other], [1, 20])
    assert distance(back.anchor_model, first.model) < 2 * way
    left = float(back.anchor._residual.norm())
    for _ in range(20):
        exchange([back, other], [20, 20])
    assert float(back.anchor._residual.norm()) < 0.1 * left, "the rest was given afterwards"


@pytest.mark.parametrize("size", [2 * LIMIT, float("nan")])
def test_a_mean_that_nobody_can_have_moved_is_refused(size: float) -> None:
    peer = Peer(1)
    before = peer.hash
    numbers = torch.randn(len(peer.anchor._decoded), generator=torch.Generator().manual_seed(0)) * size
    with pytest.raises(ValueError, match="times a step"):
        peer.anchor.move(encoded(numbers, MEAN_BITS[COARSE]), 4)
    assert peer.hash == before


def test_a_move_to_somewhere_else_altogether_is_refused() -> None:
    peer = Peer(1)
    before = peer.hash
    anchor = Anchor(peer.anchor_model, [10 * LR] * len(peer.parameters))  # whose steps are long for its parameters
    numbers = torch.randn(anchor.size, generator=torch.Generator().manual_seed(0)) * LIMIT / 2
    with pytest.raises(ValueError, match="1000000 steps"):
        anchor.move(encoded(numbers, MEAN_BITS[COARSE]), 1_000_000)
    assert peer.hash == before


def test_long_ways_are_averaged_and_not_led_on() -> None:
    """Two that come from the same place and have made the same way: their mean is where each of them was."""
    fast, slow = Peer(1), Peer(1)
    fast.train(4)
    slow.train(4)
    target = copy.deepcopy(fast.model)
    exchange([fast, slow], [900, 250], FINE)
    assert distance(fast.anchor_model, target) < 0.02 * distance(Peer(1).model, target)


def test_a_long_way_is_said_precisely_in_eight_bits() -> None:
    """Hundreds of steps move some numbers a hundred times as far as others; AdamW leaves rare words' rows alone."""
    misses = {}
    for bits in (COARSE, FINE):
        peer, first = Peer(1), Peer(1).model
        with torch.no_grad():
            for parameter in peer.parameters:
                far = torch.rand(parameter.shape, generator=peer.generator) < 0.02
                parameter.add_(torch.where(far, 300 * LR, 3 * LR))
        target = copy.deepcopy(peer.model)
        exchange([peer], [300], bits)
        misses[bits] = distance(peer.anchor_model, target) / distance(first, target)
    assert misses[FINE] < 0.03 < 0.5 < misses[COARSE]


@pytest.mark.parametrize(
    ("samples", "times"), [([32], 1.0), ([32, 0], 1.0), ([32, 32], 2**0.5), ([4] * 4, 1.5), ([4] * 9, 1.5)]
)
def test_in_company_the_anchor_makes_more_steps(samples: list[int], times: float) -> None:
    assert gain(samples) == pytest.approx(times)


def test_a_long_way_is_not_made_longer() -> None:
    short, long = Peer(1), Peer(1)
    numbers = torch.randn(short.anchor.size, generator=torch.Generator().manual_seed(0))
    short.anchor.move(encoded(numbers, MEAN_BITS[COARSE]), LONG)
    long.anchor.move(encoded(numbers, MEAN_BITS[COARSE]), 1.5 * LONG)
    assert short.hash == long.hash


def test_how_many_sequences_a_mean_is_of_is_not_what_one_device_says() -> None:
    assert credited({"a": (2**24, 40), "b": (40, 40), "c": (40, 40)}) == {"a": 80, "b": 40, "c": 40}
    assert credited({"a": (400, 400), "b": (40, 40)}) == {"a": 400, "b": 40}, "a fast one"
    assert credited({"a": (900, 10), "b": (40, 40)}) == {"a": 40, "b": 40}, "one that was apart"
    assert credited({"a": (900, 10)}) == {"a": 900}, "nobody else counts on it"
    assert credited({"a": (900, 0), "b": (0, 0)}) == {"a": 1, "b": 0}

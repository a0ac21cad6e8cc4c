"""The anchor as plain computation: the same bits on every peer, nothing learnt meanwhile lost, nonsense refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from minigpt.checkpoint import parameter_hash
from minigpt.model import MiniGPT
from peer.codec import encode
from peer.swarm_state import GIVEN_BITS, LIMIT, MEAN_BITS, SwarmState, follow, stand

RATE = 1e-3


class Peer:
    """One device: what it trains, and its copy of the swarm's anchor."""

    def __init__(self, seed: int):
        torch.manual_seed(0)
        self.model = MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=1, seq_len=12)
        self.anchor = copy.deepcopy(self.model)
        self.swarm = SwarmState(self.anchor, RATE)
        self.given = torch.zeros(self.swarm.given_bytes, dtype=torch.uint8)
        self.mean = torch.zeros(self.swarm.mean_bytes, dtype=torch.uint8)
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def parameters(self) -> list[Tensor]:
        return list(self.model.parameters())

    @torch.no_grad()
    def train(self, steps: int) -> None:
        for parameter in self.parameters:
            for _ in range(steps):
                parameter.add_(torch.randn(parameter.shape, generator=self.generator), alpha=RATE)

    @property
    def hash(self) -> str:
        return parameter_hash(dict(self.anchor.named_parameters()))


def distance(one: MiniGPT, other: MiniGPT) -> float:
    pairs = zip(one.parameters(), other.parameters())
    return float(sum((a.detach() - b.detach()).square().sum() for a, b in pairs)) ** 0.5


def exchange(peers: list[Peer], steps: list[int]) -> list[Tensor]:
    """What an exchange does, weighted by steps, without the network; returns what each gave, a step."""
    gave = []
    for peer, count in zip(peers, steps):
        peer.swarm.give(peer.parameters, count, peer.given)
        peer.swarm.agree_alone(peer.given, peer.mean)  # leaves what was given in its numbers
        gave.append(peer.swarm._numbers.clone())
    mean = torch.stack([count * numbers for numbers, count in zip(gave, steps)]).sum(0) / sum(steps)
    for peer in peers:
        encode(mean, MEAN_BITS, peer.mean)
        stood = stand(peer.parameters)
        peer.swarm.move(peer.mean, max(steps))
        follow(peer.parameters, peer.swarm, stood)
    return gave


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
    assert distance(peer.anchor, trained) < 0.35 * distance(first, trained), "all but what the last codes could not say"


def test_peers_end_with_the_same_bits_and_stand_on_the_anchor() -> None:
    peers = [Peer(1), Peer(2), Peer(3)]
    first = peers[0].hash
    for _ in range(3):
        for peer in peers:
            peer.train(4)
        exchange(peers, [4, 4, 4])
    assert peers[0].hash == peers[1].hash == peers[2].hash != first
    assert all(distance(peer.model, peer.anchor) < 1e-5 for peer in peers), "nothing was trained since"


def test_what_was_trained_while_the_exchange_ran_is_kept() -> None:
    peer = Peer(1)
    peer.train(2)
    peer.swarm.give(peer.parameters, 2, peer.given)
    stood = stand(peer.parameters)
    peer.train(1)
    meanwhile = [now.detach() - then for now, then in zip(peer.parameters, stood)]
    peer.swarm.agree_alone(peer.given, peer.mean)
    peer.swarm.move(peer.mean, 2)
    follow(peer.parameters, peer.swarm, stood)
    for parameter, anchored, moved in zip(peer.parameters, peer.swarm.parameters, meanwhile):
        torch.testing.assert_close(parameter.detach(), anchored + moved, rtol=0, atol=1e-6)


def test_a_slow_peer_does_not_hold_a_fast_one_back() -> None:
    """All move the same way: the anchor has to get as far as the fast one did."""
    fast, slow = Peer(1), Peer(2)
    with torch.no_grad():
        for peer, steps in ((fast, 8), (slow, 2)):
            for parameter in peer.parameters:
                parameter.add_(RATE * steps)
    target = copy.deepcopy(fast.model)
    first = Peer(1).model
    exchange([fast, slow], [8, 2])
    assert fast.hash == slow.hash
    assert distance(fast.anchor, target) < 0.6 * distance(first, target), "two bits a number, once"
    moved = torch.cat([(a - b).flatten() for a, b in zip(fast.swarm.parameters, first.parameters())]).mean()
    assert float(moved) == pytest.approx(8 * RATE, rel=0.6)


def test_what_could_not_be_said_is_said_later() -> None:
    peer, first = Peer(1), Peer(1).model
    peer.train(4)
    target = copy.deepcopy(peer.model)
    misses = []
    for _ in range(6):
        exchange([peer], [4])
        misses.append(distance(peer.anchor, target))
    assert misses[-1] < 0.3 * misses[0] < 0.3 * distance(first, target)


def test_what_was_given_in_vain_is_given_again() -> None:
    peer = Peer(1)
    peer.train(4)
    peer.swarm.give(peer.parameters, 4, peer.given)
    before = peer.given.clone()
    peer.swarm.take_back(peer.given, 4)
    with torch.no_grad():
        for parameter, anchored in zip(peer.parameters, peer.swarm.parameters):
            parameter.copy_(anchored)  # as `follow` leaves it, when others have moved the anchor without us
    peer.swarm.give(peer.parameters, 4, peer.given)
    assert torch.equal(peer.given, before)


@pytest.mark.parametrize("size", [2 * LIMIT, float("nan")])
def test_a_mean_that_nobody_can_have_moved_is_refused(size: float) -> None:
    peer = Peer(1)
    before = peer.hash
    numbers = torch.randn(len(peer.swarm._numbers), generator=torch.Generator().manual_seed(0)) * size
    encode(numbers, MEAN_BITS, peer.mean)
    with pytest.raises(ValueError, match="learning rates"):
        peer.swarm.move(peer.mean, 4)
    assert peer.hash == before


def test_more_steps_than_anybody_can_have_made_are_refused() -> None:
    peer = Peer(1)
    peer.train(4)
    peer.swarm.give(peer.parameters, 4, peer.given)
    peer.swarm.agree_alone(peer.given, peer.mean)
    before = peer.hash
    with pytest.raises(ValueError, match="1000000 steps"):
        peer.swarm.move(peer.mean, 1_000_000)
    assert peer.hash == before


def test_codes_have_the_bytes_they_should() -> None:
    peer = Peer(1)
    assert peer.swarm.mean_bytes / peer.swarm.given_bytes == pytest.approx(MEAN_BITS / GIVEN_BITS, rel=0.05)

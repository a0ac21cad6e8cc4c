"""The outer step as plain computation: equal anchors, nothing learnt meanwhile lost, impossible means refused."""

import copy

import pytest
import torch
from torch import Tensor

from minigpt.checkpoint import parameter_hash
from minigpt.model import MiniGPT
from peer.outer import check_mean, outer_step, pseudo_gradient


@pytest.fixture
def anchor() -> MiniGPT:
    torch.manual_seed(0)
    return MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=1, seq_len=12)


def trained(model: MiniGPT, seed: int, size: float = 1e-3) -> MiniGPT:
    """A copy, moved as some training would move it."""
    moved = copy.deepcopy(model)
    train(moved, seed, size)
    return moved


@torch.no_grad()
def train(model: MiniGPT, seed: int, size: float = 1e-3) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * size)


def mean(first: list[Tensor], second: list[Tensor], weights: tuple[float, float]) -> list[Tensor]:
    total = sum(weights)
    return [(weights[0] * one + weights[1] * other) / total for one, other in zip(first, second)]


def hash_of(model: MiniGPT) -> str:
    return parameter_hash(dict(model.named_parameters()))


@torch.no_grad()  # as the outer loop calls it
def anchor_minus(anchor: MiniGPT, model: MiniGPT) -> list[Tensor]:
    return pseudo_gradient(anchor, model)


def test_the_pseudo_gradient_is_the_way_back_to_the_anchor(anchor: MiniGPT) -> None:
    model = trained(anchor, 1)
    for anchored, parameter, own in zip(anchor.parameters(), model.parameters(), anchor_minus(anchor, model)):
        assert own.abs().max() > 0
        torch.testing.assert_close(parameter + own, anchored)


def test_peers_that_trained_different_things_end_with_the_same_anchor(anchor: MiniGPT) -> None:
    anchors = [copy.deepcopy(anchor), copy.deepcopy(anchor)]
    models = [trained(anchor, 1), trained(anchor, 2, size=3e-3)]
    own = [anchor_minus(*pair) for pair in zip(anchors, models)]
    swarm = mean(own[0], own[1], (10, 30))
    for anchored, model, mine in zip(anchors, models, own):
        outer_step(anchored, model, mine, [tensor.clone() for tensor in swarm])
    assert hash_of(anchors[0]) == hash_of(anchors[1]) != hash_of(anchor)
    for new, old, one, other in zip(anchors[0].parameters(), anchor.parameters(), *own):
        torch.testing.assert_close(new, old - (one + 3 * other) / 4)
    for model in models:  # nothing was trained since: back on the anchor
        torch.testing.assert_close(model.state_dict(), anchors[0].state_dict(), rtol=0, atol=1e-6)


def test_what_was_trained_while_the_exchange_ran_is_kept(anchor: MiniGPT) -> None:
    model = trained(anchor, 1)
    own = anchor_minus(anchor, model)
    snapshot = copy.deepcopy(model)
    train(model, 3)
    meanwhile = [now.detach() - then.detach() for now, then in zip(model.parameters(), snapshot.parameters())]
    outer_step(anchor, model, own, mean(own, anchor_minus(anchor, trained(anchor, 2)), (1, 1)))
    for parameter, anchored, moved in zip(model.parameters(), anchor.parameters(), meanwhile):
        torch.testing.assert_close(parameter, anchored + moved, rtol=0, atol=1e-6)


def test_a_peer_that_trained_nothing_takes_what_the_others_did(anchor: MiniGPT) -> None:
    idle, busy = copy.deepcopy(anchor), trained(anchor, 2)
    own, swarm = anchor_minus(anchor, idle), anchor_minus(anchor, busy)
    outer_step(anchor, idle, own, swarm)
    for parameter, anchored, other in zip(idle.parameters(), anchor.parameters(), busy.parameters()):
        torch.testing.assert_close(parameter, anchored)
        torch.testing.assert_close(anchored, other)


def test_an_honest_mean_is_taken(anchor: MiniGPT) -> None:
    check_mean(anchor_minus(anchor, trained(anchor, 1, size=0.01)), anchor)
    check_mean([torch.zeros_like(parameter) for parameter in anchor.parameters()], anchor)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_mean_with_one_impossible_number_is_refused(anchor: MiniGPT, bad: float) -> None:
    swarm = anchor_minus(anchor, trained(anchor, 1))
    swarm[-1].view(-1)[0] = bad
    with pytest.raises(ValueError, match="mean update"):
        check_mean(swarm, anchor)


def test_a_thousandfold_mean_is_refused(anchor: MiniGPT) -> None:
    swarm = anchor_minus(anchor, trained(anchor, 1))
    check_mean(swarm, anchor)
    with pytest.raises(ValueError, match="mean update has norm"):
        check_mean([1000 * tensor for tensor in swarm], anchor)

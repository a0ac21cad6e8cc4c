"""The anchor and all that moves along with it, without any other device."""

from __future__ import annotations

import copy
import math
from itertools import repeat
from pathlib import Path

import pytest
import torch

from minigpt.checkpoint import parameter_hash
from minigpt.checkpoint.manifest import Progress, Standing
from peer.inner.loop import InnerLoop
from peer.outer.outer_state import OuterState, StartingPoint, Tally
from peer.state.anchor import COARSE, MEAN_BITS, snapshot
from peer.state.means import Mean
from tests.peer.outer.exchanges import encoded
from tests.tiny import SETTINGS, build_model

ME, OTHER = "M" * 12, "D" * 12
PER_ROUND = SETTINGS.swarm.samples_per_round


def start(standing: Standing | None = None, missed: tuple[Path, ...] = ()) -> OuterState:
    model = build_model(40)
    ids = torch.arange(40).roll(7)[:32].view(2, 16)
    inner = InnerLoop(model, repeat((ids, ids)), torch.device("cpu"), None)
    progress = Progress("cellmind", "cellmind-1", 3, 0, 10, "aa")
    return OuterState(inner, StartingPoint(copy.deepcopy(model), progress, standing or Standing(), missed), SETTINGS)


def hash_of(state: OuterState) -> str:
    return parameter_hash(dict(state.anchor_model.named_parameters()))


def mean_at(state: OuterState, samples: dict[str, int], size: float = 1.0) -> Mean:
    numbers = size * torch.randn(state.anchor.size, generator=torch.Generator().manual_seed(0))
    return Mean(state.progress.lineage, samples, 2, encoded(numbers, MEAN_BITS[COARSE]))


def test_of_two_peers_mean_the_anchor_makes_more_steps_than_of_one_s() -> None:
    ways = []
    for samples in ({OTHER: 8}, {OTHER: 8, ME: 8}):
        state = start()
        before = snapshot(state.anchor.parameters)
        state.advance(mean_at(state, samples), ME)
        ways.append(math.hypot(*(float((now - then).norm()) for now, then in zip(state.anchor.parameters, before))))
    assert ways[1] == pytest.approx(2**0.5 * ways[0], rel=1e-4)


def test_a_round_closes_when_enough_sequences_have_gone_into_the_anchor() -> None:
    state = start()
    assert state.progress.lineage == "aa", "no mean has led here yet"
    first = mean_at(state, {OTHER: PER_ROUND - 1})
    assert state.advance(first, ME) is None
    assert (state.progress.lineage, state.progress.round, state.progress.version) == (first.lineage, 3, "aa")
    closed = state.advance(mean_at(state, {OTHER: 1, ME: PER_ROUND}), ME)
    assert closed is not None and closed.began_at == 0
    assert (set(closed.peers), closed.share(ME), closed.share(OTHER)) == ({ME, OTHER}, 0.5, 0.5)
    assert (state.progress.round, state.progress.version) == (4, hash_of(state))
    assert (state.tally.began_at, state.tally.peers) == (2 * PER_ROUND, [])
    assert state.standing.own == PER_ROUND


def test_a_mean_that_cannot_be_leaves_all_as_it_was() -> None:
    state = start()
    before, progress = hash_of(state), state.progress
    with pytest.raises(ValueError, match="times a step"):
        state.advance(mean_at(state, {OTHER: PER_ROUND}, size=1000.0), ME)
    assert (hash_of(state), state.progress, state.tally.peers) == (before, progress, [])


def test_alone_the_anchor_is_what_the_device_is_at_the_end_of_a_round() -> None:
    state = start()
    state.inner.steps += 4
    state.pseudo_gradient.trained(16)
    with torch.no_grad():
        state.inner.parameters[0].add_(0.01)
    assert state.close_round_alone()
    assert hash_of(state) == parameter_hash(dict(state.inner.model.named_parameters()))
    assert (state.progress.round, state.progress.samples, state.progress.lineage) == (4, 16, hash_of(state))
    assert (state.standing.own, state.standing.offered, state.standing.steps) == (16, 0, 0)


def test_parameters_that_are_no_numbers_go_back_to_the_anchor() -> None:
    state = start()
    before, progress = hash_of(state), state.progress
    state.pseudo_gradient.trained(16)
    with torch.no_grad():
        state.inner.parameters[0].fill_(math.nan)
    assert not state.close_round_alone()
    assert (hash_of(state), state.progress) == (before, progress)
    assert parameter_hash(dict(state.inner.model.named_parameters())) == before
    assert state.pseudo_gradient.samples == 0


def test_what_had_been_offered_went_into_the_means_that_were_missed() -> None:
    kept = Standing(own=40, offered=16, beside=4, steps=4)
    assert start(kept).standing == kept
    assert start(kept, (Path("aa.safetensors"),)).standing == Standing(own=40)


def test_a_tally_of_nothing_is_nobody_s() -> None:
    tally = Tally(8)
    tally.add({ME: 0})
    assert (tally.peers, tally.share(ME), tally.share(OTHER)) == ([ME], 0.0, 0.0)


def test_who_goes_back_gives_nothing_of_what_it_had_trained() -> None:
    state = start()
    own = state.pseudo_gradient
    for _ in range(4):
        state.inner.step(1e-2)
        own.trained(2)
    assert own.give(lambda seconds: COARSE) is not None, "which leaves a rest to be given"
    state.inner.step(1e-2)
    state.go_back()
    assert state.contributions.last_with(OTHER).steps == state.inner.steps, "no step leads from the anchor to here"
    assert all(torch.equal(*pair) for pair in zip(state.inner.parameters, state.anchor.parameters))
    assert (own.samples, own.steps, own.given, state.inner.updates) == (0, 0, None, 0)
    state.inner.steps += 1
    given = own.give(lambda seconds: COARSE)
    assert given is not None
    before = snapshot(state.anchor.parameters)
    state.anchor.move(state.anchor.agree_alone(given.payload), 1)
    assert max(float((now - then).abs().max()) for now, then in zip(state.anchor.parameters, before)) < 1e-8

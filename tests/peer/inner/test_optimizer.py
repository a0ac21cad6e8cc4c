"""The optimizer's averages and turns: the same on all devices that step together, and without an end."""

from __future__ import annotations

from copy import deepcopy

import torch
from hivemind.optim.state_averager import dump_optimizer_state, initialize_optimizer_state_, load_optimizer_state

from minigpt.model import MiniGPT
from peer.inner.optimizer import TURNS, MuonAdamW, parameter_groups


def build() -> MuonAdamW:
    model = MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=2, seq_len=8)
    return MuonAdamW(parameter_groups(model), lr=1e-3)


def moved_by_a_step(optimizer: MuonAdamW) -> list[bool]:
    """Return for each parameter whether a step moves it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return [not torch.equal(parameter, then) for parameter, then in zip(parameters, before)]


def test_hivemind_takes_the_averages_of_another_device_after_its_first_step() -> None:
    """It knows them by their order alone, and makes a step of zeros at the start so that they are there."""
    donor, joiner = build(), build()
    for optimizer in (donor, joiner):
        initialize_optimizer_state_(optimizer)
    for _ in range(TURNS):
        moved_by_a_step(donor)
    load_optimizer_state(joiner, *deepcopy(dump_optimizer_state(donor)))
    given, taken = donor.state_dict()["state"], joiner.state_dict()["state"]
    for number, averages in given.items():
        assert taken[number].keys() == averages.keys()
        assert all(torch.equal(taken[number][name], average) for name, average in averages.items())
    assert moved_by_a_step(joiner) == moved_by_a_step(donor)


def test_a_device_takes_turns_as_others_do_that_have_made_more_steps() -> None:
    older, younger = build(), build()
    for _ in range(6):
        moved_by_a_step(older)
    younger.begin_as_after(6)
    for _ in range(TURNS):
        assert moved_by_a_step(younger) == moved_by_a_step(older)


def test_turns_come_however_many_steps_are_behind_the_moments() -> None:
    optimizer = build()
    moved_by_a_step(optimizer)
    for state in optimizer.state.values():
        state["step"].fill_(2.0**40)  # as a donor may say
    turns = [moved_by_a_step(optimizer) for _ in range(TURNS)]
    assert all(any(moved) for moved in zip(*turns)), "each matrix has its turn"
    assert not any(all(moved) for moved in turns)

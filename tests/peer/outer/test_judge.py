"""States from elsewhere, judged by a device's own held-out text: made-up ones are refused, honest ones taken."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT
from peer.inner.loop import InnerLoop
from peer.outer.judge import Judge, Trust
from tests.tiny import SETTINGS

VOCABULARY, LENGTH = 60, 16


def sequences(kind: str, seed: int, rows: int) -> tuple[Tensor, Tensor]:
    """Return texts of a language: each token says which is likeliest to be the next, in another way in each of two."""
    dice = torch.Generator().manual_seed(seed)
    shared = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(1))
    own = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(2 if kind == "chats" else 3))
    ids = torch.randint(10, VOCABULARY, (rows, 1), generator=dice)
    while ids.shape[1] <= LENGTH:
        last = ids[:, -1:]
        following = torch.where(last % 3 == 0, own[last], shared[last])  # a third of it is their own
        noise = torch.randint(10, VOCABULARY, last.shape, generator=dice)
        ids = torch.cat([ids, torch.where(torch.rand(last.shape, generator=dice) < 0.1, noise, following)], 1)
    return ids[:, :-1], ids[:, 1:]


def batches(kinds: Sequence[str], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        for kind in kinds:
            seed += 1
            yield sequences(kind, seed, 8)


def trained(model: MiniGPT, kinds: Sequence[str], steps: int, seed: int) -> MiniGPT:
    inner = InnerLoop(copy.deepcopy(model), batches(kinds, seed), torch.device("cpu"), None)
    for _ in range(steps):
        inner.step(2e-3)
    return inner.model


class Household(NamedTuple):
    """A model that two devices have trained, and what each has made of it alone on its own text."""

    new: MiniGPT
    ours: MiniGPT
    other_text: MiniGPT
    judge: Judge


@pytest.fixture(scope="module")
def household() -> Household:
    torch.manual_seed(0)
    new = MiniGPT.from_settings(SETTINGS.model, VOCABULARY, LENGTH)
    together = trained(new, ["chats", "reviews"], 80, 100)
    ours, other_text = trained(together, ["chats"], 25, 5000), trained(together, ["reviews"], 25, 9000)
    held_out = HeldOut(*sequences("chats", 77, 60), text_bytes=1)
    judge = Judge(InnerLoop(ours, batches(["chats"], 1), torch.device("cpu"), None), held_out)
    judge.learnt(held_out.evaluate(ours)[0])
    return Household(new, ours, other_text, judge)


def objection(household: Household, theirs: MiniGPT, trust: Trust = Trust.STRANGER) -> str:
    return household.judge.objection(list(theirs.parameters()), list(household.ours.parameters()), trust)


def changed(model: MiniGPT, share: float, part: str = "") -> MiniGPT:
    """Return the model with noise of that share of each tensor's deviation."""
    torch.manual_seed(5)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if part in name and parameter.numel() > 1 and parameter.std() > 0:
                parameter.add_(share * parameter.std() * torch.randn_like(parameter))
    return other


def test_what_knows_as_much_is_taken_of_anybody(household: Household) -> None:
    assert objection(household, household.ours) == ""
    assert objection(household, trained(household.ours, ["chats"], 10, 300)) == ""


def test_a_half_that_has_learnt_another_text_is_taken_of_those_who_have_moved_the_anchor_with_us(
    household: Household,
) -> None:
    """It knows much less of our text, but half of the way to it both are known."""
    for trust in (Trust.MATE, Trust.LONG_APART):
        assert objection(household, household.other_text, trust) == ""


@pytest.mark.parametrize("trust", Trust)
def test_what_was_made_up_is_taken_of_nobody(household: Household, trust: Trust) -> None:
    for theirs in (household.new, changed(household.ours, 3.0), changed(household.ours, math.nan)):
        assert "on this device's held-out text it has" in objection(household, theirs, trust)
    before = [parameter.clone() for parameter in household.ours.parameters()]
    assert all(map(torch.equal, before, household.ours.parameters())), "the model in training is as it was"


def test_many_small_steps_downwards_do_not_add_up(household: Household) -> None:
    taken, ours = 0, list(household.ours.parameters())
    for share in [0.05 * number for number in range(1, 40)]:
        theirs = list(changed(household.ours, share).parameters())
        if household.judge.objection(theirs, ours):
            break
        taken, ours = taken + 1, theirs  # it is in our anchor's place now
    assert 0 < taken < 20
    assert household.judge.objection(list(household.new.parameters()), ours)


def test_who_has_learnt_by_heart_takes_what_is_no_worse(household: Household) -> None:
    worse = changed(household.ours, 1.0)
    assert objection(household, worse)
    assert household.judge.objection(list(worse.parameters()), list(changed(household.ours, 1.1).parameters())) == ""


def test_a_device_with_little_text_says_so_and_judges_by_what_it_trains_on(household: Household) -> None:
    few = HeldOut(*sequences("chats", 77, 3), text_bytes=1)
    inner = InnerLoop(copy.deepcopy(household.ours), repeat(sequences("chats", 1, 8)), torch.device("cpu"), None)
    judge = Judge(inner, few)
    assert not judge.can_tell and household.judge.can_tell
    ours = list(household.ours.parameters())
    assert judge.objection(ours, ours) == ""
    said = judge.objection(list(household.new.parameters()), ours)
    assert said.startswith("on this device's text it has 4."), said

"""Training that diverges is told from a text that gets harder; the device goes back, and learns in the end."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from minigpt.checkpoint.manifest import CheckpointError, Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import lr_of_next_step
from peer.outer.outer_state import OuterState, StartingPoint
from peer.training.divergence import BLOCK, LEAST_SHARE, NOT_FINITE, REMEMBERED, RISING, Divergence, Recovery
from tests.tiny import stand_in

VOCAB, SEQ_LEN, BATCH = 40, 12, 4
KNOW_NOTHING = math.log(VOCAB)
WORDS = math.log(8000)


pytestmark = pytest.mark.usefixtures("one_thread")


def alarms(curve: Callable[[int], float], noise: float = 0.2, steps: int = 3000) -> list[tuple[int, str]]:
    """The steps at which a watch of its own finds such losses, in nats with noise, to have diverged, and why."""
    dice, watch, found = random.Random(0), Divergence(WORDS), []
    for step in range(steps):
        if why := watch.add(curve(step) + dice.gauss(0, noise)):
            found.append((step, why))
            watch.begin()
    return found


ORDINARY: dict[str, Callable[[int], float]] = {
    "learning": lambda step: 4 + 5 * math.exp(-step / 300),
    "nothing left to learn": lambda step: 4.0,
    "learning by heart": lambda step: 0.1 + 4 * math.exp(-step / 400),
    "a bad batch": lambda step: 9.0 if step == 1000 else 4.0,
    "a bad while": lambda step: 9.0 if 1000 <= step < 1030 else 4.0,
    "a harder text": lambda step: 2.0 if step < 1500 else 3.0 + 3 * math.exp(-(step - 1500) / 300),
    "a little worse": lambda step: 4 + 0.3 * min(1.0, step / 2000),
}


@pytest.mark.parametrize("curve", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_training_raises_no_alarm(curve: Callable[[int], float]) -> None:
    assert alarms(curve) == []


def test_a_loss_that_rises_for_a_hundred_steps_is_told() -> None:
    (step, why), *_ = alarms(lambda step: 5.0 + max(0, step - 800) / 150)
    assert 900 <= step <= 1100
    assert why == "the loss has risen from 4.9 to 6.0"


def test_a_loss_that_rises_at_once_and_stays_is_told() -> None:
    (step, why), *_ = alarms(lambda step: 9.0 if step < 3 else 30.0 + 5 * math.sin(step / 30))
    assert step < 4 * RISING * BLOCK and why.startswith("the loss has risen from 9.0 to ")


def test_steps_with_no_finite_loss_are_told_where_there_are_many_in_a_row() -> None:
    watch = Divergence(WORDS)
    for _ in range(5):
        assert not any(watch.add(math.nan) for _ in range(NOT_FINITE - 1))
        assert not watch.add(4.0)
    found = [watch.add(math.nan) for _ in range(NOT_FINITE)]
    assert found[-1] == "20 steps had no finite loss" and not any(found[:-1])


# -- going back


class Sentences(Iterator[tuple[Tensor, Tensor]]):
    """Counting up from anywhere, endlessly."""

    number = 0  # of the next batch

    def __next__(self) -> tuple[Tensor, Tensor]:
        starts = torch.randint(VOCAB, (BATCH, 1), generator=torch.Generator().manual_seed(self.number))
        self.number += 1
        ids = (starts + torch.arange(SEQ_LEN + 1)) % VOCAB
        return ids[:, :-1], ids[:, 1:]


class Device:
    """A device with real training and a real anchor, and with nobody on the network.

    :param is_shared: others follow the anchor
    :param has_best: the state of the beginning is kept as the best one
    """

    def __init__(self, lr: float, *, is_shared: bool = False, has_best: bool = False, averaging: str = "background"):
        torch.manual_seed(0)
        model = MiniGPT(vocab_size=VOCAB, d_model=16, nhead=2, num_layers=1, seq_len=SEQ_LEN)
        self.start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        self.settings = Settings.model_validate({"training": {"lr": lr}, "swarm": {"averaging": averaging}})
        self.inner = InnerLoop(model, Sentences(), torch.device("cpu"), None)
        progress = Progress("cellmind", "cellmind-1", 0, 0, 0, "aa")
        start = StartingPoint(copy.deepcopy(model), progress, Standing(), ())
        self.state = OuterState(self.inner, start, self.settings)
        self.can_go_back, self.said = True, list[str]()
        outer = stand_in(
            anchor_model=self.state.anchor_model, progress=stand_in(round=7), go_back=self.go_back,
            is_shared=is_shared, others=["phone"],
        )  # fmt: skip
        best: Any = stand_in(parameters=self.read_best, kept=(progress, None)) if has_best else None
        display: Any = stand_in(note=self.said.append)
        self.recovery = Recovery(self.inner, outer, best, self.settings, display)
        self.is_readable = True

    def go_back(self) -> bool:
        if self.can_go_back:
            self.state.go_back()
        return self.can_go_back

    def read_best(self, report: Callable[[str], None]) -> dict[str, Tensor]:
        if not self.is_readable:
            raise CheckpointError("it is damaged")
        return self.start

    def train(self, steps: int) -> list[float]:
        """So many steps, and rounds that are closed alone; their losses."""
        losses = []
        for _ in range(steps):
            own = self.inner.updates * BATCH
            loss, sequences = self.inner.step(lr_of_next_step(self.settings.training, 0, own, self.recovery.lr_share))
            losses.append(loss)
            self.state.pseudo_gradient.trained(sequences)
            self.recovery.stepped(loss)
            if self.state.pseudo_gradient.samples >= 256:
                self.state.close_round_alone()
        return losses

    def lose(self, loss: float, steps: int) -> None:
        """Nothing but losses, without training."""
        for _ in range(steps):
            self.recovery.stepped(loss)

    def spoil(self) -> None:
        with torch.no_grad():
            for parameter in self.inner.parameters:
                parameter.copy_(3 * torch.randn_like(parameter))

    def is_at(self, parameters: list[Tensor]) -> bool:
        return all(torch.equal(*pair) for pair in zip(self.inner.parameters, parameters))


def test_a_device_with_an_absurd_rate_goes_back_and_learns_in_the_end() -> None:
    device = Device(lr=1.0, has_best=True)
    for _ in range(12):
        losses = device.train(200)
        if sum(losses[-50:]) < 50 * 1.0:
            break
    else:
        pytest.fail(f"it does not learn: {device.said}, {losses[-50:]}")
    assert LEAST_SHARE <= device.recovery.lr_share <= 1 / 8
    assert device.said[0].startswith(
        "20 steps had no finite loss: the learning rate is halved, to 0.5, and training goe"
    )
    assert "quartered" in device.said[1] and "training.lr 1 is too high for this run?" in device.said[1]
    assert len(device.said) < 8


def test_an_ordinary_rate_stays() -> None:
    device = Device(lr=3e-3, has_best=True)
    assert device.train(400)[-1] < 1.0
    assert (device.recovery.lr_share, device.said) == (1.0, [])


@pytest.mark.parametrize("has_best", [True, False])
def test_alone_it_goes_on_from_the_better_one_of_the_last_round_and_the_best_state(has_best: bool) -> None:
    device = Device(lr=3e-4, has_best=has_best)
    device.spoil()
    device.state.close_round_alone()
    anchor = [parameter.clone() for parameter in device.state.anchor.parameters]
    device.lose(math.nan, NOT_FINITE)
    assert device.is_at(list(device.start.values()) if has_best else anchor)
    assert device.recovery.lr_share == 0.5
    assert ("the best state, of round 0" if has_best else "the state of round 7") in device.said[0]
    # learnt by heart: by the loss that is trained, the last round is the better one
    device = Device(lr=3e-3, has_best=has_best)
    device.train(64 * 6)
    anchor = [parameter.clone() for parameter in device.state.anchor.parameters]
    device.lose(math.nan, NOT_FINITE)
    assert device.is_at(anchor) and "the state of round 7" in device.said[0]


def test_in_company_it_goes_back_to_the_anchor_once_no_exchange_is_in_the_way() -> None:
    device = Device(lr=3e-4, is_shared=True, has_best=True)
    device.train(3)
    anchor = [parameter.clone() for parameter in device.state.anchor.parameters]
    with torch.no_grad():
        device.start["model.norm.weight"].add_(0.1)  # which the best state need not be
    device.spoil()
    device.can_go_back = False
    device.lose(math.nan, NOT_FINITE + 5)
    assert device.said == [] and device.recovery.lr_share == 1.0
    device.can_go_back = True
    device.lose(math.nan, 1)
    assert device.is_at(anchor) and device.inner.updates == 0
    assert (device.state.pseudo_gradient.samples, device.state.pseudo_gradient.steps) == (0, 0)
    assert len(device.said) == 1 and "goes on from the state of round 7, where the other devices are" in device.said[0]


def test_where_the_state_of_all_devices_has_become_worse_that_is_said() -> None:
    device = Device(lr=3e-4, is_shared=True, has_best=True)
    device.spoil()
    device.state.close_round_alone()
    anchor = [parameter.clone() for parameter in device.state.anchor.parameters]
    device.lose(math.nan, NOT_FINITE)
    assert device.is_at(anchor), "the others are there"
    assert "has become worse on this device's texts than the best state, of round 0" in device.said[0]
    assert len(device.said) == 2


def test_a_loss_that_rose_is_the_text_s_where_no_state_from_before_does_better() -> None:
    device = Device(lr=3e-4, has_best=True)
    device.train(200)
    here = [parameter.detach().clone() for parameter in device.inner.parameters]
    for loss in (1.0, 3.0):  # below that of a model that knows nothing
        device.lose(loss, 2 * RISING * BLOCK)
    assert device.said == [] and device.is_at(here)
    device.spoil()
    for loss in (1.0, 3.0):
        device.lose(loss, 2 * RISING * BLOCK)
    assert device.said[0].startswith("the loss has risen from 1.0 to 3.0: the learning rate is halved")


def test_a_best_state_that_cannot_be_read_is_done_without() -> None:
    device = Device(lr=3e-4, has_best=True)
    device.is_readable = False
    device.lose(math.nan, NOT_FINITE)
    assert device.said[0] == "the best state cannot be read: it is damaged"
    assert "the state of round 7" in device.said[1]


def test_the_rate_does_not_fall_without_end_and_is_hivemind_s_with_synchronous_averaging() -> None:
    device = Device(lr=3e-4)
    device.lose(math.nan, 50 * NOT_FINITE)
    assert device.recovery.lr_share == LEAST_SHARE and len(device.said) == 4
    synchronous = Device(lr=3e-4, averaging="sync")
    synchronous.lose(math.nan, 50 * NOT_FINITE)
    assert (synchronous.recovery.lr_share, synchronous.said) == (1.0, [])


def test_at_a_newer_state_of_others_it_is_watched_anew() -> None:
    device = Device(lr=3e-4)
    device.spoil()
    device.lose(1.0, REMEMBERED * BLOCK)
    device.recovery.begin()
    device.lose(3.0, REMEMBERED * BLOCK)
    assert device.said == []

"""A device with a fault drops what it trained, rests, tests itself, and goes on; a device that is sound never rests."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from minigpt.checkpoint.manifest import Progress, Standing
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.power import Cause
from peer.inner import self_test
from peer.inner.loop import InnerLoop
from peer.inner.self_test import find_fault
from peer.outer.outer_state import OuterState, StartingPoint
from peer.training import health
from peer.training.health import (
    CREDIT_SECONDS,
    LEAST_SECONDS,
    MEMORY_SECONDS,
    MOST_FAULTS,
    PASSES,
    RETRY_SECONDS,
    DamagedAnchor,
    Health,
)
from peer.training.saver import Saver
from peer.wire import Notice, Role
from tests.peer.inner.test_self_test import SEQ_LEN, VOCAB, Core, Sentences, flip
from tests.tiny import stand_in

pytestmark = pytest.mark.usefixtures("one_thread")


class Device:
    """A device with real training and a real anchor, a clock of its own, and nobody on the network."""

    def __init__(self, patch: pytest.MonkeyPatch, *, averaging: str = "background"):
        torch.manual_seed(0)
        self.now, self.said = 1000.0, list[str]()
        patch.setattr(health, "time", SimpleNamespace(monotonic=lambda: self.now))
        model = MiniGPT(vocab_size=VOCAB, d_model=32, nhead=2, num_layers=1, seq_len=SEQ_LEN)
        self.inner = InnerLoop(model, Sentences(), torch.device("cpu"), None)
        progress = Progress("cellmind", "cellmind-1", 0, 0, 0, "aa")
        self.state = OuterState(self.inner, StartingPoint(copy.deepcopy(model), progress, Standing(), ()), Settings())
        self.can_go_back, self.begun = True, 0
        outer: Any = stand_in(
            anchor_model=self.state.anchor_model, progress=stand_in(round=7, samples=0), go_back=self.go_back
        )
        recovery: Any = stand_in(good_state=lambda: "the state of round 7", begin=self.begin)
        display: Any = stand_in(note=self.said.append)
        settings = Settings.model_validate({"swarm": {"averaging": averaging}})
        self.health = Health(self.inner, outer, recovery, settings, display)
        self.outer = outer

    def go_back(self) -> bool:
        if self.can_go_back:
            self.state.go_back()
        return self.can_go_back

    def begin(self) -> None:
        self.begun += 1

    def turn(self, seconds: float = 1.0) -> None:
        """As the trainer does it: a step where the device does not rest."""
        self.health.poll()
        if self.health.rest is None:
            loss, sequences = self.inner.step(1e-3)
            self.state.pseudo_gradient.trained(sequences)
            self.health.stepped(loss)
        self.now += seconds

    def turns(self, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            self.turn(seconds)

    def at_anchor(self) -> bool:
        pairs = zip(self.inner.parameters, self.state.anchor.parameters)
        return all(torch.equal(one, other) for one, other in pairs) and not self.state.pseudo_gradient.samples


def fail(device: Device) -> None:
    """A bit flips, and a self-test comes."""
    flip(device.inner.parameters[1], 30)
    device.turn(LEAST_SECONDS)
    device.turn()


def rest_over(device: Device) -> None:
    device.turns(PASSES + 1, RETRY_SECONDS)


def test_a_sound_device_never_rests_and_is_tested_before_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    tests: list[int] = []

    def noted(inner: InnerLoop, number: int) -> str:
        tests.append(inner.steps)
        return find_fault(inner, number)

    monkeypatch.setattr(health, "find_fault", noted)
    device.turns(25, 8.0)
    assert device.said == [] and device.health.rest is None
    assert tests[0] == 0 and len(tests) == 1 + 200 // LEAST_SECONDS, tests


def test_a_fault_is_said_and_what_was_trained_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turns(5)
    assert not device.at_anchor()
    flip(device.inner.parameters[1], 30)
    device.turns(2, LEAST_SECONDS)
    rest = device.health.rest
    assert rest is not None and rest.cause is Cause.FAULT and device.at_anchor()
    assert rest.why == "its self-test failed" and rest.until == "when the self-test has passed 3 times"
    (line,) = device.said
    assert line.startswith("memory changed 1 number of the model, one to ")
    assert line.endswith("what this device has trained since round 7 is dropped, not given")
    Notice(peer="a", name="b", address="", role=Role.TRAINING, paused=rest.why)  # it fits what others are told


def test_nothing_is_left_to_be_given_when_the_step_that_found_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turns(3)
    flip(device.inner.parameters[1], 30)
    device.now += LEAST_SECONDS
    device.state.pseudo_gradient.trained(4)
    assert not device.health.stepped(2.0) and device.at_anchor(), "an exchange may begin in this very turn"


def test_it_goes_on_by_itself_once_the_self_test_has_passed_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turns(3)
    core = Core(monkeypatch, every=5, error=9.0)
    device.turns(2, LEAST_SECONDS)
    assert device.health.rest is not None and "made twice" in device.said[0]
    device.turns(10, RETRY_SECONDS)  # it is still broken
    assert device.health.rest is not None and len(device.said) == 1
    core.error = 0.0
    device.turns(PASSES, RETRY_SECONDS / 2)  # too often: tests have a minute between them
    assert device.health.rest is not None
    rest_over(device)
    assert device.health.rest is None and device.begun == 1
    assert device.said[1:] == ["the self-test has passed 3 times: this device begins anew at the state of round 7"]
    steps = device.inner.steps
    device.turns(3)
    assert device.inner.steps == steps + 3 and not device.at_anchor()


def test_the_third_fault_of_a_day_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turn()
    for number in range(1, MOST_FAULTS + 1):
        fail(device)
        assert device.health.rest is not None
        rest_over(device)
        assert (device.health.rest is not None) is (number == MOST_FAULTS)
    assert device.health.rest is not None and device.health.rest.until == "when it is started again"
    assert device.said[-1] == health.ADVICE
    device.now += 2 * MEMORY_SECONDS
    device.turns(10, RETRY_SECONDS)
    assert device.health.rest is not None and device.at_anchor(), "nobody has looked at it yet"


def test_faults_of_other_days_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turn()
    for _ in range(2 * MOST_FAULTS):
        fail(device)
        rest_over(device)
        assert device.health.rest is None
        device.now += MEMORY_SECONDS / 2


def test_what_an_exchange_has_part_of_is_dropped_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turns(3)
    device.can_go_back = False
    fail(device)
    device.turns(10, RETRY_SECONDS)
    assert device.health.rest is not None and not device.at_anchor()
    device.can_go_back = True
    device.turn()
    assert device.at_anchor()
    rest_over(device)
    assert device.health.rest is None


def test_a_strange_loss_is_a_reason_to_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turns(3)
    weight = device.inner.parameters[0]
    with torch.no_grad():
        weight.view(-1)[:40] = 0.02
    for number in range(0, 40, 2):
        flip(weight.detach().view(-1)[number:], 30)
    device.turn()
    assert device.health.rest is not None and "memory changed 20 numbers" in device.said[0]


@pytest.mark.parametrize("seconds", (0.05, 0.5, 4.0))
def test_self_tests_take_a_fifth_of_a_per_cent_whatever_losses_are(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    device = Device(monkeypatch)
    spent, began = 0.0, device.now

    def slow(*_: object) -> str:
        nonlocal spent
        device.now += seconds
        spent += seconds
        return ""

    monkeypatch.setattr(health, "find_fault", slow)
    device.health.poll()
    for step in range(20000):
        device.health.stepped(math.nan if step % 3 else 50.0 * (step % 2))
        device.now += 1.0
    assert spent <= 0.002 * (device.now - began) + CREDIT_SECONDS + 3 * seconds


def test_a_lack_of_memory_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)

    def refused(*_: object) -> str:
        raise MemoryError

    monkeypatch.setattr(health, "find_fault", refused)
    device.turns(3)
    assert device.health.rest is None and device.said == []


def test_with_synchronous_averaging_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, averaging="sync")
    device.turns(3)
    core = Core(monkeypatch, every=5, error=9.0)
    device.turns(2, LEAST_SECONDS)
    assert device.health.rest is not None and not device.at_anchor()
    assert device.said == ["the same step, made twice, came out differently on cpu"]
    core.error = 0.0
    rest_over(device)
    assert device.health.rest is None and device.said[-1] == "the self-test has passed 3 times"


def test_a_damaged_anchor_ends_the_training_and_is_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    device.turns(3)
    flip(next(device.state.anchor_model.parameters()), 30)
    with pytest.raises(DamagedAnchor, match="memory changed 1 number of the state that all devices share"):
        device.turns(2, LEAST_SECONDS)
    nothing: Any = None
    saver = Saver(
        device.inner, device.outer, nothing, Settings(), nothing, tokenizer_model=nothing, checkpoints=nothing
    )
    saver.save(wait=True)  # which would need what it has not got


def test_numbers_that_training_made_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    with torch.no_grad():
        for parameter in (*device.inner.parameters, *device.state.anchor_model.parameters()):
            parameter.mul_(1e9)
    device.turns(3, LEAST_SECONDS)
    assert device.health.rest is None and self_test.LARGEST_PARAMETER < 1e9

"""The inner loop: loss that falls, steps that are refused, moments that survive a restart."""

import copy
import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.step import apart, curves
from minigpt.checkpoint import moments_of
from minigpt.dataset import Batches, TextDataset
from minigpt.model import MiniGPT
from peer.inner.loop import InnerLoop
from peer.inner.optimizer import TURNS, movements_of_a_step

VOCAB, SEQ_LEN, BATCH = 40, 12, 4
RATE = 3e-4

Endless = Iterator[tuple[Tensor, Tensor]]


pytestmark = pytest.mark.usefixtures("one_thread")


def sentences(seed: int = 0) -> Endless:
    """Counting up from anywhere, endlessly: learnt in a few dozen steps."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(VOCAB, (BATCH, 1), generator=generator)
        ids = (starts + torch.arange(SEQ_LEN + 1)) % VOCAB
        yield ids[:, :-1], ids[:, 1:]


def build() -> MiniGPT:
    torch.manual_seed(0)
    return MiniGPT(vocab_size=VOCAB, d_model=16, nhead=2, num_layers=1, seq_len=SEQ_LEN)


def loop(model: MiniGPT, batches: Endless) -> InnerLoop:
    return InnerLoop(model, batches, torch.device("cpu"), None)


def parameters(model: MiniGPT) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def distance(one: MiniGPT, other: MiniGPT) -> float:
    pairs = zip(parameters(one), parameters(other))
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in pairs))


# -- InnerLoop


def test_looking_ahead_at_the_next_batches_changes_nothing_of_them(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(100, dtype=np.uint16) % VOCAB)
    batches = Batches(TextDataset.packed(tmp_path / "ids.npy", SEQ_LEN, 1), BATCH)
    inner, here = loop(build(), batches), parameters(build())
    batches.position = 8
    inner.losses_towards([torch.zeros_like(parameter) for parameter in here], (0.0, 0.5, 1.0))
    assert batches.position == 8, "a checkpoint of now goes on with what was not trained on yet"
    assert all(torch.equal(*pair) for pair in zip(inner.parameters, here))
    batches.resize(2)
    assert [inner.step(RATE)[1] for _ in range(3)] == [2, 2, 2], "memory was short, and stays so"
    assert batches.position == 14


def test_training_lowers_the_loss() -> None:
    inner = loop(build(), sentences())
    losses = []
    for _ in range(80):
        loss, sequences = inner.step(RATE)
        assert sequences == BATCH
        losses.append(loss)
    assert losses[0] == pytest.approx(math.log(VOCAB), rel=0.1), "an untrained model knows nothing"
    assert losses[-1] < 0.5 * losses[0]
    assert inner.steps == 80
    assert inner.step_seconds > 0


def test_how_long_a_step_takes_is_known_from_the_first_one_where_a_run_goes_on() -> None:
    inner = InnerLoop(build(), sentences(), torch.device("cpu"), None, steps=100)
    inner.stepped(2.0)
    assert (inner.steps, inner.step_seconds) == (101, 2.0)
    inner.stepped(1.0)
    assert inner.step_seconds == pytest.approx(1.9)


def test_what_steps_have_waited_for_the_network_is_told_once() -> None:
    inner = loop(build(), sentences())
    inner.waited_seconds += 2.0  # as synchronous averaging does
    assert (inner.take_waited_seconds(), inner.take_waited_seconds()) == (2.0, 0.0)


def test_the_loss_falls_as_it_does_by_the_plain_formulas() -> None:
    ours, plain = curves(build(), list(islice(sentences(), 60)), None)
    assert ours[-1] < 0.95 * ours[0]
    assert apart(ours, plain) < 0.005


def test_a_step_moves_every_number_by_as_much_as_movement_is_counted_in() -> None:
    """Which is the unit of exchanges: movement in it is about 1, of every parameter."""
    model, before = build(), build()
    inner = loop(model, sentences())
    for _ in range(4):  # the first one moves nothing but what adds to the residual stream
        inner.step(1e-4)
    before.load_state_dict(model.state_dict())
    for _ in range(TURNS):
        inner.step(1e-4)
    for (name, now), then, unit in zip(
        model.named_parameters(), before.parameters(), movements_of_a_step(model, 1e-4), strict=True
    ):
        moved = float((now - then).detach().square().mean().sqrt())
        assert 0.5 * unit < moved / TURNS < 1.5 * unit, name


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(where: str, bad: float) -> None:
    model = build()
    inner = loop(model, sentences())
    for _ in range(3):
        inner.step(RATE)
    before, moments = parameters(model), inner.moments()
    if where == "loss":
        fault = model.register_forward_hook(lambda module, inputs, loss: loss * bad)
    else:
        fault = model.model.norm.weight.register_hook(lambda gradient: torch.full_like(gradient, bad))
    loss, sequences = inner.step(RATE)
    fault.remove()
    assert math.isnan(loss)
    assert sequences == 0
    assert all(torch.equal(now, then) for now, then in zip(parameters(model), before))
    assert all(torch.equal(now, moments[name]) for name, now in inner.moments().items())
    loss, sequences = inner.step(RATE)
    assert math.isfinite(loss), "training goes on with the next batch"
    assert sequences == BATCH
    assert not torch.equal(parameters(model)[0], before[0])


# -- moments


def test_moments_carry_on_as_if_nothing_had_happened() -> None:
    following = list(islice(sentences(), 20, 25))
    inner = loop(build(), sentences())
    for _ in range(20):
        inner.step(RATE)
    moments, updates = inner.moments(), inner.updates
    resumed_model, forgetful_model = copy.deepcopy(inner.model), copy.deepcopy(inner.model)
    resumed, forgetful = loop(resumed_model, iter(following)), loop(forgetful_model, iter(following))
    resumed.load_moments({name: moment.float() for name, moment in moments.items()}, updates)
    losses = [[one.step(RATE)[0] for _ in following] for one in (inner, resumed, forgetful)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3), "bfloat16 keeps 8 bits of a moment"
    assert losses[2] != pytest.approx(losses[0], rel=1e-3), "the comparison would show moments that are lost"
    assert resumed.updates == inner.updates == 25
    # small parts of a moment are rounded away, and Muon makes them as large as the others
    assert distance(resumed_model, inner.model) < 0.4 * distance(forgetful_model, inner.model)


def test_moments_are_copies_in_bfloat16_named_after_the_parameters() -> None:
    model = build()
    inner = loop(model, sentences())
    assert inner.moments() == {}
    inner.step(RATE)
    moments = inner.moments()
    names = [name for name, _ in model.named_parameters()]
    assert set(moments) == {f"{moment}.{name}" for name in names for moment in moments_of(name)}
    assert "exp_avg_sq.model.layers.0.mlp.up_proj.weight" not in moments, "Muon has none"
    assert {moment.dtype for moment in moments.values()} == {torch.bfloat16}
    assert all(moments[f"exp_avg.{name}"].shape == parameter.shape for name, parameter in model.named_parameters())
    before = {name: moment.clone() for name, moment in moments.items()}
    inner.step(RATE)
    assert all(torch.equal(moment, before[name]) for name, moment in moments.items())
    assert not torch.equal(inner.moments()["exp_avg.model.norm.weight"], before["exp_avg.model.norm.weight"])


@pytest.mark.parametrize("square", [1e-12, 3e38])
def test_a_donors_moments_make_no_steps_of_any_size_nor_none(square: float) -> None:
    inner = InnerLoop(build(), sentences(), torch.device("cpu"), None)
    before = [parameter.detach().clone() for parameter in inner.parameters]
    names = [name for name, _ in inner.model.named_parameters()]
    moments = {f"exp_avg.{name}": torch.full_like(p, 3e38) for name, p in zip(names, before)}
    moments |= {f"exp_avg_sq.{name}": torch.full_like(p, square) for name, p in zip(names, before)}
    inner.load_moments(moments, updates=1000)
    inner.step(1e-3)
    for parameter, then, unit in zip(inner.parameters, before, movements_of_a_step(inner.model, 1e-3)):
        assert float((parameter.detach() - then).square().mean().sqrt()) <= 2 * TURNS * unit
    before = [parameter.detach().clone() for parameter in inner.parameters]
    for _ in range(100):
        inner.step(1e-3)
    moved_after = [float((now - then).abs().max()) for now, then in zip(parameters(inner.model), before)]
    assert min(moved_after) > 1e-4, "nor do they hold training up"


def test_compiled_passes_take_batches_of_their_own_size_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of another size would be compiled anew, which takes longer than its pass."""
    sizes: list[int] = []

    def compiled(input_ids: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        sizes.append(len(input_ids))
        return model.model.norm.weight.sum()  # faster than the model

    monkeypatch.setattr(torch, "compile", lambda forward, dynamic: compiled)
    model, batches = build(), sentences()
    some = ((ids[:size], labels[:size]) for size, (ids, labels) in zip((4, 3, 1, 4), batches))
    inner = loop(model, some)
    inner.compile(BATCH)
    sizes.clear()
    assert [inner.step(RATE)[1] for _ in range(4)] == [4, 3, 1, 4]
    assert sizes == [4, 4]


@pytest.mark.lan
def test_training_does_without_the_compiler() -> None:
    """Loading it took a third of a peer's start."""
    script = """
import sys
from tests.peer.inner.test_loop import InnerLoop, build, sentences, torch
with torch.device("meta"):
    build()
inner = InnerLoop(build(), sentences(), torch.device("cpu"), None)
inner.step(1e-3)
inner.load_moments(inner.moments(), inner.updates)
inner.step(1e-3)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=90).returncode == 0

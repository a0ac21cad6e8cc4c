"""`--averaging sync`: our loop around a real `hivemind.Optimizer`, one device with nobody beside it."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from minigpt.checkpoint import parameter_hash
from minigpt.checkpoint.manifest import Progress
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.processes import StopSignal
from peer.inner.optimizer import TURNS, parameter_groups
from peer.inner.regularization import WEIGHT_DECAY, Regularization
from peer.network.handle import Network
from peer.network.node import View
from peer.outer import synchronous
from peer.outer.events import RoundClosed
from peer.outer.synchronous import SynchronousInner, SynchronousOuterLoop
from peer.wire import Notice, Role
from tests.dht import acquainted_nodes

STOP = cast(StopSignal, SimpleNamespace(interrupts=nullcontext))
SETTINGS = Settings.model_validate({"training": {"batch_size": 4}, "swarm": {"samples_per_round": 8}})
PROGRESS = Progress(run="cellmind", run_id="cellmind-000000000000", round=0, samples=0, step=0, version="0" * 64)


@pytest.fixture
def inner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SynchronousInner]:
    monkeypatch.setattr(synchronous, "MATCHMAKING_SECONDS", 0.5)
    monkeypatch.setattr(synchronous, "AVERAGING_SECONDS", 2.0)
    generator = torch.Generator().manual_seed(0)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            ids = torch.randint(40, (4, 13), generator=generator)
            yield ids[:, :-1], ids[:, 1:]

    torch.manual_seed(0)
    model = MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=1, seq_len=12)
    with acquainted_nodes(tmp_path, 1) as nodes:
        loop = SynchronousInner(model, batches(), torch.device("cpu"), None)
        loop.join(cast(Network, SimpleNamespace(dht=nodes[0])), PROGRESS.run_id, SETTINGS, PROGRESS, STOP)
        try:
            yield loop
        finally:
            loop.joint_optimizer.shutdown()


def test_what_is_compiled_in_the_middle_of_a_round_leaves_no_gradients_and_ends_no_round(
    inner: SynchronousInner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(forward: Callable[..., Any], dynamic: bool) -> Callable[..., Any]:
        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    inner.step(1e-3)
    inner.compile(4)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in inner.parameters)
    for _ in range(20):
        if inner.joint_optimizer.local_epoch:
            break
        loss, sequences = inner.step(1e-3)
        assert 0 < loss < 10 and sequences == 4
    assert inner.joint_optimizer.local_epoch == 1
    assert inner.step_seconds > 0


def test_weights_decay_more_after_some_passes_here_as_well(inner: SynchronousInner) -> None:
    inner.regularization = Regularization.after(9.0)
    inner.step(1e-3)
    decays = {group["weight_decay"] for group in inner.optimizer.param_groups}
    assert decays == {0.0, WEIGHT_DECAY[1]}, "none for the norms"


@pytest.mark.parametrize(
    ("device", "autocast", "expected"),
    [
        ("cuda", torch.bfloat16, torch.float32),
        ("cpu", torch.bfloat16, torch.bfloat16),
        ("cpu", None, torch.float32),
    ],
)
def test_the_optimizer_counts_as_the_cpu_does_best(
    monkeypatch: pytest.MonkeyPatch, device: str, autocast: torch.dtype | None, expected: torch.dtype
) -> None:
    """It is there beside a graphics card, too, and a CPU without matrix units emulates bfloat16."""
    monkeypatch.setattr(synchronous, "pick_autocast", lambda device: None)
    model = MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=1, seq_len=12)
    inner = SynchronousInner(model, iter([]), torch.device("cpu"), autocast)
    inner.device = torch.device(device)
    assert inner._format_on_cpu() == expected


def test_a_joiner_begins_where_the_others_are(inner: SynchronousInner) -> None:
    """With the same turns of the matrices, the same averages in the same order, and not a step of its own."""
    torch.manual_seed(0)
    untouched = MiniGPT(vocab_size=40, d_model=16, nhead=2, num_layers=1, seq_len=12)
    assert all(torch.equal(*pair) for pair in zip(inner.parameters, untouched.parameters()))
    pairs = zip(inner.optimizer.param_groups, parameter_groups(untouched))
    assert all(torch.equal(*two) for here, there in pairs for two in zip(here["params"], there["params"]))
    state = inner.optimizer.state
    assert {int(averages["step"]) for averages in state.values()} == {0}
    joiner = inner._begun_optimizer(parameter_groups(untouched), 1e-3, rounds=6)
    matrices = [p for group in joiner.param_groups if group["blocks"] for p in group["params"]]
    assert {int(joiner.state[parameter]["step"]) for parameter in matrices} == {6 % TURNS}
    assert [list(averages) for averages in joiner.state.values()] == [list(averages) for averages in state.values()]


def test_the_anchor_is_what_the_parameters_are_after_the_step_of_a_round(inner: SynchronousInner) -> None:
    posted: list[Notice] = []

    def post(notice: Notice, silent_seconds: float) -> View:
        posted.append(notice)
        return View()

    network = cast(Network, SimpleNamespace(view=View(bytes_sent=3), starts=1, post=post))
    me = Notice(peer="M" * 12, name="me", address="", role=Role.LOOKING, run_id=PROGRESS.run_id)
    outer = SynchronousOuterLoop(
        inner=inner, anchor_model=deepcopy(inner.model), progress=PROGRESS, me=me, network=network, settings=SETTINGS
    )
    before = parameter_hash(dict(outer.anchor_model.named_parameters()))
    outer.pause("battery at 9 %")
    assert not list(outer.tick(10.0))
    outer.resume()
    events: list[object] = []
    for _ in range(20):
        _, sequences = inner.step(1e-3)
        outer.trained(sequences)
        if events := list(outer.tick(10.0)):
            break
    assert events == [RoundClosed(["me"], 1.0)]
    assert [notice.paused for notice in posted[:2]] == ["battery at 9 %", ""]
    assert outer.progress.version == parameter_hash(dict(inner.model.named_parameters())) != before
    assert (outer.progress.round, outer.progress.samples, outer.traffic.sent) == (1, 8, 3)
    assert outer.needs_checkpoint and outer.exchange_report is None

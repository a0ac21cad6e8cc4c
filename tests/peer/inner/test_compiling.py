"""Compiling the model beside its training: the same step faster, and nothing lost where it cannot be done."""

import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from minigpt.dataset import Batches, TextDataset
from minigpt.model import MiniGPT
from minigpt.settings import ModelSettings, Settings
from peer.device.display import Display
from peer.device.processes import Stopped, StopSignal, is_alive
from peer.inner import compiling
from peer.inner.compiling import Compiling, worth_compiling
from peer.inner.loop import PASSES, InnerLoop
from tests.lan import is_running, wait_until

pytestmark = pytest.mark.lan

CPU = torch.device("cpu")
SETTINGS = Settings(model=ModelSettings(d_model=16, nhead=2, num_layers=1, dropout=0.0))

STOP = cast(StopSignal, SimpleNamespace(received=False, interrupts=nullcontext))
PATIENCE = 900.0  # seconds: the compiler takes ten where nothing else runs, and gives way to all that does

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


class Notes(Display):
    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def note(self, text: str, *about: str) -> None:
        self.all.append(text)


class Training:
    """A tiny model that counts as worth the trouble, and its compiling."""

    def __init__(self, folder: Path):
        # Nothing to learn by heart, however long the compiler takes: of a loss near zero nothing is left to compare.
        np.save(folder / "ids.npy", np.random.default_rng(0).integers(40, size=5_000).astype("<u2"))
        self.batches = Batches(TextDataset.packed(folder / "ids.npy", 32, seed=0), 2)
        torch.manual_seed(0)
        model = MiniGPT.from_settings(SETTINGS.model, 40, 32)
        self.inner, self.notes = InnerLoop(model, self.batches, CPU, torch.bfloat16), Notes()
        self.silences: list[float] = []

    def compile(self, stop: StopSignal = STOP) -> Compiling:
        return Compiling(self.inner, self.batches, SETTINGS, self.notes, stop, self.silences.append)


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    monkeypatch.setattr(compiling, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(compiling, "available_memory", lambda device: None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one spins between two steps, and takes its core from the compiler
    yield Training(tmp_path)
    torch.set_num_threads(threads)


@needs_compiler
def test_compiled_beside_the_training_the_same_step_goes_on(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = InnerLoop(MiniGPT.from_settings(SETTINGS.model, 40, 32), training.batches, CPU, torch.bfloat16)
    work = training.compile()

    def compiled() -> bool:
        training.inner.step(1e-3)
        work.poll()
        return len(training.notes.all) > 1

    assert wait_until(compiled, PATIENCE)
    assert training.notes.all[0] == "the model is being compiled for this processor while it trains"
    assert len(training.silences) == PASSES + 1, "the others are told that it lives, and a step is made between two"
    assert training.notes.all[1].startswith("compiled")  # and faster or not: here that is chance
    training.inner.forward = torch.compile(training.inner.model, dynamic=False)  # also where it had been no faster
    twin.reset([parameter.detach() for parameter in training.inner.parameters])
    training.inner.optimizer.state.clear()
    for _ in range(5):
        position = training.batches.position
        loss, sequences = training.inner.step(1e-3)
        training.batches.position = position
        twin_loss, twin_sequences = twin.step(1e-3)
        assert (twin_loss, twin_sequences) == (pytest.approx(loss, rel=0.01), sequences)  # type: ignore[comparison-overlap]
    work.poll()
    assert len(training.notes.all) == 2, "once"
    monkeypatch.setenv("CXX", shutil.which("false") or "false")
    restarted = training.compile()._process
    assert restarted is not None and restarted.wait(PATIENCE) == 0, "nothing was left to do"


@needs_compiler
def test_a_compiler_that_fails_is_told_of_and_training_goes_on(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", shutil.which("false") or "false")
    work = training.compile()

    def over() -> bool:
        work.poll()
        return len(training.notes.all) > 1

    assert wait_until(over, PATIENCE)
    assert training.notes.all[1].startswith("the model cannot be compiled here (")
    assert training.notes.all[1].endswith("); training goes on without that") and "\n" not in training.notes.all[1]
    loss, sequences = training.inner.step(1e-3)
    assert 0 < loss < 10 and sequences == 2


class Interrupted(torch.autograd.Function):
    """Ctrl+C comes while its backward pass is traced, in which PyTorch keeps a traceback of every operation."""

    @staticmethod
    def forward(context: Any, numbers: torch.Tensor) -> torch.Tensor:
        return numbers.clone()

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        raise Stopped


def interrupted() -> Iterator[float]:
    with torch.autograd.detect_anomaly(check_nan=False):
        Interrupted.apply(torch.ones(1, requires_grad=True)).backward()
    yield 1.0


def test_ctrl_c_while_it_is_loaded_shows_no_traceback(training: Training) -> None:
    stop = SimpleNamespace(received=True, interrupts=nullcontext)
    work = training.compile(cast(StopSignal, stop))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        work._take_turn(interrupted())
    assert [str(warning.message) for warning in shown if "Traceback" in str(warning.message)] == []


def test_the_end_of_training_ends_it(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    work = training.compile()
    process = work._process
    assert process is not None and process.poll() is None
    work.stop()
    assert process.returncode is not None and not is_alive(process.pid)


KILLED = """
import os, signal, subprocess, sys
work = subprocess.Popen([sys.executable, "-c", WORK], process_group=0, stdout=subprocess.PIPE, text=True)
print(work.pid, work.stdout.readline(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
WORK = f"""
import os, subprocess, threading
from peer.inner.compiling import end_with
threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
compiler = subprocess.Popen(["sleep", "{PATIENCE}"])
print(compiler.pid, flush=True)
compiler.wait()
"""


def test_killing_the_training_takes_the_compiler_with_it() -> None:
    code = f"WORK = {WORK!r}\n{KILLED}"
    training = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert training.returncode == -signal.SIGKILL
    work, compiler = map(int, training.stdout.split())
    assert wait_until(lambda: not is_running(work) and not is_running(compiler), 30)


def test_it_is_not_tried_where_it_would_not_pay(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert worth_compiling(training.inner)
    monkeypatch.setattr(training.inner, "autocast", None)
    assert not worth_compiling(training.inner), "float32"
    monkeypatch.setattr(training.inner, "autocast", torch.bfloat16)
    monkeypatch.setattr(compiling, "LEAST_PARAMETERS", 5_000_000)
    assert not worth_compiling(training.inner), "a small model"
    monkeypatch.setattr(compiling, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not worth_compiling(training.inner), "no compiler"
    training.compile().poll()
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(compiling, "available_memory", lambda device: compiling.LEAST_MEMORY - 1)
    training.compile().poll()
    assert not training.notes.all

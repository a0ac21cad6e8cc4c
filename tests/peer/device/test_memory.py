"""Batch size by memory: what is free, what a step needs, and what happens where an allocation is refused."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minigpt.device import allocator
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.memory import OutOfMemory, available_memory, is_out_of_memory
from peer.inner.batch_size import FIXED_BYTES, KEPT_FREE, PEAK, check_room, fitting_batch, kept_bytes

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("room", "size"), [(None, 8), (100.0, 8), (8.0, 8), (7.9, 4), (2.5, 2), (1.1, 1), (0.1, 0), (-5.0, 0)]
)
def test_the_batch_is_what_there_is_memory_for(model: MiniGPT, room: float | None, size: int) -> None:
    fixed, sequence = FIXED_BYTES * model.parameter_count(), PEAK * kept_bytes(model, None)
    available = None if room is None else round((fixed + room * sequence) / (1 - KEPT_FREE)) + 1
    assert fitting_batch(8, model, None, available) == size


def test_what_is_kept_grows_with_the_model_and_leaves_it_as_it_is(model: MiniGPT) -> None:
    longer = MiniGPT(vocab_size=300, d_model=32, nhead=2, num_layers=2, seq_len=64)
    shorter = MiniGPT(vocab_size=300, d_model=32, nhead=2, num_layers=2, seq_len=32)
    assert 1.8 < kept_bytes(longer, None) / kept_bytes(shorter, None) < 2.2
    before = torch.get_rng_state()
    kept_bytes(model, None)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(before, torch.get_rng_state())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_available_is_what_the_kernel_says_or_what_a_group_leaves(tmp_path: Path) -> None:
    assert available_memory(CPU, tmp_path) is None, "no /proc"
    write(tmp_path / "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    2000 kB\n")
    assert available_memory(CPU, tmp_path) == 2000 * 1024
    write(tmp_path / "proc/self/cgroup", "0::/a/b\n5:cpu:/\n")
    group = tmp_path / "sys/fs/cgroup/a"
    write(group / "b/memory.max", "max\n")
    write(group / "b/memory.current", "5\n")
    write(group / "memory.max", "1000000\n")
    write(group / "memory.current", "900000\n")
    write(group / "memory.stat", "anon 800000\ninactive_file 50000\n")
    assert available_memory(CPU, tmp_path) == 150_000
    write(tmp_path / "proc/self/cgroup", "4:memory:/c\n")
    old = tmp_path / "sys/fs/cgroup/memory/c"
    write(old / "memory.limit_in_bytes", "500000\n")
    write(old / "memory.usage_in_bytes", "600000\n")
    write(old / "memory.stat", "total_inactive_file 0\n")
    assert available_memory(CPU, tmp_path) == 0
    for nonsense in ("", "MemAvailable:", "MemAvailable: many kB"):
        write(tmp_path / "proc/meminfo", nonsense)
        write(tmp_path / "proc/self/cgroup", nonsense)
        assert available_memory(CPU, tmp_path) is None


def test_a_mac_is_asked_through_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(total=8_000_000_000, available=3_000_000_000))
    monkeypatch.setitem(sys.modules, "psutil", memory)
    assert available_memory(CPU, tmp_path) is None, "Linux has files for it, and no psutil"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert available_memory(CPU, tmp_path) == 3_000_000_000
    assert available_memory(torch.device("mps"), tmp_path) == 3_000_000_000, "a Mac's GPU shares it"


REFUSED = """
import resource
import sys
from pathlib import Path

import torch

from minigpt.dataset import Batches, TextDataset
from minigpt.device import allocator
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.loop import InnerLoop
from peer.device.memory import OutOfMemory
from peer.inner.batch_size import step_within_memory

torch.set_num_threads(1)
model = MiniGPT(vocab_size=1500, d_model=32, nhead=2, num_layers=1, seq_len=32)
batches = Batches(TextDataset.packed(Path(sys.argv[1]), 32, seed=0), 1024)  # 0.8 MB a sequence
inner = InnerLoop(model, batches, torch.device("cpu"), None)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 120_000_000,) * 2)
loss, sequences = step_within_memory(inner, 1e-3, batches, print)
print("done", loss, sequences)
batches.batch_size, batches.dataset = 2, TextDataset.packed(Path(sys.argv[1]), 10_000_000, seed=0)
try:
    step_within_memory(inner, 1e-3, batches, lambda note: None)
except OutOfMemory as error:
    print(error)
"""


@pytest.mark.lan
@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_refused_allocation_halves_the_batch_and_training_goes_on(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.zeros(100_000, "<u2"))
    command = [sys.executable, "-c", REFUSED, str(tmp_path / "ids.npy")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 0, refused.stderr
    *notes, done, end = refused.stdout.splitlines()
    assert "even with one sequence a step: end other programs" in end
    assert notes[0] == "memory ran out; sequences a step from now on: 512"
    _, loss, sequences = done.split()
    assert 0 < int(sequences) <= 512 and int(sequences) == int(notes[-1].rpartition(" ")[2])
    assert 0 < float(loss) < 20


KEPT = """
import resource
import sys

import torch

from minigpt.device import give_back_freed_memory, keep_freed_memory


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step = [torch.ones(2_000_000) for _ in range(20)]
    del step
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


torch.set_num_threads(1)
before = max(faults() for _ in range(3))
keep_freed_memory()
faults()
kept = faults()
give_back_freed_memory()
print(before, kept, faults())
"""


@pytest.mark.lan
@pytest.mark.skipif(allocator("mallopt") is None, reason="glibc's allocator only")
def test_a_step_takes_the_memory_of_the_last_one() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, timeout=120, check=True)
    before, kept, given_back = map(int, done.stdout.split())
    pages = 20 * 8_000_000 // resource.getpagesize()
    assert before > pages / 2 and given_back > pages / 2, "given back, and asked for again page by page"
    assert kept < pages / 20


def test_a_model_that_cannot_be_trained_here_is_not_begun_with() -> None:
    huge = Settings.model_validate({"model": {"d_model": 8192, "nhead": 8, "num_layers": 64}})
    with pytest.raises(OutOfMemory, match=r"51,673 M parameters takes more than 826\.8 GB, and 8\.0 GB are free"):
        check_room(huge, 8000, 8_000_000_000)
    check_room(huge, 8000, None)
    check_room(Settings(), 8000, 500_000_000)


def test_what_is_no_lack_of_memory_is_no_reason_to_go_on() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB). Tried to allocate 1 MB"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))

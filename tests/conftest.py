"""Fixtures of several test files: a tokenizer, a model, a folder with a checkpoint of it, a disk that is soon full."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tokenizer
from minigpt.model import MiniGPT
from tests.devices import Device, found
from tests.tiny import build_model, save_model, train_tokenizer


@pytest.fixture(scope="session", autouse=True)
def quick_starts() -> None:
    """Programs that tests start do not import and compile each time what others have; see `tests/fork_server.py`."""
    Device.forks = True
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="module")
def tokenizer_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def processor(tokenizer_model: Path) -> Any:
    return tokenizer.load(tokenizer_model)


@pytest.fixture(scope="module")
def model(processor: Any) -> MiniGPT:
    return build_model(processor.get_piece_size())


@pytest.fixture(scope="session")
def round_zero(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which a run was founded and nothing was trained yet: see `tests.devices.Device.prepare`.

    Whichever of pytest's processes is the first to need it founds it for all.
    """
    for_all = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        for_all = for_all.parent
    with (for_all / "founder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (for_all / "founder").exists():
            (for_all / "founder").symlink_to(found(tmp_path_factory.mktemp("clone") / "clone"))
    return for_all / "founder"


@pytest.fixture
def folder(tmp_path: Path, tokenizer_model: Path, model: MiniGPT, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is one with a checkpoint."""
    monkeypatch.chdir(tmp_path)
    return save_model(Path("checkpoints"), tokenizer_model, model)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of as many bytes as the test's parameter says, such as 256k."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.name == "posix" and os.geteuid() == 0 and shutil.which("mount")
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", disk]).returncode:
        pytest.skip("needs root and tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)

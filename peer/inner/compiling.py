"""Compiled training, where that pays: torch.compile works in a process of its own while training goes on.

PyTorch reads and writes memory once for every operation; compiled, the operations between two matrix products become
one. That pays where the products are fast, which is where bfloat16 is; elsewhere they take most of the time.

The process, `python -m peer.inner.compiling JOB`, leaves what it has compiled where PyTorch looks first
(TORCHINDUCTOR_CACHE_DIR, explained in PyTorch's documentation). The training process then needs some seconds instead of
a minute, and none of the compiler's memory. The process leaves a mark there as well, by which the next one sees, after
a restart, that nothing is left to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import minigpt
from minigpt.dataset import Batches
from minigpt.model import MiniGPT
from minigpt.settings import ModelSettings, Settings
from peer.device.display import Display
from peer.device.event_log import KnownLine
from peer.device.memory import available_memory
from peer.device.processes import StopSignal
from peer.inner import loop
from peer.inner.loop import InnerLoop

LEAST_PARAMETERS = 5_000_000  # of smaller models a step is over so soon that minutes pass until compiling has paid
LEAST_MEMORY = 2_000_000_000  # bytes: the process takes 0.8 GB, and training has not taken all of its own yet
NICER = 5  # than training
TURN_SECONDS = 120.0  # at most, in which no step is made: the first takes 6 on a core of its own, 30 on a quarter
LOOK_SECONDS = 0.5  # between two looks at whether training still goes on


class Compiling:
    """Brings training from PyTorch's usual way to the compiled one, once, where that is likely to pay.

    :param expect_silence: is told, before training stands still, for how many seconds that may be
    """

    def __init__(
        self,
        inner: InnerLoop,
        batches: Batches,
        settings: Settings,
        display: Display,
        stop: StopSignal,
        expect_silence: Callable[[float], None],
    ):
        self._inner, self._batches, self._display, self._stop = inner, batches, display, stop
        self._expect_silence = expect_silence
        self._batch_size = batches.batch_size  # that it is compiled for
        self._turns: Iterator[float] | None = None  # of finding out how much faster it is
        self._gain = 1.0
        self._process: subprocess.Popen[bytes] | None = None
        if batches.dataset.is_packed and worth_compiling(inner) and is_room(inner):
            display.note(KnownLine("the model is being compiled for this processor while it trains", "compiling"))
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- of the process, and gone with this one
            self._process = subprocess.Popen(
                [sys.executable, "-m", "peer.inner.compiling", job(inner, batches.batch_size, settings.model)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                process_group=0,  # Ctrl+C is for us
            )

    def poll(self) -> None:
        """Go on compiled, if that is ready and faster. To find that out takes a few turns, one a call."""
        if self._turns is not None:
            self._take_turn(self._turns)
            return
        if self._process is None or self._process.poll() is None:
            return
        failed, self._process = self._process.returncode != 0, None
        if failed:
            self._errors.seek(0)
            self._say_failed(self._errors.read().decode(errors="replace"))
        else:
            self._turns = self._inner.compile_in_turns(self._batch_size)

    def stop(self) -> None:
        """End the process, if it still works."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)  # the C++ compiler as well
            self._process.wait()
            self._process = None

    def _take_turn(self, turns: Iterator[float]) -> None:
        if self._batches.batch_size != self._batch_size:  # it is smaller where memory ran out
            self._turns = None
            return
        # PyTorch says with a traceback where the backward pass was when Ctrl+C ended its tracing
        warnings.filterwarnings("ignore", message="Error detected in")
        self._expect_silence(TURN_SECONDS)
        try:
            with self._stop.interrupts():
                self._gain = next(turns)
        except StopIteration:
            self._turns = None
            self._display.note(
                KnownLine(f"compiled: {self._gain:.2f} times as fast", "compiled", gain=self._gain)
                if self._gain > 1
                else KnownLine("compiled it is no faster: left as it was", "compiled_in_vain")
            )
        except Exception as error:  # PyTorch's compiler fails in ways of its own
            self._turns = None
            if not self._stop.received:
                self._say_failed(str(error))

    def _say_failed(self, error: str) -> None:
        reason = (error.strip().splitlines() or ["it was ended"])[-1]
        self._display.note(f"the model cannot be compiled here ({reason[:200]}); training goes on without that")


def worth_compiling(inner: InnerLoop) -> bool:
    """Return True where compiling is likely to pay, and there is a C++ compiler."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return (
        inner.device.type == "cpu"
        and inner.autocast is torch.bfloat16
        and inner.model.parameter_count() >= LEAST_PARAMETERS
        and shutil.which(compiler) is not None
    )


def is_room(inner: InnerLoop) -> bool:
    """Return True where there is memory for one more model in training, and for the compiler."""
    available = available_memory(inner.device)
    return available is None or available > LEAST_MEMORY


def job(inner: InnerLoop, batch_size: int, model: ModelSettings) -> str:
    """Return all that decides what is compiled, as JSON."""
    return json.dumps(
        {
            "model": model.model_dump(exclude={"checkpoint"}),
            "vocab_size": inner.model.vocab_size,
            "seq_len": inner.model.seq_len,
            "batch_size": batch_size,
            "block_attention": inner.block_attention,
            "threads": torch.get_num_threads(),
            "parent": os.getpid(),
        }
    )


def end_with(parent: int) -> None:
    """Wait until `parent` has ended, by kill -9 or otherwise, and end this process and its C++ compiler with it."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)


def mark(todo: dict[str, Any]) -> Path:
    """Return the file that says that just this is compiled: this model, this code, this PyTorch. It lies beside it."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir  # half of what there is to load of the compiler

    digest = hashlib.sha256(json.dumps({**todo, "parent": None, "torch": torch.__version__}).encode())
    for source in (*sorted(Path(minigpt.__file__).parent.rglob("*.py")), Path(loop.__file__)):
        digest.update(source.read_bytes())
    return Path(cache_dir()) / f"cellmind-{digest.hexdigest()[:16]}"


def main() -> None:
    """Compile the job, unless its mark is there."""
    todo = json.loads(sys.argv[1])
    threading.Thread(target=end_with, args=(todo["parent"],), daemon=True).start()
    os.nice(NICER)
    done = mark(todo)
    if done.exists():
        return
    torch.set_num_threads(todo["threads"])
    settings = ModelSettings.model_validate(todo["model"])
    model = MiniGPT.from_settings(settings, todo["vocab_size"], todo["seq_len"])
    InnerLoop(model, iter(()), torch.device("cpu"), torch.bfloat16, todo["block_attention"]).compile(todo["batch_size"])
    done.touch()


if __name__ == "__main__":
    main()

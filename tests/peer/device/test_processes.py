"""Programs of their own, for they change what signals do, and how children come into the world."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.lan

PROGRAM = """
import os, signal, time
from peer.device.processes import Stopped, StopSignal

stop = StopSignal()
try:
    {block}
except Stopped:
    print("stopped")
"""
BEFORE = """os.kill(os.getpid(), signal.SIGINT)
    with stop.interrupts():
        print("what takes long")"""
DURING = """with stop.interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        print("what takes long")"""


@pytest.mark.parametrize("block", [BEFORE, DURING], ids=["before", "during"])
def test_what_takes_long_is_not_done_once_somebody_wants_the_end(block: str) -> None:
    program = PROGRAM.format(block=block)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


@pytest.mark.parametrize("start", [[], ["nohup"]], ids=["in a terminal", "nohup"])
def test_a_closed_terminal_ends_it_unless_it_was_started_for_longer(start: list[str]) -> None:
    program = "import os, signal; from peer.device.processes import StopSignal; stop = StopSignal(); "
    program += "os.kill(os.getpid(), signal.SIGHUP); print(stop.received)"
    heeds = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # whatever these tests were started by
    command = [*start, sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=heeds)
    assert done.stdout == f"{not start}\n", done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "minigpt.generate --help",
        "minigpt.evaluate --help",
        "peer --join --no-page",
        "peer.joining.pull --help",
        "bootstrap --help",
    ],
)
def test_ctrl_c_while_modules_are_loaded_leaves_no_traceback(line: str, tmp_path: Path) -> None:
    """On a phone that takes ten seconds. `peer --help` loads too little to be interrupted in it."""
    module, *arguments = line.split()
    command = [sys.executable, "-X", "importtime", "-m", module, *arguments]
    heeds = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # as a shell leaves it
    said = []
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heeds
    ) as program:
        assert program.stderr is not None
        for told in program.stderr:
            if not told.startswith(b"import time:"):
                said.append(told)
            elif told.endswith(b" torch.version\n"):
                program.send_signal(signal.SIGINT)
    assert (program.returncode, said) == (-signal.SIGINT, [])


SPEAKS = """
import os, sys, time
from peer.device.display import Display
from peer.device.processes import leave

display = Display()
with display.training():
    display.progress(1, 0, 2000, "alone")
    os.write(2, b"began")
    while os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    for number in range(2000):
        display.note("저장 …")
        display.progress(1, number, 2000, "alone")
os.write(2, b", went on")
leave(0)
"""


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_whoever_stops_reading_stops_no_training(kind: str, tmp_path: Path) -> None:
    reader, writer = os.pipe() if kind == "pipe" else os.openpty()
    waits = tmp_path / "waits"
    waits.touch()
    command = [sys.executable, "-c", SPEAKS, str(waits)]
    with subprocess.Popen(
        command, stdout=writer, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"}
    ) as program:
        os.close(writer)
        assert program.stderr is not None
        assert program.stderr.read(5) == b"began"
        os.close(reader)
        waits.unlink()
        assert program.stderr.read() == b", went on"
    assert program.returncode == 0


@pytest.mark.parametrize("program", [SPEAKS, "from minigpt.cli import exit_code; exit_code(lambda: print(1), ())"])
def test_without_standard_output_all_goes_on(program: str) -> None:
    command = ["sh", "-c", 'exec "$0" -c "$1" nowhere >&-', sys.executable, program]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


WRITES_NOTHING = """
import time
from peer.device.processes import stop_when_unread

stop_when_unread()
print("began", flush=True)
time.sleep({seconds})
print("went on", flush=True)
"""


def test_whoever_is_read_by_nobody_is_ended() -> None:
    command = [sys.executable, "-c", WRITES_NOTHING.format(seconds=60)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stderr is not None
        assert program.stdout.readline() == b"began\n"
        program.stdout.close()
        assert program.wait(60) == -signal.SIGTERM
        assert program.stderr.read() == b""


@pytest.mark.parametrize("kind", ["pipe", "file", "nothing"])
def test_whoever_is_read_goes_on(kind: str, tmp_path: Path) -> None:
    program = [sys.executable, "-c", WRITES_NOTHING.format(seconds=1.5)]
    out = tmp_path / "out"
    redirected = {"pipe": '"$@" | cat >"$0"', "file": '"$@" >"$0"', "nothing": '"$@" >&- && echo went on >"$0"'}[kind]
    done = subprocess.run(["sh", "-c", redirected, str(out), *program], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_text().splitlines()[-1] == "went on"


GIVES_WAY = """
import os, subprocess, sys
from peer.device.processes import give_way_to_training

give_way_to_training()
print(os.sched_getscheduler(0) == os.SCHED_OTHER, flush=True)
if os.fork() == 0:
    subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0) == os.SCHED_BATCH)"])
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_BATCH is Linux's")
def test_what_children_start_does_not_interrupt_training() -> None:
    done = subprocess.run([sys.executable, "-c", GIVES_WAY], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["True", "True"], done.stderr

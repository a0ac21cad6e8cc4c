"""Ctrl+C in a process of its own, for it changes what signals do."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, time
from peer.processes import Stopped, StopSignal

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

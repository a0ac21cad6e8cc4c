"""A program that runs on a host of the test LAN: what it writes, signals to it, and its end."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

GONE = 20.0  # seconds that it takes at most until what was killed is gone
POLL = 0.05  # seconds between two looks at a condition


class LanTimeout(AssertionError):
    """Something expected of a process did not happen in time; the text ends with the tail of its log."""


class Started(Protocol):
    """A process as its starter knows it: the part of `subprocess.Popen` that is asked for."""

    args: Any
    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def send_signal(self, number: int) -> None: ...


class HostProcess:
    """A program running on a host; `pid` is the program's own. It leads its session and process group."""

    def __init__(self, popen: Started, log: Path, log_start: int):
        self.pid = popen.pid
        self.log = log
        self._popen = popen
        self._log_start = log_start

    def output(self) -> str:
        """Return what this process has written so far; earlier processes may have written to the same log before it."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for(self, pattern: str, timeout: float) -> re.Match[str]:
        """The first match in the output (^ and $ match at lines); LanTimeout when the process or the time ends first.

        Python programs hold back what they print to a file: flush, or run them with `python -u`.
        """
        deadline = time.monotonic() + timeout
        while True:
            status = self._popen.poll()  # asked before reading: a process's last words count
            if match := re.search(pattern, self.output(), re.MULTILINE):
                return match
            if status is not None:
                raise LanTimeout(self._report(f"ended with exit code {status} before {pattern!r} appeared"))
            if time.monotonic() > deadline:
                raise LanTimeout(self._report(f"did not write {pattern!r} within {timeout:g} s"))
            time.sleep(POLL)

    def running(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the program alone; Ctrl+C in a terminal is `os.killpg(process.pid, signal.SIGINT)`."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """kill -9 of the program alone, until it is gone. Its children live on: `os.killpg` kills the whole device."""
        self.signal(signal.SIGKILL)
        self.wait(GONE)

    def wait(self, timeout: float) -> int:
        """The exit code (-9 after SIGKILL); LanTimeout if the program still runs after `timeout` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LanTimeout(self._report(f"still runs after {timeout:g} s")) from None

    def _report(self, event: str) -> str:
        tail = "\n".join(self.output().splitlines()[-30:])
        return f"{self._popen.args!r} {event}; the end of {self.log}:\n{tail}"

"""The page's process as the peer has it: started before all else, started again where it dies, ended with the peer."""

from __future__ import annotations

import argparse
import atexit
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from peer.device.event_log import KnownLine
from peer.page.place import OPEN, forget_place, listen, write_place

LOG = "page.log"  # in the checkpoints folder: what went wrong in the page
END_SECONDS = 4.0  # in which it tells open pages that this device has stopped
# seconds before it is started again; twice as long each time, where it dies soon
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
NO_PORT = "the page is not served: no port is free for it; training goes on without"


class PageProcess:
    """A process of its own, with another group than ours, so that Ctrl+C is left to us. Raises OSError.

    It listens at once, for the socket is made here; so who asks early waits a moment, and nobody guesses the port.
    It looks after us, and ends when we are gone, by whatever way. Other commands find it once it is shown; from then on
    it is started again where it dies.
    """

    def __init__(self, checkpoints: Path):
        self._checkpoints, self._is_shown = checkpoints, False
        checkpoints.mkdir(parents=True, exist_ok=True)
        self._ended, self._starts = threading.Event(), threading.Lock()
        self.port, self._process = self._start()
        atexit.register(self.stop)

    def _start(self, *options: str, port: int | None = None) -> tuple[int, subprocess.Popen[bytes]]:
        """Start it, at this port where that is free; return its port and itself. Raises OSError."""
        listener = listen("127.0.0.1", port)
        if listener is None:
            raise OSError(NO_PORT)
        with ExitStack() as stack:
            stack.enter_context(listener)  # it is the child's from now on
            command = (sys.executable, "-m", "peer.page", "--checkpoints", str(self._checkpoints), *options)
            output = stack.enter_context(_log(self._checkpoints))
            process = subprocess.Popen(
                [*command, "--listener", str(listener.fileno()), "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
            return int(listener.getsockname()[1]), process

    @property
    def url(self) -> str:
        """Where a browser on this device finds it."""
        return f"http://127.0.0.1:{self.port}"

    def show(self, report: Callable[[str], None]) -> None:
        """Let other commands find it, as the page of the peer that runs in this folder, and look after it.

        :param report: gets a line for the user when it has died, the first time; it is called on another thread
        """
        self._is_shown = True
        with suppress(OSError):
            (self._checkpoints / OPEN).unlink()  # of a peer that was killed: on the LAN it is when that is asked for
        write_place(self._checkpoints, self.port)
        threading.Thread(target=self._look_after, args=(report,), name="page", daemon=True).start()

    def _look_after(self, report: Callable[[str], None]) -> None:
        """Start it again whenever it has died, until `stop`."""
        pause, was_said = FIRST_PAUSE, False
        while True:
            began = time.monotonic()
            how = self._process.wait()
            pause = FIRST_PAUSE if time.monotonic() > began + LONGEST_PAUSE else pause
            if self._ended.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE)
            with self._starts, suppress(OSError):  # no port, no memory: perhaps after the next pause
                if self._ended.is_set():
                    return
                self.port, self._process = self._start("--again", port=self.port)
                write_place(self._checkpoints, self.port)
                if not was_said:
                    was_said = True
                    text = f"the page had ended ({ended_by(how)}) and was started again: {self.url}"
                    report(KnownLine(text, "page_again", url=self.url))

    def stop(self) -> None:
        """End it, once it has told those who look. Waits a few seconds at most."""
        atexit.unregister(self.stop)
        with self._starts:
            self._ended.set()
        if self._is_shown:
            forget_place(self._checkpoints)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def started_early(arguments: list[str]) -> PageProcess | None:
    """Start the page of a command line that wants one, before anything else is loaded, which takes seconds.

    None where no page is wanted, or the command line says nothing that can be understood yet; it is read in full later.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--join", nargs="?", const=True)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    try:
        known, _ = parser.parse_known_args(arguments)
        if known.join and not known.no_page and not known.help:
            return PageProcess(known.checkpoints)
    except (argparse.ArgumentError, OSError):  # a page that cannot be is tried once more, and said
        pass
    return None


def ended_by(exit_code: int) -> str:
    """Return how a process has ended, in words."""
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _log(checkpoints: Path) -> IO[bytes]:
    try:
        return (checkpoints / LOG).open("ab")
    except OSError:  # a full disk
        return open(os.devnull, "wb")

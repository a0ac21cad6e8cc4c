"""Child processes that never outlive us, and signals that reach only the process that knows what to do with them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1  # prctl(2)


def leave_nothing_behind() -> None:
    """From now on every forked child dies with us, kill -9 included, and leaves Ctrl+C and a closed terminal to us.

    hivemind's DHT and averager are forked children, and p2pd ends with the DHT's process. Call before they start, in
    the main thread. Linux only for kill -9; elsewhere children end when we end in good order.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def in_child() -> None:
        # the terminal sends Ctrl+C to its whole process group: children, and p2pd as theirs, are in one of their own
        os.setpgrp()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent and os.getppid() == 1:
                os._exit(1)  # the parent died before the line above

    os.register_at_fork(after_in_child=in_child)


def remove_stale_sockets() -> None:
    """hivemind's sockets in /tmp whose process was killed: nobody listens there any more."""
    for path in Path("/tmp").glob("hivemind-p2p*.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.settimeout(0.1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


class StopSignal:
    """Ctrl+C, SIGTERM and a closed terminal, as a flag: the first asks for a clean end, a second Ctrl+C insists."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True

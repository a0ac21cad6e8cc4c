"""Child processes that never outlive or interrupt the program, and signals that come as a flag."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import select
import shutil
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

SOCKETS = "cellmind-"  # begins the name of a folder of sockets; the owner's pid follows
_PR_SET_PDEATHSIG = 1  # prctl(2)


def leave_nothing_behind() -> None:
    """Make every child that is forked from now on die with us, and leave Ctrl+C and a closed terminal to us.

    hivemind's DHT and averager are forked children, and p2pd ends with the DHT's process. Call before they start, in
    the main thread. On Linux they die after kill -9 too; elsewhere only when we end in good order.
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
    sys.excepthook = _on_error


def stop_when_unread() -> None:
    """From now on SIGTERM comes to us once nobody reads our standard output any longer, kill -9 of the reader included.

    A writer learns it only when it writes, which may be much later. Only a pipe has a reader that leaves.
    """
    if sys.stdout is None or not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        return
    poll = select.poll()
    poll.register(sys.stdout, 0)  # that the other end is closed is told in any case

    def watch() -> None:
        while not poll.poll(1000):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def give_way_to_training() -> None:
    """Make children that are forked from now on, and what these start, take turns with training, not interrupt it.

    p2pd is woken by every packet, thousands of times an exchange, and each time it would take a core from a training
    step. Like this it waits for a tick of the clock, some milliseconds at most, and takes all that has come.
    Linux only, see sched(7): SCHED_BATCH.
    """
    if sys.platform != "linux":
        return

    def in_child() -> None:
        with suppress(OSError):  # where it is not allowed, all is as before
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    os.register_at_fork(after_in_child=in_child)


def _on_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say nothing of a child that is killed while it takes shared memory from us (in multiprocessing's thread)."""
    if threading.current_thread() is threading.main_thread() or not isinstance(error, (OSError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def is_alive(pid: int) -> bool:
    """Return True if there is a process of this id, whoever it belongs to."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def socket_folder() -> Path:
    """Return a new folder for unix sockets that only our user may enter (mkdtemp(3): mode 0700).

    It is gone at the end of this process, or at the next start of any where this one is killed.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{SOCKETS}*"):
        pid = folder.name.removeprefix(SOCKETS).partition("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{SOCKETS}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def leave(code: int) -> NoReturn:
    """End the program now: hivemind's threads would hold the interpreter for seconds, or for ever after an error."""
    _clean_up()
    os._exit(code)


def start_anew() -> NoReturn:
    """Begin the program again in this process, with the same command line."""
    _clean_up()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _clean_up() -> None:
    """End all children, and do what is to be done at the program's end."""
    for child in multiprocessing.active_children():
        child.kill()
    atexit._run_exitfuncs()
    for output in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it may be gone
            if output is not None:
                output.flush()


class Stopped(Exception):
    """The program was told to end, by Ctrl+C, SIGTERM or a closed terminal, while it waited for something."""


def _quiet_about_stopped(say: Callable[[sys.UnraisableHookArgs], Any], what: sys.UnraisableHookArgs) -> None:
    """Say nothing of a Stopped that came where nothing can be raised, as in `__del__`: it comes again at once."""
    if what.exc_type is not Stopped:
        say(what)


class StopSignal:
    """Ctrl+C, SIGTERM and a closed terminal, as a flag: the first asks for a clean end, a second Ctrl+C insists."""

    def __init__(self) -> None:
        self.received = False
        self._interrupting = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(signal.SIGHUP, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)
        sys.unraisablehook = partial(_quiet_about_stopped, sys.unraisablehook)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
        if self._interrupting:
            signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
            raise Stopped

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._interrupting:
            raise Stopped

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """End a block that may wait for long by raising Stopped when the signal comes, or if it came before.

        It is raised again and again until the block is left: hivemind takes any exception for a failed exchange, and
        waits on.
        """
        self._interrupting = True
        try:
            if self.received:
                raise Stopped
            yield
        finally:
            self._interrupting = False
            signal.setitimer(signal.ITIMER_REAL, 0)

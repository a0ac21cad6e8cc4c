"""A process that has imported what a peer imports, and forks into the peers of tests.

Most of what a peer's start costs a processor is importing PyTorch, hivemind and scipy: four seconds, and tests start
more than a hundred. All else is as with `python -m MODULE`: a process of its own in the host's network, with its own
arguments, folder, environment, output and exit code.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from multiprocessing import forkserver
from pathlib import Path

from tests.host_process import HostProcess
from tests.lan import Host, entering

IMPORTED = ["peer.training.trainer", "peer.joining.join", "peer.joining.run", "peer.page.process", "minigpt.generate"]
THREADS = {"OMP_NUM_THREADS": "1"}  # is read once, at the import


class Forked:
    """A forked process, as `HostProcess` asks it: the part of `subprocess.Popen` that is needed."""

    def __init__(self, process: multiprocessing.process.BaseProcess, args: list[str]):
        self._process, self.args = process, args
        assert process.pid is not None, "it has been started"
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


@functools.cache
def _server() -> multiprocessing.context.ForkServerContext:
    """Start the process that forks, once for all tests of a worker; it ends with the worker."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    before = dict(os.environ)
    os.environ.update(THREADS)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def start(host: Host, module: str, *arguments: str, cwd: Path, log: Path, cpus: Iterable[int] | None) -> HostProcess:
    """Start `python -u -m MODULE` on a host; see `Host.start`."""
    command = [sys.executable, "-u", "-m", module, *arguments]
    with log.open("ab") as output:
        log_start = output.tell()
    environment = {**os.environ, **THREADS}
    what = (host.namespace_path, command, cwd, log, environment, None if cpus is None else list(cpus))
    process = _server().Process(target=_run, args=what)
    process.start()
    return host.adopt(HostProcess(Forked(process, command), log, log_start))


def _run(
    namespace: Path, command: list[str], cwd: Path, log: Path, environment: Mapping[str, str], cpus: list[int] | None
) -> None:
    """Become the command, in the forked process."""
    multiprocessing.set_start_method(None, force=True)  # the platform's own again
    os.setsid()
    with namespace.open() as network:
        entering(network.fileno(), cpus, os.getppid())()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, flags, descriptors in ((os.devnull, os.O_RDONLY, [0]), (log, os.O_WRONLY | os.O_APPEND, [1, 2])):
        opened = os.open(path, flags)
        for descriptor in descriptors:
            os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", buffering=1, closefd=False) for descriptor in (1, 2))
    os.chdir(cwd)
    os.environ.update(environment)
    sys.path.insert(0, str(cwd))
    sys.orig_argv[:] = command
    _, _, _, module, *sys.argv[1:] = command
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()  # multiprocessing's own end of a process leaves them out

"""A household of real peers on a test LAN, and what can befall it: the doing of `benchmarks/faults.py`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.faults import Fault, Kind
from benchmarks.time_to_loss import found
from tests.devices import REPOSITORY, TINY, Device, lock
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

PEER = "benchmarks.steady_peer"
DISK_MEGABYTES = 128  # of a device; three checkpoints and the history of half an hour are a tenth
GONE_SECONDS = 5.0  # after a kill -9, in which none of the device's processes may live on
START_SECONDS = 300.0  # for many devices that start at once on two cores
FILLER = ".filler"


class Household:
    """Devices host1, host2, …, a bootstrap node, and a stranger on the same network.

    Every second device hears no multicast, as many a phone, and has the bootstrap node's address.

    :param step: seconds of a training step; see `benchmarks/steady_peer.py`
    """

    def __init__(self, lan: Lan, folder: Path, peers: int, step: float, settings: dict[str, Any] = TINY):
        self.lan, self.peers, self._step = lan, peers, step
        hosts = [lan.add_host() for _ in range(peers + 2)]
        self.devices = [Device(host, folder / host.name, settings) for host in hosts[:peers]]
        self.problems: list[str] = []  # what should not have happened
        self._bootstrap, self._stranger = Device(hosts[peers], folder / "bootstrap"), hosts[peers + 1]
        self._address = ""  # of the bootstrap node
        self._processes: list[HostProcess | None] = [None] * peers
        self._trains = [False] * peers
        self._stopped: set[int] = set()
        for device in self.devices[1::2]:
            device.host.block_multicast()

    def found(self, *, locked: bool = False) -> None:
        """Let the first device found the run; all begin every `running` with its state of round 0."""
        found(self.devices)
        if locked:
            lock(self.devices)
        for device in self.devices:
            (device.folder / "checkpoints").rename(device.folder / "start")

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of it, from the same start, on disks of their own; at the end nothing of it is left but logs."""
        with ExitStack() as stack:
            for device in self.devices:
                stack.enter_context(disk(device))
            bootstrap = self._bootstrap.start("bootstrap")
            self._address = bootstrap.wait_for(r"node at (\S+)", START_SECONDS)[1]  # the same after every start
            stack.callback(self._kill_everything)
            for number in range(self.peers):
                self._start(number)
            yield

    def leave(self) -> None:
        """Ctrl+C everywhere: who does not end by it, or leaves a process behind, is a problem."""
        processes = [(number, process) for number, process in enumerate(self._processes) if process is not None]
        for _, process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for number, process in processes:
            if not wait_until(lambda process=process: not process.running(), 30):  # type: ignore[misc]
                self._complain(number, "did not end within 30 s of Ctrl+C")
            elif code := process.wait(1):
                self._complain(number, f"ended with exit code {code}")
            elif not wait_until(lambda number=number: not self.devices[number].host.pids(), GONE_SECONDS):  # type: ignore[misc]
                self._complain(number, "left processes behind at its end")
        self._processes = [None] * self.peers

    # ------------------------------------------------------------------ what a look from outside tells

    def is_live(self, number: int) -> bool:
        """Return whether the device trains, with the others or apart from them."""
        return self.is_running(number) and number not in self._stopped

    def is_running(self, number: int) -> bool:
        """Return whether its process trains, or has ended although nobody ended it."""
        process = self._processes[number]
        if process is None:
            return False
        if not process.running():
            self._complain(number, "ended by itself")
            return True
        if not self._trains[number]:
            self._trains[number] = re.search(r"trains [\d.]+ M parameters", process.output()) is not None
        return self._trains[number]

    def tracebacks(self) -> list[str]:
        """Return the tracebacks in any log, the bootstrap node's as well."""
        logs = [device.folder / f"{PEER}.log" for device in self.devices] + [self._bootstrap.folder / "bootstrap.log"]
        found = []
        for log in logs:
            for part in log.read_text(errors="replace").split("Traceback (most recent call last)")[1:]:
                found.append(f"{log.parent.name}: …{part[:3000]}")
        return found

    def keep_logs(self, folder: Path) -> None:
        """Move the logs there: the next run begins new ones."""
        folder.mkdir(parents=True, exist_ok=True)
        for device, name in [*((device, PEER) for device in self.devices), (self._bootstrap, "bootstrap")]:
            shutil.move(device.folder / f"{name}.log", folder / f"{device.folder.name}.log")

    # ------------------------------------------------------------------ faults

    def begin(self, fault: Fault) -> None:
        match fault.fault:
            case Kind.KILL:
                self._kill(fault.target)
            case Kind.ALL_KILLED:
                self._kill(range(self.peers))
            case Kind.STOP:
                self._signal_all(fault.target[0], signal.SIGSTOP)
                self._stopped |= {*fault.target}
            case Kind.CUT:
                self.devices[fault.target[0]].host.cut()
            case Kind.PARTITION:
                self.lan.partition(self.devices[number].host for number in fault.target)
            case Kind.BOOTSTRAP:
                self._bootstrap.host.processes[-1].kill()
            case Kind.CLOCK:
                self._signal(fault.target[0], signal.SIGUSR1)
            case Kind.DISK:
                fill(self.devices[fault.target[0]].folder / "checkpoints" / FILLER)
            case Kind.GARBAGE:
                command = (sys.executable, "-m", "benchmarks.garbage", self.devices[fault.target[0]].host.address)
                arguments = ("--seconds", str(fault.duration), "--seed", str(int(fault.time)))
                self._stranger.start(*command, *arguments, cwd=REPOSITORY, log=self._bootstrap.folder / "garbage.log")

    def end(self, fault: Fault) -> None:
        match fault.fault:
            case Kind.KILL:
                self._start(fault.target[0])
            case Kind.ALL_KILLED:
                for number in range(self.peers):
                    self._start(number)
            case Kind.STOP:
                self._signal_all(fault.target[0], signal.SIGCONT)
                self._stopped -= {*fault.target}
            case Kind.CUT:
                self.devices[fault.target[0]].host.mend()
            case Kind.PARTITION:
                self.lan.heal()
            case Kind.BOOTSTRAP:
                self._bootstrap.start("bootstrap")
            case Kind.CLOCK:
                self._signal(fault.target[0], signal.SIGUSR2)
            case Kind.DISK:
                (self.devices[fault.target[0]].folder / "checkpoints" / FILLER).unlink()

    def _start(self, number: int) -> None:
        arguments = [
            "--step",
            str(self._step),
            "--join",
            "--no-page",
            "--go-on",
            "--name",
            self.devices[number].host.name,
        ]
        if number % 2:
            arguments += ["--initial-peers", self._address]
        self._processes[number] = self.devices[number].start(PEER, *arguments)
        self._trains[number] = False

    def _kill(self, numbers: Any) -> None:
        """kill -9 of their main processes alone; what they started has to be gone soon after."""
        for number in numbers:
            self._signal(number, signal.SIGKILL)
        for number in numbers:
            if not wait_until(lambda number=number: not self.devices[number].host.pids(), GONE_SECONDS):  # type: ignore[misc]
                self._complain(number, f"has processes {GONE_SECONDS:.0f} s after a kill -9")
                self._signal_all(number, signal.SIGKILL)
            self._processes[number] = None

    def _kill_everything(self) -> None:
        self.lan.heal()
        for number, device in enumerate(self.devices):
            device.host.mend()
            self._signal_all(number, signal.SIGKILL)
        self._bootstrap.host.processes[-1].kill()
        self._processes = [None] * self.peers
        self._stopped = set()

    def _signal(self, number: int, what: signal.Signals) -> None:
        process = self._processes[number]
        if process is not None and process.running():
            process.signal(what)

    def _signal_all(self, number: int, what: signal.Signals) -> None:
        for pid in self.devices[number].host.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, what)

    def _complain(self, number: int, what: str) -> None:
        problem = f"host{number + 1} {what}"
        if problem not in self.problems:
            self.problems.append(problem)
            print(f"! {problem}", flush=True)


@contextmanager
def disk(device: Device) -> Iterator[None]:
    """Its checkpoints on a small file system of their own, which can be filled; they begin as they were founded."""
    checkpoints = device.folder / "checkpoints"
    checkpoints.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", checkpoints], check=True)
    try:
        shutil.copytree(device.folder / "start", checkpoints, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", checkpoints], check=True)
        checkpoints.rmdir()


def fill(path: Path) -> None:
    """A file that takes all the room that is left."""
    with path.open("wb") as file:
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            room = os.statvfs(path.parent)
            if not room.f_bavail:
                return
            with suppress(OSError):  # somebody else took some of it meanwhile
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), room.f_bavail * room.f_frsize)

"""The scene of `benchmarks/attacks.py`: real peers of a tiny model on a test LAN, and what they exchange."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from benchmarks.household import PEER
from benchmarks.time_to_loss import found
from peer.wire import MeanHeader, parse
from tests.devices import TINY, Device
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

MODEL = {"d_model": 64, "nhead": 2, "num_layers": 2, "dropout": 0.0}  # 0.2 M parameters
SETTINGS = {**TINY, "model": MODEL, "training": {**TINY["training"], "lr": 5e-4}, "swarm": {"samples_per_round": 256}}
STEP = ("--step", "0.1")
LINK_MBITS = 100.0
START_SECONDS = 180.0
CALM_SECONDS, CALM_SHARE = 8.0, 0.75  # they exchange again where for so long there were so many of the usual ones
FEWEST = 35.0  # exchanges a minute of two devices that are left alone, on a busy machine
RECOVERY_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attack, and of the time without it beside it."""

    tried: int = 0
    got: int = 0  # answered, or taken
    calm: float = 0.0  # exchanges a minute
    attacked: float = 0.0
    recovered: float = 0.0  # seconds until they exchange as before
    words: str = ""

    @property
    def kept(self) -> float:
        """The exchanges a minute, ÷ those without the attack."""
        return self.attacked / self.calm if self.calm else float("nan")


class Scene:
    """Devices that train together, two mostly, a member that can lie, and two strangers on the same network.

    :param locked: the owner locks the run
    :param seconds: of an attack, and of the time without it
    :param tries: of an attack that is counted, and not timed
    """

    def __init__(self, lan: Lan, folder: Path, *, locked: bool, seconds: float, tries: int = 1):
        self.lan, self.folder, self.locked, self.seconds, self.tries = lan, folder, locked, seconds, tries
        *honest, self.member_host, self.stranger, self.other_stranger = lan.hosts
        self.devices = [Device(host, folder / host.name, SETTINGS) for host in honest]
        self.member = Device(self.member_host, folder / self.member_host.name, SETTINGS)
        self.outside = Device(self.stranger, folder / "stranger", SETTINGS)
        self.processes: list[HostProcess] = []
        self._usual = FEWEST / CALM_SHARE  # exchanges a minute

    def begin(self) -> None:
        """Found a run, train it together, and lock it."""
        found([*self.devices, self.member])
        self.start()
        if self.locked:
            self.owner("--lock", "--yes")
            self.wait_until_calm()

    def owner(self, *command: str) -> str:
        """Type a command beside the first device's peer, and return what it says."""
        asked = self.devices[0].start("peer", *command, log="owner")
        if asked.wait(30.0) != 0:
            raise RuntimeError(f"{' '.join(command)}: {asked.output()}")
        return asked.output()

    def start(self) -> None:
        """Start the devices, and wait until they exchange."""
        first, *others = self.devices
        self.processes = [first.start(PEER, *join(first, "--share-data"))]
        self.processes += [other.start(PEER, *join(other)) for other in others]
        if not self.wait_until_calm(START_SECONDS):
            raise RuntimeError("they do not exchange:\n" + "\n".join(process.output() for process in self.processes))

    def stop(self) -> None:
        """Ctrl+C on both."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for process in self.processes:
            process.wait(30.0)

    @property
    def addresses(self) -> list[str]:
        """The addresses of the two, as they have said them."""
        return [process.wait_for(r"listens at (\S+)", START_SECONDS)[1] for process in self.processes]

    def exchanges(self, began: float, ended: float) -> float:
        """Return the exchanges a minute between two times, by the means of more than one peer that were kept since."""
        moved = set()
        for device in self.devices:
            for path in device.folder.glob("checkpoints/cellmind/history/*.safetensors"):
                if began <= path.stat().st_mtime < ended and peers_in(path) > 1:
                    moved.add(path.stem)
        return 60 * len(moved) / (ended - began)

    def wait_until_calm(self, timeout: float = RECOVERY_SECONDS) -> float:
        """Wait until they exchange as usual; return the seconds until then, 0 where they do not."""
        began = time.time()
        wait_until(lambda: time.time() > began + CALM_SECONDS, 2 * CALM_SECONDS)

        def calm() -> bool:
            return self.exchanges(time.time() - CALM_SECONDS, time.time()) >= CALM_SHARE * self._usual

        return time.time() - began - CALM_SECONDS + 0.1 if wait_until(calm, timeout) else 0.0

    def left_alone(self, rate: float) -> None:
        """Take in how many exchanges a minute there were without an attack."""
        self._usual = max(FEWEST / CALM_SHARE, rate)

    def outsider(
        self, attack: str, *, calm: float, seconds: float, number: int = 0, old: Path | None = None
    ) -> HostProcess:
        """Start an attack on a stranger's device; it says "ready" before it does anything."""
        command = (
            "nice",
            "-n",
            "19",
            sys.executable,
            "-u",
            "-m",
            "benchmarks.outsider",
            attack,
        )  # as on a machine of its own
        options = (
            "--knows",
            str(self.devices[0].folder),
            "--at",
            *self.addresses,
            "--calm",
            str(calm),
            "--seconds",
            str(seconds),
        )
        options += () if old is None else ("--old", str(old))
        host = (self.stranger, self.other_stranger)[number]
        return host.start(*command, *options, cwd=self.outside.folder, log=self.folder / f"{attack}.log")


def join(device: Device, *more: str, invite: str = "") -> tuple[str, ...]:
    return (*STEP, "--join", *filter(None, [invite]), "--go-on", "--name", device.host.name, *more)


def peers_in(path: Path) -> int:
    """Return how many gave to a mean; 0 for a file that is being written."""
    try:
        with safe_open(path, framework="pt") as file:
            return len(parse(MeanHeader, file.metadata()["header"]).samples)
    except Exception:
        return 0


def measured(scene: Scene, ready: float, began: float, ended: float, said: dict[str, Any]) -> Outcome:
    """Return the outcome of an attack between two times, with nothing done since `ready`."""
    calm, attacked = scene.exchanges(ready, began), scene.exchanges(began, ended)
    scene.left_alone(calm)
    return Outcome(said["tried"], said["got"], calm, attacked, scene.wait_until_calm(), said["words"])

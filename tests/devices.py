"""Devices for tests: a fresh clone each, with tiny settings, on the hosts of a test LAN (`tests/lan.py`)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hivemind.p2p import P2P

from minigpt import checkpoint
from peer.network.folder import IDENTITY
from peer.network.household import new_key
from peer.network.household_file import keep_household
from peer.network.signatures import Signer
from peer.swarm.household import locked
from tests import fork_server
from tests.host_process import HostProcess
from tests.lan import Host, Lan, wait_until

REPOSITORY = Path(__file__).parent.parent
TINY: dict[str, Any] = {
    "model": {"d_model": 32, "nhead": 2, "num_layers": 1, "dropout": 0.0},
    "tokenizer": {"vocab_size": 1500},
    "training": {"batch_size": 4, "lr": 1e-3, "warmup_sequences": 64, "dataset": {"seq_len": 32}},
    "swarm": {"samples_per_round": 2000},
}

GENTLE = {**TINY, "swarm": {"samples_per_round": 250}}


def clone(folder: Path, settings: dict[str, Any] | None = None) -> Path:
    """Make a clone in `folder`, uncommitted changes included, with `settings` as its config.json; return its path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = REPOSITORY / name
        if source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
    if settings is not None:
        (folder / "config.json").write_text(json.dumps(settings))
    return folder


class Device:
    """A clone on a host; `join` is what its owner types who wants it to train on when its few chats are learnt.

    It serves no page: on the two cores of a test's devices each start of one more process counts.
    """

    forks = False  # whether its programs are forked from one that has imported most; benchmarks time whole starts

    def __init__(self, host: Host, folder: Path, settings: dict[str, Any] | None = None):
        self.host, self.folder = host, clone(folder, settings)

    def change(self, module: Path, before: str, after: str) -> None:
        """Change a line of this clone's program, such as a constant, for all that is started from now on."""
        path = self.folder / module.relative_to(REPOSITORY)
        source = path.read_text(encoding="utf-8")
        assert source.count(before) == 1, f"{before!r} is not once in {path}"
        path.write_text(source.replace(before, after), encoding="utf-8")
        self.forks = False  # what has been imported is not this

    def join(self, *arguments: str) -> HostProcess:
        return self.start("peer", "--join", "--no-page", "--go-on", "--name", self.host.name, *arguments)

    def start(self, module: str, *arguments: str, cpus: list[int] | None = None, log: str | None = None) -> HostProcess:
        """Start `python -m MODULE`; two at a time write to logs of different names."""
        output = self.folder / f"{log or module}.log"
        if self.forks:
            return fork_server.start(self.host, module, *arguments, cwd=self.folder, log=output, cpus=cpus)
        command = (sys.executable, "-u", "-m", module, *arguments)
        return self.host.start(*command, cwd=self.folder, log=output, env=fork_server.THREADS, cpus=cpus)

    def prepare(self, round_zero: Path, *, with_run: bool = True) -> None:
        """Take the text and the tokenizer that a device has prepared, and the run that it has founded."""
        for part in ("data", "tokenizer", "checkpoints") if with_run else ("data", "tokenizer"):
            shutil.copytree(round_zero / part, self.folder / part, dirs_exist_ok=True)

    def log(self, module: str) -> str:
        return (self.folder / f"{module}.log").read_text()

    def metrics_path(self, run: str = "cellmind") -> Path:
        return self.folder / "checkpoints" / run / "metrics.jsonl"

    def metrics(self, run: str = "cellmind") -> list[dict[str, Any]]:
        """The lines of metrics.jsonl so far."""
        path = self.metrics_path(run)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_rounds(self, count: int, timeout: float) -> list[dict[str, Any]]:
        """Metrics once there are `count` rounds of them; what there is when the time is up."""
        wait_until(lambda: len(self.metrics()) >= count, timeout)
        return self.metrics()


class GentleDevice(Device):
    """A device that leaves most of the machine to the starts of others, and closes rounds as often all the same."""

    def __init__(self, host: Host, folder: Path, settings: dict[str, Any] = GENTLE):
        super().__init__(host, folder, settings)

    def join(self, *arguments: str) -> HostProcess:
        return super().join("--share-of-time", "0.25", *arguments)


def found(folder: Path) -> Path:
    """Found a run of the gentle settings at round 0, and return the folder, for devices that need not do so again."""
    with Lan(hosts=1) as lan:
        founder = GentleDevice(lan.hosts[0], folder)
        process = founder.join("--rounds", "0")
        assert process.wait(180) == 0, process.output()
    keep_round_zero(founder.folder / "checkpoints")
    return founder.folder


def keep_round_zero(checkpoints: Path) -> None:
    """Leave a run as it was founded, and nothing of whose it was."""
    for folder in checkpoints.glob("cellmind/round-*"):
        if not folder.name.endswith("step-00000000"):
            shutil.rmtree(folder)
    shutil.rmtree(checkpoints / "cellmind" / "best", ignore_errors=True)
    for name in (".lock", "best", "address.json", "identity.key", "peers.json", "latest", "cellmind/metrics.jsonl"):
        (checkpoints / name).unlink(missing_ok=True)


def lock(devices: Sequence[Device]) -> None:
    """Let devices that hold one run, and have never been on, be its household: as if they had locked it before."""
    folders = [device.folder / "checkpoints" for device in devices]
    for folder in folders:
        P2P.generate_identity(str(folder / IDENTITY))
    signers = [Signer(folder / IDENTITY) for folder in folders]
    newest = checkpoint.newest(folders[0])
    assert newest is not None, f"{folders[0]} holds a run"
    household = locked(None, newest.progress.run_id, [signer.peer for signer in signers], new_key(), signers[0])
    for folder in folders:
        keep_household(folder, "cellmind", household)

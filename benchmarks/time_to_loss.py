"""How soon N devices learn what one does:  python -m benchmarks.time_to_loss --corpus FILE --minutes 15 --mbits 20

The guide's model, one core a device, all from the same start: one device alone for so many minutes, and then, to the
held-out loss that it reached: two through links of so many Mbit/s, the same two by torch.distributed's DDP with no
limit on the link, and by stock synchronous averaging (`--averaging sync`, hivemind.Optimizer) with batches of so many
sequences, which ends where it has had 1 / 0.6 of the time of the two; and, where control groups can be written, the
device together with one of a quarter of its speed. Prints a table, writes time_to_loss.json, and with matplotlib
time_to_loss.png.

Two devices at home share no memory and no cache. Here they do, which costs each of them some per cent: so that this is
not taken for the network's doing, the other core trains something else while one device is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from minigpt.checkpoint import Checkpoint, read
from minigpt.held_out import HeldOut
from tests.devices import Device, keep_round_zero
from tests.host_process import HostProcess
from tests.lan import Lan

Curve = list[tuple[float, float]]  # (seconds since all trained, held-out loss)
WAYS = ("alone", "swarm", "ddp", "ddp faster", "sync", "with a slow one")
SLOW = 0.25  # of a core
JUDGED = "judged"  # the folder of checkpoints that are judged afterwards
STOCK_BAR = 0.6  # of stock averaging's time, at most, is what two need


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_loss", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, default=15.0, help="of the one device (default: %(default)s)")
    parser.add_argument("--mbits", type=float, default=20.0, help="limit of every link (default: %(default)s)")
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS, help="which to run (default: all)")
    parser.add_argument("--batches", type=int, nargs="*", default=[64], help="of sync, sequences (default: 64)")
    parser.add_argument("--output", type=Path, default=Path("time_to_loss.json"))
    arguments = parser.parse_args()
    ways = [way for way in arguments.ways if way != "sync"]
    ways += [f"sync {batch}" for batch in arguments.batches if "sync" in arguments.ways]
    curves: dict[str, Curve] = {}
    with tempfile.TemporaryDirectory(prefix="cellmind-time-to-loss-") as folder, Lan(2, arguments.mbits) as lan:
        devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
        prepare(devices, arguments.corpus)
        target = 0.0
        for way in ways:
            seconds = 60 * arguments.minutes * (1 if way == "alone" else 2)
            if way.startswith("sync") and "swarm" in curves:
                seconds = seconds_to(curves["swarm"], target) / STOCK_BAR
            curves[way] = run(way, devices, seconds, target)
            target = target or curves[way][-1][1]
            arguments.output.write_text(json.dumps({"minutes": arguments.minutes, "curves": curves}))
            print(f"{way}: {seconds_to(curves[way], target):.0f} s to {target:.3f}", flush=True)
    report(curves, target, arguments)


def prepare(devices: list[Device], corpus: Path) -> None:
    """Text, tokenizer, token ids and the state of round 0, the same on all devices; and the compiler's results."""
    for device in devices:
        shutil.rmtree(device.folder / "data" / "raw")
        (device.folder / "data" / "raw").mkdir()
    shutil.copyfile(corpus, devices[0].folder / "data" / "raw" / "corpus.txt")
    found(devices)
    fill_compiler_cache(devices[0])


def fill_compiler_cache(device: Device) -> None:
    """The compiler takes minutes of a core, once, and some seconds from then on: no way is to have that alone."""
    with kept([device]):
        process = device.start("peer", "--join", "--no-page", "--name", device.host.name, cpus=[0])
        wait_until_compiled([process])
        end([process])


def wait_until_compiled(processes: list[HostProcess]) -> None:
    """Until all of them train, and as fast as they will."""
    for process in processes:
        process.wait_for(r"trains [\d.]+ M parameters", 300)
        if "is being compiled" in process.output():
            process.wait_for(r"^compiled|cannot be compiled", 600)


def found(devices: Sequence[Device], *arguments: str) -> None:
    """Let the first device found a run, and the others hold the same start."""
    first = devices[0]
    for device in devices:
        shutil.rmtree(device.folder / "checkpoints", ignore_errors=True)
    first.join("--rounds", "0", *arguments).wait(600)
    keep_round_zero(first.folder / "checkpoints")
    for other in devices[1:]:
        for part in ("data", "checkpoints", "tokenizer"):
            shutil.rmtree(other.folder / part, ignore_errors=True)
            shutil.copytree(first.folder / part, other.folder / part)


def run(way: str, devices: list[Device], seconds: float, target: float) -> Curve:
    """The held-out loss over time, until `target` is reached or so many seconds are over."""
    if way.startswith("ddp"):
        return run_ddp(devices, seconds, target, 2**0.5 if way == "ddp faster" else 1.0)
    used = devices[:1] if way == "alone" else devices
    with kept(devices):
        if way.startswith("sync"):
            found_stock(devices, int(way.split()[1]))
        processes = [
            device.start("peer", "--join", "--no-page", "--name", device.host.name, cpus=[core])
            for core, device in enumerate(used)
        ]
        for process in processes:
            process.wait_for(r"trains [\d.]+ M parameters", 300)
        began, slow = time.time(), SLOW if way == "with a slow one" else 1.0

        def done() -> bool:
            keep_checkpoints(used[0])
            return way != "alone" and reached(curve_of(used[0], began), target)

        with slowed(used[-1], slow), neighbour(devices[1].folder, way == "alone" or slow < 1.0):
            wait(done, began + seconds)
        end(processes)
        keep_checkpoints(used[0])
        return sorted(curve_of(used[0], began) + judged(used[0], began))


@contextmanager
def neighbour(folder: Path, is_there: bool = True) -> Iterator[None]:
    """Training on the second core that has nothing to do with the devices, in what they leave of it."""
    if not is_there:
        yield
        return
    options = ["--rank", "0", "--world", "1", "--port", "29401", "--minutes", "600", "--every", "1e9"]
    training = subprocess.Popen(
        ["nice", "-n", "19", "taskset", "--cpu-list", "1", sys.executable, "-m", "benchmarks.ddp", *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        yield
    finally:
        training.kill()
        training.wait()


def keep_checkpoints(device: Device) -> None:
    """Keep all checkpoints, for `judged`: a device throws away all but its newest ones."""
    for folder in (device.folder / "checkpoints" / "cellmind").glob("round-*"):
        kept = device.folder / JUDGED / folder.name
        if not kept.exists():
            shutil.copytree(folder, kept, copy_function=os.link)


def judged(device: Device, began: float) -> Curve:
    """The held-out loss of those checkpoints that the device has not judged: it judges one every few minutes."""
    ended = {line["anchor"]: line["time"] - began for line in device.metrics() if line.get("valid_loss") is None}
    checkpoints = map(read, (device.folder / JUDGED).iterdir())
    anchors = {checkpoint.progress.version: checkpoint for checkpoint in checkpoints}  # of some there are two
    curve = [(ended[anchor], held_out_loss(device, anchors[anchor])) for anchor in ended.keys() & anchors.keys()]
    shutil.rmtree(device.folder / JUDGED)
    return curve


def held_out_loss(device: Device, checkpoint: Checkpoint) -> float:
    """Nats a token, on the device's held-out text."""
    valid = device.folder / "data" / "for-model-training" / "valid.jsonl"
    held_out = HeldOut.from_file(valid, checkpoint.load_tokenizer(), checkpoint.settings.training.dataset.seq_len)
    return held_out.evaluate(checkpoint.build_model())[0]


def found_stock(devices: list[Device], batch: int) -> None:
    """Another kind of averaging is another run, of the same text; a step of it is made of so many sequences."""
    config = devices[0].folder / "config.json"
    before = config.read_text()
    config.write_text(json.dumps({"swarm": {"samples_per_round": batch}}))
    found(devices, "--averaging", "sync")
    config.write_text(before)


@contextmanager
def slowed(device: Device, share: float) -> Iterator[None]:
    """All that runs on a device gets no more than so much of a core (Linux control groups, either version)."""
    if share >= 1.0:
        yield
        return
    first = Path("/sys/fs/cgroup/cpu")
    group = (first if first.is_dir() else Path("/sys/fs/cgroup")) / f"cellmind-{os.getpid()}"
    group.mkdir()
    try:
        if first.is_dir():
            (group / "cpu.cfs_quota_us").write_text(str(int(100_000 * share)))
        else:
            (group / "cpu.max").write_text(f"{int(100_000 * share)} 100000")
        for pid in device.host.pids():
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for line in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(line)
        group.rmdir()


def run_ddp(devices: list[Device], seconds: float, target: float, factor: float) -> Curve:
    """Run DDP on this machine's loopback, in the first device's folder."""
    log = devices[0].folder / "ddp.log"
    command = [sys.executable, "-m", "benchmarks.ddp", "--minutes", str(seconds / 60), "--lr-factor", str(factor)]
    with log.open("w") as output:
        ranks = [
            subprocess.Popen(
                ["taskset", "--cpu-list", str(rank), *command, "--rank", str(rank)],
                cwd=devices[0].folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for rank in range(2)
        ]
        try:
            wait(lambda: reached(ddp_curve(log), target), time.time() + seconds + 60)
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    return ddp_curve(log)


@contextmanager
def kept(devices: list[Device]) -> Iterator[None]:
    """Every way begins with the same checkpoints, and nothing else."""
    for device in devices:
        shutil.copytree(device.folder / "checkpoints", device.folder / "start", dirs_exist_ok=True)
    try:
        yield
    finally:
        for device in devices:
            shutil.rmtree(device.folder / "checkpoints")
            (device.folder / "start").rename(device.folder / "checkpoints")


def curve_of(device: Device, began: float) -> Curve:
    return [
        (line["time"] - began, line["valid_loss"]) for line in device.metrics() if line.get("valid_loss") is not None
    ]


def ddp_curve(log: Path) -> Curve:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [(line["seconds"], line["loss"]) for line in lines]


def reached(curve: Curve, target: float) -> bool:
    return bool(curve) and curve[-1][1] <= target


def seconds_to(curve: Curve, target: float) -> float:
    """Return when the curve crosses the target, on a straight line between evaluations; infinite if it does not."""
    for (before, worse), (after, better) in pairwise(curve):
        if better <= target < worse:
            return before + (after - before) * (worse - target) / (worse - better)
    return curve[-1][0] if curve and curve[-1][1] == target else float("inf")


def wait(done: Callable[[], bool], deadline: float) -> None:
    while time.time() < deadline and not done():
        time.sleep(1.0)


def end(processes: list[HostProcess]) -> None:
    for process in processes:
        os.killpg(process.pid, signal.SIGINT)
    for process in processes:
        process.wait(60)


def report(curves: dict[str, Curve], target: float, arguments: argparse.Namespace) -> None:
    first = next(iter(curves))
    one = seconds_to(curves[first], target)
    print(f"\n| way | seconds to {target:.3f} | ÷ {first} | last | after |\n|{' --- |' * 5}")
    for way, curve in curves.items():
        (after, last), seconds = curve[-1], seconds_to(curve, target)
        print(f"| {way} | {seconds:.0f} | {seconds / one:.2f} | {last:.3f} | {after:.0f} |")
    try:
        from matplotlib import pyplot
    except ImportError:
        return
    for way, curve in curves.items():
        pyplot.plot([seconds / 60 for seconds, _ in curve], [loss for _, loss in curve], label=way, marker=".")
    pyplot.xlabel("minutes")
    pyplot.ylabel("held-out loss, nats a token")
    pyplot.legend()
    pyplot.savefig(arguments.output.with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()

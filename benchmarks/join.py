"""Time a joiner from its start to its first contribution:  python -m benchmarks.join --corpus FILE --mbits 20

The guide's model, one core a device: one trains alone, then another one comes with nothing but a clone and the same
text, through links of so many Mbit/s. Its contribution counts when the first device's anchor has moved by it. With
--share-data it has no text, and trains on what the first one shares. What giving the state costs the first device is
its speed in the rounds that lie within the transfer, against those before: with --mbits 5 there are some.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from safetensors import safe_open

from benchmarks.time_to_loss import end, prepare, wait, wait_until_compiled
from tests.devices import Device
from tests.lan import Lan

ALONE_SECONDS = 240.0  # some rounds, to know the first device's speed by
LIMIT_SECONDS = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.join", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--mbits", type=float, default=20.0, help="limit of every link (default: %(default)s)")
    parser.add_argument(
        "--share-data", action="store_true", help="the first device shares its text, the joiner has none"
    )
    arguments = parser.parse_args()
    share = ["--share-data"] if arguments.share_data else []
    with tempfile.TemporaryDirectory(prefix="cellmind-join-") as folder, Lan(2, arguments.mbits) as lan:
        first, joiner = devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
        prepare(devices, arguments.corpus)
        shutil.rmtree(joiner.folder / "checkpoints")
        if share:
            shutil.rmtree(joiner.folder / "data")
        processes = [first.start("peer", "--join", "--no-page", "--name", "first", *share, cpus=[0])]
        wait_until_compiled(processes)
        wait(lambda: False, time.time() + ALONE_SECONDS)
        began = time.time()
        processes.append(joiner.start("peer", "--join", "--no-page", "--name", "joiner", cpus=[1]))
        taken_after = processes[1].wait_for(r"^joined run", LIMIT_SECONDS) and time.time() - began
        trains_after = processes[1].wait_for(r"^joiner trains", LIMIT_SECONDS) and time.time() - began
        speeds = speeds_before_and_during(first, began, began + taken_after)
        wait(lambda: contributed(first), began + LIMIT_SECONDS)
        contribution = time.time() - began
        # the giver's, for a joiner may contribute before it has written a checkpoint of its own
        taken = json.loads((first.folder / "checkpoints" / "latest" / "training.json").read_text())["files"]
        end(processes)
    size = sum(entry["size"] for name, entry in taken.items() if name != "local.safetensors") / 1e6
    bar = 1.5 * size * 8 / arguments.mbits + 10
    print(
        f"state of {size:.0f} MB taken after {taken_after:.0f} s, training after {trains_after:.0f} s, "
        f"first contribution after {contribution:.0f} s (bar {bar:.0f} s)"
    )
    before, during = speeds
    print(f"the giving device: {before:.0f} tokens/s before, {during:.0f} meanwhile ({during / before:.2f}; bar 0.95)")


def speeds_before_and_during(device: Device, begin: float, end: float) -> list[float]:
    """Mean tokens/s of the rounds before the transfer, and of those within it; NaN where there is none of them.

    The first round has the start in it, and is left out.
    """
    lines = device.metrics()
    before, during = [], []
    for previous, line in pairwise(lines):
        if line["time"] <= begin:
            before.append(line["tokens_per_second"])
        elif previous["time"] >= begin and line["time"] <= end:
            during.append(line["tokens_per_second"])
    return [sum(part) / len(part) if part else float("nan") for part in (before, during)]


def contributed(device: Device) -> bool:
    """Return whether a mean that has moved this device's anchor was made by two."""
    for path in (device.folder / "checkpoints" / "cellmind" / "history").glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            if len(json.loads(file.metadata()["header"])[1]) > 1:
                return True
    return False


if __name__ == "__main__":
    main()

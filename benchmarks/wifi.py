"""What a home link costs a device:  python -m benchmarks.wifi --corpus FILE --mbits 5 20 100

The guide's model, one core a device, all from the same start: one device alone, then two with all links held to so many
Mbit/s. Prints tokens/s as a share of the lonely device's, what went over the wire against the least that an exchange
needs, and the time that steps were held up, copies included; writes wifi.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.time_to_loss import end, found, kept, prepare, wait
from peer.swarm_state import GIVEN_BITS, MEAN_BITS
from tests.devices import Device
from tests.lan import Lan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wifi", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each way (default: %(default)s)")
    parser.add_argument("--mbits", type=float, nargs="*", default=[5.0, 20.0, 100.0], help="(default: 5 20 100)")
    parser.add_argument("--sync", action="store_true", help="stock synchronous averaging as well")
    parser.add_argument("--output", type=Path, default=Path("wifi.json"))
    arguments = parser.parse_args()
    rows = []
    for mbits in [None, *arguments.mbits]:
        with tempfile.TemporaryDirectory(prefix="cellmind-wifi-") as folder, Lan(2, mbits) as lan:
            devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
            prepare(devices, arguments.corpus)
            used = devices[:1] if mbits is None else devices
            rows.append(measure("alone" if mbits is None else f"{mbits:g} Mbit/s", used, arguments.minutes))
            if arguments.sync and mbits is not None:
                found(devices, "--averaging", "sync")
                rows.append(measure(f"{mbits:g} Mbit/s, sync", used, arguments.minutes))
        arguments.output.write_text(json.dumps(rows, indent=2))
    print("\n| way | tokens/s | of alone | MB sent an exchange ÷ least | held up |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        share = row["tokens_per_second"] / rows[0]["tokens_per_second"]
        print(
            f"| {row['way']} | {row['tokens_per_second']:.0f} | {share:.2f} | {row['traffic']:.2f} "
            f"| {row['waited']:.1%} |"
        )


def measure(way: str, devices: list[Device], minutes: float) -> dict[str, Any]:
    """One way, from the second round on: the first has the start in it."""
    with kept(devices):
        processes = [
            device.start("peer", "--join", "--name", device.host.name, cpus=[core])
            for core, device in enumerate(devices)
        ]
        for process in processes:
            process.wait_for("held-out loss at the start", 300)
        wait(lambda: False, time.time() + 60 * minutes)
        end(processes)
        lines = devices[0].metrics()
        means = list((devices[0].folder / "checkpoints" / "cellmind" / "history").glob("*.safetensors"))
        mean_bytes = means[0].stat().st_size if means else 0
    # a peer gives the other half of its numbers, and answers with the mean of its own half
    least = len(means) * mean_bytes / 2 * (1 + GIVEN_BITS / MEAN_BITS)
    seconds = lines[-1]["time"] - lines[0]["time"]
    speeds = [line["tokens_per_second"] for line in lines[1:]]
    row = {
        "way": way,
        "tokens_per_second": sum(speeds) / len(speeds),
        "traffic": lines[-1]["bytes_sent"] / least if least else 0.0,
        "waited": sum(line["waited_seconds"] for line in lines[1:]) / seconds,
        "exchanges": len(means),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()

"""Two devices and the guide's model on real text:  python -m benchmarks.main_job --corpus FILE --minutes 10

Each device is a fresh clone with the settings as shipped, pinned to a core of its own; FILE (one text a line) takes the
place of the sample chats. Prints the curve of held-out bits per byte by time, and samples of what the model writes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.devices import Device
from tests.lan import Lan

PROMPTS = ("이 영화는", "배우들의 연기가", "처음부터 끝까지")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.main_job", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training (default: %(default)s)")
    parser.add_argument("--hosts", type=int, default=2, help="devices, a core each (default: %(default)s)")
    parser.add_argument("--mbits", type=float, default=None, help="limit of every link (default: none)")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cellmind-main-job-") as folder,
        Lan(arguments.hosts, arguments.mbits) as lan,
    ):
        devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
        for device in devices:
            raw = device.folder / "data" / "raw"
            shutil.rmtree(raw)
            raw.mkdir()
            shutil.copyfile(arguments.corpus, raw / "corpus.txt")
        processes = [
            device.start(
                "peer",
                "--join",
                "--no-page",
                "--name",
                device.host.name,
                "--minutes",
                str(arguments.minutes),
                cpus=[core],
            )
            for core, device in enumerate(devices)
        ]
        try:
            for process in processes:
                process.wait(60 * arguments.minutes + 300)
        except KeyboardInterrupt:
            for process in processes:
                os.killpg(process.pid, signal.SIGINT)
            raise
        report(devices)


def report(devices: list[Device]) -> None:
    print(devices[0].log("peer"))
    for device in devices:
        lines = device.metrics()
        start = float(str(lines[0]["time"]))
        print(
            f"\n{device.host.name}\n\n| minutes | round | peers | share | tokens/s | train loss | held-out bits/byte |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for line in lines:
            bits = line.get("valid_bits_per_byte")
            print(
                f"| {(float(str(line['time'])) - start) / 60:.1f} | {line['round']} | {len(line['peers'])} "
                f"| {line['share']:.2f} | {line['tokens_per_second']:.0f} | {line['loss']:.3f} "
                f"| {'' if bits is None else f'{bits:.3f}'} |"
            )
        print(f"\nwaited for the network: {sum(line['waited_seconds'] for line in lines):.1f} s")
    last = [{line["round"]: line["anchor"] for line in device.metrics()} for device in devices]
    common = set.intersection(*(set(anchors) for anchors in last))
    print(f"anchors equal in {sum(len({a[r] for a in last}) == 1 for r in common)} of {len(common)} common rounds\n")
    for prompt in PROMPTS:
        shown = devices[0].host.run(
            *("env", f"PYTHONPATH={devices[0].folder}", sys.executable, "-m", "minigpt.generate"),
            *("--checkpoint", str(devices[0].folder / "checkpoints" / "latest"), "--prompt", prompt, "--seed", "1"),
            timeout=300,
        )
        print(f"> {prompt}{shown.stdout.rstrip()}{shown.stderr}\n")


if __name__ == "__main__":
    main()

"""What the checks of averages cost honest devices:  python -m benchmarks.guarded --reviews FILE --chats FILE

Four honest devices of a small model train on a test LAN: two have film reviews and two have chats, and one of each has
a quarter of the other's speed. In turns they check what they average, as they always do, and believe all numbers
(`benchmarks/trusting_peer.py`). Prints, of each turn, the held-out loss of each device on its own text at the end, the
processor's seconds of all, and how often a device was named; and held-out loss and processor, checked ÷ trusting.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.cold_starts import load
from benchmarks.poisoned import LINK_MBITS, MODEL, NAMED, join, last_loss
from benchmarks.scene import SETTINGS
from benchmarks.time_to_loss import end, found, kept, wait
from benchmarks.wifi import processor_seconds
from tests.devices import Device
from tests.lan import Lan

STEPS = (0.2, 0.8, 0.2, 0.8)  # seconds of a training step, of each device
LINES = 20_000  # of each text


@dataclass(frozen=True)
class Turn:
    """What four devices have come to in some seconds."""

    losses: list[float]  # nats a token, each on its own text
    processor: float  # seconds, of all
    named: int  # times that a device has named another


def give_texts(devices: list[Device], reviews: Path, chats: Path) -> None:
    """Found a run whose tokenizer knows both texts, and leave each device one of them."""
    texts = {"reviews.txt": reviews, "chats.txt": chats}
    for device in devices:
        shutil.rmtree(device.folder / "data" / "raw")
        (device.folder / "data" / "raw").mkdir()
    for name, path in texts.items():
        with path.open(encoding="utf-8") as lines:
            some = [line for _, line in zip(range(LINES), lines)]
        (devices[0].folder / "data" / "raw" / name).write_text("".join(some), encoding="utf-8")
    found(devices)
    for number, device in enumerate(devices):
        (device.folder / "data" / "raw" / list(texts)[1 - number // 2]).unlink()
        device.join("--rounds", "0").wait(600)  # its texts are prepared again, before any time is taken


def run(devices: list[Device], module: str, seconds: float) -> Turn:
    """Let the devices train for so many seconds, once all of them do."""
    with kept(devices):
        processes = [device.start(module, *join(device, step)) for device, step in zip(devices, STEPS)]
        for process in processes:
            process.wait_for(r"trains [\d.]+ M parameters", 300)
        pids = [pid for device in devices for pid in device.host.pids()]
        worked, began = processor_seconds(pids), time.time()
        wait(lambda: False, began + seconds)
        worked = processor_seconds(pids) - worked
        end(processes)
        named = sum(process.output().count(NAMED) for process in processes)
        return Turn([last_loss(device) for device in devices], worked, named)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guarded", description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--chats", type=Path, required=True, help="the same, of another kind")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="of each way (default: %(default)s)")
    arguments = parser.parse_args()
    ways = {"checked": "benchmarks.steady_peer", "trusting": "benchmarks.trusting_peer"}
    turns: dict[str, list[Turn]] = {way: [] for way in ways}
    print("| way | held-out | processor, s | named |\n| --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="cellmind-guarded-") as folder, Lan(len(STEPS), LINK_MBITS) as lan:
        devices = [Device(host, Path(folder) / host.name, {**SETTINGS, "model": MODEL}) for host in lan.hosts]
        give_texts(devices, arguments.reviews, arguments.chats)
        for number in range(arguments.turns):
            for way in list(ways)[:: 1 if number % 2 else -1]:  # neither is always the later one
                turns[way].append(turn := run(devices, ways[way], arguments.seconds))
                losses = " ".join(f"{loss:.3f}" for loss in turn.losses)
                print(f"| {way} | {losses} | {turn.processor:.0f} | {turn.named} | {load()}", flush=True)
    checked, trusting = turns.values()
    loss, processor = (
        mean(map(figure, checked)) / mean(map(figure, trusting))
        for figure in (lambda turn: mean(turn.losses), lambda turn: turn.processor)
    )
    print(f"\nchecked ÷ trusting: held-out loss {loss:.3f}, processor {processor:.3f}")


if __name__ == "__main__":
    main()

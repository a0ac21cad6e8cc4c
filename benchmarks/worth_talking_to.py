"""What one can talk to after so many minutes:  python -m benchmarks.worth_talking_to --corpus FILE --minutes 10 30 60

The README's line on 1, 2 and 3 devices, each of them with a core (where there are fewer cores than devices, all get
as much more time), all with the same texts and the same start. After so many minutes the newest checkpoint is kept,
which may be a round old, and judged in the end as `minigpt.evaluate` does. Prints a table and the first three texts
that each of them writes, and writes worth_talking_to.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.time_to_loss import end, kept, prepare, wait
from minigpt.checkpoint import newest, read
from minigpt.evaluate import judged, written_by
from minigpt.held_out import HeldOut, held_out_texts
from minigpt.written import read_words, take_passages
from tests.devices import Device
from tests.lan import Lan

SAMPLES = 3  # of each state
TEXTS = Path("data/for-model-training")


@dataclass(frozen=True)
class State:
    """The newest checkpoint that so many devices had after so many minutes."""

    devices: int
    minutes: float
    folder: Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worth_talking_to", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 30, 60], help="(default: 10 30 60)")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    parser.add_argument("--mbits", type=float, default=20.0, help="limit of every link (default: %(default)s)")
    parser.add_argument("--write", type=int, default=2000, help="words of each state (default: %(default)s)")
    parser.add_argument("--words", type=Path, help="a list of words that exist as well, as minigpt.evaluate takes it")
    parser.add_argument("--output", type=Path, default=Path("worth_talking_to.json"))
    arguments = parser.parse_args()
    existing = read_words(arguments.words) if arguments.words else None  # an error is said before hours of training
    most = max(arguments.devices)
    with tempfile.TemporaryDirectory(prefix="cellmind-talk-") as folder, Lan(most, arguments.mbits) as lan:
        devices = [Device(host, Path(folder) / host.name) for host in lan.hosts]
        prepare(devices, arguments.corpus)
        states = []
        for count in arguments.devices:
            states += train(devices, count, sorted(arguments.minutes), Path(folder) / "states")
        rows = judge_states(states, devices[0].folder / TEXTS, arguments.write, existing)
    arguments.output.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    report(rows)


def train(devices: list[Device], count: int, minutes: list[float], states: Path) -> list[State]:
    """Let so many of the devices train, and keep the newest checkpoint of the first after each of the times."""
    cores = sorted(os.sched_getaffinity(0))
    seconds_per_minute = 60 * max(1.0, count / len(cores))
    reached = []
    with kept(devices):
        processes = [
            device.start("peer", "--join", "--name", device.host.name, cpus=[cores[number % len(cores)]])
            for number, device in enumerate(devices[:count])
        ]
        for process in processes:
            process.wait_for(r"trains [\d.]+ M parameters", 300)
        began = time.time()
        for number in minutes:
            wait(lambda: not all(process.running() for process in processes), began + seconds_per_minute * number)
            if not all(process.running() for process in processes):
                sys.exit(
                    "a device has ended by itself:\n" + "\n".join(process.output()[-2000:] for process in processes)
                )
            checkpoint = newest(devices[0].folder / "checkpoints", "cellmind")
            assert checkpoint is not None, "there is that of the founding at least"
            folder = states / f"{count}-devices-{number:g}-minutes"
            shutil.copytree(checkpoint.folder, folder, copy_function=os.link)
            reached.append(State(count, number, folder))
            print(f"devices: {count}, minutes: {number:g}, round: {checkpoint.progress.round}", flush=True)
        end(processes)
    return reached


def judge_states(states: list[State], texts: Path, count: int, existing: set[str] | None) -> list[dict[str, Any]]:
    """Return a row for the held-out texts and one for each state, by `count` words of each."""
    valid, first = texts / "valid.jsonl", read(states[0].folder)
    tokenizer, seq_len = first.load_tokenizer(), first.settings.training.dataset.seq_len  # of all states: it is one run
    held_out = HeldOut.from_file(valid, tokenizer, seq_len, max_tokens=sys.maxsize)
    passages = [take_passages(held_out_texts(valid), tokenizer, count, seq_len)]
    rows: list[dict[str, Any]] = [{"devices": None, "minutes": None, "tokens": None, "bits_per_byte": None}]
    for state in states:
        checkpoint = read(state.folder)
        passages.append(written_by(checkpoint, state.folder, count, seed=0)[0])
        rows.append(
            {
                "devices": state.devices,
                "minutes": state.minutes,
                "tokens": checkpoint.progress.samples * seq_len,
                "bits_per_byte": held_out.evaluate(checkpoint.build_model())[1],
            }
        )
    qualities = judged(passages, count, texts / "train.jsonl", existing)
    for row, some, quality in zip(rows, passages, qualities, strict=True):
        row |= {**asdict(quality), "samples": [passage.text for passage in some[:SAMPLES]]}
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    print("\n| devices | minutes | tokens | bits/byte | words exist | seq-rep-4 | distinct-2 | lines copied, of |")
    print("|" + " --- |" * 8)
    for row in rows:
        shares = [row[key] for key in ("bits_per_byte", "exist", "repetition", "distinct", "copied")]
        numbers = ["–" if share is None else f"{share:.3f}" for share in shares]
        if row["devices"]:
            cells = [str(row["devices"]), f"{row['minutes']:g}", f"{row['tokens']:,}", *numbers]
        else:
            cells = ["held-out texts", "", "", *numbers]
        print(f"| {' | '.join(cells)} of {row['lines']} |")
    for row in rows:
        title = f"Devices: {row['devices']}, minutes: {row['minutes']:g}" if row["devices"] else "Held-out texts"
        print(f"\n{title}:\n")
        for text in row["samples"]:
            print("\n".join(f"> {line}" for line in text.split("\n")) + "\n")


if __name__ == "__main__":
    main()

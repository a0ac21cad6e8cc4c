"""Measure how large a model should be:  python -m benchmarks.sizes --corpus FILE --minutes 8 --sizes 256x4 512x6

Models of different sizes (d_model x layers, heads of 64) train on one core each, as a peer trains them, as many at once
as there are cores. The processor's seconds of training count, without those of judging and compiling. With `--text`
only so many lines are trained on, so that they are seen often; with several numbers, each of them in turn.

Prints held-out bits per byte after 1, 2, 4, ... minutes, and tokens/s beside what a founder of a run would foretell;
writes sizes.json. Then it fits the law of `minigpt/sizing.py` to all of it, tells the error and what the law would
choose, and prints the law as it is to stand there. What the measurements say nothing of stays as it stands there now.
`--fit FILE ...` fits to measurements of before.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from scipy.optimize import least_squares  # hivemind brings it

import tokenizer
from benchmarks.cores import on_all_cores
from benchmarks.learning import BATCH, CPU, LENGTH, LR, WARMUP
from minigpt.dataset import Batches, PackedRows, TextDataset
from minigpt.device import pick_autocast
from minigpt.encoding import wrap
from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT
from minigpt.sizing import BYTES_PER_PIECE, LAW, Law, Size
from peer.inner.compiling import worth_compiling
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import learning_rate
from peer.joining.size import measured_rate

HELD_OUT_LINES = 1000
FIRST_JUDGEMENT, SPACING = 0.25, math.sqrt(2)  # minutes; times the last until the next
LEAST_TOKENS = WARMUP * LENGTH // 2  # of a point that the law is fitted to: before, there is the warm-up
NOISE = 0.01  # of a measurement, of its bits
# How far the law may move from where it stands: as a share, and the exponents by so much
WIDTHS = Law(
    floor=0.25,
    size=0.3,
    size_exponent=0.05,
    text=2.0,
    text_exponent=0.1,
    lag_exponent=0.1,
    vocab_exponent=0.2,
    passes=0.7,
)
HOURS = (5 / 60, 0.25, 1.0, 4.0, 8.0, 40.0)  # that the choice is printed for

Measurement = dict[str, Any]  # a job, its text and its curve, as in sizes.json


@dataclass(frozen=True)
class Job:
    """A model to train: its size, its vocabulary and the lines of its text, 0 for all."""

    size: str
    vocabulary: int
    lines: int

    def folder(self, cache: Path) -> Path:
        return cache / f"{self.lines or 'all'}-{self.vocabulary}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="UTF-8, one text a line")
    parser.add_argument("--cache", type=Path, default=Path("sizes"), help="folder for tokenizers and ids")
    parser.add_argument("--minutes", type=float, default=8.0, help="of each model (default: %(default)s)")
    parser.add_argument("--sizes", nargs="+", type=checked_size, default=["256x4", "384x6", "512x6"], metavar="DxL")
    parser.add_argument("--vocabularies", nargs="+", type=int, default=[8000], help="(default: 8000)")
    parser.add_argument("--text", nargs="+", type=int, default=[0], metavar="LINES", help="(default: all)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--avx2", action="store_true", help="use no more of the processor than AVX2")
    parser.add_argument("--fit", nargs="+", type=Path, metavar="FILE", help="train nothing: fit to such measurements")
    parser.add_argument("--only", nargs=3, metavar="JOB", help="one model, in this process, as JSON lines")
    parser.add_argument("--output", type=Path, default=Path("sizes.json"))
    arguments = parser.parse_args()
    if arguments.fit:
        measurements = [one for path in arguments.fit for one in json.loads(path.read_text())]
        report_curves(measurements)
        report_law(measurements)
        return
    if arguments.corpus is None:
        parser.error("--corpus is needed, or --fit")
    if arguments.only:
        run(Job(arguments.only[0], int(arguments.only[1]), int(arguments.only[2])), arguments)
        return
    measurements = run_all(arguments)
    report_curves(measurements)
    report_law(measurements)


def checked_size(text: str) -> str:
    size_of(text)  # raises ValueError, which argparse explains
    return text


def size_of(text: str) -> Size:
    d_model, layers = map(int, text.split("x"))
    return Size(d_model, max(1, d_model // 64), layers)


# ---------------------------------------------------------------------- measuring


def prepare(job: Job, corpus: Path, cache: Path) -> None:
    """Train the job's tokenizer and turn its text into ids, unless that is done; the last lines are held out."""
    folder = job.folder(cache)
    if (folder / "text.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines = corpus.read_text(encoding="utf-8").splitlines()
    train = lines[:-HELD_OUT_LINES][: job.lines or None]
    (folder / "train.txt").write_text("\n".join(train), encoding="utf-8")
    (folder / "held_out.txt").write_text("\n".join(lines[-HELD_OUT_LINES:]), encoding="utf-8")
    path = tokenizer.train(folder / "train.txt", output_dir=folder, vocab_size=job.vocabulary)
    processor = tokenizer.load(path)
    ids = np.array([id for text in processor.encode(train) for id in wrap(text)], dtype=np.uint16)
    np.save(folder / "ids.npy", ids)
    text = {"text": sum(len(line.encode()) for line in train), "tokens": len(ids), "vocab_size": len(processor)}
    (folder / "text.json").write_text(json.dumps(text))  # last: all is there


def run_all(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure all jobs, as many at once as there are cores; after each, write what there is."""
    jobs = [
        Job(size, vocabulary, lines)
        for lines in arguments.text
        for vocabulary in arguments.vocabularies
        for size in arguments.sizes
    ]
    for job in jobs:
        prepare(job, arguments.corpus, arguments.cache)
    measurements: list[Measurement] = []
    for number, output in on_all_cores([command(job, arguments) for job in jobs], arguments.avx2):
        job = jobs[number]
        first, *curve = map(json.loads, output.splitlines())
        text = json.loads((job.folder(arguments.cache) / "text.json").read_text())
        measurements.append({**asdict(job), "in_text": text, **first, "curve": curve})
        arguments.output.write_text(json.dumps(measurements))
        print(job, json.dumps(curve[-1]), flush=True)
    return measurements


def command(job: Job, arguments: argparse.Namespace) -> list[str | Path]:
    of_all = ["--corpus", arguments.corpus, "--cache", arguments.cache, "--minutes", str(arguments.minutes)]
    only = ["--only", job.size, str(job.vocabulary), str(job.lines)]
    return ["-m", "benchmarks.sizes", *of_all, "--seed", str(arguments.seed), *only]


def run(job: Job, arguments: argparse.Namespace) -> None:
    """Train one model; print a line with the tokens/s that a founder would foretell, and then lines of its curve."""
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    folder, size = job.folder(arguments.cache), size_of(job.size)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "minigpt.model"))
    held_out = HeldOut.from_file(folder / "held_out.txt", processor, LENGTH, sys.maxsize)
    dataset = TextDataset(PackedRows(np.load(folder / "ids.npy"), LENGTH), "sizes", arguments.seed)
    autocast = pick_autocast(CPU)
    rate = measured_rate(size, 1, LENGTH, CPU, autocast, time.process_time)
    print(json.dumps({"foretold_speed": rate / size.operations(len(processor))}), flush=True)
    model = MiniGPT(vocab_size=len(processor), seq_len=LENGTH, **asdict(size))
    inner = InnerLoop(model, Batches(dataset, BATCH), CPU, autocast)
    if worth_compiling(inner):
        inner.compile(BATCH)
    seconds, trained, due = 0.0, 0, 60 * FIRST_JUDGEMENT
    while seconds < 60 * arguments.minutes:
        began = time.process_time()
        inner.step(learning_rate(LR, trained, trained, WARMUP))
        trained += BATCH
        inner.average.add(BATCH, trained)
        seconds += time.process_time() - began
        if seconds >= min(due, 60 * arguments.minutes):
            bits = held_out.evaluate(inner.averaged_model(), autocast)[1]
            print(json.dumps({"seconds": seconds, "tokens": trained * LENGTH, "bits": bits}), flush=True)
            while due <= seconds:
                due *= SPACING


# ---------------------------------------------------------------------- the table


def report_curves(measurements: list[Measurement]) -> None:
    """Print the best bits per byte of each model so far after 1, 2, 4, ... minutes."""
    longest = max(one["curve"][-1]["seconds"] for one in measurements) / 60
    minutes = [2**power for power in range(int(math.log2(max(1.0, longest + 0.01))) + 1)]
    heads = "".join(f" {minute} min |" for minute in minutes)
    print(
        f"\n| text, passes | pieces | size | tokens/s | foretold, ÷ it |{heads}\n" + "| --- " * (5 + len(minutes)) + "|"
    )
    for one in sorted(measurements, key=lambda one: (one["in_text"]["text"], one["vocabulary"])):
        end, text = one["curve"][-1], one["in_text"]
        speed = end["tokens"] / end["seconds"]
        row = f"| {text['text'] / 1e6:.2f} MB, {end['tokens'] / text['tokens']:.1f} | {text['vocab_size']} "
        row += f"| {one['size']} | {speed:.0f} | {one['foretold_speed'] / speed:.2f} |"
        for minute in minutes:
            reached = [point["bits"] for point in one["curve"] if point["seconds"] <= 66 * minute]
            row += f" {min(reached):.3f} |" if reached else " |"
        print(row)


# ---------------------------------------------------------------------- the law


@dataclass(frozen=True)
class Point:
    """What a model had learnt at some time: the best held-out bits per byte so far."""

    size: Size
    vocab_size: int
    trained: float  # bytes
    text: float  # bytes
    bits: float
    share: float  # of the time that the model was trained

    def foretold(self, law: Law) -> float:
        return law.bits_per_byte(self.size, self.vocab_size, self.trained, self.text)


def points_of(one: Measurement) -> list[Point]:
    size, text, least, points = size_of(one["size"]), one["in_text"], math.inf, []
    for point in one["curve"]:
        least = min(least, point["bits"])
        trained = point["tokens"] * text["text"] / text["tokens"]
        if point["tokens"] >= LEAST_TOKENS:
            share = point["seconds"] / one["curve"][-1]["seconds"]
            points.append(Point(size, text["vocab_size"], trained, text["text"], least, share))
    return points


def fit(points: list[Point], start: Law = LAW) -> Law:
    """Return the law that fits best, held near `start` where the points say nothing."""
    names = [field.name for field in fields(Law)]
    centre = np.array([getattr(start, name) for name in names])
    widths = np.array([getattr(WIDTHS, name) for name in names])
    moves_by = np.array([name.endswith("exponent") for name in names])

    def moved(steps: np.ndarray) -> Law:
        numbers = np.where(moves_by, centre + widths * steps, centre * np.exp(np.where(moves_by, 0, widths * steps)))
        return Law(**dict(zip(names, map(float, numbers), strict=True)))

    def misses(steps: np.ndarray) -> np.ndarray:
        law = moved(steps)
        return np.array([math.log(point.foretold(law) / point.bits) / NOISE for point in points] + [*steps])

    bounds = np.where(moves_by, -0.9 * np.maximum(centre, 0.05) / widths, -5.0)  # exponents stay above 0
    bounds = np.where([name == "vocab_exponent" for name in names], -5.0, bounds)
    found = least_squares(misses, np.zeros(len(names)), bounds=(bounds, 5.0), loss="soft_l1")
    return moved(found.x)


def misfit(law: Law, points: list[Point]) -> str:
    """Return how far the law is from the points, root mean square and at most."""
    misses = [point.foretold(law) / point.bits - 1 for point in points]
    worst = max(misses, key=abs)
    return f"{100 * math.sqrt(sum(miss**2 for miss in misses) / len(misses)):.1f} %, at most {100 * worst:+.1f} %"


def report_law(measurements: list[Measurement]) -> None:
    """Fit the law; print it, its errors, and what it would choose for the longest text."""
    points = [point for one in measurements for point in points_of(one)]
    if not points:
        sys.exit(f"no model has trained {LEAST_TOKENS} tokens: there is nothing to fit the law to; use more --minutes")
    law = fit(points)
    print(f"\n{len(points)} points; the law that stands in minigpt/sizing.py misses them by {misfit(LAW, points)}")
    print(f"the fitted law misses them by {misfit(law, points)}")
    halves = [point for point in points if point.share <= 0.5]
    ends = [point for point in points if point.share == 1]
    if halves and ends:
        print(f"fitted to the first half of the time, it misses the ends by {misfit(fit(halves), ends)}")
    pieces = {one["in_text"]["vocab_size"]: one["in_text"]["text"] / one["in_text"]["tokens"] for one in measurements}
    known = {size: round(count, 2) for size, count in sorted({**BYTES_PER_PIECE, **pieces}.items())}
    print("\nLAW = Law(" + ", ".join(f"{name}={value:.4g}" for name, value in asdict(law).items()) + ")")
    print(f"BYTES_PER_PIECE = {known}")
    report_choice(law, measurements)


def report_choice(law: Law, measurements: list[Measurement]) -> None:
    """Print what the law foretells of the longest text after some hours of this core, the best in bold."""
    longest = max(one["in_text"]["text"] for one in measurements)
    models = [one for one in measurements if one["in_text"]["text"] == longest]
    print(f"\nForetold with {longest / 1e6:.1f} MB of text on this core:\n")
    print("| hours |" + "".join(f" {one['size']}, {one['in_text']['vocab_size']} |" for one in models))
    print("| --- " * (1 + len(models)) + "|")
    for hours in HOURS:
        bits = [foretold(law, one, 3600 * hours) for one in models]
        cells = [f"**{number:.3f}**" if number == min(bits) else f"{number:.3f}" for number in bits]
        print(f"| {hours:.2g} | {' | '.join(cells)} |")


def foretold(law: Law, one: Measurement, seconds: float) -> float:
    """Return the bits per byte that a measured model will have reached after so many seconds at its measured speed."""
    end, text = one["curve"][-1], one["in_text"]
    trained = seconds * end["tokens"] / end["seconds"] * text["text"] / text["tokens"]
    return law.bits_per_byte(size_of(one["size"]), text["vocab_size"], trained, text["text"])


if __name__ == "__main__":
    main()

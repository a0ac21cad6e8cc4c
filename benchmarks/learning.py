"""Measure what one device learns in so many minutes:  python -m benchmarks.learning --corpus FILE --minutes 15

The guide's model on one core, the same token ids for all ways:

    ours       as a peer trains it, compiled where that is worth it; its average is judged
    small      the same with the size that `--size small` has
    adamw      the same with AdamW at one rate for all, as until commit 711bd47
    nanogpt    a plain GPT of the same shape in float32, with the rates of nanoGPT's README for a processor

A way runs in a process of its own on a core of its own, as many at once as there are cores. The processor's seconds of
training count, without those of judging and compiling, so that it matters little what else the machine does. With
`--avx2` the processor does as if it had no more than AVX2, as most laptops have.

Prints when each way was where the plain GPT and AdamW ended, as a share of their time; writes learning.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from torch import Tensor, nn

from benchmarks.cores import on_all_cores
from benchmarks.step import PlainGPT
from minigpt.device import pick_autocast
from minigpt.held_out import HeldOut
from minigpt.model import MiniGPT
from minigpt.sizing import SIZES
from peer.inner.compiling import worth_compiling
from peer.inner.loop import CLIP_NORM, InnerLoop
from peer.inner.lr_schedule import learning_rate

WAYS = ("ours", "small", "adamw", "nanogpt")
VOCABULARY, LENGTH, BATCH = 8000, 256, 4
HELD_OUT_TEXTS, HELD_OUT_TOKENS = 3000, 32_768
JUDGEMENTS = 30
LR, WARMUP = 3e-4, 256  # of config.json
NANOGPT_LR, NANOGPT_BETAS, NANOGPT_WARMUP = 1e-3, (0.9, 0.99), 100  # the warm-up in steps
CPU = torch.device("cpu")

Step = Callable[[], int]  # makes one and returns its tokens


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--cache", type=Path, default=Path("learning"), help="folder for tokenizer and ids")
    parser.add_argument("--minutes", type=float, default=15.0, help="of each way (default: %(default)s)")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS, help="which to run (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--avx2", action="store_true", help="use no more of the processor than AVX2")
    parser.add_argument("--only", choices=WAYS, help="one way, in this process, as JSON lines")
    parser.add_argument("--output", type=Path, default=Path("learning.json"))
    arguments = parser.parse_args()
    prepare(arguments.corpus, arguments.cache)
    if arguments.only:
        run(arguments.only, arguments)
        return
    curves = run_all(arguments)
    arguments.output.write_text(json.dumps(curves))
    report(curves)


def prepare(corpus: Path, cache: Path) -> None:
    """Train the tokenizer and turn the corpus into ids, unless that is done; the last texts are held out."""
    if (cache / "ids.npy").exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    lines = corpus.read_text(encoding="utf-8").splitlines()
    (cache / "held_out.txt").write_text("\n".join(lines[-HELD_OUT_TEXTS:]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[:60_000]), model_prefix=str(cache / "learning"), vocab_size=VOCABULARY,
        model_type="bpe", character_coverage=0.9995, byte_fallback=True, normalization_rule_name="identity",
        pad_id=3, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=str(cache / "learning.model"))
    texts = processor.encode(lines[:-HELD_OUT_TEXTS])
    np.save(cache / "ids.npy", np.array([i for text in texts for i in (1, *text, 2)], dtype=np.uint16))


def run_all(arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Return the curve of each way."""
    curves: dict[str, list[dict[str, float]]] = {}
    for number, output in on_all_cores([command(way, arguments) for way in arguments.ways], arguments.avx2):
        way = arguments.ways[number]
        curves[way] = [json.loads(line) for line in output.splitlines()]
        print(way, json.dumps(curves[way][-1:]), flush=True)
    return curves


def command(way: str, arguments: argparse.Namespace) -> list[str | Path]:
    of_all = ["--corpus", arguments.corpus, "--cache", arguments.cache, "--minutes", str(arguments.minutes)]
    return ["-m", "benchmarks.learning", "--only", way, *of_all, "--seed", str(arguments.seed)]


def run(way: str, arguments: argparse.Namespace) -> None:
    """Train one way and print a line of its curve now and then."""
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(arguments.cache / "learning.model"))
    held_out = HeldOut.from_file(arguments.cache / "held_out.txt", processor, LENGTH, HELD_OUT_TOKENS)
    batches = endless_batches(torch.from_numpy(np.load(arguments.cache / "ids.npy").astype(np.int64)), arguments.seed)
    autocast = None if way == "nanogpt" else pick_autocast(CPU)
    step, judged = nanogpt(batches) if way == "nanogpt" else ours(batches, autocast, way)
    seconds, tokens, due = 0.0, 0, 0.0
    while seconds < 60 * arguments.minutes:
        began = time.process_time()
        tokens += step()
        seconds += time.process_time() - began
        if seconds >= due:
            nats, bits = held_out.evaluate(judged(), autocast)  # type: ignore[arg-type]
            print(json.dumps({"seconds": seconds, "tokens": tokens, "nats": nats, "bits": bits}), flush=True)
            due += 60 * arguments.minutes / JUDGEMENTS


def endless_batches(ids: Tensor, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(len(ids) - LENGTH - 1, (BATCH,), generator=generator)
        rows = torch.stack([ids[start : start + LENGTH + 1] for start in starts.tolist()])
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def ours(
    batches: Iterator[tuple[Tensor, Tensor]], autocast: torch.dtype | None, way: str
) -> tuple[Step, Callable[[], nn.Module]]:
    """Return our step and what is judged; with AdamW, as they were before Muon."""
    size = SIZES["small" if way == "small" else "guide"]
    model = MiniGPT(vocab_size=VOCABULARY, seq_len=LENGTH, dropout=0.1 if way == "adamw" else 0.0, **asdict(size))
    inner = InnerLoop(model, batches, CPU, autocast)
    if way == "adamw":
        norms = [parameter for parameter in model.parameters() if parameter.dim() < 2]
        matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
        groups = [
            {"params": matrices, "weight_decay": 0.1, "embedding": False},
            {"params": norms, "weight_decay": 0.0, "embedding": False},
        ]
        inner.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    if worth_compiling(inner):
        inner.compile(BATCH)
    trained = 0

    def step() -> int:
        nonlocal trained
        inner.step(learning_rate(LR, trained, trained, WARMUP))
        trained += BATCH
        inner.average.add(BATCH, trained)
        return BATCH * LENGTH

    return step, (lambda: inner.model) if way == "adamw" else inner.averaged_model


def nanogpt(batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Step, Callable[[], nn.Module]]:
    """Return nanoGPT's step, and its model."""
    model, steps = PlainGPT(dropout=0.0), 0
    optimizer = torch.optim.AdamW(model.parameters(), betas=NANOGPT_BETAS, weight_decay=0.1, fused=True)

    def step() -> int:
        nonlocal steps
        steps += 1
        model(*next(batches)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        for group in optimizer.param_groups:
            group["lr"] = NANOGPT_LR * min(1.0, steps / NANOGPT_WARMUP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return BATCH * LENGTH

    return step, lambda: model


def seconds_to(curve: list[dict[str, float]], bits: float) -> float:
    """Return after how many seconds a curve was at so many bits a byte; infinity if never."""
    for before, after in pairwise(curve):
        if after["bits"] <= bits:
            share = (before["bits"] - bits) / max(1e-9, before["bits"] - after["bits"])
            return before["seconds"] + max(0.0, share) * (after["seconds"] - before["seconds"])
    return math.inf


def report(curves: dict[str, list[dict[str, float]]]) -> None:
    goals: dict[str, dict[str, Any]] = {way: curves[way][-1] for way in curves}
    print("\n| way | tokens/s | nats, bits/byte at the end |" + "".join(f" time to {way}'s, ÷ its |" for way in goals))
    print("| --- " * (3 + len(goals)) + "|")
    for way, curve in curves.items():
        end = curve[-1]
        row = f"| {way} | {end['tokens'] / end['seconds']:.0f} | {end['nats']:.3f}, {end['bits']:.3f} |"
        print(row + "".join(f" {seconds_to(curve, goal['bits']) / goal['seconds']:.3f} |" for goal in goals.values()))


if __name__ == "__main__":
    main()

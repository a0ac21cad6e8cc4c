"""Measure how fast a training step is:  python -m benchmarks.step --threads 1

The guide's model (23 M parameters, batches of 4 x 256 tokens of random ids), as peers train it (compiled where that is
worth it, and not), and beside it a plain GPT of the same shape as textbooks and nanoGPT write it: LayerNorm, learned
positions, GELU, dropout in the attention, AdamW that is not fused. Every way runs in a process of its own, all of them
in turn, several times. The middle step of each turn counts, and of the turns the middle ratio of ways that ran one
after the other: where others use the machine, a best is as often luck as speed.

Prints tokens/s, the arithmetic of the step as a share of what a matrix product reaches in bfloat16 and float32, memory,
and where our step's time goes; writes step.json.

With `--curve 500` instead: how far the losses of so many steps come apart at most, of our step and of float32 with
PyTorch's plain formulas on the same batches (dropout off, since it draws other numbers). Training magnifies whatever
differs; so beside it: plain formulas with bfloat16 products, and float32 from a start that is one rounding away.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import minigpt.model as model_file
from minigpt import IGNORED
from minigpt.device import pick_autocast
from minigpt.fused import RMSNorm, Rotation
from minigpt.model import MiniGPT
from peer.inner.compiling import worth_compiling
from peer.inner.loop import CLIP_NORM, InnerLoop
from peer.inner.lr_schedule import learning_rate
from peer.inner.optimizer import BETAS

VOCABULARY, WIDTH, HEADS, LAYERS, LENGTH, BATCH, DROPOUT = 8000, 512, 8, 6, 256, 4, 0.1
LR = 3e-4
WAYS = ("ours", "ours not compiled", "ours float32", "plain", "plain bfloat16", "plain bfloat16 compiled")
INTO_THE_STREAM = ("c_proj.weight", "mlp.2.weight")
MATRIX = 2048  # rows and columns of the products that the peak is measured with
CPU = torch.device("cpu")

Step = Callable[[], float]


class PlainBlock(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(dropout)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = (y.view(B, T, HEADS, C // HEADS).transpose(1, 2) for y in self.c_attn(self.ln_1(x)).split(C, 2))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout.p if self.training else 0.0, is_causal=True)
        x = x + self.dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))
        return x + self.mlp(self.ln_2(x))


class PlainGPT(nn.Module):
    def __init__(self, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(
            nn.Dropout(dropout), *(PlainBlock(dropout) for _ in range(LAYERS)), nn.LayerNorm(WIDTH)
        )
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # as nanoGPT does: PyTorch's own are so large that most of a softmax is denormal
                nn.init.normal_(parameter, std=0.02 / (2 * LAYERS) ** 0.5 if name.endswith(INTO_THE_STREAM) else 0.02)

    def forward(self, input_ids: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.blocks(self.wte(input_ids) + self.wpe(torch.arange(input_ids.shape[1])))
        logits = F.linear(x, self.wte.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY), labels.view(-1))


def our_step(autocast: torch.dtype | None, compiled: bool = False) -> tuple[Step, int]:
    model = MiniGPT(
        vocab_size=VOCABULARY, d_model=WIDTH, nhead=HEADS, num_layers=LAYERS, dropout=DROPOUT, seq_len=LENGTH
    )

    def batches() -> Any:
        while True:
            yield batch()

    inner = InnerLoop(model, batches(), CPU, autocast)
    if compiled and worth_compiling(inner):
        inner.compile(BATCH)
    return (lambda: inner.step(LR)[0]), model.parameter_count()


def plain_step(autocast: torch.dtype | None, compiled: bool = False) -> tuple[Step, int]:
    model = PlainGPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, weight_decay=0.1)
    forward = torch.compile(model) if compiled else model

    def step() -> float:
        with torch.autocast("cpu", autocast, enabled=autocast is not None):
            loss = forward(*batch())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step, sum(parameter.numel() for parameter in model.parameters())


def batch() -> tuple[Tensor, Tensor]:
    ids = torch.randint(0, VOCABULARY, (BATCH, LENGTH + 1))
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def build(way: str) -> tuple[Step, int]:
    match way:
        case "ours":
            return our_step(pick_autocast(CPU), compiled=True)
        case "ours not compiled":
            return our_step(pick_autocast(CPU))
        case "ours float32":
            return our_step(None)
        case "plain":
            return plain_step(None)
        case "plain bfloat16":
            return plain_step(torch.bfloat16)
        case _:
            return plain_step(torch.bfloat16, compiled=True)


def measure(way: str, steps: int) -> dict[str, Any]:
    """Return, of this process, seconds of the middle step, and the most memory that was used."""
    step, parameters = build(way)
    for _ in range(3):
        step()
    seconds = median(timed(step) for _ in range(steps))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"way": way, "seconds": seconds, "parameters": parameters, "memory": memory}


@contextmanager
def plain_formulas() -> Iterator[None]:
    """Our model without `minigpt/fused.py`: as it would be written without a thought of speed."""

    def rotate(x: Tensor, rotation: Rotation) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * rotation[0] + torch.cat((second, first), dim=-1) * rotation[1]

    def loss(x: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(x, words), labels, ignore_index=IGNORED)

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)

    with (
        patch.object(model_file, "attend", attend),
        patch.object(model_file, "rotate", rotate),
        patch.object(model_file, "linear_cross_entropy", loss),
        patch.object(RMSNorm, "forward", nn.RMSNorm.forward),
    ):
        yield


def curves(model: MiniGPT, batches: list[tuple[Tensor, Tensor]], autocast: torch.dtype | None) -> list[list[float]]:
    """The losses of every step by our step, and by plain formulas in float32, from the same start."""
    loop = InnerLoop(deepcopy(model), iter(batches), CPU, autocast)
    if worth_compiling(loop):
        loop.compile(len(batches[0][0]))
    return [trained(loop, len(batches)), plain_curve(model, batches, None)]


def plain_curve(model: MiniGPT, batches: list[tuple[Tensor, Tensor]], autocast: torch.dtype | None) -> list[float]:
    """The losses of every step by plain formulas."""
    with plain_formulas():
        loop = InnerLoop(deepcopy(model), iter(batches), CPU, autocast)
        return trained(loop, len(batches))


def trained(loop: InnerLoop, steps: int) -> list[float]:
    """The losses of so many steps, the first eighth of them a warm-up: a run does not begin at its full rate either."""
    return [loop.step(learning_rate(LR, step, step, steps // 8))[0] for step in range(steps)]


def apart(ours: list[float], plain: list[float], window: int = 10) -> float:
    """Return how far two curves are apart at most, as a share; each point is the mean of some steps."""
    means = [[sum(curve[i : i + window]) for i in range(0, len(curve), window)] for curve in (ours, plain)]
    return max(abs(one / other - 1) for one, other in zip(*means))


def curve(steps: int, corpus: Path) -> None:
    """The comparison at the guide's size, on a text's bytes: random ids have nothing to learn in them."""
    torch.manual_seed(0)
    model = MiniGPT(vocab_size=VOCABULARY, d_model=WIDTH, nhead=HEADS, num_layers=LAYERS, seq_len=LENGTH)
    text = torch.frombuffer(bytearray(corpus.read_bytes()[: 2 * steps * BATCH * LENGTH]), dtype=torch.uint8).long()
    starts = torch.randint(len(text) - LENGTH - 1, (steps, BATCH))
    rows = [torch.stack([text[start : start + LENGTH + 1] for start in some]) for some in starts.tolist()]
    batches = [(row[:, :-1].contiguous(), row[:, 1:].contiguous()) for row in rows]
    autocast = pick_autocast(CPU)
    ours, plain = curves(model, batches, autocast)
    print(
        f"{steps} steps in {autocast or torch.float32}: loss {ours[0]:.3f} to {ours[-1]:.3f}, and {plain[-1]:.3f} plain"
    )
    print(f"ours: {described(ours, plain)} (bar: 0.5 %)", flush=True)
    if autocast is not None:
        print(f"plain formulas in {autocast}: {described(plain_curve(model, batches, autocast), plain)}", flush=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + torch.finfo(torch.float32).eps * torch.randn_like(parameter).sign())
    print(f"plain formulas in float32, one rounding away: {described(plain_curve(model, batches, None), plain)}")


def described(ours: list[float], plain: list[float]) -> str:
    """Say in words how far apart they are; few steps tell of two runs, many of what is wrong with one of them."""
    parts = (f"means of {window} steps {apart(ours, plain, window):.2%} apart at most" for window in (10, 50))
    return f"{', '.join(parts)}, all of them {sum(ours) / sum(plain) - 1:+.2%}"


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak(number_format: torch.dtype) -> float:
    """Arithmetic operations a second of a large matrix product."""
    a, b = (torch.randn(MATRIX, MATRIX).to(number_format) for _ in range(2))
    return 2 * MATRIX**3 / min(timed(lambda: a @ b) for _ in range(5))


def operations(parameters: int) -> float:
    """Return a step's operations: 6 a parameter and token, and attention's (PaLM, arXiv 2204.02311, appendix B)."""
    tokens = BATCH * LENGTH
    return tokens * (6 * parameters + 12 * LAYERS * WIDTH * LENGTH)


def profile() -> str:
    """Print where our step's time goes."""
    step, _ = our_step(pick_autocast(CPU), compiled=True)
    for _ in range(3):
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(3):
            step()
    return str(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="of each way and time (default: %(default)s)")
    parser.add_argument("--times", type=int, default=3, help="that all ways take turns (default: %(default)s)")
    parser.add_argument("--only", choices=WAYS, help="one way, in this process, as JSON")
    parser.add_argument("--curve", type=int, metavar="STEPS", help="compare losses instead")
    parser.add_argument(
        "--corpus", type=Path, default=Path(__file__).parent.parent / "README.ko.md", help="for --curve"
    )
    parser.add_argument("--output", type=Path, default=Path("step.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.steps)))
        return
    if arguments.curve:
        curve(arguments.curve, arguments.corpus)
        return
    turns: list[dict[str, dict[str, Any]]] = []
    for number in range(arguments.times):
        print(f"turn {number + 1} of {arguments.times} …", file=sys.stderr)
        turns.append({way: measured for way in WAYS if (measured := measure_apart(way, arguments))})
    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    arguments.output.write_text(json.dumps({"turns": turns, "peaks": peaks}, indent=2))
    report(turns, peaks)
    print(profile())


def measure_apart(way: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """`measure` in a process of its own; None, and a line that says why, where it failed."""
    command = [sys.executable, "-m", "benchmarks.step", "--only", way]
    options = ["--threads", str(arguments.threads), "--steps", str(arguments.steps)]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode:
        print(f"{way}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(turns: list[dict[str, dict[str, Any]]], peaks: dict[str, float]) -> None:
    best = max(peaks.values())
    print(", ".join(f"{name}: {rate / 1e9:.0f} G operations/s" for name, rate in peaks.items()))
    print(
        "| way | tokens/s | ours ÷ it (lowest to highest turn) | of the peak | memory, MB | parameters |\n|"
        + " --- |" * 6
    )
    for way in WAYS:
        its = [turn[way] for turn in turns if way in turn]
        if not its:
            continue
        ratios = [turn[way]["seconds"] / turn["ours"]["seconds"] for turn in turns if way in turn and "ours" in turn]
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
        seconds, parameters = median(one["seconds"] for one in its), its[0]["parameters"]
        share = operations(parameters) / seconds / best
        speed, memory = BATCH * LENGTH / seconds, max(one["memory"] for one in its) / 1e6
        print(f"| {way} | {speed:.0f} | {ratio} | {share:.2f} | {memory:.0f} | {parameters:,} |")


if __name__ == "__main__":
    main()

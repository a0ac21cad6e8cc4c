"""Simulates a swarm in one process: what is a way of exchanging worth, by its interval and its age?

    python -m benchmarks.simulate --corpus FILE --exchange swarm --peers 4 --every 6 --age 4
    python -m benchmarks.simulate --corpus FILE --exchange swarm --speeds 1 4 --lr 4e-4

A 2 M parameter MiniGPT, 8 x 128 tokens a step. Time is counted in steps of the fastest peer. No network, no clock: only
what is learnt from what, and when. Held-out loss is judged four times: of the parameters, and of their average over the
last tenth of the training, which is what is asked for an answer.

alone      one peer
ideal      every step on the mean gradient of all peers, as torch.distributed does on a network without limits
variates   every peer steps with its own gradient and adds (mean - own) of --age steps ago (SCAFFOLD, arXiv 1910.06378)
swarm      what the project does: the anchor moves by the mean of what peers moved, which arrives --age steps later
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import sentencepiece
import torch
from torch import Tensor

from minigpt.model import MiniGPT
from peer.inner.loop import CLIP_NORM
from peer.inner.lr_schedule import learning_rate
from peer.inner.optimizer import MuonAdamW, parameter_groups
from peer.inner.weight_average import WeightAverage
from peer.state.anchor import gain, steps_of

Report: TypeAlias = Callable[[int, int, MiniGPT], None]  # of a step, sequences so far, and the model to judge

WIDTH, HEADS, LAYERS, VOCABULARY, LENGTH, BATCH = 192, 4, 4, 2000, 128, 8
HELD_OUT = 60_000  # tokens


def tokens(corpus: Path, cache: Path) -> Tensor:
    """All token ids of the corpus, one text a line; tokenizer and ids are kept in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "ids.npy").exists():
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(cache / "simulate"), vocab_size=VOCABULARY, model_type="bpe",
            character_coverage=0.9995, byte_fallback=True, normalization_rule_name="identity",
            input_sentence_size=60_000, minloglevel=2,
        )  # fmt: skip
        processor = sentencepiece.SentencePieceProcessor(model_file=str(cache / "simulate.model"))
        texts = processor.encode(corpus.read_text(encoding="utf-8").splitlines())
        np.save(cache / "ids.npy", np.array([i for text in texts for i in (1, *text, 2)], dtype=np.int16))
    return torch.from_numpy(np.load(cache / "ids.npy", allow_pickle=False)).long()


def batch(generator: torch.Generator, source: Tensor, size: int = BATCH) -> tuple[Tensor, Tensor]:
    starts = torch.randint(0, len(source) - LENGTH - 1, (size,), generator=generator)
    x = torch.stack([source[s : s + LENGTH + 1] for s in starts])
    return x[:, :-1], x[:, 1:]


@torch.no_grad()
def held_out(model: MiniGPT, source: Tensor) -> float:
    generator = torch.Generator().manual_seed(5)
    return sum(model(*batch(generator, source, 16)).item() for _ in range(16)) / 16


class Peer:
    """One simulated device: its parameters, its optimizer, and what it has not given yet."""

    def __init__(self, first: MiniGPT, seed: int, period: int):
        self.model, self.period = copy.deepcopy(first), period
        self.parameters = list(self.model.parameters())
        self.optimizer = MuonAdamW(parameter_groups(self.model))
        self.given = [torch.zeros_like(p) for p in self.parameters]
        self.base: list[Tensor] = []  # where it stood when it gave last
        self.steps = self.since = 0
        self.data = torch.Generator().manual_seed(seed)

    def gradients(self, train: Tensor) -> list[Tensor]:
        self.model.zero_grad()
        self.model(*batch(self.data, train)).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        return [p.grad.clone() for p in self.parameters if p.grad is not None]

    def step(self, gradients: list[Tensor], rate: float, embedding: float = 1.0) -> None:
        """Make one step; the embedding's rate is so many times the usual one."""
        self.steps += 1
        for parameter, gradient in zip(self.parameters, gradients):
            parameter.grad = gradient
        for group in self.optimizer.param_groups:
            group["lr"] = rate * embedding if group["embedding"] else rate
        self.optimizer.step()


# peer/state/codec.py's steps of one size lose 0.1 % (2 bits) and 0.2 % (4 bits) more of the energy
LEVELS = {  # of Lloyd and Max for a normal distribution, by bits; the other half is their negative
    1: [0.7979],
    2: [0.4528, 1.510],
    3: [0.2451, 0.7560, 1.344, 2.152],
    4: [0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733],
}


def quantized(x: Tensor, bits: int) -> Tensor:
    """x as `bits` bits a number carry it, on the scale of its root mean square."""
    levels = torch.tensor(LEVELS[bits])
    scale = x.square().mean().sqrt().clamp(min=1e-30)
    nearest = torch.bucketize(x.abs() / scale, (levels[1:] + levels[:-1]) / 2)
    return levels[nearest].mul_(scale).copysign_(x)


def swarm(a: argparse.Namespace, peers: list[Peer], train: Tensor, report: Report) -> None:
    """Simulate what the project does (peer/state/anchor.py): the anchor moves by the mean of earlier movements."""
    anchor = copy.deepcopy(peers[0].model)
    parameters = [p.detach() for p in anchor.parameters()]
    for p in peers:
        p.base = [x.detach().clone() for x in p.parameters]
    samples, pending = 0, None
    for tick in range(1, a.steps + 1):
        for p in peers:
            if tick % p.period == 0:
                rate = learning_rate(a.lr, samples, p.steps * BATCH, a.warmup)
                p.step(p.gradients(train), rate, a.embedding)
                p.since += 1
                samples += BATCH
        if pending is not None and tick >= pending[0]:
            _, moves, stood = pending
            pending = None
            for j, move in enumerate(moves):
                parameters[j].add_(move)
                for p, position in zip(peers, stood):
                    p.parameters[j].data.add_(parameters[j] - position[j])
                    p.base[j].add_(parameters[j] - position[j])
        if tick % a.every == 0 and pending is None and all(p.since for p in peers):
            pending = (tick + a.age, *mean_move(a, peers))
        report(tick, samples, peers[0].model)


@torch.no_grad()
def mean_move(a: argparse.Namespace, peers: list[Peer]) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return the anchor's move and where peers stand: movement a step, by steps, times `--gain` of the most."""
    stood = [[x.detach().clone() for x in p.parameters] for p in peers]
    steps = [p.since for p in peers]
    count = steps_of((x, x) for x in steps) * (gain(steps) if a.gain is None else a.gain)
    moves = []
    for j in range(len(stood[0])):
        mean = torch.zeros_like(stood[0][j])
        for p, position in zip(peers, stood):
            left = p.given[j] + position[j] - p.base[j]
            said = quantized(left, a.bits) if a.bits else left
            p.given[j] = left - said
            mean += said / sum(steps)
            p.base[j] = position[j].clone()
        moves.append((quantized(mean, a.mean_bits) if a.mean_bits else mean) * count)
    for p in peers:
        p.since = 0
    return moves, stood


def variates(a: argparse.Namespace, peers: list[Peer], train: Tensor, report: Report) -> None:
    before: list[tuple[list[list[Tensor]], list[Tensor]]] = []
    for tick in range(1, a.steps + 1):
        rate = learning_rate(a.lr, (tick - 1) * BATCH * a.peers, (tick - 1) * BATCH, a.warmup)
        gradients = [p.gradients(train) for p in peers]
        before.append((gradients, [sum(g) / a.peers for g in zip(*gradients)]))
        arrived = before.pop(0) if len(before) > a.age else None
        for i, p in enumerate(peers):
            g = gradients[i]
            if arrived is not None:
                g = [x + mean - own for x, mean, own in zip(g, arrived[1], arrived[0][i])]
            p.step(g, rate)
        if tick % a.every == 0:
            together(peers)
        report(tick, tick * BATCH * a.peers, peers[0].model)


@torch.no_grad()
def together(peers: list[Peer]) -> None:
    for same in zip(*(p.parameters for p in peers)):
        middle = sum(same) / len(same)
        for parameter in same:
            parameter.copy_(middle)


def ideal(a: argparse.Namespace, peers: list[Peer], train: Tensor, report: Report) -> None:
    first = peers[0]
    for tick in range(1, a.steps + 1):
        rate = learning_rate(a.lr, (tick - 1) * BATCH * len(peers), (tick - 1) * BATCH, a.warmup)
        gradients = []
        for p in peers:
            first.data, mine = p.data, first.data
            gradients.append(first.gradients(train))
            first.data = mine
        first.step([sum(g) / len(peers) for g in zip(*gradients)], rate)
        report(tick, tick * BATCH * len(peers), first.model)


WAYS = {"swarm": swarm, "variates": variates, "ideal": ideal, "alone": ideal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("simulation"), help="folder for tokenizer and ids")
    parser.add_argument("--exchange", choices=WAYS, default="swarm")
    parser.add_argument("--peers", type=int, default=2)
    parser.add_argument(
        "--speeds", type=int, nargs="*", help="ticks a step takes, one a peer: 1 4 is a fast and a slow one"
    )
    parser.add_argument("--steps", type=int, default=480, help="of the fastest peer")
    parser.add_argument("--every", type=int, default=4, help="steps from one exchange to the next")
    parser.add_argument("--age", type=int, default=1, help="steps that an exchange takes")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--embedding", type=float, default=1.0, help="the embedding's rate, in those of the others")
    parser.add_argument("--gain", type=float, help="steps of the anchor, in those of the peers (as peers do)")
    parser.add_argument("--warmup", type=int, default=400, help="sequences")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--bits", type=int, default=0)
    parser.add_argument("--mean-bits", type=int, default=0)
    a = parser.parse_args()
    torch.set_num_threads(1)
    ids = tokens(a.corpus, a.cache)
    train, valid = ids[:-HELD_OUT], ids[-HELD_OUT:]
    torch.manual_seed(a.seed)
    first = MiniGPT(vocab_size=VOCABULARY, d_model=WIDTH, nhead=HEADS, num_layers=LAYERS, seq_len=LENGTH)
    if a.exchange == "alone":
        a.peers = 1
    speeds = a.speeds or [1] * a.peers
    peers = [Peer(first, a.seed + i, period) for i, period in enumerate(speeds)]
    history, averaged, started = [], [], time.time()
    judged = copy.deepcopy(first)
    average = WeightAverage(list(peers[0].model.parameters()))
    before = 0

    def report(tick: int, samples: int, model: MiniGPT) -> None:
        nonlocal before
        average.add(samples - before, samples)
        before = samples
        if tick % (a.steps // 4) == 0:
            history.append(round(held_out(model, valid), 3))
            for parameter, mean in zip(judged.parameters(), average.average):
                parameter.data.copy_(mean)
            averaged.append(round(held_out(judged, valid), 3))

    WAYS[a.exchange](a, peers, train, report)
    shown = {key: value for key, value in vars(a).items() if key not in ("corpus", "cache")}
    print(
        json.dumps({**shown, "loss": history, "averaged": averaged, "seconds": round(time.time() - started)}),
        flush=True,
    )


if __name__ == "__main__":
    main()

"""The ideal to compare with: torch.distributed's DDP over gloo, in a fixed world.

Started in a device's folder, once a rank; prints a line of JSON an evaluation. It trains what a peer trains: the same
start, texts, batches, AdamW, clipping and learning rate, with nothing of the swarm. On a link without limits it is the
ideal of benchmarks/time_to_loss.py; benchmarks/wifi.py shows what becomes of it at home, and compares a lonely peer
with a world of one, which is a bare training loop.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from minigpt import checkpoint
from minigpt.checkpoint.manifest import TOKENIZER
from minigpt.dataset import Batches
from minigpt.device import pick_autocast
from minigpt.held_out import HeldOut
from minigpt.settings import Settings
from peer.device.display import Display
from peer.inner.compiling import worth_compiling
from peer.inner.loop import InnerLoop
from peer.inner.lr_schedule import learning_rate
from peer.training.setup import open_dataset, open_held_out

LOOPBACK = "127.0.0.1"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ddp", description="torch.distributed's DDP, one rank")
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--world", type=int, default=2)
    parser.add_argument("--master", default=LOOPBACK, help="address of rank 0 (default: %(default)s)")
    parser.add_argument("--port", type=int, default=29_400)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--every", type=float, default=45.0, help="seconds between evaluations")
    parser.add_argument("--lr-factor", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.master != LOOPBACK:
        os.environ["GLOO_SOCKET_IFNAME"] = "eth0"  # of a host of the test LAN, whose name has no address
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://{arguments.master}:{arguments.port}",
        rank=arguments.rank,
        world_size=arguments.world,
    )
    inner, settings, held_out = bare_loop(f"rank {arguments.rank}")
    if arguments.world > 1:
        inner.forward = DistributedDataParallel(inner.model)
    if worth_compiling(inner):  # as a peer does beside its training; here it is over before the time begins
        inner.compile(settings.training.batch_size)
    dist.barrier()
    training, began, evaluated, step, evaluating = settings.training, time.time(), time.time(), 0, 0.0
    while True:
        own = step * training.batch_size
        rate = learning_rate(training.lr, own * arguments.world, own, training.warmup_sequences)
        inner.step(rate * arguments.lr_factor)
        step += 1
        verdict = torch.tensor([float(time.time() - evaluated > arguments.every), float(over(began, arguments))])
        dist.broadcast(verdict, 0)
        if verdict[0] or verdict[1]:
            evaluated = time.time()
            if arguments.rank == 0:
                tokens = step * training.batch_size * arguments.world * training.dataset.seq_len
                speed = tokens / (evaluated - began - evaluating)
                judged = held_out.evaluate(inner.model, inner.autocast)[0]
                evaluating += time.time() - evaluated
                line = {"seconds": time.time() - began, "loss": judged, "tokens": tokens, "tokens_per_second": speed}
                print(json.dumps(line), flush=True)
        if verdict[1]:
            break
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may take their time


def bare_loop(name: str) -> tuple[InnerLoop, Settings, HeldOut]:
    """Return what a peer in this folder would train, from the checkpoint there, and what it would be judged by."""
    start = checkpoint.newest(Path("checkpoints"), "cellmind")
    assert start is not None
    settings, display, sentencepiece = start.settings, Display(), start.load_tokenizer()
    batches = Batches(
        open_dataset(settings, sentencepiece, start.folder / TOKENIZER, name, display), settings.training.batch_size
    )
    held_out = open_held_out(settings, sentencepiece, display)
    assert held_out is not None
    device = torch.device("cpu")
    return InnerLoop(start.build_model(), batches, device, pick_autocast(device)), settings, held_out


def over(began: float, arguments: argparse.Namespace) -> bool:
    return time.time() - began > 60 * arguments.minutes


if __name__ == "__main__":
    main()

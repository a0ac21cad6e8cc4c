"""Texts into ids, and ids at any size:  python -m benchmarks.encoding --corpus FILE

A million messages, which are lines of the corpus picked by a seed, into ids; and 10 GB of ids (a hole in a file, which
takes no room) opened, shuffled and read from. Prints seconds, of the processor as well, and memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

import tokenizer
from minigpt.dataset import Batches, TextDataset
from minigpt.encoding import encode

LARGE = 5 * 10**9  # ids of two bytes
SEQ_LEN, BATCH_SIZE, BATCHES = 256, 4, 100


def most_memory() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def prepare(corpus: Path, count: int, folder: Path) -> None:
    """A tokenizer of the corpus, and the messages in train.jsonl."""
    tokenizer.train(corpus, output_dir=folder)
    lines, choose = corpus.read_text(encoding="utf-8").splitlines(), random.Random(0)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(json.dumps({"text": choose.choice(lines)}, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoding", description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="UTF-8, one text a line")
    parser.add_argument("--messages", type=int, default=1_000_000, help="(default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellmind-encoding-") as name:
        folder = Path(name)
        jsonl = folder / "train.jsonl"
        with ProcessPoolExecutor(1) as another:  # its memory is not ours
            another.submit(prepare, arguments.corpus, arguments.messages, folder).result()
        processor = tokenizer.load(folder / "minigpt.model")
        before, started, busy = most_memory(), time.time(), time.process_time()
        ids = np.load(encode(jsonl, processor, tokenizer_sha256="0" * 64), mmap_mode="r")
        print(
            f"{arguments.messages:,} messages, {jsonl.stat().st_size / 1e6:.0f} MB, into {len(ids):,} ids: "
            f"{time.time() - started:.1f} s, {time.process_time() - busy:.1f} s of the processor, "
            f"{most_memory():.0f} MB at most, {most_memory() - before:.0f} MB more than before"
        )
        np.lib.format.open_memmap(large := folder / "large.npy", "w+", np.uint16, (LARGE,)).flush()
        started = time.time()
        dataset = TextDataset.packed(large, SEQ_LEN, seed=0)
        opened, busy = time.time() - started, time.process_time()
        for _ in islice(Batches(dataset, BATCH_SIZE), BATCHES):
            pass
        took = (time.process_time() - busy) / BATCHES
        print(
            f"{large.stat().st_size / 1e9:.0f} GB of ids, {len(dataset):,} sequences, opened in {opened:.3f} s; a "
            f"batch of {BATCH_SIZE} x {SEQ_LEN} in random order takes {1e3 * took:.1f} ms of the processor; "
            f"{most_memory():.0f} MB at most"
        )


if __name__ == "__main__":
    main()

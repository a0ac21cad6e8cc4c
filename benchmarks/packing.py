"""Measure what packing is worth:  python -m benchmarks.packing

The chats in data/raw as training takes them: packed, packed with attention blocked between texts, and padded as the
original guide does, with conversations as texts and with one message a text. The guide's model, batches of 4 x 256.

Prints the share of positions in a batch that carry a token, a text's own or one that starts or ends it, and tokens
learnt from per processor second; all ways take turns, and each one's best turn counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

import tokenizer
from data.prepare import prepare
from minigpt import IGNORED
from minigpt.checkpoint import file_sha256
from minigpt.dataset import Batch, Batches, TextDataset
from minigpt.device import pick_autocast
from minigpt.encoding import encode, read_texts
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.inner.loop import InnerLoop
from peer.joining.prepare_text import TOKENIZER_TEXT

SETTINGS = Settings()
SEQ_LEN, BATCH_SIZE = SETTINGS.training.dataset.seq_len, SETTINGS.training.batch_size
CPU = torch.device("cpu")
PACKED = "packed"


class Counted:
    """Batches, and how many positions of them there were and had something to learn."""

    def __init__(self, batches: Batches):
        self.batches, self.positions, self.tokens = batches, 0, 0

    def __iter__(self) -> Counted:
        return self

    def __next__(self) -> Batch:
        input_ids, labels = next(self.batches)
        self.positions += labels.numel()
        self.tokens += int((labels != IGNORED).sum())
        return input_ids, labels


class Way:
    """One way to train on the sample chats, with a model of its own."""

    def __init__(self, dataset: TextDataset, vocab_size: int, blocked: bool):
        model = MiniGPT.from_settings(SETTINGS.model, vocab_size, SEQ_LEN)
        self.counted, self.speed = Counted(Batches(dataset, BATCH_SIZE)), 0.0
        self.inner = InnerLoop(model, self.counted, CPU, pick_autocast(CPU), blocked)

    def train(self, steps: int) -> None:
        """Some steps; `speed`, in tokens learnt from per processor second, is that of the best such turn."""
        before, started = self.counted.tokens, time.process_time()
        for _ in range(steps):
            self.inner.step(1e-4)
        self.speed = max(self.speed, (self.counted.tokens - before) / (time.process_time() - started))


def all_ways(folder: Path) -> dict[str, Way]:
    prepare(Path("data/raw"), folder / "data", report=lambda line: None)
    text = folder / TOKENIZER_TEXT
    vocab_size = tokenizer.fitting_vocab_size(text, SETTINGS.tokenizer.vocab_size)
    model_path = tokenizer.train(text, output_dir=folder, vocab_size=vocab_size, report=lambda line: None)
    processor = tokenizer.load(model_path)
    conversations, messages = folder / SETTINGS.training.dataset.path, folder / "messages.jsonl"
    with messages.open("w", encoding="utf-8") as file:
        for conversation in read_texts(conversations):
            for message in conversation.text.splitlines():
                file.write(json.dumps({"text": message}, ensure_ascii=False) + "\n")
    packed = TextDataset.packed(encode(conversations, processor, tokenizer_sha256=file_sha256(model_path)), SEQ_LEN, 0)
    size = processor.get_piece_size()
    return {
        PACKED: Way(packed, size, False),
        "packed, attention blocked between texts": Way(packed, size, True),
        "padded, a conversation a sequence": Way(TextDataset.padded(conversations, processor, SEQ_LEN, 0), size, False),
        "padded, a message a sequence": Way(TextDataset.padded(messages, processor, SEQ_LEN, 0), size, False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="of each way and turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="(default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        ways = all_ways(Path(folder))
        for _ in range(arguments.turns):
            for way in ways.values():
                way.train(arguments.steps)
    print("| way | positions that carry a token | tokens learnt from per processor second | packed ÷ it |")
    print("|" + " --- |" * 4)
    for name, way in ways.items():
        share = way.counted.tokens / way.counted.positions
        print(f"| {name} | {share:.3f} | {way.speed:,.0f} | {ways[PACKED].speed / way.speed:.2f} |")


if __name__ == "__main__":
    main()

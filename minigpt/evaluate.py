"""Checkpoints compared on texts they were not trained on: `python -m minigpt.evaluate FOLDER… --data FILE`.

Bits per byte compare models with any tokenizers, as long as the texts are the same; nats per token do not.
"""

import argparse
import sys
from pathlib import Path

from minigpt.checkpoint import Checkpoint, read
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import exit_code
from minigpt.device import pick_device
from minigpt.encoding import DatasetError
from minigpt.held_out import HeldOut

HEADING = "bits/byte  nats/token     tokens  trained tokens   round     step  checkpoint"


def table_row(checkpoint: Checkpoint, folder: Path, data: Path) -> str:
    """Return a line of the table: the loss of the model in `folder` on all texts of `data`, and its progress."""
    seq_len = checkpoint.settings.training.dataset.seq_len
    held_out = HeldOut.from_file(data, checkpoint.load_tokenizer(), seq_len, max_tokens=sys.maxsize)
    nats, bits = held_out.evaluate(checkpoint.build_model().to(pick_device()))
    progress = checkpoint.progress
    trained = progress.samples * seq_len
    numbers = f"{bits:9.3f}  {nats:10.3f}  {held_out.tokens:9,}  {trained:14,}"
    return f"{numbers}  {progress.round:6}  {progress.step:7}  {folder}"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m minigpt.evaluate", description="Compare checkpoints on texts that they have not been trained on."
    )
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="a checkpoint's folder")
    parser.add_argument(
        "--data",
        metavar="FILE",
        type=Path,
        required=True,
        help='FILE.jsonl with lines as {"text": "…"}, as data/for-model-training/valid.jsonl; or else a text a line',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)

    def work() -> None:
        checkpoints = [read(folder) for folder in arguments.folders]  # all of them before the first takes its time
        for number, (checkpoint, folder) in enumerate(zip(checkpoints, arguments.folders)):
            row = table_row(checkpoint, folder, arguments.data)
            if not number:
                print(HEADING)
            print(row, flush=True)

    return exit_code(work, (CheckpointError, DatasetError))


if __name__ == "__main__":
    sys.exit(main())

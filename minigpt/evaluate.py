"""Checkpoints compared: how well they foretell texts that they were not trained on, and what they write.

    python -m minigpt.evaluate FOLDER… --topic food=FILE

Bits per byte compare models with any tokenizers, as long as the texts are the same; nats per token, and perplexity, do
not. What is written is judged by `minigpt/written.py`.
"""

import argparse
import math
import sys
import time
from pathlib import Path

from data.terminal import CommandParser
from minigpt.checkpoint import Checkpoint, read
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import exit_code, number_between, say
from minigpt.device import pick_device
from minigpt.encoding import DatasetError, read_texts
from minigpt.held_out import HeldOut, held_out_texts, texts_in
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import as_learnt
from minigpt.progress import bar
from minigpt.written import Passage, Quality, Search, judge, read_words, take_passages, write_passages

TEMPERATURE = 0.8  # as `minigpt.generate` writes
HEADING = "bits/byte  nats/token     tokens  trained tokens   round     step  checkpoint"
WRITTEN_HEADING = "words exist  seq-rep-4  distinct-2   words  copied  of lines  tokens/s  text"
TOPIC_HEADING = "bits/byte  perplexity     tokens  topic             checkpoint"
EPILOG = """\
What it writes, from nothing, at temperature 0.8; held-out texts, cut alike, are the yardstick:
  words exist  share of words that occur in the training texts, as they are written, or in the list of --words
  seq-rep-4    share of a text's 4-grams of tokens that came before in it (arXiv:1908.04319); low is good
  distinct-2   share of different pairs of neighbouring words (arXiv:1510.03055); all texts alike make it low
  copied       share of lines of five words and more that are a line of the training texts, word for word
Training texts are those of this device: words and lines that a model has from others' texts are not known here.
"""

Named = tuple[Checkpoint, Path]  # a checkpoint, and its folder as the user calls it


def held_out_file(checkpoint: Checkpoint) -> Path:
    """Return the file of texts that were kept from training beside the training texts. Raises DatasetError."""
    path = checkpoint.settings.training.dataset.path.with_name("valid.jsonl")
    if not path.exists():
        raise DatasetError(f"there are no held-out texts at {path}: give some with --data FILE")
    return path


def table_row(checkpoint: Checkpoint, folder: Path, data: Path) -> str:
    """Return a line of the table: the loss of the model in `folder` on all texts of `data`, and its progress."""
    seq_len = checkpoint.settings.training.dataset.seq_len
    held_out = HeldOut.from_file(data, checkpoint.load_tokenizer(), seq_len, max_tokens=sys.maxsize)
    with bar(f"held-out texts, {folder}") as report:
        nats, bits = held_out.evaluate(checkpoint.build_model().to(pick_device()), progress=report)
    progress = checkpoint.progress
    trained = progress.samples * seq_len
    numbers = f"{bits:9.3f}  {nats:10.3f}  {held_out.tokens:9,}  {trained:14,}"
    return f"{numbers}  {progress.round:6}  {progress.step:7}  {folder}"


def topic_row(checkpoint: Checkpoint, folder: Path, topic: str, texts: list[str]) -> str:
    """Return a line of the table of topics: the loss of the model in `folder` on these texts."""
    seq_len = checkpoint.settings.training.dataset.seq_len
    learnt = (as_learnt(text, checkpoint) for text in texts)
    held_out = HeldOut.from_texts(learnt, topic, checkpoint.load_tokenizer(), seq_len, max_tokens=sys.maxsize)
    with bar(f"{topic}, {folder}") as report:
        nats, bits = held_out.evaluate(checkpoint.build_model().to(pick_device()), progress=report)
    return f"{bits:9.3f}  {math.exp(nats):10.1f}  {held_out.tokens:9,}  {topic:16}  {folder}"


def written_row(quality: Quality, tokens_per_second: float | None, name: str) -> str:
    """Return a line of the table of what is written; a dash for what is not known."""
    exist, repetition, distinct, copied = (
        "–" if share is None else f"{share:.3f}"
        for share in (quality.exist, quality.repetition, quality.distinct, quality.copied)
    )
    speed = "–" if tokens_per_second is None else f"{tokens_per_second:.0f}"
    numbers = f"{exist:>11}  {repetition:>9}  {distinct:>10}  {quality.words:6,}"
    return f"{numbers}  {copied:>6}  {quality.lines:8,}  {speed:>8}  {name}"


def written_by(checkpoint: Checkpoint, folder: Path, count: int, seed: int) -> tuple[list[Passage], float]:
    """Return what the model in `folder` writes, `count` words of it, and how many tokens it wrote a second."""
    tokenizer, model = checkpoint.load_tokenizer(), InferenceModel(checkpoint.build_model().to(pick_device()))
    began = time.perf_counter()
    with bar(f"{folder} writes") as report:
        passages = write_passages(
            model,
            tokenizer,
            count,
            temperature=TEMPERATURE,
            seed=seed,
            progress=lambda words: report(words, count),
        )
    seconds = time.perf_counter() - began
    return passages, sum(len(passage.ids) + 1 for passage in passages) / seconds


def judged(passages: list[list[Passage]], count: int, training: Path, words: set[str] | None) -> list[Quality]:
    """Return the quality of some lists of passages by the training texts, if they can be read, and by a word list."""
    search = Search()
    for some in passages:
        search.want(some)
    existing, known = words, None
    try:
        with bar("training texts") as report:
            for text in read_texts(training):
                search.read(text.text)
                report(text.end, training.stat().st_size)
        existing, known = search.found_words | (words or set()), search.found_lines
    except DatasetError as error:
        left_out = "copied lines are" if words else "words that exist and copied lines are"
        say(f"{error}: without the training texts {left_out} not counted")
    return [judge(some, count, existing, known) for some in passages]


def print_losses(checkpoints: list[Named], data: Path) -> None:
    for number, (checkpoint, folder) in enumerate(checkpoints):
        row = table_row(checkpoint, folder, data)
        if not number:
            print(HEADING)
        print(row, flush=True)


def print_written(checkpoints: list[Named], data: Path, count: int, seed: int, words: set[str] | None) -> None:
    """Print a line for the held-out texts, in tokens of the first checkpoint, and one for each checkpoint."""
    first = checkpoints[0][0]
    seq_len = first.settings.training.dataset.seq_len
    held_out = take_passages(held_out_texts(data), first.load_tokenizer(), count, seq_len)
    written = [written_by(checkpoint, folder, count, seed) for checkpoint, folder in checkpoints]
    passages = [held_out, *(passages for passages, _ in written)]
    speeds = [None, *(speed for _, speed in written)]
    names = ["held-out texts", *(str(folder) for _, folder in checkpoints)]
    qualities = judged(passages, count, first.settings.training.dataset.path, words)
    print(f"\n{WRITTEN_HEADING}")
    for quality, speed, name in zip(qualities, speeds, names, strict=True):
        print(written_row(quality, speed, name), flush=True)


def print_topics(checkpoints: list[Named], topics: dict[str, list[str]]) -> None:
    print(f"\n{TOPIC_HEADING}")
    for topic, texts in topics.items():
        for checkpoint, folder in checkpoints:
            print(topic_row(checkpoint, folder, topic, texts), flush=True)


def named_path(text: str) -> tuple[str, Path]:
    """Return the name and the path of NAME=PATH."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=PATH, such as food=food.txt")
    return name, Path(path)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        "python -m minigpt.evaluate",
        description="Compare checkpoints on texts that they have not been trained on, and by what they write.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="a checkpoint's folder")
    parser.add_argument(
        "--data",
        metavar="FILE",
        type=Path,
        help='held-out texts: FILE.jsonl with lines as {"text": "…"}, or else a text a line; default: valid.jsonl '
        "beside the training texts of the run's settings",
    )
    parser.add_argument(
        "--topic",
        metavar="NAME=PATH",
        type=named_path,
        action="append",
        default=[],
        help="perplexity on texts of your own: such a file, or a folder of .txt and .jsonl files; may be repeated",
    )
    parser.add_argument(
        "--words", metavar="FILE", type=Path, help="a list of words that exist as well, a word a line; or any text"
    )
    parser.add_argument(
        "--write",
        metavar="N",
        type=number_between(int, 0, 1_000_000),
        default=2000,
        help="words that each checkpoint writes to be judged, 0 for none; default: 2000",
    )
    parser.add_argument(
        "--seed", metavar="N", type=number_between(int, 0, 2**62), default=0, help="of what is written; default: 0"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)

    def work() -> None:
        checkpoints = [read(folder) for folder in arguments.folders]  # all of them before the first takes its time
        words = read_words(arguments.words) if arguments.words else None
        topics: dict[str, list[str]] = {}
        for name, path in arguments.topic:
            topics.setdefault(name, []).extend(texts_in(path))
        data = arguments.data or held_out_file(checkpoints[0])
        named = list(zip(checkpoints, arguments.folders))
        print_losses(named, data)
        if arguments.write:
            print_written(named, data, arguments.write, arguments.seed, words)
        if topics:
            print_topics(named, topics)

    return exit_code(work, (CheckpointError, DatasetError))


if __name__ == "__main__":
    sys.exit(main())

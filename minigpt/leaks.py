"""What a model gives away of the texts that it learnt from: the lines that it completes word for word.

    python -m minigpt.leaks FOLDER

Whoever has the model can ask it as this command does. How lines are cut, and what counts, is in
`minigpt/memorization.py`.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.terminal import CommandParser, printable
from minigpt.checkpoint import Checkpoint, file_sha256
from minigpt.checkpoint.card import CARD, memorized_told, note_memorized
from minigpt.checkpoint.manifest import MODEL, TOKENIZER, CheckpointError
from minigpt.cli import add_newest_option, chosen_checkpoint, exit_code, number_between, say
from minigpt.device import pick_device
from minigpt.encoding import DatasetError, read_texts
from minigpt.held_out import held_out_texts
from minigpt.memorization import (
    COMPLETION,
    FEWEST_TOKENS,
    PREFIX,
    Line,
    LineSample,
    Memorized,
    completed,
    sample_lines,
    surprises,
)
from minigpt.progress import bar

FEW_LINES = 200  # a share of fewer is a rough one
LONGEST_SHOWN = 40  # characters of a half
HEADING = "rank  bits  times  the model is given → goes on with"
EPILOG = f"""\
The model is given the text before a line and the first half of the line, {PREFIX} tokens at most, and goes on with the
likeliest token each time. A line counts if the rest of it comes word for word, {COMPLETION} tokens at most. Lines of
fewer than {FEWEST_TOKENS} tokens are left out: everybody says them.
  rank   the worst first: those of most bits
  bits   how much the completion says, by how often its tokens are in these lines: laughter little, a password much
  times  that the line is in the texts
Lines of held-out texts, which it never saw, say how many lines are completed that are not known by heart.
Texts are those of this device: what a model knows of others' texts is not seen here.
"""


@dataclass(frozen=True)
class Tried:
    """Lines, and which of them the model completes."""

    lines: list[Line]
    completed: list[bool]

    @property
    def count(self) -> int:
        """How many it completes."""
        return sum(self.completed)


def numbered_texts(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the texts of a file as `held_out_texts` does, each with how far the file is read, and its size in bytes.

    Raises DatasetError.
    """
    if path.suffix == ".jsonl":
        size = path.stat().st_size if path.exists() else 0
        yield from ((text.text, text.end, size) for text in read_texts(path))
    else:
        yield from ((text, 0, 0) for text in held_out_texts(path))


def sampled(checkpoint: Checkpoint, path: Path, held_out: Path | None, count: int) -> tuple[list[Line], list[Line]]:
    """Return lines of the training texts, and of the held-out texts those that are in none of the former.

    Raises CheckpointError, and DatasetError where there is no line to try.
    """
    tokenizer, seq_len = checkpoint.load_tokenizer(), checkpoint.settings.training.dataset.seq_len
    others: list[Line] = []
    if held_out is not None:
        others = sample_lines(held_out_texts(held_out), tokenizer, count, seq_len)
    sample = LineSample(tokenizer, count, seq_len, watched={line.text for line in others})
    with bar(f"lines of {path}") as report:
        for text, done, size in numbered_texts(path):
            sample.add(text)
            report(done, size)
    if not sample.lines:
        raise DatasetError(f"{path} has no line of {FEWEST_TOKENS} tokens or more: nothing to be completed")
    return sample.lines, [line for line in others if line.text not in sample.met]


def check_room(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError for a model that this device has no memory for."""
    needed = 2 * checkpoint.files[MODEL].size  # it is read, then copied into the model
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise CheckpointError(
            f"{checkpoint.folder}: the model needs {needed / 1e9:.1f} GB of memory, and this device has "
            f"{there / 1e9:.1f} GB: ask it on a larger one"
        )


def tried(checkpoint: Checkpoint, lines: list[Line], held_out: list[Line]) -> tuple[Tried, Tried]:
    """Return which lines, and which held-out lines, the model completes. Raises CheckpointError."""
    check_room(checkpoint)
    try:
        model = checkpoint.build_model().to(pick_device())
        with bar("lines completed") as report:
            done = completed(model, [*lines, *held_out], report)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "memory" in str(error):
            raise CheckpointError(
                f"{checkpoint.folder}: this device has not enough free memory for the model"
            ) from None
        raise
    return Tried(lines, done[: len(lines)]), Tried(held_out, done[len(lines) :])


def say_what_does_not_fit(checkpoint: Checkpoint, texts: Path) -> None:
    """Say so where the texts here may not be those that the model learnt from."""
    here = checkpoint.settings.tokenizer.model_path
    if here.exists() and file_sha256(here) != checkpoint.files[TOKENIZER].sha256:
        say(
            f"the model has another tokenizer than {here}: it may be of another run, and have learnt from other texts "
            f"than {texts}"
        )


def summary(result: Memorized) -> str:
    """Return the sentence that says how many lines of a thousand are completed."""
    line = f"{result.completed:,} of {result.lines:,} lines are completed word for word"
    if result.lines != 1000:
        line += f": {result.of_a_thousand:,} of 1,000"
    if result.held_out_of_a_thousand is None:
        return f"{line}; no held-out line was tried"
    return f"{line}; of lines that it never saw, {result.held_out_of_a_thousand:,} of 1,000"


def print_worst(tried: Tried, count: int) -> None:
    """Print the `count` completed lines that say most."""
    ranked = sorted(
        ((bits, line) for bits, line, done in zip(surprises(tried.lines), tried.lines, tried.completed) if done),
        key=lambda found: -found[0],
    )
    if ranked and count:
        print(f"\n{HEADING}")
    for rank, (bits, line) in enumerate(ranked[:count], start=1):
        print(f"{rank:4}  {bits:4.0f}  {line.times:5}  {shown(line.beginning, first=False)} → {shown(line.end)}")
    if len(ranked) > count > 0:
        print(f"and {len(ranked) - count:,} more: --show {len(ranked)}")


def shown(text: str, *, first: bool = True) -> str:
    """Return what fits into the table of a half: its first characters, or else its last."""
    text = printable(text)
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{text[:LONGEST_SHOWN]}…" if first else f"…{text[-LONGEST_SHOWN:]}"


def note_in_card(checkpoint: Checkpoint, result: Memorized) -> None:
    """Put the numbers into the checkpoint's model card, for whoever gets the model; say so where that cannot be."""
    try:
        note_memorized(checkpoint.folder, memorized_told(result.of_a_thousand, result.held_out_of_a_thousand))
    except OSError as error:
        say(f"{checkpoint.folder / CARD} does not say so: {error.strerror}")


def held_out_beside(texts: Path) -> Path | None:
    """Return the file of held-out texts beside these texts; None, and a line, where there is none."""
    path = texts.with_name("valid.jsonl")
    if path.exists() and path != texts:
        return path
    say(f"there are no held-out texts at {path}: how many lines any model completes is not known (--held-out FILE)")
    return None


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        "python -m minigpt.leaks",
        description="Tell which lines of one's own texts a model completes word for word.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one_of = parser.add_mutually_exclusive_group()
    one_of.add_argument(
        "checkpoint",
        metavar="FOLDER",
        type=Path,
        nargs="?",
        help="a checkpoint's folder; default: the best state of the run under checkpoints/",
    )
    add_newest_option(one_of)
    parser.add_argument(
        "--texts",
        metavar="FILE",
        type=Path,
        help='texts that it learnt from: FILE.jsonl with lines as {"text": "…"}, or else a text a line; default: the '
        "training texts of the run's settings",
    )
    parser.add_argument(
        "--held-out", metavar="FILE", type=Path, help="such texts that it never saw; default: valid.jsonl beside them"
    )
    parser.add_argument(
        "--lines",
        metavar="N",
        type=number_between(int, 1, 1_000_000),
        default=1000,
        help="lines to try, always the same of the same texts; default: 1000",
    )
    parser.add_argument(
        "--show", metavar="N", type=number_between(int, 0, 1_000_000), default=20, help="the worst N; default: 20"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)

    def work() -> None:
        checkpoint = chosen_checkpoint(arguments)
        texts: Path = arguments.texts or checkpoint.settings.training.dataset.path
        if arguments.texts is None:
            say_what_does_not_fit(checkpoint, texts)
        held_out = arguments.held_out or held_out_beside(texts)
        lines, unseen = sampled(checkpoint, texts, held_out, arguments.lines)
        found, baseline = tried(checkpoint, lines, unseen)
        result = Memorized(found.count, len(lines), baseline.count, len(unseen))
        print(summary(result))
        if arguments.texts is None:
            note_in_card(checkpoint, result)
        if len(lines) < min(FEW_LINES, arguments.lines):
            say(f"{len(lines)} lines are few: the share is a rough one")
        print_worst(found, arguments.show)

    return exit_code(work, (CheckpointError, DatasetError))


if __name__ == "__main__":
    sys.exit(main())

"""Prepare chat exports for training: `python -m data`."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

import data
from data import DataError, prepare
from data.reading import explain


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data",
        description="Reads chat exports (KakaoTalk, WhatsApp, LINE, Telegram, CSV with the columns Date,User,Message) "
        "and texts (a text a line, or JSON Lines with a text in each), also in folders and .zip files, cleans them, "
        "masks names, links and pictures, and writes the texts to train on.",
        epilog="Nothing leaves this device. Files that cannot be used are named and left out; unchanged files are not "
        "read again.",
    )
    parser.add_argument(
        "--raw",
        type=Path,
        nargs="+",
        default=[Path("data/raw")],
        metavar="PATH",
        help="the exports: files, folders, .zip files (data/raw)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where for-tokenizer-training/ and for-model-training/ are written (%(default)s)",
    )
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FILE",
        help="only say which format a file has and why, with ten of its messages",
    )
    arguments = parser.parse_args()
    try:
        if arguments.explain:
            for line in explain(arguments.explain):
                print(line)
        else:
            with _bar() as (note, progress):
                prepare(arguments.raw, arguments.output, note, progress)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _bar() -> Iterator[tuple[data.Report, data.Progress]]:
    """How to tell the user lines and how far the work is: with a bar below them, where somebody watches a terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=True, emoji=False)
    if not console.is_terminal:
        yield print, lambda what, done, total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield console.print, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())

"""Prepare chat exports for training: `python -m data`."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from data.errors import DataError
from data.formats.detect import explain
from data.options import DataSettings, options_in
from data.prepare import Progress, Report, prepare, private_places, summarise
from data.private import close_to_others, keep_private
from data.terminal import CommandParser, as_called, exit_code
from data.texts.people import people_masked
from data.texts.review import Doubtful, ask


def parse_arguments() -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m data",
        description="Reads chat exports (of KakaoTalk, WhatsApp, LINE, Telegram, Discord, Messenger, Instagram, Slack, "
        "Signal, iMessage, Google Chat, Teams, WeChat and Zoom, and tables with the columns Date,User,Message) and "
        "texts (a text a line, or JSON Lines with a text in each), also in folders and .zip files, cleans them, "
        "masks names, numbers of people, links and pictures, and writes the texts to train on.",
        epilog="Nothing leaves this device. More names to mask, one a line, can stand in data/aliases.txt, and words "
        "that are no names in data/not-names.txt. Files that cannot be used are named and left out; unchanged files "
        "are not read again.",
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
        help="only say which format a file has and why, with ten of its messages, and as what its people are masked",
    )
    parser.add_argument(
        "--review",
        type=Path,
        metavar="FILE",
        help="write samples of what was masked, before and after, to a file outside the training data; in a terminal "
        "also ask about names that are words too, for data/aliases.txt and data/not-names.txt",
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="prepare, and say who wrote how much and when, as P1, P2, …, and what was masked",
    )
    parser.add_argument(
        "--keep-case",
        action=argparse.BooleanOptionalAction,
        help="leave capital letters as they are, instead of making them small (data.lower_case in config.json)",
    )
    parser.add_argument(
        "--speakers",
        action=argparse.BooleanOptionalAction,
        help="begin every message with who says it, as in <P1>: (data.speakers in config.json)",
    )
    return parser.parse_args()


def main() -> int:
    keep_private()
    return exit_code(partial(work, parse_arguments()), DataError)


def work(arguments: argparse.Namespace) -> None:
    """Explain a file or prepare all, as the command line asks. Raises DataError."""
    if arguments.explain:
        for line in chain(explain(arguments.explain), people_masked(arguments.explain)):
            _say(line)
    else:
        options = _options(arguments.keep_case, arguments.speakers)
        close_to_others(dict.fromkeys([*private_places(), *private_places(arguments.output)]), _say)
        doubtful: list[Doubtful] = []
        with _bar() as (note, progress):
            prepare(
                *(arguments.raw, arguments.output, note, progress),
                options=options,
                review=arguments.review,
                judge=doubtful.extend,
            )
        if arguments.summary:
            for line in ("", *summarise(arguments.raw, arguments.output)):
                _say(line)
        if arguments.review is not None and sys.stdin.isatty() and sys.stdout.isatty():
            _judge(doubtful, Path("data"))


def _judge(doubtful: list[Doubtful], lists: Path) -> None:
    """Let the owner say which words are people and which never. Raises DataError."""
    try:
        count = ask(doubtful, lists, _answer)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{lists / 'aliases.txt'} or not-names.txt: cannot be changed ({error})") from None
    if count:
        _say(f"{count:,} answers are in {lists / 'aliases.txt'} and {lists / 'not-names.txt'}")
        _say(as_called("python -m data goes by them the next time"))


def _answer(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        return "q"


def _options(keep_case: bool | None, speakers: bool | None) -> DataSettings:
    """Return the options that the user gave, and those of config.json for what they did not say. Raises DataError."""
    configured = options_in(Path("config.json"))
    return DataSettings(
        lower_case=configured.lower_case if keep_case is None else not keep_case,
        speakers=configured.speakers if speakers is None else speakers,
    )


def _say(line: str) -> None:
    """Print a line; whoever stops reading, as `head` does, stops nothing."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _bar() -> Iterator[tuple[Report, Progress]]:
    """Yield a function that tells the user a line, and one that tells how far the work is, as a bar in a terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=True, emoji=False)
    if not console.is_terminal:
        yield _say, lambda what, done, total: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield console.print, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main())

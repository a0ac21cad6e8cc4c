"""Parts that the commands of minigpt share: exit codes, messages to people, the checkpoint to begin with."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from minigpt import heed_interrupts
from minigpt.checkpoint import Checkpoint, newest, read
from minigpt.checkpoint.manifest import CheckpointError

CHECKPOINTS = Path("checkpoints")
MODES = {  # of the original guide
    "train": "python -m peer --join",
    "sync": "python -m peer --sync",
    "inference": 'python -m minigpt.generate --prompt "…"',
}


class GuideMode(argparse.Action):
    """The original guide's `--mode`, which is no option: an error names the command that took its place."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any):
        super().__init__(option_strings, dest, nargs="?", help=argparse.SUPPRESS, default=argparse.SUPPRESS)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> NoReturn:
        if values in MODES:
            parser.error(f"--mode {values} is {MODES[str(values)]} now")
        commands = ", ".join(f"{mode} is {command}" for mode, command in MODES.items())
        parser.error(f"there is no --mode any more, each is a command now: {commands}")


def find_checkpoint(folder: Path | None = None) -> Checkpoint:
    """Return the checkpoint in `folder`, or the newest that there is. Raises CheckpointError."""
    if folder is not None:
        return read(folder)
    found = newest(CHECKPOINTS, report=say)
    if found is None:
        raise CheckpointError(f"no checkpoint under {CHECKPOINTS}/ yet: start training with python -m peer --join")
    return found


def say(line: str) -> None:
    """Tell the user a line, at standard error: standard output is for what a command makes."""
    print(line, file=sys.stderr, flush=True)


def exit_code(work: Callable[[], None], errors: tuple[type[Exception], ...]) -> int:
    """Do a command's work and return its exit code.

    It is 0, 2 for one of `errors`, which is said in a line, 1 where the output cannot be written, and 130 for Ctrl+C.
    """
    heed_interrupts()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Hangul gets question marks and no traceback
    try:
        work()
        if sys.stdout is not None:
            sys.stdout.flush()
    except errors as error:
        say(str(error))
        return 2
    except BrokenPipeError:  # the reader has had enough, as `head` does
        discard_output()
    except OSError as error:
        discard_output()
        say(f"what there is to say cannot be written: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        say("")
        return 130
    return 0


def discard_output() -> None:
    """Lead standard output nowhere: Python flushes it at its end, and would complain again."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def number_between(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], int | float]:
    """Return a type for argparse: a number from low to high."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if not low <= value <= high:  # "nan" is not either
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # what argparse calls it in its messages
    return parse

"""Parts that the commands of minigpt share: exit codes, messages to people, the checkpoint to begin with."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from data.terminal import as_called
from minigpt import checkpoint, heed_interrupts
from minigpt.checkpoint.manifest import CheckpointError

if TYPE_CHECKING:  # it loads PyTorch, which the parts that every command shares need not
    from minigpt.checkpoint import Checkpoint

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


def find_checkpoint(folder: Path | None = None, checkpoints: Path = CHECKPOINTS) -> Checkpoint:
    """Return the checkpoint in `folder`, or the newest that there is under `checkpoints`. Raises CheckpointError."""
    if folder is not None:
        return checkpoint.read(folder)
    found = checkpoint.newest(checkpoints, report=say)
    if found is None:
        raise CheckpointError(f"no checkpoint under {checkpoints}/ yet: start training with python -m peer --join")
    return found


def find_best(checkpoints: Path = CHECKPOINTS) -> tuple[Checkpoint, str]:
    """Return the best state of the run that was trained last, and a line that says which one it is.

    The best one has the lowest loss on texts that this device holds out, or is what another device called its best.
    Where none was kept it is the newest, and the line is empty. Raises CheckpointError.
    """
    last = find_checkpoint(checkpoints=checkpoints)
    found = checkpoint.best(checkpoints, last.progress, report=say)
    if found is None or found.held_out is None:
        return last, ""
    word = " by another device's word" if found.is_taken else ""
    line = f"round {found.progress.round}, held-out {found.held_out.nats:.2f}{word}"
    if last.progress.round > found.progress.round:
        line += f"; the newest is round {last.progress.round}: --newest"
    return found, line


def chosen_checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    """Return the checkpoint that the options `--checkpoint` and `--newest` ask for, and say which one is the best.

    Raises CheckpointError.
    """
    if arguments.newest or arguments.checkpoint is not None:
        return find_checkpoint(arguments.checkpoint)
    found, line = find_best()
    if line:
        say(line)
    return found


def add_checkpoint_option(group: argparse._ActionsContainer) -> None:
    """Add `--checkpoint`, which does not go together with `--newest`."""
    group.add_argument(
        "--checkpoint", metavar="FOLDER", type=Path, help="default: the best state of the run under checkpoints/"
    )


def add_newest_option(group: argparse._ActionsContainer) -> None:
    """Add `--newest`."""
    group.add_argument("--newest", action="store_true", help="the newest state, though an earlier one was better")


def say(line: str) -> None:
    """Tell the user a line, at standard error: standard output is for what a command makes."""
    print(as_called(line), file=sys.stderr, flush=True)


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

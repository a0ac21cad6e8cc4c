"""A command's words in a terminal: its options, text that others have a part in made fit for it, and its end.

Like `data/atomic.py` this is the ground floor of the house: it imports nothing of the project, so every package may
import it.
"""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable
from getpass import getpass
from typing import NoReturn

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PYTHON = re.compile(r"(?<![\w./-])python -m (?=\w)")


def printable(text: str) -> str:
    """Return the text in one line, without what a terminal would take for a command."""
    return _CONTROL.sub("\ufffd", text)


def as_called(text: str) -> str:
    """Return a text in which Python has the name that it was called by, as .venv/bin/python: a hint can be copied."""
    return _PYTHON.sub(lambda _: f"{shlex.quote(sys.orig_argv[0])} -m ", text)


ASKED_FOR = "-"  # in the place of an invite: who looks at the list of programs, or the history, sees no more
KEPT_INVITE = "CELLMIND_INVITE"  # variable of the environment
MOST_LETTERS = 4096  # of an invite that is read


def asked_for_invite() -> str:
    """Return the invite that a person types, unseen, or the first line of standard input; "" where there is none.

    It is kept for programs that this one starts, and for when it starts anew by the same command line: other users
    cannot read its environment.
    """
    if KEPT_INVITE not in os.environ:
        is_person = sys.stdin is not None and sys.stdin.isatty()
        try:
            typed = getpass("invite (it is not shown): ") if is_person else first_line()
        except (EOFError, AttributeError):  # AttributeError: no standard input at all
            typed = ""
        if not typed.strip():
            return ""
        os.environ[KEPT_INVITE] = typed.strip().replace("\0", "")
    return os.environ[KEPT_INVITE]


def first_line() -> str:
    """Return the next line of standard input, read as bytes: whoever reads on may take them for another text."""
    return sys.stdin.buffer.readline(MOST_LETTERS).decode(errors="replace")


class CommandParser(argparse.ArgumentParser):
    """Reads a command's options; a mistake is said in two lines, and not below all the options that there are."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end the program with code 2."""
        mistake = message.removeprefix("argument ")
        print(as_called(f"error: {mistake}\nall options: {self.prog} --help"), file=sys.stderr)
        sys.exit(2)

    def format_help(self) -> str:
        return as_called(super().format_help())


def exit_code(work: Callable[[], None], error: type[Exception]) -> int:
    """Do the work of a command that replaces its files at the end alone, and return the command's exit code.

    It is 0, 2 for an `error`, which is said in a line, and 130 for Ctrl+C.
    """
    try:
        work()
    except error as problem:
        print(as_called(f"error: {problem}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0

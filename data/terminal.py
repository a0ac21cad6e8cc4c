"""A command's words in a terminal: text that others have a part in made fit for it, and the end of a command's work.

Like `data/atomic.py` this is the ground floor of the house: it imports nothing of the project, so every package may
import it.
"""

import re
import sys
from collections.abc import Callable

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text in one line, without what a terminal would take for a command."""
    return _CONTROL.sub("\ufffd", text)


def exit_code(work: Callable[[], None], error: type[Exception]) -> int:
    """Do the work of a command that replaces its files at the end alone, and return the command's exit code.

    It is 0, 2 for an `error`, which is said in a line, and 130 for Ctrl+C.
    """
    try:
        work()
    except error as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0

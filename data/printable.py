"""Text that others have a part in, made fit for a terminal.

Like `data/atomic.py` this is the ground floor of the house: it imports nothing of the project, so every package may
import it.
"""

import re

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return the text in one line, without what a terminal would take for a command."""
    return _CONTROL.sub("\ufffd", text)

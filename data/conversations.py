"""Messages into the texts that a model learns from: stretches of conversation, cut at pauses."""

import re
from collections.abc import Iterable, Iterator

from data.cleaning import clean
from data.spool import Said

PAUSE = 60 * 60  # seconds of silence that end a conversation
MOST_MESSAGES = 1000  # of one conversation; a room that never rests is cut here
LONGEST_TEXT = 2000  # characters, 3 to 6 training sequences of 256 tokens

Conversation = list[tuple[str | None, str]]  # who said what


def conversations(messages: Iterable[Said]) -> Iterator[Conversation]:
    """Cut a chat where nobody spoke for long. A message of unknown time belongs to the one before it.

    A document (it has no sender) is a conversation of its own.
    """
    stretch: Conversation = []
    last: int | None = None
    for time, sender, text in messages:
        paused = time is not None and last is not None and abs(time - last) > PAUSE
        if stretch and (paused or sender is None or len(stretch) >= MOST_MESSAGES):
            yield stretch
            stretch = []
        stretch.append((sender, text))
        last = time if time is not None else last
    if stretch:
        yield stretch


def texts(conversation: Conversation, names: re.Pattern[str] | None) -> Iterator[str]:
    """The cleaned messages of one conversation, a line each, in texts of LONGEST_TEXT at most."""
    lines: list[str] = []
    length = 0
    for sender, message in conversation:
        line = clean(message, names if sender is not None else None)
        if not line:
            continue
        if lines and length + len(line) > LONGEST_TEXT:
            yield from pieces("\n".join(lines))
            lines, length = [], 0
        lines.append(line)
        length += len(line) + 1
    if lines:
        yield from pieces("\n".join(lines))


def pieces(text: str) -> Iterator[str]:
    """Cut a text that is longer than LONGEST_TEXT, at a line's or else a word's end where there is one."""
    start = 0
    while len(text) - start > LONGEST_TEXT:
        limit = start + LONGEST_TEXT
        end = max(text.rfind("\n", start + 1, limit), 0) or max(text.rfind(" ", start + 1, limit), 0) or limit
        yield text[start:end]
        start = end
        while start < len(text) and text[start].isspace():
            start += 1
    if start < len(text):
        yield text[start:]

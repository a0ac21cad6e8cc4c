"""Messages into the texts that a model learns from: stretches of conversation, a tenth of them held out."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

PAUSE = timedelta(minutes=60)  # silence that ends a conversation
LONGEST_TEXT = 2000  # characters, 3 to 6 training sequences of 256 tokens
HELD_OUT = 10  # one text in so many is for validation


def conversations(messages: Iterable[tuple[datetime | None, str]]) -> Iterator[str]:
    """Join consecutive messages by newlines; a long pause or LONGEST_TEXT starts a new text.

    A message of unknown time belongs to the one before it.
    """
    stretch: list[str] = []
    length = 0
    last: datetime | None = None
    for time, message in messages:
        paused = time is not None and last is not None and abs(time - last) > PAUSE
        if stretch and (paused or length + len(message) > LONGEST_TEXT):
            yield from pieces("\n".join(stretch))
            stretch, length = [], 0
        stretch.append(message)
        length += len(message) + 1
        last = time or last
    if stretch:
        yield from pieces("\n".join(stretch))


def pieces(text: str) -> Iterator[str]:
    """Cut a text that is longer than LONGEST_TEXT, at a line's or else a word's end where there is one."""
    while len(text) > LONGEST_TEXT:
        end = max(text.rfind("\n", 1, LONGEST_TEXT), 0) or max(text.rfind(" ", 1, LONGEST_TEXT), 0) or LONGEST_TEXT
        yield text[:end]
        text = text[end:].lstrip()
    if text:
        yield text


def split(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Texts for training and for validation, each text once.

    The order is kept. A text's hash decides where it goes, so the same texts are always split the same way, and more
    texts later change little. With two texts or more, one is for validation; with one, none is.
    """
    unique = list(dict.fromkeys(texts))
    count = max(1, len(unique) // HELD_OUT) if len(unique) > 1 else 0
    held_out = set(sorted(unique, key=lambda text: hashlib.sha256(text.encode()).digest())[:count])
    return [text for text in unique if text not in held_out], [text for text in unique if text in held_out]

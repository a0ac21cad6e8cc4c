"""Messages into the texts that a model learns from: stretches of conversation, cut at pauses."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from data.masking.cleaning import Cleaner
from data.masking.tags import SPEAKER_TAGS

if TYPE_CHECKING:
    from data.texts.cache import Said

PAUSE = 60 * 60  # seconds of silence that end a conversation
MOST_MESSAGES = 1000  # of one conversation; a room that never rests is cut here
LONGEST_TEXT = 2000  # characters, 3 to 6 training sequences of 256 tokens

_LONGEST_TAG = len(f"{SPEAKER_TAGS[-1]}: ")

Doubt = tuple[str, bool]  # a word that is a name as well, and whether it was taken for a person
Conversation = list[tuple[str | None, str]]  # who said what


def conversations(messages: "Iterable[Said]") -> Iterator[Conversation]:
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


def texts(
    conversation: Conversation, cleaner: Cleaner, seen: Callable[[str, str, list[Doubt]], None] | None = None
) -> Iterator[str]:
    """Yield the cleaned messages of one conversation, a line each, in texts of LONGEST_TEXT at most.

    If the options say so, a message begins with its sender's tag, `<P1>: `, counted by first appearance in its text.
    `seen` is told every message before and after, and what was doubtful in it.
    """
    lines: list[str] = []
    length = 0
    speakers: dict[str, str] = {}
    for sender, message in conversation:
        doubts: list[Doubt] = []
        cleaned = cleaner(sender, message, None if seen is None else partial(_add, doubts))
        if seen is not None:
            seen(message, cleaned, doubts)
        tagged = cleaner.options.speakers and sender is not None
        for piece in pieces(cleaned, LONGEST_TEXT - (_LONGEST_TAG if tagged else 0)):
            if lines and length + len(piece) + (_LONGEST_TAG if tagged else 0) > LONGEST_TEXT:
                yield "\n".join(lines)
                lines, length, speakers = [], 0, {}
            line = f"{_speaker(sender, speakers)}: {piece}" if tagged and sender is not None else piece
            lines.append(line)
            length += len(line) + 1
    if lines:
        yield "\n".join(lines)


def _add(doubts: list[Doubt], word: str, is_person: bool) -> None:
    doubts.append((word.lower(), is_person))


def _speaker(sender: str, speakers: dict[str, str]) -> str:
    """Return the sender's tag in this text: the next of SPEAKER_TAGS, of which all who come late share the last."""
    return speakers.setdefault(sender, SPEAKER_TAGS[min(len(speakers), len(SPEAKER_TAGS) - 1)])


def pieces(text: str, longest: int = LONGEST_TEXT) -> Iterator[str]:
    """Cut a text that has more than `longest` characters, at a line's or else a word's end where there is one."""
    start = 0
    while len(text) - start > longest:
        limit = start + longest
        end = max(text.rfind("\n", start + 1, limit), 0) or max(text.rfind(" ", start + 1, limit), 0) or limit
        yield text[start:end]
        start = end
        while start < len(text) and text[start].isspace():
            start += 1
    if start < len(text):
        yield text[start:]

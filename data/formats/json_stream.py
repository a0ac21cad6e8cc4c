"""A walk through a JSON file that decodes one message at a time: one of a few hundred megabytes would need gigabytes.

Messages are the items of a list at the top, or of a list under one of MESSAGES in an object at the top, in a list of
chats (Telegram's `chats.list`, Skype's `conversations`) or in an object of these.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, Any

_PIECE = 1 << 20  # characters read at once
_LARGEST_VALUE = 16 << 20  # characters of one message; more is a broken file
_SPACE = re.compile(r"[ \t\r\n]*")
_decoder = json.JSONDecoder()

MESSAGES = frozenset(
    {"messages", "Messages", "MessageList", "value", "conversation", "chat", "history", "data", "items"}
)
_OBJECTS = frozenset({"chats", "left_chats", "data", "chat", "conversation"})  # which hold chats
_LISTS = frozenset({"list", "conversations", "chats", "rooms"})  # of objects with messages in them
_DEEPEST = 8  # objects in objects before the messages
_PEEKED = 40  # items that tell what a file is


class Malformed(ValueError):
    """The JSON ends too early, or is none."""


class Walk:
    """The walk. `head` has what stands beside the messages of the chat that is being read, as far as it was read."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder(encoding)(errors="replace").decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._lines = 1  # before `_text`
        self._chats = 0
        self.began = False  # a message has been read
        self.head: dict[str, Any] = {}

    @property
    def line(self) -> int:
        """The line that is being read, from 1."""
        return self._lines + self._text.count("\n", 0, self._at)

    def messages(self) -> Iterator[tuple[int, Any]]:
        """Yield every item of every chat's messages, with the number of the chat. Raises Malformed."""
        if self._peek() == "\ufeff":
            self._at += 1
        if self._peek() == "[":
            yield from self._items()
        else:
            yield from self._in_object(1)

    def _in_object(self, depth: int) -> Iterator[tuple[int, Any]]:
        head = self.head = {}
        for _ in self._each("{", "}"):
            key = self._value()
            self._expect(":")
            opening = self._peek()
            if key in MESSAGES and opening == "[":
                yield from self._items()
            elif key in _OBJECTS and opening == "{" and depth < _DEEPEST:
                yield from self._in_object(depth + 1)
            elif key in _LISTS and opening == "[" and depth < _DEEPEST:
                yield from self._in_list(depth + 1)
            else:
                head[str(key)] = self._value()
            self.head = head

    def _items(self) -> Iterator[tuple[int, Any]]:
        self._chats += 1
        for _ in self._each("[", "]"):
            item = self._value()
            self.began = True
            yield self._chats - 1, item

    def _in_list(self, depth: int) -> Iterator[tuple[int, Any]]:
        for _ in self._each("[", "]"):
            if self._peek() == "{":
                yield from self._in_object(depth)
            else:
                self._value()

    def _each(self, opening: str, closing: str) -> Iterator[None]:
        """Stop before each item of what stands between these brackets; whoever asks for the next has passed it."""
        self._expect(opening)
        while self._peek() != closing:
            yield
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _peek(self) -> str:
        """Return the next character that is no space, without passing it. Raises Malformed at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise Malformed

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise Malformed
        self._at += 1

    def _value(self) -> Any:
        """Return the whole value that begins here, and pass it. Raises Malformed."""
        self._peek()
        wanted = 0
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # or else a number might go on
                    self._at = end
                    return value
            except RecursionError:
                raise Malformed from None
            except ValueError:
                pass
            # An error far before the end is one; near the end, the rest may be missing.
            have = len(self._text) - self._at
            if have > _LARGEST_VALUE:
                raise Malformed
            wanted = max(2 * wanted, _PIECE)
            if not self._more(wanted):
                raise Malformed

    def _more(self, size: int = 0) -> bool:
        """Read on; return False at the end."""
        if self._ended:
            return False
        self._lines += self._text.count("\n", 0, self._at)
        piece = self._file.read(size or _PIECE)
        self._ended = not piece
        self._text = self._text[self._at :] + self._decode(piece, self._ended)
        self._at = 0
        return True


def peek(sample: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """Return what stands beside the messages in a file's first lines, and the first of these; both empty if none are.

    A head with "" in it is that of a file without any messages so far.
    """
    first = next((line.strip()[:1] for line in sample if line.strip()), "")
    return _peeked("".join(sample)) if first in ("{", "[") else ({}, [])


@lru_cache(maxsize=1)
def _peeked(text: str) -> tuple[dict[str, Any], list[Any]]:
    walk = Walk(io.BytesIO(text.encode("utf-8", "surrogatepass")), "utf-8")
    items: list[Any] = []
    head: dict[str, Any] = {}
    try:
        for _, item in walk.messages():
            head = head or dict(walk.head)
            items.append(item)
            if len(items) >= _PEEKED:
                break
    except Malformed:
        pass
    return (head, items) if items else (dict(walk.head), [])

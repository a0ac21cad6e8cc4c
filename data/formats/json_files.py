"""JSON in: Telegram's export (one chat, or all), and JSON Lines with a `text`, with or without who said it when.

An export is read piece by piece, since one of a few hundred megabytes would need gigabytes as a whole.
"""

import codecs
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any

from data.errors import DataError
from data.formats.dates import cell_time
from data.formats.files import Source
from data.formats.messages import Counts, Message, without_surrogates

_PIECE = 1 << 20  # characters read at once
_LARGEST_VALUE = 16 << 20  # characters of one message; more is a broken file
_SENDERS = ("sender", "sender_name", "speaker", "user", "username", "from", "author", "nickname", "name")
_SPACE = re.compile(r"[ \t\r\n]*")
_decoder = json.JSONDecoder()


class JsonLines:
    """One object a line, each with a `text`; with a sender it is a message, without one a document."""

    name = "JSON Lines"

    def score(self, sample: list[str]) -> float:
        lines = [line for line in sample if line.strip()]
        return sum(_object(line) is not None for line in lines[:1000]) / max(len(lines[:1000]), 1)

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        for number, line in enumerate(source.lines(), 1):
            if line is not None and not line.strip():
                continue
            item = _object(line or "")
            if item is None:
                counts.broken.append(number)
            else:
                sender = _first(item, *_SENDERS)
                time = _first(item, "date", "time", "timestamp", "datetime")
                text = without_surrogates(item["text"])
                yield Message(cell_time(time, "ymd") if time else None, sender, text)


def _object(line: str) -> dict[str, Any] | None:
    """Return the object of a line if it has a text; or else None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) and isinstance(item.get("text"), str) else None


def _first(item: dict[str, Any], *keys: str) -> str | None:
    """Return the text under the first of `keys` that has one; None if none has."""
    return next((without_surrogates(item[key]) for key in keys if isinstance(item.get(key), str) and item[key]), None)


# What Telegram keeps beside an empty text, in the words that KakaoTalk writes for the same.
_MEDIA = {
    "sticker": "이모티콘",
    "animation": "이모티콘",
    "video_file": "동영상",
    "video_message": "동영상",
    "voice_message": "음성메시지",
    "audio_file": "음성메시지",
}
_ATTACHED = {
    "photo": "사진",
    "location_information": "지도",
    "contact_information": "연락처",
    "poll": "투표",
    "file": "파일",
}


class Telegram:
    """The `result.json` of Telegram Desktop."""

    name = "Telegram"
    _HEAD = re.compile(r'\s*\{.*?"(?:messages|chats|about|personal_information)"\s*:', re.DOTALL)
    _ITEM = re.compile(r'"chats"\s*:|"messages"\s*:.{0,2000}?"type"\s*:\s*"(?:message|service)"', re.DOTALL)

    def score(self, sample: list[str]) -> float:
        text = "".join(sample)
        if not self._HEAD.match(text[:10_000]):
            return 0.0
        if self._ITEM.search(text):
            return 1.0
        return 0.5 if '"personal_information"' in text else 0.0  # an export of everything may have the chats far below

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        with source.open() as file:
            values = _Values(file, source.encoding)
            try:
                for chat, item in values.messages():
                    message = _telegram(item, chat)
                    if message is not None:
                        yield message
                    else:
                        counts.system += 1
                        counts.people.update(_named(item))
            except _Malformed:
                if not values.began:
                    raise DataError(f"{source.name}, line {values.line}: is not the JSON it begins with") from None
                counts.broken.append(values.line)


def _telegram(item: Any, chat: int) -> Message | None:
    """Return a message; None for what Telegram says itself."""
    if not isinstance(item, dict) or item.get("type") != "message":
        return None
    parts = item.get("text", "")
    parts = parts if isinstance(parts, list) else [parts]
    text = "".join(map(_part, parts))
    if not text.strip():
        attached = (name for key, name in _ATTACHED.items() if item.get(key))
        text = _MEDIA.get(str(item.get("media_type"))) or next(attached, "")
    sender = item.get("from") or item.get("from_id") or "Deleted Account"
    try:
        time = datetime.fromisoformat(item.get("date", "")).replace(tzinfo=None)
    except (TypeError, ValueError):
        time = None
    return Message(time, without_surrogates(str(sender)).strip(), without_surrogates(text).strip(), chat)


def _named(item: Any) -> list[str]:
    """Return the people whom a line of Telegram's own names: who did it, and to whom."""
    if not isinstance(item, dict):
        return []
    members = item.get("members")
    named = [item.get("actor"), *(members if isinstance(members, list) else [])]
    return [without_surrogates(name) for name in named if isinstance(name, str) and name.strip()]


def _part(part: Any) -> str:
    """Return the text of a part of a message, which is a string or, of a link or the like, has one.

    A mention of somebody by name stands between the marks that WhatsApp uses for it, so that its bounds are known.
    """
    said = part.get("text") if isinstance(part, dict) else part
    if not isinstance(said, str):
        return ""
    is_name = isinstance(part, dict) and part.get("type") == "mention_name"
    return f"@\u2068{said.removeprefix('@')}\u2069" if is_name else said


class _Malformed(ValueError):
    """The JSON ends too early, or is none."""


class _Values:
    """A walk through an export that decodes one message at a time."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder(encoding)(errors="replace").decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._lines = 1  # before `_text`
        self.began = False  # a message has been read

    @property
    def line(self) -> int:
        """The line that is being read, from 1."""
        return self._lines + self._text.count("\n", 0, self._at)

    def messages(self) -> Iterator[tuple[int, Any]]:
        """Yield every item of every chat's `messages`, with the number of the chat. Raises _Malformed."""
        if self._peek() == "\ufeff":
            self._at += 1
        self._chats = 0
        yield from self._in_object()

    def _in_object(self) -> Iterator[tuple[int, Any]]:
        for _ in self._each("{", "}"):
            key = self._value()
            self._expect(":")
            if key == "messages" and self._peek() == "[":
                self._chats += 1
                for _ in self._each("[", "]"):
                    item = self._value()
                    self.began = True
                    yield self._chats - 1, item
            elif key in ("chats", "left_chats") and self._peek() == "{":
                yield from self._in_object()
            elif key == "list" and self._peek() == "[":
                yield from self._in_list()
            else:
                self._value()

    def _in_list(self) -> Iterator[tuple[int, Any]]:
        for _ in self._each("[", "]"):
            if self._peek() == "{":
                yield from self._in_object()
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
        """Return the next character that is no space, without passing it. Raises _Malformed at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise _Malformed

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise _Malformed
        self._at += 1

    def _value(self) -> Any:
        """Return the whole value that begins here, and pass it. Raises _Malformed."""
        self._peek()
        wanted = 0
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # or else a number might go on
                    self._at = end
                    return value
            except RecursionError:
                raise _Malformed from None
            except ValueError:
                pass
            # An error far before the end is one; near the end, the rest may be missing.
            have = len(self._text) - self._at
            if have > _LARGEST_VALUE:
                raise _Malformed
            wanted = max(2 * wanted, _PIECE)
            if not self._more(wanted):
                raise _Malformed

    def _more(self, size: int = _PIECE) -> bool:
        """Read on; return False at the end."""
        if self._ended:
            return False
        self._lines += self._text.count("\n", 0, self._at)
        piece = self._file.read(size)
        self._ended = not piece
        self._text = self._text[self._at :] + self._decode(piece, self._ended)
        self._at = 0
        return True

"""JSON of no app: lines of objects, or a list of them, each with a text, with or without who said it when."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.formats.fields import Fields, fields_of, flat, may_name_people, name_in, time_of
from data.formats.files import Source
from data.formats.json_stream import Malformed, Walk, peek
from data.formats.messages import Counts, Message, without_surrogates
from data.formats.people import People
from data.terminal import printable

_LOOKED_AT = 1000  # lines that tell which field is which


class JsonLines:
    """One object a line, each with a `text`; with a sender it is a message, without one a document."""

    name = "JSON Lines"

    def score(self, sample: list[str]) -> float:
        lines = [line for line in sample if line.strip()][:_LOOKED_AT]
        items = list(filter(None, map(_object, lines)))
        found = _fields(items)
        if found is None:
            return 0.0
        return sum(isinstance(item.get(found.text), str) for item in items) / max(len(lines), 1)

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        items = list(filter(None, map(_object, source.sample[:_LOOKED_AT])))
        reader = _Reader(source, items, counts)
        for number, line in enumerate(source.lines(), 1):
            if line is not None and not line.strip():
                continue
            message = reader.message(_object(line or ""))
            if message is None:
                counts.broken.append(number)
            else:
                yield message


class JsonList:
    """A list of objects, each with a text and who said it, alone or under `messages`."""

    name = "JSON with sender and text"

    def score(self, sample: list[str]) -> float:
        """Return a share below that of any app that is known."""
        _, items = peek(sample)
        objects = [flat(item) for item in items if isinstance(item, dict)]
        found = _fields(objects)
        if found is None or not (found.sender or may_name_people(objects, found.text)):
            return 0.0
        return 0.9 * sum(isinstance(item.get(found.text), str) for item in objects) / len(items)

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        _, items = peek(source.sample)
        reader = _Reader(source, [flat(item) for item in items if isinstance(item, dict)], counts)
        with source.open() as file:
            walk = Walk(file, source.encoding)
            try:
                for chat, item in walk.messages():
                    message = reader.message(flat(item) if isinstance(item, dict) else None, chat)
                    if message is None:
                        counts.broken.append(walk.line)
                    else:
                        yield message
            except Malformed:
                counts.broken.append(walk.line)


@dataclass
class _Reader:
    """The reading of objects that all have the same fields. Raises DataError where it is unclear who wrote them."""

    source: Source
    items: Sequence[dict[str, Any]]
    counts: Counts

    def __post_init__(self) -> None:
        found = _fields(self.items)
        assert found is not None, "this file scored nothing"
        self.fields: Fields = found
        self.people = People(self.counts)
        unclear = "" if found.sender else may_name_people(self.items, found.text)
        if unclear:
            raise DataError(
                f'{self.source.name}: "{printable(unclear)}" may be who wrote, and would not be masked; '
                'call it "sender", or "label" if it is nobody'
            )

    def message(self, item: dict[str, Any] | None, chat: int = 0) -> Message | None:
        """Return the message, or the document if nobody is named; None if there is no text."""
        text = (item or {}).get(self.fields.text)
        if item is None or not isinstance(text, str):
            return None
        name, identity = name_in(item, self.fields.sender), name_in(item, self.fields.identity)
        sender = self.people.sender(identity, name) if identity else name
        self.people.add(*map(item.get, self.fields.names))
        return Message(time_of(item.get(self.fields.time)), sender, without_surrogates(text), chat)


def _fields(items: Sequence[dict[str, Any]]) -> Fields | None:
    """Return the fields; None if there is no text, or one under another name than `text` that nobody said."""
    found = fields_of(items)
    return (
        found if found is None or found.text == "text" or found.sender or may_name_people(items, found.text) else None
    )


def _object(line: str) -> dict[str, Any] | None:
    """Return the flat object of a line; None if it is none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return flat(item) if isinstance(item, dict) else None

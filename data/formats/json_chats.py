"""Chats as JSON, an app a line in APPS; each is told by its messages, whatever the file is called.

What is not said is left out: reactions, quotes and earlier versions of a message; people in them are masked all the
same. Exports that begin with the newest message are turned round.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from data.errors import DataError
from data.formats import json_meta, json_microsoft, json_slack, json_telegram
from data.formats.files import Source
from data.formats.json_apps import Item, Reading, discord, google_chat, is_discord, is_google_chat, is_signal, signal
from data.formats.json_stream import Malformed, Walk, peek
from data.formats.messages import Counts, Message
from data.formats.order import oldest_first


@dataclass(frozen=True)
class JsonChat:
    """One app's JSON; see `Format` in data/formats/messages.py."""

    name: str
    fits: Callable[[Item], bool]  # whether an item of its list is one of the app's messages
    read: Callable[[Item, Reading], Iterator[Message]]  # what an item says; none of what the app says itself
    hint: str = ""  # stands in exports whose messages may come late
    repaired: Callable[[Any], Any] = lambda name: name

    def score(self, sample: list[str]) -> float:
        """Return the share of the first items that are messages of this app."""
        head, items = peek(sample)
        if not items:
            return 0.5 if self.hint and any(self.hint in line for line in sample[:1000]) and head else 0.0
        return sum(isinstance(item, dict) and self.fits(item) for item in items) / len(items)

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        """Yield the messages of each chat, the oldest first."""
        for _, chat in groupby(self._as_written(source, counts), key=lambda message: message.chat):
            yield from oldest_first(chat)

    def _as_written(self, source: Source, counts: Counts) -> Iterator[Message]:
        with source.open() as file:
            walk = Walk(file, source.encoding)
            reading = Reading(source, counts)
            try:
                for chat, item in walk.messages():
                    counts.records += 1
                    reading.begin(chat, walk.head, self.repaired)
                    if isinstance(item, dict) and self.fits(item):
                        yield from self.read(item, reading)
                    else:
                        counts.broken.append(walk.line)
            except Malformed:
                if not walk.began:
                    raise DataError(
                        f"{source.name}, line {walk.line}: is not the JSON it begins with; export it again"
                    ) from None
                counts.broken.append(walk.line)


APPS = (
    JsonChat("Telegram", json_telegram.fits, json_telegram.read, hint='"personal_information"'),
    JsonChat("Discord", is_discord, discord),
    JsonChat("Messenger or Instagram", json_meta.fits, json_meta.read, repaired=json_meta.right),
    JsonChat("Messenger, end-to-end encrypted", json_meta.fits_encrypted, json_meta.read_encrypted),
    JsonChat("Slack", json_slack.fits, json_slack.read),
    JsonChat("Signal (sigtop)", is_signal, signal),
    JsonChat("Google Chat", is_google_chat, google_chat),
    JsonChat("Teams (Graph)", json_microsoft.fits_graph, json_microsoft.read_graph),
    JsonChat("Teams or Skype", json_microsoft.fits_skype, json_microsoft.read_skype),
)

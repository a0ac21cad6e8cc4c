"""The `result.json` of Telegram Desktop 5, of one chat or of all."""

from collections.abc import Iterator
from typing import Any

from data.formats.dates import iso_time
from data.formats.json_apps import (
    CONTACT,
    FILE,
    MOVIE,
    PHOTO,
    PLACE,
    POLL,
    STICKER,
    VOICE,
    Item,
    Reading,
    as_list,
    as_text,
)
from data.formats.messages import Message
from data.formats.people import mention

_MEDIA = {
    "sticker": STICKER,
    "animation": STICKER,
    "video_file": MOVIE,
    "video_message": MOVIE,
    "voice_message": VOICE,
    "audio_file": VOICE,
}
_ATTACHED = {"photo": PHOTO, "location_information": PLACE, "contact_information": CONTACT, "poll": POLL, "file": FILE}


def fits(item: Item) -> bool:
    return "type" in item and ("text" in item or item["type"] == "service") and "ts" not in item


def read(item: Item, reading: Reading) -> Iterator[Message]:
    """Yield the message; of a service line the people alone. Other kinds, also unknown ones, are messages."""
    people = reading.people
    if item["type"] == "service":
        people.add(item.get("actor"), *as_list(item.get("members")))
        reading.counts.system += 1
        return
    for reaction in as_list(item.get("reactions")):
        for one in as_list(reaction.get("recent") if isinstance(reaction, dict) else None):
            people.add(one.get("from") if isinstance(one, dict) else None)
    people.add(item.get("forwarded_from"), item.get("via_bot"))
    parts = as_list(item["text"]) or [item["text"]]
    for part in parts:
        if isinstance(part, dict) and part.get("type") in ("mention", "mention_name"):
            people.add(as_text(part.get("text")).removeprefix("@"))
    text = "".join(map(_part, parts))
    if not text.strip():
        attached = (name for key, name in _ATTACHED.items() if item.get(key))
        text = _MEDIA.get(str(item.get("media_type"))) or next(attached, "")
    sender = people.sender(item.get("from_id"), item.get("from")) or "Deleted Account"
    yield reading.message(iso_time(item.get("date")), sender, text)


def _part(part: Any) -> str:
    """Return the text of a part of a message, which is a string or, of a link or the like, has one.

    A mention by name has its bounds marked: it is a person whatever the name means.
    """
    if not isinstance(part, dict):
        return part if isinstance(part, str) else ""
    said = part.get("text")
    if not isinstance(said, str):
        return ""
    return mention(said) if part.get("type") == "mention_name" else said

"""Chats of Teams and Skype: Microsoft Graph's chat messages, and `messages.json` of the export of one's own account."""

import re
from collections.abc import Iterator

from data.formats.dates import iso_time
from data.formats.html_text import words
from data.formats.json_apps import (
    CALL,
    CONTACT,
    FILE,
    MOVIE,
    PHOTO,
    PLACE,
    POLL,
    VOICE,
    Item,
    Reading,
    as_list,
    as_object,
    as_text,
    kind_of_file,
)
from data.formats.messages import Message

_LONGEST = 100_000  # characters of one message with its HTML


def fits_graph(item: Item) -> bool:
    return "messageType" in item and "createdDateTime" in item and isinstance(item.get("body"), dict)


def read_graph(item: Item, reading: Reading) -> Iterator[Message]:
    """Yield the message and, where they stand inside it, the replies to it."""
    author = as_object(as_object(item.get("from")).get("user")) or as_object(
        as_object(item.get("from")).get("application")
    )
    sender = reading.people.sender(author.get("id"), author.get("displayName"))
    for mention in map(as_object, as_list(item.get("mentions"))):
        user = as_object(as_object(mention.get("mentioned")).get("user"))
        reading.people.add(mention.get("mentionText"), user.get("displayName"))
    if item["messageType"] != "message" or not author:
        reading.counts.system += 1
    elif item.get("deletedDateTime"):
        reading.counts.deleted += 1
    else:
        body = item["body"]
        text = as_text(body.get("content"))
        if body.get("contentType") != "text":
            text, mentioned = words(text[:_LONGEST])
            reading.people.add(*mentioned)
        if not text.strip():
            attached = [as_object(one).get("name") for one in as_list(item.get("attachments"))]
            text = kind_of_file(attached[0]) if attached else PHOTO if "<img" in as_text(body.get("content")) else ""
        yield reading.message(iso_time(item["createdDateTime"]), sender, text)
    for reply in as_list(item.get("replies")):
        if isinstance(reply, dict) and fits_graph(reply):
            yield from read_graph({**reply, "replies": None}, reading)


_KINDS = {
    "UriObject": PHOTO,
    "Media_Album": PHOTO,
    "Media_Video": MOVIE,
    "Media_FlikMsg": MOVIE,
    "Media_AudioMsg": VOICE,
    "Media_GenericFile": FILE,
    "Contacts": CONTACT,
    "Location": PLACE,
}
_WRITTEN = frozenset({"Text", "RichText", "RichText/Html"})
_EDITED = re.compile(r"^Edited previous message: ")


def fits_skype(item: Item) -> bool:
    return "messagetype" in item and "content" in item and ("originalarrivaltime" in item or "composetime" in item)


def read_skype(item: Item, reading: Reading) -> Iterator[Message]:
    kind = as_text(item["messagetype"])
    name = item.get("displayName") or item.get("imdisplayname")
    sender = reading.people.sender(as_text(item.get("from")).rpartition("/")[2], name)
    content = as_text(item["content"])[:_LONGEST]
    properties = as_object(item.get("properties"))
    if properties.get("deletetime") or (kind in _WRITTEN and not content and properties.get("edittime")):
        reading.counts.deleted += 1
        return
    if kind in _WRITTEN:
        text, mentioned = (content, []) if kind == "Text" else words(_EDITED.sub("", content))
        reading.people.add(*mentioned)
    elif kind == "Event/Call":
        text = CALL
    elif kind == "Poll":
        text = POLL
    elif kind.startswith("RichText/"):
        text = _KINDS.get(kind.removeprefix("RichText/")) or words(content)[0]
    else:
        reading.counts.system += 1
        return
    yield reading.message(iso_time(item.get("originalarrivaltime") or item.get("composetime")), sender, text)

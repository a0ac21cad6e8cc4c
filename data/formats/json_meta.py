"""Chats of Messenger and Instagram: `message_1.json` of "Download your information", and Messenger's encrypted chats.

The first writes UTF-8 as if it were Latin-1 (`\\u00ec\\u0095\\u0088` for 안), which is undone here.
"""

import re
from collections.abc import Iterator
from typing import Any

from data.formats.dates import epoch_time
from data.formats.json_apps import (
    CALL,
    FILE,
    MOVIE,
    PHOTO,
    STICKER,
    VOICE,
    Item,
    Reading,
    as_list,
    as_object,
    as_text,
    kind_of_file,
)
from data.formats.messages import Message

_ATTACHED = {"photos": PHOTO, "videos": MOVIE, "audio_files": VOICE, "gifs": STICKER, "sticker": STICKER, "files": FILE}
_REACTED = re.compile(
    r"(?:.{1,100} )?[Rr]eacted .{1,20} to (?:your|their|a|his|her) message\.? ?|(?:.{1,100} )?[Ll]iked a message\.?"
    r"|.{0,100}메시지에 .{0,20}공감(?:했습니다|을 남겼습니다)\.?"
)
_SENT = re.compile(
    r".{1,100} sent (?:an? )?(?:attachment|photo|video|voice message|GIF)s?\.|.{1,100}님이 .{1,20}을 보냈습니다\."
)


def right(value: Any) -> str:
    """Return a text whose UTF-8 was taken for Latin-1 as it was; another text as it is."""
    text = as_text(value)
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def fits(item: Item) -> bool:
    return "sender_name" in item and "timestamp_ms" in item


def read(item: Item, reading: Reading) -> Iterator[Message]:
    sender = reading.people.sender(None, right(item["sender_name"]))
    for reaction in map(as_object, as_list(item.get("reactions"))):
        reading.people.add(right(reaction.get("actor")))
    for user in map(as_object, as_list(item.get("users"))):
        reading.people.add(right(user.get("name")))
    text = right(item.get("content"))
    if item.get("is_unsent"):
        reading.counts.deleted += 1
        return
    if item.get("type") in ("Subscribe", "Unsubscribe") or _REACTED.fullmatch(text):
        reading.counts.system += 1
        return
    if not text or _SENT.fullmatch(text):
        share = as_object(item.get("share"))
        attached = next((word for key, word in _ATTACHED.items() if item.get(key)), "")
        text = attached or as_text(share.get("link")) or right(share.get("share_text")) or text
    if "call_duration" in item:
        text = CALL
    stamp = item["timestamp_ms"]
    yield reading.message(epoch_time(stamp / 1000 if isinstance(stamp, int | float) else None), sender, text)


def fits_encrypted(item: Item) -> bool:
    return "senderName" in item and "timestamp" in item


def read_encrypted(item: Item, reading: Reading) -> Iterator[Message]:
    sender = reading.people.sender(None, item["senderName"])
    for reaction in map(as_object, as_list(item.get("reactions"))):
        reading.people.add(reaction.get("actor"))
    if item.get("isUnsent"):
        reading.counts.deleted += 1
        return
    text = as_text(item.get("text"))
    if not text:
        attached = [kind_of_file(as_object(one).get("uri")) for one in as_list(item.get("media"))]
        text = attached[0] if attached else CALL if "call" in str(item.get("type")).lower() else ""
    stamp = item["timestamp"]
    yield reading.message(epoch_time(stamp / 1000 if isinstance(stamp, int | float) else None), sender, text)

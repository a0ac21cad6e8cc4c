"""Slack's channels: a day's file or one of a whole channel, as Slack exports them and as slackdump 3 writes them.

Names stand in `users.json` beside the channels' folders, and in the messages themselves.
"""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from data.errors import DataError
from data.formats.dates import epoch_time
from data.formats.json_apps import Item, Reading, as_list, as_object, as_text, kind_of_file
from data.formats.json_stream import peek
from data.formats.messages import Message
from data.formats.people import mention

_STAMP = re.compile(r"\d+\.\d+")
_SYSTEM = re.compile(
    r"(?:channel|group|sh_room|huddle|pinned|unpinned|reminder|bot)_(?!message).*|(?:pinned|unpinned)_item|ekm_.*"
    r"|joiner_.*|app_conversation_.*"
)
_MARK = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")
_QUOTED = re.compile(r"^(?:&gt;|>).*\n?", re.MULTILINE)
_LARGEST = 64 << 20  # bytes of the list of people
PEOPLE_FILE = "users.json"
_NAMED_BY = ("user_profile", "username", "bot_profile")


def fits(item: Item) -> bool:
    return (
        item.get("type") == "message" and isinstance(item.get("ts"), str) and _STAMP.fullmatch(item["ts"]) is not None
    )


def read(item: Item, reading: Reading) -> Iterator[Message]:
    """Yield the message and, where they stand inside it, the replies to it."""
    yield from _one(item, reading)
    for reply in as_list(item.get("slackdump_thread_replies")):
        if isinstance(reply, dict) and fits(reply) and reply["ts"] != item["ts"]:
            yield from _one(reply, reading)


def _one(item: Item, reading: Reading) -> Iterator[Message]:
    if "names" not in reading.memory:
        reading.memory["names"] = names = _names_beside(reading)
        items = map(as_object, peek(reading.source.sample)[1])
        if not names and not any(one.get(key) for one in items for key in _NAMED_BY):
            raise DataError(
                f"{reading.source.name}: has ids instead of names, so they could not be masked; put the export's "
                f"{PEOPLE_FILE} beside it"
            )
    subtype = as_text(item.get("subtype"))
    sender = _sender(item, reading)
    if subtype in ("tombstone", "message_deleted"):
        reading.counts.deleted += 1
        return
    if _SYSTEM.fullmatch(subtype):
        reading.counts.system += 1
        return
    text = _QUOTED.sub("", as_text(item.get("text")))
    text = html.unescape(_MARK.sub(lambda found: _mark(found, reading), text))
    if not text.strip():
        attached = [as_object(one) for one in as_list(item.get("files"))]
        text = kind_of_file(attached[0].get("mimetype") or attached[0].get("name")) if attached else ""
    yield reading.message(epoch_time(item["ts"]), sender, text)


def _sender(item: Item, reading: Reading) -> str:
    identity = item.get("user") or item.get("bot_id")
    profile = as_object(item.get("user_profile"))
    bot = as_object(item.get("bot_profile"))
    names = reading.memory["names"].get(identity, ()) if isinstance(identity, str) else ()
    told = [profile.get(key) for key in ("display_name", "real_name", "name", "first_name")]
    return reading.people.sender(identity, *names, *told, item.get("username"), bot.get("name")) or "unknown"


def _mark(found: re.Match[str], reading: Reading) -> str:
    sign, what, label = found[1], found[2], found[3] or ""
    if sign == "@":
        names = reading.memory["names"].get(what, ())
        reading.people.add(label, *names)
        return mention(label or next(filter(None, names), "") or reading.people.known(what))
    if sign == "#":
        return f"#{label}" if label else ""
    if sign == "!":
        return label or f"@{what.partition('^')[0]}"
    return what


def _names_beside(reading: Reading) -> dict[str, tuple[Any, ...]]:
    """Return the names of each id, as far as the export has a list of its people beside the channels."""
    beside = reading.source.beside(PEOPLE_FILE)
    if beside is None or beside.size > _LARGEST:
        return {}
    try:
        with beside.open() as file:
            listed = json.loads(file.read().decode("utf-8", "replace"))
    except (ValueError, RecursionError, DataError):
        return {}
    return {one["id"]: names_of(one) for one in map(as_object, as_list(listed)) if isinstance(one.get("id"), str)}


def names_of(user: Item) -> tuple[Any, ...]:
    """Return the names of one of Slack's users, the one that is shown first."""
    profile = as_object(user.get("profile"))
    shown = profile.get("display_name") or profile.get("real_name") or user.get("real_name") or user.get("name")
    return shown, profile.get("display_name"), profile.get("real_name"), user.get("real_name"), user.get("name")

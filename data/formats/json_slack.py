"""Slack's channels: a day's file or one of a whole channel, as Slack exports them and as slackdump 3 writes them.

Names stand in `users.json` beside the channels' folders (`users-T….json` of `slackdump list users`), and in the
`user_profile` of most messages. Slackdump's own dumps have no profiles: without that list nobody in them has a name.
"""

import html
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from data.errors import DataError
from data.formats.dates import epoch_time
from data.formats.files import Source
from data.formats.json_apps import Item, Reading, as_list, as_object, as_text, kind_of_file
from data.formats.json_stream import Malformed, Walk
from data.formats.messages import Message
from data.formats.people import as_name, mention

_STAMP = re.compile(r"\d+\.\d+")
_SYSTEM = re.compile(
    r"(?:channel|group|sh_room|huddle|pinned|unpinned|reminder|bot)_(?!message).*|(?:pinned|unpinned)_item|ekm_.*"
    r"|joiner_.*|app_conversation_.*"
)
_MARK = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")
_QUOTED = re.compile(r"^(?:&gt;|>).*\n?", re.MULTILINE)
_LARGEST = 64 << 20  # bytes of the list of people
PEOPLE_FILES = ("users.json", "users-*.json")  # Slack's and slackdump's
_DAY = re.compile(r"\d{4}-\d\d-\d\d\.json")  # a file in a channel's folder
_A_NAME = re.compile(rb'"(?:real_name|display_name)": ?"[^"]')
_MOST_LOOKED_AT = 50  # other files of an export that may have a name
_SLACKBOT = "USLACKBOT"


def fits(item: Item) -> bool:
    return (
        item.get("type") == "message" and isinstance(item.get("ts"), str) and _STAMP.fullmatch(item["ts"]) is not None
    )


def read(item: Item, reading: Reading) -> Iterator[Message]:
    """Yield the message and, where they stand inside it, the replies to it."""
    if "names" not in reading.memory:
        reading.memory["names"], reading.memory["broadcast"] = _names(reading), set()
    yield from _one(item, reading)
    for reply in _replies(item):
        yield from _one(reply, reading)


def _replies(item: Item) -> list[Item]:
    replies = as_list(item.get("slackdump_thread_replies"))
    return [reply for reply in replies if isinstance(reply, dict) and fits(reply) and reply["ts"] != item["ts"]]


def _one(item: Item, reading: Reading) -> Iterator[Message]:
    subtype = as_text(item.get("subtype"))
    sender = _sender(item, reading)
    if subtype in ("tombstone", "message_deleted"):
        reading.counts.deleted += 1
        return
    marked = _MARK.sub(lambda found: _mark(found, reading), _QUOTED.sub("", as_text(item.get("text"))))
    if _SYSTEM.fullmatch(subtype):
        reading.counts.system += 1
        return
    if subtype == "thread_broadcast":  # said in a thread and shown in the channel, so slackdump has it twice
        seen: set[tuple[int, str]] = reading.memory["broadcast"]
        if (reading.chat, item["ts"]) in seen:
            return
        seen.add((reading.chat, item["ts"]))
    text = html.unescape(marked)
    if not text.strip():
        attached = [as_object(one) for one in as_list(item.get("files"))]
        text = kind_of_file(attached[0].get("mimetype") or attached[0].get("name")) if attached else ""
    yield reading.message(epoch_time(item["ts"]), sender, text)


def _sender(item: Item, reading: Reading) -> str:
    person, told = _person(item)
    names = (*reading.memory["names"].get(person, ()), *told)
    if person and person != _SLACKBOT:
        reading.counts.identified[person] = any(map(as_name, names)) or reading.counts.identified.get(person, False)
    bot = as_object(item.get("bot_profile"))
    identity = person or item.get("bot_id")
    return reading.people.sender(identity, *names, item.get("username"), bot.get("name")) or "unknown"


def _person(item: Item) -> tuple[str, tuple[Any, ...]]:
    """Return the id of whoever wrote, "" if it was none but an app, and the names that the message itself has."""
    profile = as_object(item.get("user_profile")) or as_object(item.get("profile"))
    told = tuple(profile.get(key) for key in ("display_name", "real_name", "name", "first_name"))
    return ("" if item.get("bot_id") and not any(told) else as_text(item.get("user"))), told


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


def _names(reading: Reading) -> dict[str, tuple[Any, ...]]:
    """Return the names of each id, out of the list of people beside the channels and the whole file.

    Raises DataError if people wrote in it, and nobody has a name here or in the export's other files.
    """
    names = _names_beside(reading.source)
    wrote = {_SLACKBOT}
    for item in _everything(reading):
        person, told = _person(item)
        wrote.add(person)
        if person and any(map(as_name, told)):
            names.setdefault(person, told)
        for shared in map(as_object, as_list(item.get("attachments"))):
            if author := as_text(shared.get("author_id")):  # of a message that is shown inside another one
                told = (shared.get("author_name"), shared.get("author_subname"))
                reading.people.add(*told)
                names.setdefault(author, told)
    if wrote - {_SLACKBOT, ""} and not names.keys() & wrote and not _somebody_is_named(reading.source):
        raise DataError(
            f"{reading.source.name}: has ids and nobody's name, so names could not be masked; put the export's "
            f"{PEOPLE_FILES[0]} beside it, or what `slackdump list users` writes"
        )
    return names


def _everything(reading: Reading) -> Iterator[Item]:
    """Yield all messages of the file, replies too, as far as it is whole."""
    with reading.source.open() as file:
        try:
            for _, item in Walk(file, reading.source.encoding).messages():
                if isinstance(item, dict) and fits(item):
                    yield from (item, *_replies(item))
        except Malformed:
            pass  # which is told when it is read


def _somebody_is_named(source: Source) -> bool:
    """Return True if a message in another file of the same export has the name of its writer."""
    heads = source.heads_beside(_DAY.fullmatch(source.file_name) is not None, ".json")
    return any(map(_A_NAME.search, islice(heads, _MOST_LOOKED_AT)))


def _names_beside(source: Source) -> dict[str, tuple[Any, ...]]:
    """Return the names of each id, as far as the export has a list of its people beside the channels."""
    beside = next(filter(None, map(source.beside, PEOPLE_FILES)), None)
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

"""What lies beside the chats of an export: lists of people, channels and settings. Nothing in it was said.

Slack's `users.json`, `channels.json` and the like, Google Chat's `group_info.json` and `user_info.json`.
"""

from collections.abc import Iterator
from typing import Any

from data.formats.files import Source
from data.formats.json_apps import as_list, as_object
from data.formats.json_slack import names_of
from data.formats.json_stream import Malformed, Walk, peek
from data.formats.messages import Counts, Message
from data.formats.people import People, as_name

COMPANION = "no chat: people, settings"
_SLACK = ("profile", "creator", "members", "service_type", "is_channel")  # in users, channels, direct messages, logs


class Companion:
    """A file of an export that names people and holds no messages."""

    name = COMPANION

    def score(self, sample: list[str]) -> float:
        head, items = peek(sample)
        if items:
            objects = [item for item in items if isinstance(item, dict)]
            return float(len(objects) == len(items) and all("text" not in item and _is_slack(item) for item in objects))
        return 0.9 if set(head) & {"members", "user", "membership_info"} and set(head) <= _GOOGLE else 0.0

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        """Yield nothing; the people go to `counts.people`."""
        people = People(counts)
        with source.open() as file:
            walk = Walk(file, source.encoding)
            try:
                for _, item in walk.messages():
                    one = as_object(item)
                    if "profile" not in one and "real_name" not in one:  # the name of a channel is no person's
                        people.add(one.get("user_name"))
                        continue
                    people.add(*(names := names_of(one)))
                    if any(map(as_name, names)):
                        counts.identified[str(one.get("id"))] = True
            except Malformed:
                counts.broken.append(walk.line)
        for one in [*as_list(walk.head.get("members")), walk.head.get("user")]:
            person = as_object(one)
            people.add(person.get("name"), person.get("email"))
        yield from ()


_GOOGLE = {"members", "user", "membership_info", "name", "emoji_id", "group_id"}


def _is_slack(item: dict[str, Any]) -> bool:
    return "id" in item and any(key in item for key in _SLACK)

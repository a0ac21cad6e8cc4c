"""Chats as JSON of Discord, Signal and Google Chat, and what all apps' JSON has in common.

Discord: DiscordChatExporter 2.43 (JsonMessageWriter.cs). Signal: sigtop 0.20 (`export-messages -f json`), which writes
Signal Desktop's own rows. Google Chat: `messages.json` of Google Takeout, as of 2025.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from data.formats.dates import epoch_time, hour_of, iso_time, month_of
from data.formats.files import Source
from data.formats.messages import Counts, Message, without_surrogates
from data.formats.people import People, mention

Item = dict[str, Any]

PHOTO, MOVIE, VOICE, FILE, STICKER = "사진", "동영상", "음성메시지", "파일", "이모티콘"  # in KakaoTalk's words
CALL, POLL, PLACE, CONTACT = "보이스톡", "투표", "지도", "연락처"
_FAMILIES = {"image": PHOTO, "video": MOVIE, "audio": VOICE, "application": FILE, "text": FILE}
_KINDS = {
    PHOTO: "jpg jpeg png gif webp heic bmp",
    MOVIE: "mp4 mov avi mkv webm 3gp",
    VOICE: "ogg oga opus m4a mp3 wav aac",
}


class Reading:
    """What is known while one file is read: its people, its counts, and the chat."""

    def __init__(self, source: Source, counts: Counts) -> None:
        self.source = source
        self.counts = counts
        self.people = People(counts)
        self.chat = -1
        self.memory: dict[str, Any] = {}  # what the app's own reader keeps

    def begin(self, chat: int, head: Item, repaired: Callable[[Any], Any]) -> None:
        """Take in what stands beside a chat's messages, once a chat: those who take part."""
        if chat == self.chat:
            return
        self.chat = chat
        for list_name in ("participants", "members"):
            for one in as_list(head.get(list_name)):
                self.people.add(repaired(one.get("name") if isinstance(one, dict) else one))

    def message(self, time: datetime | None, sender: str, text: str) -> Message:
        return Message(time, sender or "unknown", without_surrogates(text).strip(), self.chat)


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a list, or else an empty one."""
    return value if isinstance(value, list) else []


def as_object(value: Any) -> Item:
    """Return the value if it is an object, or else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """Return the value if it is a text, or else an empty one."""
    return value if isinstance(value, str) else ""


def kind_of_file(name: Any) -> str:
    """Return what stands for an attached file, told by its name or its media type."""
    lowered = as_text(name).lower()
    family = lowered.partition("/")[0]
    if family in _FAMILIES:
        return _FAMILIES[family]
    ending = lowered.partition("?")[0].rpartition(".")[2]
    return next((kind for kind, endings in _KINDS.items() if ending in endings.split()), FILE)


# Discord

_SYSTEM = frozenset(
    """
    RecipientAdd RecipientRemove Call ChannelNameChange ChannelIconChange ChannelPinnedMessage GuildMemberJoin
    UserPremiumGuildSubscription UserPremiumGuildSubscriptionTier1 UserPremiumGuildSubscriptionTier2
    UserPremiumGuildSubscriptionTier3 ChannelFollowAdd GuildDiscoveryDisqualified GuildDiscoveryRequalified
    ThreadCreated GuildInviteReminder AutoModerationAction 1 2 3 4 5 6 7 8 9 10 11 12 18 22 24
    """.split()  # noqa: SIM905
)
_DISCORD_MARK = re.compile(r"<(?:@!?(?P<person>\d+)|@&\d+|#\d+|a?:(?P<emoji>\w+):\d+|t:\d+(?::\w)?)>")


def is_discord(item: Item) -> bool:
    return "timestamp" in item and "content" in item and isinstance(item.get("author"), dict)


def discord(item: Item, reading: Reading) -> Iterator[Message]:
    people = reading.people
    author = as_object(item["author"])
    sender = _discord_person(author, people)
    names = {str(one.get("id")): _discord_person(one, people) for one in map(as_object, as_list(item.get("mentions")))}
    for reaction in map(as_object, as_list(item.get("reactions"))):
        for one in map(as_object, as_list(reaction.get("users"))):
            people.add(one.get("name"), one.get("nickname"))
    if str(item.get("type")) in _SYSTEM:
        reading.counts.system += 1
        return
    forwarded = as_object(item.get("forwardedMessage"))
    text = as_text(item["content"]) or as_text(forwarded.get("content"))
    text = _DISCORD_MARK.sub(lambda found: _discord_mark(found, names, people), text)
    if not text.strip():
        attached = [kind_of_file(as_object(one).get("fileName")) for one in as_list(item.get("attachments"))]
        attached += [STICKER for _ in as_list(item.get("stickers"))] + [POLL for _ in (item.get("poll"),) if _]
        text = attached[0] if attached else ""
    yield reading.message(iso_time(item["timestamp"]), sender, text)


def _discord_person(one: Item, people: People) -> str:
    if one.get("discriminator") not in (None, "", "0", "0000"):
        people.add(f"{one.get('name')}#{one['discriminator']}")
    return people.sender(one.get("id"), one.get("nickname"), one.get("name"))


def _discord_mark(found: re.Match[str], names: dict[str, str], people: People) -> str:
    if found["person"]:
        return mention(names.get(found["person"]) or people.known(found["person"]))
    return "(이모티콘)" if found["emoji"] else ""


# Signal

_SAID = frozenset({"incoming", "outgoing"})
_REPLACED = "\ufffc"  # what stands for a mention in Signal's text


def is_signal(item: Item) -> bool:
    return "conversationId" in item and "type" in item and ("sent_at" in item or "received_at" in item)


def signal(item: Item, reading: Reading) -> Iterator[Message]:
    change = as_object(item.get("profileChange"))
    reading.people.add(change.get("oldName"), change.get("newName"))
    mentioned = [as_object(one) for one in as_list(item.get("bodyRanges"))]
    mentioned = [one for one in mentioned if one.get("replacementText")]
    if item["type"] not in _SAID:
        reading.counts.system += 1
        return
    if item.get("deletedForEveryone") or item.get("isErased"):
        reading.counts.deleted += 1
        return
    text = as_text(item.get("body"))
    for one in sorted(mentioned, key=lambda one: one["start"] if isinstance(one.get("start"), int) else 0):
        reading.people.add(one["replacementText"])
        text = text.replace(_REPLACED, mention(str(one["replacementText"])), 1)
    text = text.replace(_REPLACED, "")
    if not text.strip():
        attached = [kind_of_file(as_object(one).get("contentType")) for one in as_list(item.get("attachments"))]
        text = STICKER if item.get("sticker") else CONTACT if item.get("contact") else next(iter(attached), "")
    if item["type"] == "outgoing":
        sender = "You"
    else:
        identity = item.get("sourceServiceId") or item.get("sourceUuid") or item.get("source")
        sender = reading.people.sender(identity, item.get("source"), as_object(item.get("contact")).get("name"))
    seconds = item.get("sent_at") or item.get("received_at")
    yield reading.message(epoch_time(seconds / 1000 if isinstance(seconds, int | float) else None), sender, text)


# Google Chat

_GOOGLE_ENGLISH = re.compile(
    r"(?:\w+, )?(?P<month>[A-Z][a-z]+) (?P<day>\d{1,2}), (?P<year>\d{4}) at "
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)"
    r"\s?(?P<after>[AP]M)?(?P<before>)(?: UTC)?"
)
_GOOGLE_KOREAN = re.compile(
    r"(?P<year>\d{4})년 (?P<month>\d{1,2})월 (?P<day>\d{1,2})일 .요일 (?P<before>오전|오후) (?P<hour>\d{1,2})시"
    r" (?P<minute>\d{1,2})분 (?P<second>\d{1,2})초(?P<after>)(?: UTC)?"
)


def is_google_chat(item: Item) -> bool:
    return isinstance(item.get("creator"), dict) and ("created_date" in item or "message_id" in item)


def google_chat(item: Item, reading: Reading) -> Iterator[Message]:
    creator = item["creator"]
    sender = reading.people.sender(creator.get("email"), creator.get("name"))
    reading.people.add(creator.get("email"))
    text = as_text(item.get("text"))
    marked: list[tuple[int, int, str]] = []
    for note in map(as_object, as_list(item.get("annotations"))):
        start, length = note.get("start_index"), note.get("length")
        if any("mention" in key for key in note) and isinstance(start, int) and isinstance(length, int):
            name = text[start : start + length].removeprefix("@")
            reading.people.add(name)
            marked.append((start, length, name))
    for start, length, name in sorted(marked, reverse=True):
        text = text[:start] + mention(name) + text[start + length :]
    if item.get("deletion_metadata") or item.get("message_state") == "DELETED":
        reading.counts.deleted += 1
        return
    if not text.strip():
        attached = [as_object(one).get("export_name") for one in as_list(item.get("attached_files"))]
        text = kind_of_file(attached[0]) if attached else ""
    yield reading.message(_google_time(item.get("created_date")), sender, text)


def _google_time(written: Any) -> datetime | None:
    """Return the time of `Monday, January 5, 2026 at 3:04:05 PM UTC`, in Korean as well, as this device shows it."""
    plain = as_text(written).replace("\u202f", " ")
    found = _GOOGLE_ENGLISH.fullmatch(plain) or _GOOGLE_KOREAN.fullmatch(plain)
    if found is None:
        return iso_time(written)
    try:
        month = int(found["month"]) if found["month"].isdecimal() else month_of(found["month"])
        clock = hour_of(found), int(found["minute"]), int(found["second"])
        moment = datetime(int(found["year"]), month, int(found["day"]), *clock, tzinfo=UTC)
    except ValueError:
        return None
    return epoch_time(moment.timestamp())

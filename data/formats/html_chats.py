"""Chats as HTML, an app a line in PAGES: which of its classes hold a message, who wrote it, when and what.

Telegram Desktop 5 (export_output_html.cpp), DiscordChatExporter 2.43 (MessageGroupTemplate.cshtml) and
imessage-exporter 2 (html.rs). A page is read piece by piece; elements nested too deep and texts too long are cut.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

from data.errors import DataError
from data.formats.app_lines import people_named
from data.formats.dates import cell_numbers, cell_time, date_order
from data.formats.files import Source
from data.formats.html_text import DEEPEST, VOID
from data.formats.messages import LONGEST_MESSAGE, Counts, Message
from data.formats.people import People

_PIECE = 1 << 16  # characters given to the parser at once
_LONGEST_MARKUP = 1 << 18  # characters of one tag; more is none
_OF_TAG = {"img": "사진", "video": "동영상", "audio": "음성메시지"}
_BREAKS = frozenset({"br", "p", "div", "pre", "blockquote", "li"})

# What an element is for.
GROUP, MESSAGE, JOINED, SYSTEM, SENDER, TEXT, TIME, SKIP, MENTION, NAMED, EMOJI, FORWARDED, EDITED = (
    "group message joined system sender text time skip mention named emoji forwarded edited".split()  # noqa: SIM905
)
_VIA = re.compile(r"\s+via @\w+$")  # the bot that a message of Telegram came by


@dataclass(frozen=True)
class HtmlChat:
    """One app's pages; see `Format` in data/formats/messages.py.

    `classes` says what an element with this class is for; of several classes of one element the first that is listed
    counts. `media` says what stands for an attachment with such a class.
    """

    name: str
    sign: re.Pattern[str]  # stands in every page of the app
    classes: Mapping[str, str]
    media: Mapping[str, str]

    def score(self, sample: list[str]) -> float:
        """Return 1 for a page of this app."""
        text = "".join(sample)
        return float(text.lstrip()[:20].lower().startswith(("<!doctype", "<html")) and bool(self.sign.search(text)))

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        order = _order(self, source)
        people = People(counts)
        for said in _said(self, source, counts):
            people.add(*said.named)
            counts.records += 1
            if said.system:
                people.add(said.sender, *people_named(f"{said.sender} {said.text}".strip()))
                counts.system += 1
                continue
            time = cell_time(said.time, order)
            text = said.text.strip() or said.media
            if not said.sender:
                counts.odd.append(said.line)
            yield Message(time, people.sender(said.identity, said.sender) or "unknown", text)


@dataclass
class _Said:
    """One message as the page has it."""

    line: int
    system: bool = False
    sender: str = ""
    identity: str = ""
    time: str = ""
    text: str = ""
    media: str = ""
    named: list[str] = field(default_factory=list)


class _Page(HTMLParser):
    """The parser of one page: what has been read so far is in `found`."""

    def __init__(self, chat: HtmlChat) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[_Said] = []
        self._chat = chat
        self._open: list[tuple[str, str]] = []  # elements and what they are for
        self._tags: Counter[str] = Counter()  # of the open elements
        self._roles: list[str] = []  # what the open elements are for, of those that are for anything
        self._said: _Said | None = None
        self._depth = 0  # of the element that holds the message
        self._last = ("", "")  # the sender of the message before, and the id

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        role = self._role(tag, given.get("class", "").split())
        if self._said is not None and not self._skipped:
            if tag in _BREAKS and self._within(TEXT):
                self._add("\n")
            if tag == "tr" and self._within(EDITED):
                self._said.text = ""  # of the versions of a message, the last one is read
            if role == EMOJI:
                self._add(given.get("alt", "") if not given.get("alt", "").isascii() else "(이모티콘)")
        if tag in VOID or len(self._open) >= DEEPEST:
            return
        self._open.append((tag, role))
        self._tags[tag] += 1
        if role:
            self._roles.append(role)
        if not self._skipped:
            self._begin(role, given)

    def _role(self, tag: str, classes: list[str]) -> str:
        if self._said is not None and not self._skipped and self._said.media in ("", "파일"):
            told = next((self._chat.media[name] for name in classes if name in self._chat.media), self._said.media)
            self._said.media = _OF_TAG.get(tag, told) if told else told
        roles = [self._chat.classes[name] for name in classes if name in self._chat.classes]
        role = next((role for role in (SKIP, SYSTEM, JOINED, *roles) if role in roles), "")
        if role == SENDER and self._within(FORWARDED):
            return NAMED
        return TEXT if tag == "td" and self._within(EDITED) else role

    def _begin(self, role: str, given: Mapping[str, str]) -> None:
        if role == GROUP:
            self._last = ("", "")
        elif role in (MESSAGE, JOINED, SYSTEM) and (self._said is None or role == SYSTEM):
            if self._said is None:
                self._said, self._depth = _Said(self.getpos()[0]), len(self._open)
            self._said.system = role == SYSTEM
        elif self._said is None:
            return
        elif role == SENDER and not self._said.sender:
            self._said.identity = given.get("data-user-id", "")
            self._said.named.append(given.get("title", ""))
        elif role == TIME and not self._said.time:
            self._said.time = given.get("title", "").partition(" UTC")[0].partition(" GMT")[0]
        elif role in (MENTION, NAMED):
            self._said.named += [given.get("title", ""), ""]
            if role == MENTION and self._within(TEXT):
                self._add("@\u2068")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._tags[tag]:
            return
        while self._open:
            name, role = self._open.pop()
            self._tags[name] -= 1
            if role:
                self._roles.pop()
            if role == MENTION and self._said is not None and self._within(TEXT):
                self._add("\u2069")
            if self._said is not None and len(self._open) < self._depth:
                self._finish()
            if name == tag:
                break
        if tag in _BREAKS and self._said is not None and self._within(TEXT) and not self._skipped:
            self._add("\n")

    def _within(self, role: str) -> bool:
        return role in self._roles

    @property
    def _skipped(self) -> bool:
        return SKIP in self._roles

    def _add(self, text: str) -> None:
        assert self._said is not None
        if len(self._said.text) <= LONGEST_MESSAGE:
            self._said.text += text

    def handle_data(self, data: str) -> None:
        if self._said is None or self._skipped or not self._roles:
            return
        role = self._roles[-1]
        if role in (MENTION, NAMED) and len(self._said.named[-1]) < LONGEST_MESSAGE:
            self._said.named[-1] += data.strip().removeprefix("@")
        if role == SENDER and len(self._said.sender) < LONGEST_MESSAGE:
            self._said.sender = f"{self._said.sender} {data}".strip()
        elif role == TIME and not self._said.time:
            self._said.time = data.strip()
        elif role == SYSTEM and len(self._said.text) < LONGEST_MESSAGE:
            self._said.text += data
        elif role in (TEXT, MENTION) and self._within(TEXT):
            self._add(data.removeprefix("@") if role == MENTION else data)

    @property
    def unfinished(self) -> bool:
        """Whether the page ends inside a message."""
        return self._said is not None

    def _finish(self) -> None:
        said = self._said
        assert said is not None
        self._said = None
        said.sender = _VIA.sub("", said.sender)
        said.time = " ".join(said.time.partition(" (")[0].split())
        if said.system:
            self._last = ("", "")
        elif said.sender:
            self._last = (said.sender, said.identity)
        else:
            said.sender, said.identity = self._last
        lines = (" ".join(line.split()) for line in said.text.split("\n"))
        said.text = "\n".join(lines).strip()
        self.found.append(said)


def _said(chat: HtmlChat, source: Source, counts: Counts) -> Iterator[_Said]:
    """Yield the messages of a page. Raises DataError if it has none."""
    page = _Page(chat)
    decode = codecs.getincrementaldecoder(source.encoding)(errors="replace").decode
    began = False
    with source.open() as file:
        while piece := file.read(_PIECE):
            page.feed(decode(piece))
            yield from page.found
            began = began or bool(page.found)
            page.found.clear()
            if len(page.rawdata) > _LONGEST_MARKUP:
                counts.broken.append(page.getpos()[0])
                return
    if page.unfinished:
        counts.broken.append(page.getpos()[0])
    if not began:
        raise DataError(f"{source.name}: is a page of {chat.name} without messages; export it again")


def _order(chat: HtmlChat, source: Source) -> str:
    """Return the order of the dates of a page, told by its first messages."""
    page = _Page(chat)
    for line in source.sample:
        page.feed(line)
        if len(page.found) >= 1000 or len(page.rawdata) > _LONGEST_MARKUP:
            break
    numbers = [(triple, None) for said in page.found if (triple := cell_numbers(said.time))]
    usual = "dmy" if any("." in said.time for said in page.found[:3]) else "mdy"
    return date_order(numbers, usual)


PAGES = (
    HtmlChat(
        "Telegram, HTML",
        re.compile(r'class="message (?:default|service)[ "]'),
        {
            **{
                "service": SYSTEM,
                "default": MESSAGE,
                "joined": JOINED,
                "from_name": SENDER,
                "text": TEXT,
                "date": TIME,
            },
            **{"reply_to": SKIP, "reactions": SKIP, "userpic_wrap": SKIP, "bot_buttons_table": SKIP, "signature": SKIP},
            **{"forwarded": FORWARDED},
        },
        {
            **{"photo_wrap": "사진", "media_photo": "사진", "sticker_wrap": "이모티콘", "animated_wrap": "이모티콘"},
            **{"video_file_wrap": "동영상", "media_video": "동영상", "media_voice_message": "음성메시지"},
            **{"media_audio_file": "음성메시지", "media_file": "파일", "media_call": "보이스톡", "media_poll": "투표"},
            **{
                "media_location": "지도",
                "media_live_location": "지도",
                "media_contact": "연락처",
                "media_venue": "지도",
            },
        },
    ),
    HtmlChat(
        "Discord, HTML",
        re.compile(r"chatlog__message-group"),
        {
            **{"chatlog__message-group": GROUP, "chatlog__message-container": MESSAGE, "chatlog__author": SENDER},
            **{"chatlog__author-name": SENDER, "chatlog__system-notification-content": SYSTEM},
            **{"chatlog__system-notification-author": SENDER, "chatlog__system-notification-link": NAMED},
            **{"chatlog__timestamp": TIME, "chatlog__short-timestamp": TIME, "chatlog__content": TEXT},
            **{"chatlog__system-notification-timestamp": TIME, "chatlog__markdown-mention": MENTION},
            **{"chatlog__emoji": EMOJI, "chatlog__edited-timestamp": SKIP, "chatlog__reply": SKIP},
            **{"chatlog__reference": SKIP, "chatlog__reactions": SKIP, "chatlog__embed": SKIP},
            **{"chatlog__markdown-quote": SKIP, "chatlog__author-tag": SKIP, "chatlog__bot-label": SKIP},
        },
        {
            **{"chatlog__attachment-media": "사진", "chatlog__attachment": "파일", "chatlog__sticker": "이모티콘"},
        },
    ),
    HtmlChat(
        "iMessage, HTML",
        re.compile(r'<div class="message">\s*<div class="(?:sent|received)'),
        {
            **{"message": MESSAGE, "announcement": SYSTEM, "sender": SENDER, "timestamp": TIME, "bubble": TEXT},
            **{"replies": SKIP, "tapbacks": SKIP, "reactions": SKIP, "reply_context": SKIP, "reply_anchor": SKIP},
            **{"app_header": SKIP, "app_footer": SKIP, "edited": EDITED, "expressive": SKIP, "subject": TEXT},
        },
        {"attachment": "사진", "sticker": "이모티콘", "app": "파일"},
    ),
)

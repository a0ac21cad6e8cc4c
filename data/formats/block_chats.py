"""Chats in blocks of lines: one that says who and when, and below it what was said. An app a line in BLOCKS.

Discord: DiscordChatExporter 2.43 (PlainTextMessageWriter.cs). iMessage: imessage-exporter 2 (txt.rs).
Signal: sigtop 0.20 (fmt_text.go, fmt_text_short.go). Zoom: `meeting_saved_chat.txt` of Zoom 5 and 6.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from data.formats.app_lines import people_named
from data.formats.dates import CLOCK, NUMBERS, SPACE, date_order, in_order, month_of, on_day
from data.formats.files import Source
from data.formats.json_apps import STICKER, kind_of_file
from data.formats.messages import LONGEST_MESSAGE, Counts, Message, is_deleted
from data.formats.people import People

Lines = list[str]


@dataclass
class Said:
    """What a block says. `None` for its text is what the app says itself."""

    text: str | None
    time: datetime | None = None  # both where they do not stand in the first line
    sender: str = ""
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockChat:
    """One app's text; see `Format` in data/formats/messages.py.

    `header` has the groups of a CLOCK, those of a date unless the app writes none, and `sender` if it stands there;
    `said` reads the lines below. `lead` is how a file begins, where that alone tells the app.
    """

    name: str
    header: re.Pattern[str]
    said: Callable[[Lines], Said]
    lead: re.Pattern[str]

    def score(self, sample: list[str]) -> float:
        """Return a high share for a file that begins as the app's do, however long its messages are."""
        lines = [line.rstrip("\r\n") for line in sample if line.strip()]
        headers = sum(self.header.match(line) is not None for line in lines)
        begins = any(self.lead.match(line.lstrip("\ufeff")) for line in lines[:4])
        return max(headers / max(len(lines), 1), 0.6) if headers and begins else 0.0

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        order = self._order(source)
        people = People(counts)
        for found, lines in self._blocks(source, counts):
            counts.records += 1
            said = self.said(lines)
            sender = people.sender(None, said.sender or found.groupdict().get("sender"))
            people.add(*said.people)
            if said.text is None:
                counts.system += 1
            elif is_deleted(said.text):
                counts.deleted += 1
            else:
                time = said.time or _time(found, order)
                yield Message(time, sender or "unknown", said.text.strip())

    def _blocks(self, source: Source, counts: Counts) -> Iterator[tuple[re.Match[str], Lines]]:
        found: re.Match[str] | None = None
        lines: Lines = []
        length = 0
        for number, line in enumerate(source.lines(), 1):
            if line is None:
                counts.broken.append(number)
                continue
            bare = line.rstrip("\r\n")
            if begun := self.header.match(bare):
                if found is not None:
                    yield found, lines
                found, lines, length = begun, [], 0
            elif found is not None and length <= LONGEST_MESSAGE:
                lines.append(bare)
                length += len(bare) + 1
        if found is not None:
            yield found, lines

    def _order(self, source: Source) -> str:
        matched = filter(None, (self.header.match(line.rstrip("\r\n")) for line in source.sample))
        found = [one for one in matched if one.groupdict().get("first")]
        dotted = any(one.string[one.end("first") : one.start("middle")].startswith(".") for one in found[:3])
        numbers = [(int(one["first"]), int(one["middle"]), int(one["last"])) for one in found]
        return date_order(((triple, None) for triple in numbers), "dmy" if dotted else "mdy")


def _time(found: re.Match[str], order: str) -> datetime | None:
    groups = found.groupdict()
    try:
        if groups.get("first"):
            day = in_order((int(groups["first"]), int(groups["middle"]), int(groups["last"])), order)
        elif groups.get("month"):
            day = in_order((int(groups["year"]), month_of(groups["month"]), int(groups["day"])), "ymd")
        else:
            return None
    except ValueError:
        return None
    return on_day(day, found) if day else None


_SECTION = re.compile(r"\{(Attachments|Embed|Stickers|Reactions)\}$")
_END = re.compile(r"={20,}$")
_DISCORD_SAYS = re.compile(
    r"(?:Added .{1,100} to the (?:group|thread)|Removed .{1,100} from the (?:group|thread)|Left the (?:group|thread)"
    r"|Started a call that lasted [\d.,]+ minutes?|Changed the channel (?:name: .*|icon)|Pinned a message"
    r"|Started a thread|Joined the server)\.?"
)


def _discord(lines: Lines) -> Said:
    """Read a message; embeds and reactions are not said, a file or a sticker is where no word is."""
    said: Lines = []
    attached: Lines = []
    section = ""
    for line in lines:
        if _END.match(line):
            break
        if found := _SECTION.match(line):
            section = found[1]
            attached += [STICKER] if section == "Stickers" else []
        elif not section:
            said.append(line)
        elif section == "Attachments" and line.strip():
            attached.append(kind_of_file(line.strip()))
    text = "\n".join(said).strip()
    if _DISCORD_SAYS.fullmatch(text):
        return Said(None, people=tuple(people_named(f"You {text[:1].lower()}{text[1:]}")))
    return Said(text or next(iter(attached), ""))


_TAPBACKS = re.compile(r"(?:Tapbacks|Reactions):$")
_ANSWERED = re.compile(r"(?:This message responded to an earlier message\.|Sent with [A-Z][\w ]{2,30})$")


def _imessage(lines: Lines) -> Said:
    """Read a message below its time: the sender, then the text. Replies to it stand indented, and again later."""
    sender = next(iter(lines), "").strip()
    said: Lines = []
    inside = ""  # tapbacks, a reply or an announcement
    for line in lines[1:]:
        if inside == "reply" and (line.startswith("    ") or not line.strip()):
            continue
        if inside in ("tapbacks", "announcement") and line.strip():
            continue
        inside = "tapbacks" if _TAPBACKS.match(line) else "announcement" if _IMESSAGE_TIME.match(line) else ""
        inside = "reply" if not inside and _IMESSAGE_TIME.match(line.strip()) else inside
        if not inside and not _ANSWERED.match(line):
            said.append(line)
    text = "\n".join(said).strip()
    if text.startswith(("/", "~/")) and "\n" not in text and "." in text:
        text = kind_of_file(text)
    return Said(text, sender=sender) if sender else Said(None)


_IMESSAGE_TIME = re.compile(r"[A-Z][a-z]{2} \d{1,2}, \d{4} {1,2}\d{1,2}:\d\d:\d\d [AP]M\b")
_FIELD = re.compile(r"(Type|Sent|Received|Attachment|Reaction|Edited): (.*)$")
_REACTOR = re.compile(r".* from (.+)$")
_LINE_OF_THE_APP = re.compile(r"Type: (?!incoming|outgoing)[\w-]+$")


def _signal(lines: Lines) -> Said:
    """Read the fields below `From:` and the text below these. Quotations begin with `>`, earlier versions with `|`."""
    fields: dict[str, str] = {}
    people: Lines = []
    at = 0
    while at < len(lines) and (found := _FIELD.match(lines[at])):
        fields[found[1]] = found[2]
        if found[1] == "Reaction" and (reactor := _REACTOR.match(found[2])):
            people.append(reactor[1])
        at += 1
    end = next((place for place in range(at, len(lines)) if _LINE_OF_THE_APP.match(lines[place])), len(lines))
    lines = lines[:end]  # what the app says itself is from nobody
    versions = [line for line in lines[at:] if line.startswith("|")]
    text = "\n".join(line for line in lines[at:] if not line.startswith((">", "|"))).strip()
    if not text and versions:
        text = _newest(versions)
    if not text and "Attachment" in fields:
        kind = re.search(r"\((\w+/[\w.+-]+)", fields["Attachment"])
        text = kind_of_file(kind[1]) if kind else ""
    spoken = fields.get("Type") in ("incoming", "outgoing")
    sent = re.sub(r"^\w+, | [+-]\d{4}$", "", fields.get("Sent", ""))
    return Said(text if spoken else None, _rfc_time(sent), people=tuple(people))


def _rfc_time(written: str) -> datetime | None:
    """Return the time of `12 Jan 2026 15:04:05`."""
    found = _RFC_TIME.fullmatch(written)
    return _time(found, "ymd") if found else None


_RFC_TIME = re.compile(rf"(?P<day>\d{{1,2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>\d{{4}}) {CLOCK}")


def _newest(versions: Lines) -> str:
    """Return the text of the newest version of a message, which stands first: `| Version: 2`, fields, an empty line."""
    bare = [line.removeprefix("|").removeprefix(" ") for line in versions]
    end = next((place for place, line in enumerate(bare[1:], 1) if line.startswith("Version: ")), len(bare))
    body = [line for line in bare[1:end] if not line.startswith((">", "Sent: ", "Attachment: "))]
    return "\n".join(body).strip()


_DETAILS = re.compile(r" ?\[(?:(?:reply to (?P<whom>.+) on \d{4}-[\d: -]+|edited|\d+ attachments?)(?:, )?)+\]")
_KIND = re.compile(r" ?\[[\w-]+ message\]$")


def _signal_short(lines: Lines) -> Said:
    first, *others = lines
    details = _DETAILS.match(first)
    text = "\n".join([first[details.end() if details else 0 :], *others]).strip()
    if details and not text and "attachment" in details[0]:
        text = "파일"
    named = (details["whom"],) if details and details["whom"] else ()
    return Said(None if _KIND.fullmatch(first) else text, people=named)


_ZOOM_SAYS = re.compile(r"(?:Reacted to|Removed a .{1,20} reaction from) .*", re.DOTALL)
_REPLYING = re.compile(r'^Replying to "[^"\n]*(?:\n[^"\n]*)*"\s*\n')


def _zoom(lines: Lines) -> Said:
    text = "\n".join(line.removeprefix("\t") for line in lines).strip()
    return Said(None if _ZOOM_SAYS.fullmatch(text) else _REPLYING.sub("", text))


@dataclass(frozen=True)
class OneLine(BlockChat):
    """A block whose first line goes on with the text, in the group `text`."""

    def _blocks(self, source: Source, counts: Counts) -> Iterator[tuple[re.Match[str], Lines]]:
        for found, lines in super()._blocks(source, counts):
            yield found, [found["text"] or "", *lines]


_NAMED_DATE = r"(?P<month>[A-Z][a-z]{2,8}) (?P<day>\d{1,2}), (?P<year>\d{4})"
_SHORT_DATE = r"(?P<day>\d{1,2})-(?P<month>[A-Z][a-z]{2})-(?P<year>\d{2,4})"
_DISCORD = re.compile(
    rf"\ufeff?\[{NUMBERS},?{SPACE}{CLOCK}\]{SPACE}(?P<sender>(?!.*: )[^\n]{{1,100}}?)(?: \(pinned\))?\s*$"
)
_DISCORD_OLD = re.compile(
    rf"\ufeff?\[{_SHORT_DATE}{SPACE}{CLOCK}\]{SPACE}(?P<sender>(?!.*: )[^\n]{{1,100}}?)(?: \(pinned\))?\s*$"
)
_SIGNAL_SHORT = re.compile(rf"\ufeff?(?=\d{{4}}-){NUMBERS} {CLOCK} (?P<sender>[^\n:]{{1,100}}):(?P<text>(?: .*)?)$")
_ZOOM = re.compile(
    rf"\ufeff?(?:(?=\d{{4}}-){NUMBERS} )?{CLOCK}\s+From\s+(?P<sender>.{{1,100}}?)"
    r"(?:\s+[Tt]o\s+(?P<whom>.{1,100}?)(?:\((?:Direct Message|Privately)\))?)? ?:(?P<text>.*)$"
)
_ZOOM_RECORDED = re.compile(rf"\ufeff?{CLOCK}\t(?P<sender>[^\t\n]{{1,100}}):\t(?P<text>.*)$")
_GUILD = re.compile(r"={20,}$|Guild: |\ufeff?\[")

BLOCKS: tuple[BlockChat, ...] = (
    BlockChat("Discord, text", _DISCORD, _discord, _GUILD),
    BlockChat("Discord, text of before", _DISCORD_OLD, _discord, _GUILD),
    BlockChat(
        "iMessage, text",
        re.compile(rf"\ufeff?{_NAMED_DATE} {{1,2}}{CLOCK}(?: \((?:Read|Delivered) .*\))?\s*$"),
        _imessage,
        _IMESSAGE_TIME,
    ),
    BlockChat(
        "Signal (sigtop), text",
        re.compile(r"From: (?P<sender>.{1,200}?)(?: \(\+?[\d a-f-]{5,}\))?$"),
        _signal,
        re.compile("Conversation: "),
    ),
    OneLine("Signal (sigtop), short text", _SIGNAL_SHORT, _signal_short, _SIGNAL_SHORT),
    OneLine("Zoom", _ZOOM, _zoom, _ZOOM),
    OneLine("Zoom, of a recording", _ZOOM_RECORDED, _zoom, _ZOOM_RECORDED),
)

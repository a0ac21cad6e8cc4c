"""Chats as lines of text, in whatever layout: lines into records, records into messages.

A layout says what a message, a new day and a line of the app itself look like. A line that is none of these goes on
with the message before it. A message is looked for first, since people can write what looks like a line of the app.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice

from data.formats.app_lines import app_senders, people_named, says_the_app
from data.formats.dates import CLOCK, NUMBERS, date_order, in_order, month_of, on_day, weekday_of
from data.formats.files import Lookahead, Source
from data.formats.messages import LONGEST_MESSAGE, MARKS, Counts, Message, is_deleted

_EVERY: list["Layout"] = []  # all layouts there are
_NEAR, _ENOUGH = 30, 2  # records that are looked at for another layout, and messages in it that tell it
_STAMPED = re.compile(
    rf"[{MARKS}]*\W{{0,20}}(?:\d|[A-Z][a-z]{{2}}|[^\s\[\]]{{1,40}}\] \[|[\w ]{{1,100}}\] \[|오전|오후)"
)
# A line that begins as messages do, with a date and a time of day and then more: it may be one in an unknown way.
_LIKE_A_MESSAGE = re.compile(
    rf"[{MARKS}]*\W{{0,3}}(?:{NUMBERS}|[A-Z][a-z]{{2,8}}\.? \d{{1,2}}, \d{{4}})\W{{1,3}}(?:at )?{CLOCK}\W"
)
_AROUND_TEXT = MARKS.replace("\u2068", "").replace("\u2069", "") + " \t\n\r"  # a mention at the end keeps its bounds
Record = tuple[int, str | None]  # the number of its first line, and the text if it is any


@dataclass(frozen=True)
class Layout:
    """The way in which one app writes a chat.

    `message` has the groups sender and text and those of a CLOCK; it, or `day`, has those of a date.
    """

    name: str
    message: re.Pattern[str]
    day: re.Pattern[str]
    system: re.Pattern[str]
    system_sender: re.Pattern[str] | None = None  # a line of the app that looks like a message
    quotes: bool = False  # around a message of several lines

    def __post_init__(self) -> None:
        _EVERY.append(self)

    def begins(self, record: str) -> bool:
        """Return True if a message or a day in this layout begins here."""
        return self.message.match(record) is not None or (self.dated is self.day and self.day.match(record) is not None)

    def score(self, sample: list[str]) -> float:
        """Return the share of the lines in which a message begins."""
        lines = [line for line in sample if line.strip()]
        return sum(self.message.match(line) is not None for line in lines) / max(len(lines), 1)

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        """See `Format` in data/formats/messages.py."""
        records = _records(source.lines(), self.message, _crlf_ends_records(source.sample, self.message))
        if self.quotes:
            records = _unquoted(records, self.message)
        return _Reader(self, source, counts).messages(records)

    @property
    def dated(self) -> re.Pattern[str]:
        """The pattern that tells the date: of every message, or of the day that began above it."""
        return self.message if {"first", "month"} & self.message.groupindex.keys() else self.day

    def apps(self, source: Source) -> frozenset[str]:
        """Return the senders of this file who are the app."""
        found = filter(None, map(self.message.match, source.sample))
        return app_senders((_bare_sender(match["sender"]), match["text"] or "") for match in found)

    def date_order(self, source: Source) -> str:
        """Return the order of the dates in this file, decided by all of it unless they begin with the year in full."""
        if "first" not in self.dated.groupindex:
            return "ymd"
        found = next(filter(None, map(self.dated.match, source.sample)), None)
        if found is None or len(found["first"] or "2000") == 4:
            return "ymd"
        clock = next(filter(None, map(self.message.match, source.sample)), None)
        usual = "mdy" if clock and (clock["after"] or "").isupper() and "/" in found[0] else "dmy"
        if clock and clock["before"]:  # where the half of the day stands first, so does the year
            usual = "ymd"
        matches = (self.dated.match(line) for line in source.lines() if line is not None)
        return date_order(((_numbers(match), _weekday(match)) for match in matches if match), usual)


class _Reader:
    """The joining of one file's records to messages. All that stands before the first message is the header."""

    def __init__(self, layout: Layout, source: Source, counts: Counts) -> None:
        self._layout = layout
        self._source = source
        self._order = layout.date_order(source)
        self._counts = counts
        self._is_app = dict.fromkeys(layout.apps(source), True)  # by sender, as far as known
        self._day: date | None = None
        self._senders: set[str] = set()
        self._stamp = ""  # how the last message's time was written
        self._time: datetime | None = None
        self._sender = ""
        self._said: list[str] | None = None  # the lines of the message that is being read
        self._length = 0

    def messages(self, records: Iterable[Record]) -> Iterator[Message]:
        layout = self._layout
        following = Lookahead(records)
        for number, record in following:
            self._counts.records += 1
            if record is None:
                yield from self._finish()
                self._counts.broken.append(number)
            elif match := layout.message.match(record):
                yield from self._finish()
                self._begin(match)
            elif match := layout.day.match(record):
                yield from self._finish()
                if layout.dated is layout.day:
                    self._day, self._stamp = _day(match, self._order), ""
            elif (match := layout.system.match(record)) or self._is_invitation(record):
                yield from self._finish()
                if is_deleted(record):
                    self._counts.deleted += 1
                else:
                    self._count_app(record[match.end() if match and match.end() < len(record) else 0 :])
            elif (other := self._other_layout(record, following)) is not None:
                yield from self._finish()
                self._layout, self._order, self._day, self._stamp = other, other.date_order(self._source), None, ""
                layout = other
                if match := layout.message.match(record):
                    self._begin(match)
                elif match := layout.day.match(record):
                    self._day = _day(match, self._order)
            elif self._said is not None:
                self._go_on(record, number)
        yield from self._finish()

    def _begin(self, match: re.Match[str]) -> None:
        (start, end), text = match.span("sender"), match.start("text")
        stamp = match.string[:start] + match.string[end : text if text >= 0 else match.end()]
        if stamp != self._stamp:
            day = self._day if self._layout.dated is self._layout.day else _day(match, self._order)
            self._stamp, self._time = stamp, on_day(day, match) if day else None
        self._sender = _bare_sender(match["sender"])
        self._said, self._length = [match["text"] or ""], len(match.string)

    def _go_on(self, record: str, number: int) -> None:
        assert self._said is not None
        if _LIKE_A_MESSAGE.match(record):
            self._counts.odd.append(number)
        fits = self._length <= LONGEST_MESSAGE
        self._length += len(record)
        if self._length <= LONGEST_MESSAGE:
            self._said.append(record)
        elif fits:
            self._counts.broken.append(number)

    def _other_layout(self, record: str, following: Lookahead[Record]) -> Layout | None:
        """Return the layout in which the file goes on, where two exports were put together; None if it does not.

        One message in another layout is rather a quotation. A day without a date in every message may stand first.
        """
        if not _STAMPED.match(record):
            return None
        others = [layout for layout in _EVERY if layout is not self._layout and layout.begins(record)]
        if not others:
            return None
        near = [(number, text) for number, text in islice(following, _NEAR)]
        following.take_back(near)
        for other in others:
            begun = 0
            for _, text in near:
                if text is not None and self._layout.message.match(text):
                    break
                begun += text is not None and other.message.match(text) is not None
            if begun >= _ENOUGH:
                return other
        return None

    def _is_invitation(self, record: str) -> bool:
        """Return True for `X invited Y.` of an X who has spoken: KakaoTalk for Windows writes it like a second line."""
        return " invited " in record and record.split(" invited ")[0] in self._senders and record.endswith(".")

    def _count_app(self, line: str) -> None:
        self._counts.system += 1
        self._counts.people.update(people_named(line))

    def _is_of_the_app(self, raw: str) -> bool:
        """Return True if the first line of what is said under a name is the app's: it marks its own with U+200E."""
        if self._sender not in self._is_app:
            says = self._layout.system_sender
            self._is_app[self._sender] = says is not None and says.search(self._sender) is not None
        return self._is_app[self._sender] or (raw.startswith("\u200e") and says_the_app(raw))

    def _finish(self) -> Iterator[Message]:
        if self._said is None:
            return
        text = "\n".join(self._said).strip(_AROUND_TEXT)
        raw = self._said[0]
        self._said = None
        if self._is_of_the_app(raw):
            self._count_app(raw if says_the_app(raw) else f"{self._sender}: {raw}")
        elif is_deleted(text):
            self._counts.deleted += 1
        else:
            self._senders.add(self._sender)
            yield Message(self._time, self._sender, text)


def _bare_sender(name: str) -> str:
    """Return a sender's name without the marks and the tilde that apps put around it."""
    return name.strip(MARKS + " \u202f\u00a0").removeprefix("~").strip(MARKS + " \u202f\u00a0")


def _numbers(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match["first"]), int(match["middle"]), int(match["last"])


def _weekday(match: re.Match[str]) -> int | None:
    groups = match.groupdict()
    return weekday_of(groups.get("weekday") or groups.get("weekday_after"))


def _day(match: re.Match[str], order: str) -> date | None:
    groups = match.groupdict()
    try:
        if groups.get("first"):
            return in_order(_numbers(match), order)
        return in_order((int(groups["year"]), month_of(groups["month"]), int(groups["day"])), "ymd")
    except ValueError:
        return None


def _crlf_ends_records(sample: list[str], message: re.Pattern[str]) -> bool:
    """Return True if CRLF ends a record and LF only a line of it, as phones write and copies may have lost."""
    after_crlf = after_lf = 0
    before = ""
    for line in sample:
        if before and message.match(line):
            after_crlf += before.endswith("\r\n")
            after_lf += not before.endswith("\r\n")
        before = line
    return after_crlf > after_lf


def _records(lines: Iterable[str | None], message: re.Pattern[str], crlf: bool) -> Iterator[Record]:
    """Join the lines up to each CRLF, once the first message has been seen; without `crlf`, a line is a record."""
    held: list[str] = []
    first = length = number = 0
    began = False
    for number, line in enumerate(lines, 1):
        if line is None:
            if held:
                yield first, "\n".join(held)
                held = []
            yield number, None
            continue
        began = began or not crlf or message.match(line) is not None
        bare = line.rstrip("\r\n")
        if not crlf or not began or (not held and line.endswith("\r\n")):
            yield number, bare
            continue
        if not held:
            first, length = number, 0
        length += len(line)
        if length <= 2 * LONGEST_MESSAGE:
            held.append(bare)
        if line.endswith("\r\n"):
            yield first, "\n".join(held)
            held = []
    if held:
        yield first, "\n".join(held)


_MOST_QUOTED_LINES = 200


def _unquoted(records: Iterator[Record], message: re.Pattern[str]) -> Iterator[Record]:
    """Join the lines of messages in quotes, and take the quotes away.

    A quote that somebody typed and did not close ends with its line: quotes are told by their number, even in all.
    """
    following = Lookahead(records)
    for number, record in following:
        match = message.match(record) if record is not None else None
        if record is None or match is None or not match["text"].startswith('"'):
            yield number, record
            continue
        parts = [match["text"]]
        taken: list[Record] = []
        opened = parts[0].count('"') % 2 == 1
        begun = 0  # messages that seem to begin inside
        while opened and len(taken) < _MOST_QUOTED_LINES and 2 * begun <= max(len(taken), 2):
            if (one := next(following, None)) is None:
                break
            taken.append(one)
            if one[1] is None:
                break
            parts.append(one[1])
            begins = message.match(one[1]) is not None
            begun += begins
            opened ^= one[1].count('"') % 2 == 1
            if begins and not opened:
                opened = True  # it is rather another's message, with a quote that is not closed either
                break
        text = "\n".join(parts).rstrip()
        if not opened and "\n" in text and text.endswith('"'):
            inner = text[1:-1].replace('""', '"')
            yield number, record[: match.start("text")] + inner
        else:
            yield number, record
            following.take_back(taken)

"""Files of data/raw into messages.

Three kinds are read: a CSV export (`Date,User,Message`, as KakaoTalk for Mac writes it), a KakaoTalk text export in
Korean (Windows or mobile layout), and plain text, where every line stands for itself. A text file that seems to be a
chat in any other layout is refused: its names could not be found, so it would be trained on unmasked.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

COLUMNS = ("Date", "User", "Message")
PLAIN_TEXT = "plain text"


class DataError(ValueError):
    """Raw data that cannot be used. The message is meant for the user."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one person said at one time; in plain text both are unknown."""

    time: datetime | None
    user: str | None
    text: str


@dataclass
class Export:
    """One file's messages, and what was left out of it."""

    path: Path
    format: str
    messages: list[Message]
    system_lines: int = 0
    broken_lines: list[int] = field(default_factory=list)  # line numbers, from 1


def read_export(path: Path) -> Export:
    """Read one file, in the format that its name and lines tell.

    Raises DataError, its message starting with the path, if the file is empty, in no known encoding or layout, or
    without a message.
    """
    text = _decode(path)
    if not text.strip():
        raise DataError(f"{path}: is empty")
    export = _read_csv(path, text) if path.suffix.lower() == ".csv" else _read_text(path, text)
    if not export.messages:
        raise DataError(f"{path}: has no messages{_broken_rows_note(export.broken_lines)}")
    return export


def _decode(path: Path) -> str:
    """The file's text, from UTF-8 (with or without BOM) or CP949. Line ends are kept."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    line = 0
    for encoding in ("utf-8-sig", "cp949"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            line = max(line, raw.count(b"\n", 0, error.start) + 1)  # the encoding that fits came further
            continue
        if "\0" not in text:
            return text
        line = max(line, text.count("\n", 0, text.index("\0")) + 1)
    raise DataError(f"{path}, line {line}: is neither UTF-8 nor CP949 text; save it again as UTF-8")


# CSV

_ROW_START = re.compile(
    r'^"?\d{1,4}[-./년] ?\d{1,2}[-./월] ?\d{1,4}[^,\n]{0,12}\d{1,2}:\d{2}[^,\n]{0,8},', re.MULTILINE
)


def _read_csv(path: Path, text: str) -> Export:
    import pandas  # here, since it takes most of a second and `import data` need not

    rows, broken = _without_broken_rows("\n".join(_lines(text)))
    try:
        # keep_default_na, since "NA" and "null" are things that people say
        table = pandas.read_csv(io.StringIO(rows), dtype=str, keep_default_na=False, index_col=False)
    except ValueError:
        raise DataError(f"{path}: cannot be read as CSV{_broken_rows_note(broken)}") from None
    table.columns = table.columns.str.strip()
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns))[:80]
        raise DataError(f"{path}, line 1: no column {', '.join(missing)} (found: {found}); needed: {','.join(COLUMNS)}")

    said = table[table["User"].str.strip() != ""]  # rows of the app itself have no user
    times = pandas.to_datetime(said["Date"], errors="coerce", format="mixed", utc=True).dt.tz_localize(None)
    messages = [
        Message(None if pandas.isna(time) else time.to_pydatetime(), user.strip(), message)
        for time, user, message in zip(times, said["User"], said["Message"], strict=True)
    ]
    return Export(path, "CSV export", messages, len(table) - len(said), broken)


def _without_broken_rows(text: str) -> tuple[str, list[int]]:
    """Leave out the rows with wrong quotes or another number of columns than the header; also gives their lines.

    A quote that is never closed would swallow all rows after it: it ends at the next line that starts with a date.
    """
    kept: list[str] = []
    broken: list[int] = []
    columns = 0
    before = 1  # the number of the piece's first line
    edges = sorted({0, len(text), *(match.start() for match in _ROW_START.finditer(text))})
    for start, end in pairwise(edges):
        lines = list(io.StringIO(text[start:end]))
        rows = csv.reader(lines, strict=True)
        done = 0
        try:
            for row in rows:
                columns = columns or len(row)
                if row and len(row) != columns:
                    broken.append(before + done)
                else:
                    kept += lines[done : rows.line_num]
                done = rows.line_num
        except csv.Error:
            broken.append(before + done)
        before += len(lines)
    return "".join(kept), broken


def _broken_rows_note(lines: list[int]) -> str:
    if not lines:
        return ""
    return f" ({len(lines)} broken rows, the first in line {lines[0]})"


# Text


@dataclass(frozen=True)
class _Layout:
    """How one app writes a chat: `message` has user, text and a time, `day` a date for the messages after it."""

    name: str
    message: re.Pattern[str]
    day: re.Pattern[str]
    system: re.Pattern[str]


_DATE = r"(?P<year>\d{4})년 (?P<month>\d{1,2})월 (?P<day>\d{1,2})일"
_TIME = r"(?:(?P<half>오전|오후) )?(?P<hour>\d{1,2}):(?P<minute>\d{2})"
_LAYOUTS = (
    _Layout(
        "KakaoTalk for Windows",
        message=re.compile(rf"\[(?P<user>.+?)\] \[{_TIME}\] ?(?P<text>(?s:.*))"),
        day=re.compile(rf"-{{5,}} {_DATE} .+ -{{5,}}"),
        # These stand bare, like the second line of a message, so their wording has to tell them.
        system=re.compile(
            r".+님(?:이|을) (?:.+님을 )?(?:들어왔|나갔|초대했|초대하였|내보냈|부방장이 되었)습니다\..*"
            r"|(?:채팅방 관리자가|관리자가) 메시지를 가렸습니다\..*"
            r"|.+ (?:joined|left|has been removed from) this chatroom\..*"
        ),
    ),
    _Layout(
        "KakaoTalk mobile",
        message=re.compile(rf"{_DATE} {_TIME}, (?P<user>.+?) : ?(?P<text>(?s:.*))"),
        day=re.compile(rf"{_DATE} {_TIME}"),
        system=re.compile(rf"{_DATE} {_TIME}, (?s:.*)"),
    ),
)
_CHAT_HEADER = re.compile(r"카카오톡 대화|KakaoTalk Chats|저장한 날짜 ?:|Date Saved ?:|^\[LINE\]", re.MULTILINE)
_CLOCK = re.compile(r".{0,60}?(?<!\d)\d{1,2}:\d{2}(?!\d)")
_CHAT_SHARE = 0.1  # of the lines are messages: the rest are second lines, days and system lines
_CLOCK_SHARE = 1 / 3  # of the lines tell a time of day: this is a chat, whoever wrote it


def _read_text(path: Path, text: str) -> Export:
    """A chat in the layout that fits most lines, or plain text."""
    lines = [line for line in _lines(text) if line.strip()]
    scores = [sum(layout.message.fullmatch(line) is not None for line in lines) for layout in _LAYOUTS]
    best = max(scores)
    if best >= _CHAT_SHARE * len(lines):
        return _read_chat(path, text, _LAYOUTS[scores.index(best)])
    if _CHAT_HEADER.search("\n".join(lines[:5])) or sum(map(bool, map(_CLOCK.match, lines))) > _CLOCK_SHARE * len(
        lines
    ):
        raise DataError(
            f"{path}: looks like a chat export in a layout that is not known, so its names could not be masked; "
            "export it again as Korean KakaoTalk text or as CSV"
        )
    return Export(path, PLAIN_TEXT, [Message(None, None, line) for line in lines])


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_chat(path: Path, text: str, layout: _Layout) -> Export:
    """Join the lines of each message; what stands before the first message is the header."""
    said: list[tuple[datetime | None, str, list[str]]] = []
    system_lines = 0
    day: re.Match[str] | None = None
    inside = False  # a message, which the next bare line goes on
    for record in _records(text):
        if message := layout.message.fullmatch(record):
            said.append((_time(message, day), message["user"].strip(), [message["text"]]))
            inside = True
        elif found := layout.day.fullmatch(record):
            day, inside = found, False
        elif layout.system.fullmatch(record):
            system_lines += 1
            inside = False
        elif inside:
            said[-1][2].append(record)
    messages = [Message(time, user, "\n".join(parts).strip()) for time, user, parts in said]
    return Export(path, layout.name, messages, system_lines)


def _records(text: str) -> Iterator[str]:
    """Mobile exports end a record with CRLF and keep LF for inside a message; copies saved again may have one only."""
    for record in text.split("\r\n") if "\r\n" in text else text.split("\n"):
        yield record.strip("\n")


def _time(message: re.Match[str], day: re.Match[str] | None) -> datetime | None:
    date = message if "year" in message.re.groupindex else day
    if date is None:
        return None
    hour = int(message["hour"])
    if message["half"]:
        hour = hour % 12 + (12 if message["half"] == "오후" else 0)
    try:
        return datetime(int(date["year"]), int(date["month"]), int(date["day"]), hour, int(message["minute"]))
    except ValueError:
        return None

"""Chats as tables: `Date,User,Message` as KakaoTalk for Mac writes it, also after a spreadsheet has changed it.

The columns are told by the header's names, in whatever order, or by rows that begin with a date.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from data.formats.dates import cell_numbers, cell_time, date_order
from data.formats.files import Lookahead, Source
from data.formats.messages import LONGEST_MESSAGE, Counts, Message, is_deleted

COLUMNS = ("Date", "User", "Message")
_NAMES = (
    frozenset({"date", "datetime", "time", "timestamp", "날짜", "시간", "일시"}),
    frozenset({"user", "sender", "name", "from", "author", "사용자", "이름", "보낸사람", "보낸 사람", "작성자"}),
    frozenset({"message", "text", "content", "msg", "메시지", "내용", "대화"}),
)
_DELIMITERS = ",;\t"
_SEP = re.compile(r"sep=.\s*$", re.IGNORECASE)  # a line for Excel, before the header
_DATE_CELL = re.compile(r'"?(?:\d{1,4}[-./년] ?\d{1,2}[-./월] ?\d{1,4}|[34]\d{4}[.,]\d+)[^,;\t\n]{0,30}?"?(?=[,;\t])')
_MOST_LINES = 1000  # of one row


@dataclass(frozen=True)
class _Shape:
    delimiter: str
    columns: tuple[int, int, int]  # where date, user and message stand
    width: int
    header: bool


class Table:
    """A chat as a table; see data.messages.Format."""

    name = "CSV export"

    def score(self, sample: list[str]) -> float:
        """The share of the lines that are a row which begins with a date; at least a half with the right header."""
        shape = _shape(sample)
        if shape is None:
            return 0.0
        lines = [line.rstrip("\r\n") for line in sample if line.strip()]
        share = sum(_is_row(line, shape) for line in lines) / len(lines)
        return max(share, 0.5) if shape.header else share

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        shape = _shape(source.sample)
        assert shape is not None, "this file scored nothing"
        order = self._date_order(source, shape)
        date, user, message = shape.columns
        for number, row in _rows(source, shape):
            if row is None:
                counts.broken.append(number)
                continue
            sender, text = row[user].strip(), row[message].strip()
            if is_deleted(text):
                counts.deleted += 1
            elif not sender or _says_the_app(sender, text):
                counts.system += 1
            else:
                yield Message(cell_time(row[date].strip(), order), sender, text)

    @staticmethod
    def _date_order(source: Source, shape: _Shape) -> str:
        cells = [row[shape.columns[0]].strip() for row in _sample_rows(source.sample, shape)]
        numbers = list(filter(None, map(cell_numbers, cells)))
        if all(first > 999 for first, _, _ in numbers):
            return "ymd"
        column = shape.columns[0]
        every = (cell_numbers(row[column].strip()) for _, row in _rows(source, shape) if row is not None)
        usual = "dmy" if any("." in cell for cell in cells[:3]) else "mdy"
        return date_order(((triple, None) for triple in every if triple), usual)


def _is_row(line: str, shape: _Shape) -> bool:
    if not _DATE_CELL.match(line):
        return False
    cells = _cells(line, shape.delimiter)
    return len(cells) == shape.width if cells else line.count('"') % 2 == 1  # it may go on in the next line


def _says_the_app(sender: str, text: str) -> bool:
    """Whether it is what the app said of this person, which stands under their name: `나` and `나님이 나갔습니다.`"""
    if not text.startswith(sender):
        return False
    return _OF_THE_SENDER.fullmatch(text, len(sender)) is not None


_OF_THE_SENDER = re.compile(
    r"님(?:이|을) (?:[^\n]{1,200}을 )?(?:들어왔|나갔|초대했|초대하였|내보냈|부방장이 되었)습니다\.[^\n]*"
    r"| (?:joined|left|has been removed from) this chatroom\.| invited [^\n]{1,200}\."
)


def _shape(sample: list[str]) -> _Shape | None:
    lines = [line for line in sample if line.strip()]
    if lines and _SEP.match(lines[0]):
        lines = lines[1:]
    if not lines:
        return None
    for delimiter in _DELIMITERS:
        names = [cell.strip().lower() for cell in _cells(lines[0].rstrip("\r\n"), delimiter) or []]
        found = [next((index for index, name in enumerate(names) if name in known), -1) for known in _NAMES]
        if min(found) >= 0:
            width = max(index for index, name in enumerate(names, 1) if name)
            return _Shape(delimiter, (found[0], found[1], found[2]), width, header=True)
    dated = [line for line in lines if _DATE_CELL.match(line)]
    counts = {delimiter: sum(line.count(delimiter) >= 2 for line in dated) for delimiter in _DELIMITERS}
    best = max(counts, key=lambda delimiter: counts[delimiter])
    if counts[best] == 0:
        return None
    return _Shape(best, (0, 1, 2), 3, header=False)


def header_names(sample: list[str]) -> str:
    """The first line, as a hint of what was found where a table's header was looked for."""
    return next((line.strip() for line in sample if line.strip()), "")[:80]


def _cells(row: str, delimiter: str) -> list[str] | None:
    """The cells of a row; None if its quotes are wrong."""
    if '"' not in row:
        return row.split(delimiter)
    try:
        rows = list(csv.reader([row], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _sample_rows(sample: list[str], shape: _Shape) -> list[list[str]]:
    cells = (_cells(line.rstrip("\r\n"), shape.delimiter) for line in sample[1:1000])
    return [row for row in cells if row and len(row) >= shape.width]


def _rows(source: Source, shape: _Shape) -> Iterator[tuple[int, list[str] | None]]:
    """All rows below the header with the number of their first line; None for a broken one.

    A row goes on over the line's end inside quotes. A quote that is never closed would swallow all rows after it: if
    what it encloses is no row, only its first line is broken, and reading goes on with the next.
    """
    lines = Lookahead(enumerate(source.lines(), 1))
    header = shape.header
    for number, line in lines:
        if line is None:
            yield number, None
            continue
        row = line.rstrip("\r\n")
        if not row.strip() or (header and _SEP.match(row)):
            continue
        taken: list[tuple[int, str | None]] = []
        if row.count('"') % 2:
            row, taken = _through_quotes(row, lines)
        cells = _cells(row, shape.delimiter)
        if cells is not None and len(cells) > shape.width and not any(cells[shape.width :]):
            cells = cells[: shape.width]  # a spreadsheet's empty columns
        if cells is not None and len(cells) != shape.width:
            cells = None
        if cells is None:
            lines.take_back(taken)
        if not header:
            yield number, cells
        header = False


def _through_quotes(row: str, lines: Lookahead[tuple[int, str | None]]) -> tuple[str, list[tuple[int, str | None]]]:
    """The row with the lines up to the one that closes its quotes, and these lines."""
    parts, length, opened = [row], len(row), True
    taken: list[tuple[int, str | None]] = []
    for one in lines:
        taken.append(one)
        line = one[1]
        if line is None or len(taken) >= _MOST_LINES or length > LONGEST_MESSAGE:
            break
        parts.append(line.rstrip("\r\n"))
        length += len(line)
        opened ^= line.count('"') % 2 == 1
        if not opened:
            break
    return "\n".join(parts), taken

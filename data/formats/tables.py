"""Chats as tables: `Date,User,Message` as KakaoTalk for Mac writes it, also after a spreadsheet has changed it.

The columns are told by the header's names, in whatever order, by rows that begin with a date, or by what stands in
them (`data/formats/columns.py`).

pandas cuts rows into cells, many at a time. Where a row ends, and whether it is one, is found out before: pandas says
of no row in which line it began, takes a row that is too short for whole, and reads on to the end of the file after a
quote that nobody closed. Only who reads a table loads pandas, so what tells the formats apart, line by line, uses csv.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO

from data.formats.app_lines import app_senders, people_named
from data.formats.columns import Columns, by_content, by_name, said
from data.formats.dates import cell_numbers, cell_time, date_order
from data.formats.files import Lookahead, Source
from data.formats.messages import LONGEST_MESSAGE, Counts, Message, is_deleted
from data.formats.people import People

COLUMNS = ("Date", "User", "Message")
_DELIMITERS = ",;\t"
_SEP = re.compile(r"sep=.\s*$", re.IGNORECASE)  # a line for Excel, before the header
_DATE_CELL = re.compile(r'"?(?:\d{1,4}[-./년] ?\d{1,2}[-./월] ?\d{1,4}|[34]\d{4}[.,]\d+)[^,;\t\n]{0,30}?"?(?=[,;\t])')
_LOOKED_AT = 500  # lines that tell columns by what stands in them
_MOST_LINES = 1000  # of one row
_ROWS_AT_ONCE, _CHARACTERS_AT_ONCE = 10_000, 4 << 20  # given to pandas, so that memory does not grow with the file

Row = tuple[str, ...]  # date, user, message, and what else Columns names


@dataclass(frozen=True)
class _Shape:
    """The way in which one file writes its rows."""

    delimiter: str
    columns: Columns
    width: int
    header: bool

    @cached_property
    def row(self) -> re.Pattern[str]:
        """The pattern of a row; group 1 has as many cells as there are columns, and only empty ones may follow."""
        other = rf"[^{self.delimiter}\n]"
        # nothing is given back, for which a row of a million quotes would take half a GB
        cell = rf'(?:"[^"]*+(?:""[^"]*+)*+"|(?!"){other}*+)(?={self.delimiter}|\Z)'
        return re.compile(rf'({cell}(?:{self.delimiter}{cell}){{{self.width - 1}}})(?:{self.delimiter}(?:"")?)*')


class Table:
    """A chat as a table; see `Format` in data/formats/messages.py."""

    name = "CSV export"

    def score(self, sample: list[str]) -> float:
        """Return the share of the lines that are rows with a date first; with the right header, a half at least."""
        shape = _shape(sample)
        if shape is None:
            return 0.0
        if shape.columns.date != 0 and not shape.header:
            return 0.5  # its columns were told by what stands in them
        lines = [line.rstrip("\r\n") for line in sample if line.strip()]
        share = sum(_is_row(line, shape) for line in lines) / len(lines)
        return max(share, 0.5) if shape.header else share

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        shape = _shape(source.sample)
        assert shape is not None, "this file scored nothing"
        sample = [[row[number] for number in shape.columns.all] for row in _sample_rows(source.sample, shape)]
        yield from messages_of(_rows(source, shape), shape.columns, self._date_order(source, shape), sample, counts)

    @staticmethod
    def _date_order(source: Source, shape: _Shape) -> str:
        cells = [row[shape.columns.date].strip() for row in _sample_rows(source.sample, shape)]
        numbers = list(filter(None, map(cell_numbers, cells)))
        if all(first > 999 for first, _, _ in numbers):
            return "ymd"
        every = (cell_numbers(row[0].strip()) for _, row in _rows(source, shape) if row is not None)
        usual = "dmy" if any("." in cell for cell in cells[:3]) else "mdy"
        return date_order(((triple, None) for triple in every if triple), usual)


def messages_of(
    rows: Iterable[tuple[int, Row | None]],
    columns: Columns,
    order: str,
    sample: Iterable[Sequence[str]],
    counts: Counts,
) -> Iterator[Message]:
    """Yield the messages of rows that have the cells of `columns.all`, given with their numbers; None is a broken one.

    Of the sample it is told which senders are the app.
    """
    apps = app_senders((row[1].strip(), row[2].strip()) for row in sample)
    people = People(counts)
    numbers = columns.all
    identity = numbers.index(columns.identity) if columns.identity is not None else None
    names = [numbers.index(number) for number in columns.names]
    for number, row in rows:
        counts.records += 1
        if row is None:
            counts.broken.append(number)
            continue
        sender, text = row[1].strip(), said(row, columns)
        more = [row[name].strip() for name in names]
        if identity is not None:
            sender = people.sender(row[identity].strip(), sender, *more)
        elif names:
            people.add(*more)
            sender = sender or next(filter(None, more), "")
        if text is not None and is_deleted(text):
            counts.deleted += 1
        elif text is None or not sender or sender in apps or _says_the_app(sender, text):
            counts.system += 1
            counts.people.update(people_named(row[2].strip()))
        else:
            yield Message(cell_time(row[0].strip(), order), sender, text)


def _is_row(line: str, shape: _Shape) -> bool:
    if not _DATE_CELL.match(line):
        return False
    cells = _cells(line, shape.delimiter)
    return len(cells) == shape.width if cells else line.count('"') % 2 == 1  # it may go on in the next line


def _says_the_app(sender: str, text: str) -> bool:
    """Return True for what the app says of a person under that person's name: `나` and `나님이 나갔습니다.`"""
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
        names = _cells(lines[0].rstrip("\r\n"), delimiter) or []
        found = by_name(names)
        if found is not None:
            width = max(index for index, name in enumerate(names, 1) if name.strip())
            return _Shape(delimiter, found, width, header=True)
    dated = [line for line in lines if _DATE_CELL.match(line)]
    counts = {delimiter: sum(line.count(delimiter) >= 2 for line in dated) for delimiter in _DELIMITERS}
    best = max(counts, key=lambda delimiter: counts[delimiter])
    if counts[best] == 0:
        return _shape_of_content(lines)
    return _Shape(best, Columns(0, 1, 2), 3, header=False)


def _shape_of_content(lines: list[str]) -> _Shape | None:
    """Return the shape of rows whose columns are told by what stands in them; None if they are none, or not clearly."""
    for delimiter in _DELIMITERS:
        rows = [row for line in lines[:_LOOKED_AT] if (row := _cells(line.rstrip("\r\n"), delimiter)) is not None]
        width = len(rows[0]) if rows else 0
        alike = [row for row in rows if len(row) == width]
        if width < 3 or len(alike) < 0.9 * len(rows):
            continue
        found = by_content(alike)
        if found is not None:
            header = cell_time(rows[0][found.date].strip(), "ymd") is None
            return _Shape(delimiter, found, width, header=header)
    return None


def header_names(sample: list[str]) -> str:
    """Return the first line, to show what was found where a table's header was looked for."""
    return next((line.strip() for line in sample if line.strip()), "")[:80]


def _cells(row: str, delimiter: str) -> list[str] | None:
    """Return the cells of a row; None if its quotes are wrong."""
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


def _rows(source: Source, shape: _Shape) -> Iterator[tuple[int, Row | None]]:
    """Yield all rows below the header with the number of their first line; None for a broken one."""
    for chunk in _chunks(_records(source, shape)):
        cells = _cells_of([record for _, record in chunk if record is not None], shape)
        for number, record in chunk:
            yield number, None if record is None else next(cells)


def _cells_of(records: list[str], shape: _Shape) -> Iterator[Row]:
    """Return date, user and message of each record; all of them are rows of this shape."""
    if not records:
        return iter(())
    import pandas  # here and nowhere else: it takes a second to load, and only tables need it

    frame = pandas.read_csv(
        StringIO("\n".join(["", *records])),
        skiprows=1,  # of the first line it would take a mark of the byte order away
        sep=shape.delimiter,
        header=None,
        names=range(shape.width),
        index_col=False,
        dtype=object,  # texts, the same in all versions of pandas
        na_filter=False,  # somebody may write "NA"
        skip_blank_lines=False,
        lineterminator="\n",
    )
    return zip(*(frame[column].tolist() for column in shape.columns.all))


def _chunks(records: Iterable[tuple[int, str | None]]) -> Iterator[list[tuple[int, str | None]]]:
    chunk: list[tuple[int, str | None]] = []
    characters = 0
    for number, record in records:
        chunk.append((number, record))
        characters += len(record or "")
        if len(chunk) >= _ROWS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _records(source: Source, shape: _Shape) -> Iterator[tuple[int, str | None]]:
    """Yield the text of each row below the header with the number of its first line; None for a broken one.

    A row goes on over the line's end inside quotes. A quote that is never closed would swallow all rows after it: if
    what it encloses is no row, only its first line is broken, and reading goes on with the next.
    """
    lines = Lookahead(enumerate(source.lines(), 1))
    header = shape.header
    for number, line in lines:
        if line is None:
            yield number, None
            continue
        text = line.rstrip("\r\n")
        if not text.strip() or (header and _SEP.match(text)):
            continue
        taken: list[tuple[int, str | None]] = []
        if text.count('"') % 2:
            text, taken = _through_quotes(text, lines)
        row = shape.row.fullmatch(text.rstrip("\n"))
        if row is None:
            lines.take_back(taken)
        if not header:
            yield number, None if row is None else row[1]
        header = False


def _through_quotes(row: str, lines: Lookahead[tuple[int, str | None]]) -> tuple[str, list[tuple[int, str | None]]]:
    """Return the row with the lines up to the one that closes its quotes, and these lines."""
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

"""Chats in sheets: Excel's .xlsx, OpenDocument's .ods, and Parquet, read by pandas with every cell as text.

What reads them is an extra (`tables` in setup.py): a household's export is text. A sheet is unpacked once to see that
it is whole and of a chat's size, since what reads it would take a bomb into memory.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from data.errors import DataError
from data.formats.columns import Columns, by_content, by_name
from data.formats.dates import cell_numbers, date_order
from data.formats.files import EXCEL, OPENDOCUMENT, PARQUET, UNREADABLE, Source
from data.formats.messages import Counts, Message
from data.formats.tables import COLUMNS, messages_of
from data.terminal import printable

MOST_UNPACKED = 512 << 20  # bytes; a million rows of a chat are 200 MB
_MOST_REPEATED = 100_000  # cells that an OpenDocument sheet has once and means so often
_ROWS_AT_ONCE = 20_000
_LOOKED_AT = 500  # rows that tell the columns
_REPEATED = re.compile(rb'number-(columns|rows)-repeated="(\d{1,12})"')
_NAMES = {EXCEL: "Excel sheet", OPENDOCUMENT: "OpenDocument sheet", PARQUET: "Parquet table"}


class Workbook:
    """One kind of sheet; see `Format` in data/formats/messages.py. Its files are told by their bytes, not by lines."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.name = _NAMES[kind]

    def score(self, sample: list[str]) -> float:
        return 0.0

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        """Yield the messages of all sheets that are chats. Raises DataError if none is, or it cannot be read."""
        found = False
        for number, rows in enumerate(self._sheets(source)):
            first = rows[:_LOOKED_AT]
            columns = _columns(first)
            if columns is None:
                continue
            found = True
            header = by_name(first[0]) is not None
            cells = [[row[place] for place in columns.all] for row in rows[header:]]
            order = _order([row[0] for row in cells])
            numbered = enumerate(map(tuple, cells), 1 + header)
            for message in messages_of(numbered, columns, order, cells[:_LOOKED_AT], counts):
                yield Message(message.time, message.sender, message.text, number)
        if not found:
            raise DataError(
                f"{source.name}: has no sheet with the columns {', '.join(COLUMNS)}; name them so in its first row"
            )

    def _sheets(self, source: Source) -> Iterator[list[list[str]]]:
        """Yield the rows of each sheet."""
        if self._kind == PARQUET:
            yield list(_parquet(source))
            return
        _check(source, self._kind)
        import pandas

        try:
            with pandas.ExcelFile(source.whole(), engine="calamine") as book:
                for name in book.sheet_names:
                    frame = book.parse(name, header=None, dtype=object, na_filter=False)
                    yield _as_text(frame)
        except ImportError:
            _say_what_is_missing(source)
        except DataError:
            raise
        except Exception as error:  # whatever a damaged sheet makes of the library that reads it
            raise DataError(f"{source.name}: cannot be read ({printable(str(error))[:100]}); save it as CSV") from None


def _as_text(frame: Any) -> list[list[str]]:
    """Return a frame's cells as text, in little memory: a date as ISO writes it, a whole number without its point."""
    columns = [[_text(cell) for cell in frame[name].tolist()] for name in frame.columns]
    return [list(row) for row in zip(*columns) if any(row)]


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _parquet(source: Source) -> Iterator[list[str]]:
    try:
        import pyarrow.parquet
    except ImportError:
        _say_what_is_missing(source)
    try:
        with pyarrow.parquet.ParquetFile(source.whole()) as table:
            simple = [field.name for field in table.schema_arrow if not pyarrow.types.is_nested(field.type)]
            yield simple
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=simple):
                yield from _as_text(batch.to_pandas(date_as_object=True, timestamp_as_object=True))
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{source.name}: cannot be read ({printable(str(error))[:100]}); save it as CSV") from None


def _say_what_is_missing(source: Source) -> NoReturn:
    raise DataError(
        f"{source.name}: what reads such tables is not installed; pip install -e '.[tables]', or save it as CSV"
    ) from None


def _columns(rows: Sequence[list[str]]) -> Columns | None:
    return by_name(rows[0]) or by_content(rows) if rows and len(rows[0]) >= 3 else None


def _order(cells: Iterable[str]) -> str:
    numbers = list(filter(None, map(cell_numbers, map(str.strip, cells))))
    if all(first > 999 for first, _, _ in numbers):
        return "ymd"
    return date_order(((triple, None) for triple in numbers), "mdy")


def _check(source: Source, kind: str) -> None:
    """Raise DataError unless the sheet unpacks whole to the size of a chat, and has no macros."""
    repeated, unpacked = 0, 0
    try:
        with zipfile.ZipFile(source.whole()) as archive:
            names = archive.namelist()
            if any(name.lower().endswith("vbaproject.bin") or name.startswith("Basic/") for name in names):
                raise DataError(f"{source.name}: holds macros; save it as .xlsx without them, or as CSV")
            if b"manifest:encryption-data" in _small(archive, "META-INF/manifest.xml"):
                raise DataError(f"{source.name}: is locked with a password; save it without one, or as CSV")
            for info in archive.infolist():
                if not info.filename.lower().endswith(".xml"):
                    continue
                with archive.open(info) as member:
                    while piece := member.read(1 << 20):
                        unpacked += len(piece)
                        if unpacked > MOST_UNPACKED:
                            raise DataError(f"{source.name}: would unpack to more than 512 MB, which no chat does")
                        if kind == OPENDOCUMENT:
                            repeated += _meant(piece)
    except DataError:
        raise
    except (*UNREADABLE, ValueError) as error:
        raise DataError(f"{source.name}: is damaged ({error}); save it again, or as CSV") from None
    if repeated > _MOST_REPEATED:
        raise DataError(f"{source.name}: repeats {repeated:,} cells, which no chat does; save it as CSV")


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        return b""
    with archive.open(name) as member:
        return member.read(1 << 20)


_EMPTY = re.compile(
    rb'<table:table-(?:column|row|cell)[^<>]*-repeated="\d+"[^<>]*(?:/>|>\s*<table:table-cell[^<>]*/>\s*</table:table-row>)'
)


def _meant(piece: bytes) -> int:
    """Return how many cells a piece of an OpenDocument sheet repeats; those that fill it up to its end do not count."""
    return sum(int(found[2]) for found in _REPEATED.finditer(_EMPTY.sub(b"", piece)))

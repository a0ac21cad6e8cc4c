"""The files that a user has: folders and .zip archives opened, each file as lines of text.

Nothing of an archive is ever written to the disk, and its names are only shown. Lines are bounded, so that a file of
gigabytes in one line costs no memory.
"""

import io
import os
import re
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, TypeVar

from data.errors import DataError
from data.terminal import printable

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it opens no such archives
    LZMAError = OSError  # type: ignore[assignment, misc]

T = TypeVar("T")

LONGEST_LINE = 8 << 20  # bytes; longer ones are left out
SAMPLE = 1 << 20  # bytes that tell encoding and format
MOST_BAD = 0.3  # of the first lines that may be no text; more, and the file is none
MOST_MEMBERS = 10_000  # files of an archive
MOST_UNPACKED = 8 << 30  # bytes of an archive
MOST_IN_MEMORY = 64 << 20  # bytes of a table in an archive, which is read at any place
MOST_EXPANSION = 200  # times its packed size: chats pack to a fifth, bombs to a thousandth

_MEDIA = frozenset(
    """
    .jpg .jpeg .png .gif .webp .heic .bmp .tif .tiff .svg .ico .mp4 .mov .avi .mkv .webm .3gp .m4v .mp3 .m4a .aac .amr
    .ogg .opus .oga .wav .flac .caf .pdf .doc .docx .ppt .pptx .hwp .hwpx .vcf .apk .exe .tgs .css
    .js .woff .woff2 .ttf
    """.split()  # noqa: SIM905
)
EXCEL, OPENDOCUMENT, PARQUET = "xlsx", "ods", "parquet"  # kinds of tables that are no text
_NOT_FOR_PEOPLE = frozenset({"desktop.ini", "thumbs.db", "__macosx"})
UNREADABLE = (
    *(OSError, EOFError, zlib.error, LZMAError, zipfile.BadZipFile, NotImplementedError),
    *(UnicodeDecodeError, struct.error),  # of an archive whose headers are damaged
)


class Lookahead(Iterator[T]):
    """An iterator that takes back what was read too far."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._waiting: deque[T] = deque()

    def __next__(self) -> T:
        return self._waiting.popleft() if self._waiting else next(self._items)

    def take_back(self, items: Sequence[T]) -> None:
        """Give these again, in their order, before all others."""
        self._waiting.extendleft(reversed(items))


@dataclass(frozen=True)
class Source:
    """One file, or one file in an archive."""

    path: Path
    size: int  # bytes, unpacked
    modified: int  # nanoseconds since 1970, of the file or its archive
    member: int | None = None  # its number in the archive
    member_name: str = ""
    kind: str = ""  # of a table that is no text

    @property
    def name(self) -> str:
        """The name that the user knows it by, in one line."""
        return printable(f"{self.path}/{self.member_name}" if self.member_name else str(self.path))

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Give the block its bytes. Raises DataError if they cannot be read, also while the block reads them."""
        try:
            if self.member is None:
                with self.path.open("rb") as file:
                    yield file
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(archive.infolist()[self.member]) as file:
                    yield io.BufferedReader(file, 1 << 16)  # type: ignore[type-var]  # three times as fast
        except UNREADABLE as error:
            raise DataError(f"{self.name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None

    @property
    def file_name(self) -> str:
        """The name of the file alone, without its folders."""
        return Path(self.member_name).name if self.member is not None else self.path.name

    def whole(self) -> Path | IO[bytes]:
        """Return what a library can open that reads a file at any place: its path, or an archive's member in memory.

        Raises DataError if it cannot be read, or is a member of more than MOST_IN_MEMORY.
        """
        if self.member is None:
            return self.path
        with self.open() as file:
            content = file.read(MOST_IN_MEMORY + 1)
        if len(content) > MOST_IN_MEMORY:
            raise DataError(f"{self.name}: has more than {MOST_IN_MEMORY >> 20} MB in a .zip; unpack it first")
        return io.BytesIO(content)

    def beside(self, pattern: str) -> "Source | None":
        """Return the file in this one's folder or the one above it, in the same archive, whose name fits; None if none.

        `pattern` is a name, or one with a *; of several files the first by name is taken.
        """
        try:
            if self.member is None:
                folder = self.path.absolute().parent
                places = [sorted(one.glob(pattern)) for one in (folder, folder.parent)]
                return next((_on_disk(path) for paths in places for path in paths if path.is_file()), None)
            folders = [Path(self.member_name).parent, Path(self.member_name).parent.parent]
            found = [one for one in self._members_beside() if fnmatchcase(one.file_name, pattern)]
            inside = (one for folder in folders for one in found if Path(one.member_name).parent == folder)
            return next(inside, None)
        except (*UNREADABLE, ValueError):
            return None

    def heads_beside(self, above: bool, suffix: str) -> Iterator[bytes]:
        """Yield the first SAMPLE bytes of the other files with this ending in its folder.

        If `above` is true, they are those in the folders beside that one as well.
        """
        try:
            if self.member is None:
                folder = self.path.absolute().parent
                for path in folder.parent.glob(f"*/*{suffix}") if above else folder.glob(f"*{suffix}"):
                    if path != self.path.absolute() and path.is_file():
                        with path.open("rb") as file:
                            yield file.read(SAMPLE)
                return
            folder = Path(self.member_name).parent
            with zipfile.ZipFile(self.path) as archive:
                for number, info in enumerate(archive.infolist()):
                    place = Path(_member_name(info)).parent
                    is_near = place.parent == folder.parent if above else place == folder
                    if is_near and info.filename.endswith(suffix) and number != self.member:
                        with archive.open(info) as member:
                            yield member.read(SAMPLE)
        except (*UNREADABLE, ValueError, RuntimeError):  # the last of a member with a password
            return

    def _members_beside(self) -> list["Source"]:
        """Return all files of its archive, by name. Raises one of UNREADABLE, or ValueError."""
        with zipfile.ZipFile(self.path) as archive:
            named = [(_member_name(info), number, info) for number, info in enumerate(archive.infolist())]
        return [
            Source(self.path, info.file_size, self.modified, number, name)
            for name, number, info in sorted(named, key=lambda one: one[0])
            if not name.endswith("/")
        ]

    @cached_property
    def head(self) -> bytes:
        """The first SAMPLE bytes."""
        with self.open() as file:
            return file.read(SAMPLE)

    @cached_property
    def encoding(self) -> str:
        """The encoding of most of the file: utf-8, cp949, utf-16-le or utf-16-be."""
        return _encoding(self.head)

    @cached_property
    def sample(self) -> list[str]:
        """The first lines, with their ends. Raises DataError, with the line, if the file is empty or no text."""
        head = self.head
        if self.size > SAMPLE and not self.encoding.startswith("utf-16"):  # the last line is cut
            end = head.rfind(b"\n") + 1
            long = end < len(head) // 2  # a page or JSON in one line, of which the beginning says enough
            head = head.decode(self.encoding, "ignore").encode(self.encoding) if long else head[:end]
        lines = list(self._lines(io.BytesIO(head)))
        bad = [number for number, line in enumerate(lines, 1) if line is None]
        if bad and len(bad) >= MOST_BAD * len(lines):
            raise DataError(f"{self.name}, line {bad[0]}: is neither UTF-8, UTF-16 nor CP949 text; save it as UTF-8")
        sample = [line for line in lines if line is not None]
        if not any(line.strip() for line in sample):
            raise DataError(f"{self.name}: is empty")
        return sample

    def lines(self) -> Iterator[str | None]:
        """Yield all lines with their ends, decoded; None for one that is too long, or no text in any known encoding."""
        with self.open() as file:
            yield from self._lines(file)

    def _lines(self, file: IO[bytes]) -> Iterator[str | None]:
        text: IO[Any] = file
        if self.encoding.startswith("utf-16"):
            text = io.TextIOWrapper(file, self.encoding, errors="replace", newline="\n")
        elif b"\r" in self.head and b"\n" not in self.head:  # a spreadsheet of an old Mac
            text = io.TextIOWrapper(file, self.encoding, errors="replace", newline=None)
        decode = partial(_decode, mostly=self.encoding)
        inside = False  # a line that is too long
        for line in iter(partial(text.readline, LONGEST_LINE), text.read(0)):
            whole = line[-1:] in (b"\n", "\n") or len(line) < LONGEST_LINE
            if whole and not inside:
                yield decode(line)
            elif not inside:
                yield None
            inside = not whole


def _on_disk(path: Path) -> Source:
    """Return the file at this path. Raises OSError."""
    status = path.stat()
    return Source(path, status.st_size, status.st_mtime_ns)


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16-le" if head[0] == 0xFF else "utf-16-be"
    if b"\0" in head[:4096]:
        even, odd = head[:4096:2].count(0), head[1:4096:2].count(0)
        if max(even, odd) > 10 * min(even, odd) and max(even, odd) > len(head[:4096]) // 50:
            return "utf-16-be" if even > odd else "utf-16-le"
    korean = [line for line in head.split(b"\n") if not line.isascii()]
    readable = sum(_is_utf8(line) for line in korean)
    return "utf-8" if 2 * readable >= len(korean) else "cp949"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(line: bytes | str, mostly: str) -> str | None:
    """Return one line as text; None if it is none.

    Parts of a file may be UTF-8 and others CP949, where somebody has put exports together.
    """
    if isinstance(line, bytes):
        try:
            text = line.decode()
            if mostly == "cp949" and not line.isascii() and max(text) < "\u0800":
                text = line.decode("cp949", "ignore") or text  # two Korean letters can look like one of UTF-8's
        except UnicodeDecodeError:
            try:
                text = line.decode("cp949")
            except UnicodeDecodeError:
                return None
    else:
        text = line
    if "\0" in text:
        return None
    return text.removeprefix("\ufeff")


def find(raw: Iterable[Path]) -> tuple[list[Source], list[str], int]:
    """Return all files in these files and folders, and in their archives, in a fixed order.

    Also returns a line for each that cannot be used, and the number of photos and the like that were passed over.
    """
    sources: list[Source] = []
    refused: list[str] = []
    passed_over = 0
    for path in _paths(raw, refused):
        if path.suffix.lower() in _MEDIA:
            passed_over += 1
            continue
        try:
            if not path.is_file():  # a pipe would never end
                raise DataError(f"{printable(str(path))}: is {'not a file' if path.exists() else 'not there'}")
            source = _on_disk(path)
            with source.open() as file:
                start = file.read(_START)
            if kind := _kind_of_table(source, start):
                sources.append(replace(source, kind=kind))
            elif start[:4] in _ARCHIVE:
                members, others = _members(source, refused)
                sources += members
                passed_over += others
            else:
                sources.append(source)
        except DataError as error:
            refused.append(str(error))
        except OSError as error:
            refused.append(f"{printable(str(path))}: cannot be read ({error.strerror})")
    return sources, refused, passed_over


_ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")
_START = 16  # bytes of a file that tell what is no text
_PACKED = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR"}
_DATABASE = b"SQLite format 3\0"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Office files until 2003, and later ones with a password


def _kind_of_table(source: Source, start: bytes) -> str:
    """Return the kind of a table that is no text, told by its bytes; "" for other files.

    Raises DataError for what can be no text and no table that is read.
    """
    if start.startswith(tuple(_PACKED)):
        packed = next(name for begin, name in _PACKED.items() if start.startswith(begin))
        raise DataError(f"{source.name}: is packed with {packed}; unpack it first")
    if start == _DATABASE:
        raise DataError(f"{source.name}: is a database; export the chat as text, JSON or a table")
    if start.startswith(_OLE):
        with source.open() as file:
            locked = "EncryptedPackage".encode("utf-16-le") in file.read(SAMPLE)
        if locked:
            raise DataError(f"{source.name}: is locked with a password; save it without one, or as CSV")
        raise DataError(f"{source.name}: is of Office before 2007; save it as .xlsx or CSV")
    if start[:4] == b"PAR1":
        return PARQUET
    if start[:4] not in _ARCHIVE:
        return ""
    try:
        with zipfile.ZipFile(source.whole()) as archive:
            names = set(archive.namelist())
            if any(name.startswith("xl/workbook.") for name in names):
                return EXCEL
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 100:
                with archive.open("mimetype") as member:
                    return OPENDOCUMENT if member.read(100).endswith(b"opendocument.spreadsheet") else ""
    except DataError:
        raise
    except (*UNREADABLE, ValueError):
        pass  # which is told where its files are looked for
    return ""


def _paths(raw: Iterable[Path], refused: list[str]) -> Iterator[Path]:
    def tell(error: OSError) -> None:
        refused.append(f"{printable(str(error.filename))}: cannot be read ({error.strerror})")

    for top in raw:
        if not top.is_dir():
            yield top
            continue
        found: list[Path] = []
        for folder, folders, names in os.walk(top, onerror=tell):
            folders[:] = filter(_is_for_people, folders)
            found += (Path(folder, name) for name in names if _is_for_people(name))
        yield from sorted(found, key=lambda path: [_natural(part) for part in path.parts])


def _is_for_people(name: str) -> bool:
    return (not name.startswith((".", "~$")) or name == "..") and name.lower() not in _NOT_FOR_PEOPLE


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key to sort names by, 2 before 10; an archive's may have more digits than Python makes a number of."""
    parts = re.findall("0*([0-9]+)|([^0-9]+)", name)
    return [(1, 0, text) if text else (0, len(digits), digits) for digits, text in parts]


def _members(archive: Source, refused: list[str]) -> tuple[list[Source], int]:
    """Return the files of an archive that may hold text, and how many photos and the like were passed over.

    Raises DataError if the archive cannot be used.
    """
    try:
        with zipfile.ZipFile(archive.path) as opened:
            infos = opened.infolist()
    except (*UNREADABLE, ValueError) as error:
        raise DataError(f"{archive.name}: is a damaged .zip ({error})") from None
    if any(info.filename == "[Content_Types].xml" for info in infos):
        raise DataError(f"{archive.name}: is an Office document; save it as CSV or as plain text in UTF-8")
    if len(infos) > MOST_MEMBERS:
        raise DataError(f"{archive.name}: holds {len(infos):,} files, more than {MOST_MEMBERS:,}; unpack it first")
    members = []
    passed_over = 0
    unpacked = packed = 0
    for number, info in enumerate(infos):
        name = _member_name(info)
        path = Path(name)
        if name.endswith("/") or not all(map(_is_for_people, path.parts)):
            continue
        source = Source(archive.path, info.file_size, archive.modified, number, name)
        if path.suffix.lower() in _MEDIA:
            passed_over += 1
        elif info.flag_bits & 1:
            refused.append(f"{source.name}: is locked with a password; unpack it first")
        else:
            members.append(source)
            unpacked += info.file_size
            packed += info.compress_size
    if unpacked > MOST_UNPACKED or (unpacked > 64 * SAMPLE and unpacked > MOST_EXPANSION * max(packed, 1)):
        raise DataError(
            f"{archive.name}: would unpack from {packed / 1e6:,.1f} to {unpacked / 1e6:,.0f} MB, which no chat does; "
            "unpack it yourself if you trust it"
        )
    members.sort(key=lambda member: _natural(member.member_name))
    return _by_kind(members, refused) if members else [], passed_over


def _by_kind(members: list[Source], refused: list[str]) -> list[Source]:
    """Return the members of one archive that may be used, each with the kind of table that it is."""
    used = []
    with zipfile.ZipFile(members[0].path) as archive:
        infos = archive.infolist()
        for member in members:
            try:
                with archive.open(infos[member.member or 0]) as file:
                    start = file.read(_START)
                kind = _kind_of_table(member, start)
                if not kind and start[:4] in _ARCHIVE:
                    raise DataError(f"{member.name}: is a .zip in a .zip; unpack it first")
                used.append(replace(member, kind=kind))
            except UNREADABLE as error:
                refused.append(f"{member.name}: cannot be read ({getattr(error, 'strerror', None) or error})")
            except DataError as error:
                refused.append(str(error))
    return used


def _member_name(info: zipfile.ZipInfo) -> str:
    """Return the name as it was written: archives of Korean Windows do not say that their names are in CP949."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        raw = name.encode("cp437", "replace")
        for encoding in ("utf-8", "cp949"):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError:
                continue
    return name

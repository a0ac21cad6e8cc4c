"""One file into messages, in the format that its lines fit best, whatever it is called and its header says."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data.errors import DataError
from data.formats.block_chats import BLOCKS
from data.formats.companions import Companion
from data.formats.files import Source, find
from data.formats.html_chats import PAGES
from data.formats.json_chats import APPS
from data.formats.json_lines import JsonLines, JsonList
from data.formats.layouts import LAYOUTS
from data.formats.line_pc import LineForPc
from data.formats.messages import Counts, Format, Message
from data.formats.tables import COLUMNS, Table, header_names
from data.formats.unknown import advice, has_header, looks_like_a_chat
from data.formats.workbooks import Workbook
from data.terminal import printable

PLAIN_TEXT = "plain text"
_LEAST_SHARE = 0.1  # of a chat's lines begin a message; the others are second lines, days and lines of the app


class PlainText:
    """A file in which every line is a text or document of its own."""

    name = PLAIN_TEXT

    def score(self, sample: list[str]) -> float:
        return 0.0  # what is left if nothing else fits

    def messages(self, source: Source, counts: Counts) -> Iterator[Message]:
        for number, line in enumerate(source.lines(), 1):
            if line is None:
                counts.broken.append(number)
            elif line.strip():
                yield Message(None, None, line.rstrip("\r\n"))


_PAGES = ("<!doctype", "<html", "<?xml", "{\\rtf", "%pdf")
FORMATS: tuple[Format, ...] = (
    *APPS,
    *PAGES,
    JsonList(),
    JsonLines(),
    Companion(),
    *LAYOUTS,
    *BLOCKS,
    LineForPc(),
    Table(),
)


@dataclass(frozen=True)
class Found:
    """The format that a file was taken for, and why."""

    format: Format
    scores: dict[str, float]  # of every format, from 0 to 1
    why: str


def detect(source: Source) -> Found:
    """Return the format of a file.

    Raises DataError if it is empty, no text, or a chat in no known layout: its names could not be found, so it would
    be trained on unmasked.
    """
    if source.kind:
        return Found(Workbook(source.kind), {}, "its bytes begin so")
    sample = source.sample
    start = next(line.strip() for line in sample if line.strip())[:20].lower()
    scores = {format.name: format.score(sample) for format in FORMATS}
    best = max(FORMATS, key=lambda format: scores[format.name])
    share = scores[best.name]
    if start.startswith(_PAGES) and best not in PAGES:
        raise DataError(
            f"{source.name}, line 1: is a page or a document ({printable(start)}) of no chat that is known; "
            "export the chat as text or JSON"
        )
    if share >= _LEAST_SHARE or (share > 0 and has_header(sample)):
        return Found(best, scores, f"{share:.0%} of its first lines are written so")
    if start.startswith(("{", "[{")) or start == "[":
        raise DataError(
            f'{source.name}, line 1: is JSON of no chat that is known; one with "sender" and "text" is read'
        )
    if source.name.lower().endswith((".csv", ".tsv")):
        missing = ", ".join(COLUMNS)
        raise DataError(
            f"{source.name}, line 1: no columns {missing} (found: {printable(header_names(sample))}); "
            f"needed: {','.join(COLUMNS)}"
        )
    if looks_like_a_chat(sample):
        raise DataError(
            f"{source.name}: looks like a chat export in a layout that is not known, so its names could not be masked; "
            f"{advice(sample)}"
        )
    return Found(PlainText(), scores, "its lines are those of no chat")


def explain(path: Path) -> Iterator[str]:
    """Yield lines for the user: what a file was taken for, why, and its first ten messages."""
    sources, refused, _ = find([path])
    yield from refused
    if not sources and not refused:
        yield f"{path}: no chat export; photos, documents and the like are passed over"
    for source in sources:
        try:
            found = detect(source)
            written = "" if source.kind else f", {source.encoding}"
            yield f"{source.name}: {found.format.name}{written}; {found.why}"
            others = sorted(
                (score, name) for name, score in found.scores.items() if score and name != found.format.name
            )
            for score, name in reversed(others):
                yield f"  {score:.0%} would be {name}"
            counts = Counts()
            message = None
            for message in islice(found.format.messages(source, counts), 10):
                time = message.time.isoformat(" ") if message.time else "no time"
                yield f"  {time}  {printable(message.sender or 'nobody')}: {printable(message.text)}"
            if message is None:
                yield "  no messages"
            if counts.broken:
                yield f"  broken so far: line {', '.join(map(str, counts.broken[:5]))}"
        except DataError as error:
            yield str(error)

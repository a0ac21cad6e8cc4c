"""Chat exports in, clean text out: `python -m data`, or `prepare` from another program.

data/raw/*.csv and *.txt are read (reading.py), cleaned (cleaning.py, names.py), joined to stretches of conversation
(conversations.py) and written, a text a line, as `{"text": ...}`:

    for-tokenizer-training/textonly.txt     every line of the texts in train.jsonl
    for-model-training/train.jsonl          nine texts of ten
    for-model-training/valid.jsonl          the tenth
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data.cleaning import TAGS, clean
from data.conversations import conversations, pieces, split
from data.names import name_pattern
from data.reading import PLAIN_TEXT, DataError, Export, read_export

__all__ = ["TAGS", "DataError", "Summary", "prepare"]

_TOKENIZER_FILE = Path("for-tokenizer-training/textonly.txt")
_TRAIN_FILE = Path("for-model-training/train.jsonl")
_VALID_FILE = Path("for-model-training/valid.jsonl")


@dataclass(frozen=True)
class Summary:
    """What `prepare` did."""

    messages: int  # read
    train: int  # texts written
    valid: int
    characters: int  # in the texts written
    masked: Counter[str]  # tags in the texts written
    refused: tuple[str, ...]  # one line a file that could not be used


def prepare(
    raw: Path = Path("data/raw"), output: Path = Path("data"), report: Callable[[str], None] = print
) -> Summary:
    """Read every export in `raw` and write the three files under `output`; `report` takes lines for the user.

    A file that cannot be used is reported and left out. Raises DataError if none can be used or the output cannot be
    written; what an earlier call wrote is then as it was.
    """
    exports, refused = _read(raw, report)
    texts = _texts(exports)
    train, valid = split(texts)
    if not train:
        raise DataError(f"nothing is left of the files in {raw} once they are cleaned; put a chat export there")
    written = train + valid
    _write(
        {
            output / _TOKENIZER_FILE: train,  # with the held-out texts in it, their words would be in the vocabulary
            output / _TRAIN_FILE: map(_json_line, train),
            output / _VALID_FILE: map(_json_line, valid),
        }
    )
    summary = Summary(
        messages=sum(len(export.messages) for export in exports),
        train=len(train),
        valid=len(valid),
        characters=sum(map(len, written)),
        masked=Counter({tag: sum(text.count(tag) for text in written) for tag in TAGS}),
        refused=tuple(refused),
    )
    _report_result(summary, output, len(texts), report)
    return summary


def _read(raw: Path, report: Callable[[str], None]) -> tuple[list[Export], list[str]]:
    """All exports that can be read, and a line for each that cannot."""
    paths = sorted(path for path in raw.glob("*") if path.suffix.lower() in (".csv", ".txt"))
    if not paths:
        raise DataError(f"no .csv or .txt file in {raw}; put a chat export there")
    exports: list[Export] = []
    refused: list[str] = []
    report(f"{'file':<32} {'format':<22} {'messages':>9}  left out")
    for path in paths:
        try:
            export = read_export(path)
        except DataError as error:
            refused.append(str(error))
            report(f"{path.name:<32} {'not used':<22}")
        else:
            exports.append(export)
            report(f"{path.name:<32} {export.format:<22} {len(export.messages):>9,}  {_left_out(export)}".rstrip())
    for line in refused:
        report(f"not used: {line}")
    if not exports:
        raise DataError(f"none of the files in {raw} can be used; put a chat export there")
    return exports, refused


def _left_out(export: Export) -> str:
    parts = []
    if export.broken_lines:
        some = ", ".join(map(str, export.broken_lines[:5])) + (", ..." if len(export.broken_lines) > 5 else "")
        parts.append(f"{len(export.broken_lines):,} broken rows (line {some})")
    if export.system_lines:
        parts.append(f"{export.system_lines:,} system lines")
    return ", ".join(parts)


def _texts(exports: list[Export]) -> list[str]:
    """Clean texts in the order they were read. The senders of all chats are masked in every chat."""
    names = name_pattern({message.user for export in exports for message in export.messages if message.user})
    texts: list[str] = []
    for export in exports:
        if export.format == PLAIN_TEXT:
            for message in export.messages:
                texts += pieces(clean(message.text))
        else:
            cleaned = ((message.time, clean(message.text, names)) for message in export.messages)
            texts += conversations((time, text) for time, text in cleaned if text)
    return texts


def _json_line(text: str) -> str:
    return json.dumps({"text": text}, ensure_ascii=False)


def _write(files: dict[Path, Iterable[str]]) -> None:
    """Write all files, a line an item, under temporary names first, so that no failure harms the old."""
    temporary = {path: path.with_name(f"{path.name}.{os.getpid()}.part") for path in files}
    try:
        for path, lines in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary[path].open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
        for path, part in temporary.items():
            os.replace(part, path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None
    finally:
        for part in temporary.values():
            with suppress(OSError):  # most are renamed by now
                part.unlink()


def _report_result(summary: Summary, output: Path, texts: int, report: Callable[[str], None]) -> None:
    report("masked: " + ", ".join(f"{tag} {count:,}" for tag, count in summary.masked.items()))
    repeated = texts - summary.train - summary.valid
    report(f"wrote {summary.characters:,} characters" + (f"; {repeated:,} repeated texts left out" if repeated else ""))
    report(f"  {output / _TOKENIZER_FILE}")
    report(f"  {output / _TRAIN_FILE}: {summary.train:,} texts")
    report(f"  {output / _VALID_FILE}: {summary.valid:,} texts")

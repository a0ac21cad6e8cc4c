"""A report on a tokenizer, by texts that it was not trained on: `python -m tokenizer --report`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from tokenizer import TAGS, TokenizerError, load

_TEXTS_AT_ONCE = 1024
_LONGEST_PIECES = 10
_SHOWN = 5  # places of texts that do not come back


@dataclass
class Report:
    """Counts over all texts; `used` counts each piece by its id."""

    used: np.ndarray
    texts: int = 0
    characters: int = 0
    bytes: int = 0
    changed: list[str] = field(default_factory=list)  # where texts stand that do not come back as they were

    @property
    def tokens(self) -> int:
        """The number of tokens of all texts."""
        return int(self.used.sum())


def report(model: Path, input: Path) -> str:
    """Return a table of how the tokenizer in `model` does on the texts of `input`.

    :param input: `{"text": …}` a line if its name ends in .jsonl, a text a line otherwise
    Raises TokenizerError for a file that cannot be read or has no text.
    """
    processor = load(model)
    size = processor.get_piece_size()
    result = Report(np.zeros(size, np.int64))
    texts = _texts(input)
    while some := list(islice(texts, _TEXTS_AT_ONCE)):
        encoded = processor.encode([text for _, text in some])
        for (place, text), ids, back in zip(some, encoded, processor.decode(encoded)):
            result.used += np.bincount(np.array(ids, np.int64), minlength=size)
            result.texts += 1
            result.characters += len(text)
            result.bytes += len(text.encode())
            if back != text:
                result.changed.append(place)
    if not result.tokens:
        raise TokenizerError(f"{input} has no text in it")
    byte_tokens = sum(int(result.used[id]) for id in range(size) if processor.is_byte(id))
    given = (processor.is_unknown, processor.is_control, processor.is_byte)
    learnt = [processor.id_to_piece(id) for id in range(size) if not any(is_given(id) for is_given in given)]
    longest = sorted(set(learnt) - set(TAGS), key=lambda piece: (-len(piece), piece))[:_LONGEST_PIECES]
    rows = {
        "texts": f"{result.texts:,}",
        "characters": f"{result.characters:,}",
        "tokens": f"{result.tokens:,}",
        "tokens per character": f"{result.tokens / result.characters:.3f}",
        "bytes per token": f"{result.bytes / result.tokens:.2f}",
        "byte tokens": f"{byte_tokens / result.tokens:.2%}",
        "unknown tokens": f"{int(result.used[processor.unk_id()]):,}",
        "exact round trip": f"{result.texts - len(result.changed):,} of {result.texts:,} texts{_where(result.changed)}",
        "pieces used": f"{np.count_nonzero(result.used):,} of {size:,}",
        "longest pieces": "  ".join(longest),
    }
    return "\n".join([f"{model} on {input}", *(f"{name:<22}{value}" for name, value in rows.items())])


def _where(changed: list[str]) -> str:
    if not changed:
        return ""
    return f"; not {', '.join(changed[:_SHOWN])}" + (", …" if len(changed) > _SHOWN else "")


def _texts(input: Path) -> Iterator[tuple[str, str]]:
    """Yield every text that is not empty, with where it stands. Raises TokenizerError."""
    try:
        with input.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    place = f"line {number:,}"
                    text = _parse(line, f"{input} {place}") if input.suffix == ".jsonl" else line.rstrip("\r\n")
                    yield place, text
    except OSError as error:
        raise TokenizerError(f"{input} cannot be read ({error.strerror}); name a file with --input") from None
    except UnicodeDecodeError:
        raise TokenizerError(f"{input} is not UTF-8 text; save it as UTF-8") from None


def _parse(line: str, place: str) -> str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    text = document.get("text") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise TokenizerError(f'{place}: every line must be {{"text": "…"}}')
    return text.encode("utf-8", "replace").decode()  # JSON can spell half a character, which UTF-8 cannot

"""The whole way from chat exports to texts to train on: `prepare`.

Exports are read (`data/formats/`) and kept (`data/texts/cache.py`). Those of one chat are put together and cut into
conversations (`data/texts/`), which are cleaned on all cores (`data/masking/`) and written, each text once, as
`{"text": ...}` a line:

    for-tokenizer-training/textonly.txt     every line of the texts in train.jsonl
    for-model-training/train.jsonl          nine conversations of ten
    for-model-training/valid.jsonl          the tenth
    .cache/                                 what was read, to be quicker the next time
"""

import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np

from atomic import replacing_all, write_whole
from data.errors import DataError
from data.formats.files import find
from data.masking.cleaning import Plan
from data.masking.names import read_names
from data.masking.tags import CONTENT_TAGS
from data.options import DataSettings
from data.texts.cache import Cache, Entry, code_version, fingerprint
from data.texts.conversations import Conversation, conversations
from data.texts.duplicates import BANDS, held_out, keep
from data.texts.overlaps import Group, group
from data.texts.review import Samples, check_place
from data.texts.workers import all_texts

_TOKENIZER_FILE = Path("for-tokenizer-training/textonly.txt")
_TRAIN_FILE = Path("for-model-training/train.jsonl")
_VALID_FILE = Path("for-model-training/valid.jsonl")
_CACHE = Path(".cache")
_ALIASES = Path("aliases.txt")
_NOT_NAMES = Path("not-names.txt")

Report = Callable[[str], None]  # takes lines for the user
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, and of how much


@dataclass(frozen=True)
class Summary:
    """What `prepare` did. The first five numbers together are all that the files hold."""

    messages: int  # used
    repeated: int  # in another export of the same chat
    system: int  # of the app
    deleted: int  # taken back by their senders
    broken: int  # not readable
    train: int  # texts written
    valid: int
    same: int  # texts left out, since they are there already
    nearly_same: int
    characters: int  # in the texts written
    masked: Counter[str]  # tags in the texts written
    refused: tuple[str, ...]  # one line a file that could not be used


def prepare(
    raw: Path | Sequence[Path] = Path("data/raw"),
    output: Path = Path("data"),
    report: Report = print,
    progress: Progress = lambda what, done, total: None,
    *,
    options: DataSettings = DataSettings(),  # noqa: B008 (it cannot change)
    lists: Path = Path("data"),
    review: Path | None = None,
) -> Summary:
    """Read every export in `raw`, a folder or several files and folders, and write the three files under `output`.

    `report` takes lines for the user. In the folder `lists` may be aliases.txt and not-names.txt, which
    `data/masking/names.py` reads. Samples of what was masked go to the file `review`. If nothing has changed since the
    last time, nothing is written. A file that cannot be used is reported and left out. Raises DataError if none can be
    used or the output cannot be written; what an earlier call wrote is then as it was.
    """
    places = [raw] if isinstance(raw, Path) else list(raw)
    told = ", ".join(map(str, places))
    samples = None
    if review is not None:
        check_place(
            review, [*places, *(output / file.parent for file in (_TOKENIZER_FILE, _TRAIN_FILE)), output / _CACHE]
        )
        samples = Samples()
    aliases, not_names = read_names(lists / _ALIASES), read_names(lists / _NOT_NAMES)
    sources, refused, passed_over = find(places)
    cache = Cache(output / _CACHE)
    if any(map(Path.exists, places)):  # a path that was mistyped is no wish to forget
        cache.forget_others(sources)
    if not sources and (not refused or not any(map(Path.exists, places))):
        raise DataError(f"no chat export in {told}; put one there")
    state = fingerprint([[(s.name, s.size, s.modified) for s in sources], refused, passed_over, code_version()])
    state = fingerprint([state, options.model_dump(), aliases, not_names])
    if samples is None and (known := _unchanged(output, state)) is not None:
        report(
            f"nothing in {told} has changed: {known.train:,} texts to train on and {known.valid:,} held out are there"
        )
        for line in known.refused:
            report(f"not used: {line}")
        return known
    try:
        entries = []
        for number, source in enumerate(sources):

            def read(messages: int, what: str = f"reading {source.name}", number: int = number) -> None:
                progress(f"{what} ({messages:,} messages)", number, len(sources))

            entries.append(cache.entry(source, read))
        refused += [entry.refused for entry in entries if entry.refused]
        used = [entry for entry in entries if not entry.refused]
        groups, repeated = group(used, cache)
        _report_files(entries, repeated, refused, passed_over, report)
        if not used:
            raise DataError(f"none of the files in {told} can be used; put a chat export there")
        counts = {
            "messages": sum(entry.messages for entry in used) - sum(repeated.values()),
            "repeated": sum(repeated.values()),
            "system": sum(entry.system for entry in used),
            "deleted": sum(entry.deleted for entry in used),
            "broken": sum(len(entry.broken) for entry in used),
        }
        senders = {sender for group in groups for chat in group.chats for sender in chat.senders}
        plan = Plan(senders=sorted(senders), aliases=aliases, not_names=not_names, options=options)
        summary = _write_texts(groups, cache, output, plan, samples, counts, tuple(refused), progress)
        if summary is None:
            raise DataError(f"nothing is left of the files in {told} once they are cleaned; put a chat export there")
        _remember(output, state, options, summary)
        if samples is not None and review is not None:
            samples.write(review)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or output}: {error.strerror}") from None
    _report_result(summary, output, report)
    if review is not None:
        report(f"  {review}: what was masked, before and after; nobody else should see it")
    return summary


def _write_texts(
    groups: list[Group],
    cache: Cache,
    output: Path,
    plan: Plan,
    samples: Samples | None,
    counts: dict[str, int],
    refused: tuple[str, ...],
    progress: Progress,
) -> Summary | None:
    """Clean everything and write the three files; None, and nothing is written, if no text is left."""
    cut = chain.from_iterable(conversations(group.messages(cache)) for group in groups)
    conversation, exact, bands = array("L"), array("Q"), array("Q")
    everything = cache.folder / f"texts.{os.getpid()}.part"
    try:
        with everything.open("w", encoding="utf-8", newline="\n") as file:
            seen = 0
            for number, texts in enumerate(all_texts(_counted(cut, counts["messages"], progress), plan, samples)):
                for text, key, likeness in texts:
                    file.write(json.dumps(text, ensure_ascii=False) + "\n")
                    conversation.append(number)
                    exact.append(key)
                    bands.extend(likeness)
                seen += len(texts)
        if not seen:
            return None
        keys = np.frombuffer(exact, dtype=np.uint64)
        kept, same, nearly = keep(keys, np.frombuffer(bands, dtype=np.uint64).reshape(-1, BANDS))
        valid = np.zeros(len(kept), dtype=bool)
        valid[kept] = held_out(np.frombuffer(conversation, dtype=np.uint64)[kept], keys[kept])
        masked: Counter[str] = Counter()
        characters = _write(everything, output, kept, valid, masked)
    finally:
        with suppress(OSError):
            everything.unlink()
    return Summary(
        **counts,
        train=int((kept & ~valid).sum()),
        valid=int(valid.sum()),
        same=same,
        nearly_same=nearly,
        characters=characters,
        masked=masked,
        refused=refused,
    )


def _counted(cut: Iterable[Conversation], total: int, progress: Progress) -> Iterator[Conversation]:
    done = 0
    for conversation in cut:
        progress("cleaning", done, total)
        yield conversation
        done += len(conversation)


def _write(everything: Path, output: Path, kept: np.ndarray, valid: np.ndarray, masked: Counter[str]) -> int:
    """Write the texts that are kept to the three files; the number of their characters. Counts the tags."""
    characters = 0
    masked.update(dict.fromkeys(CONTENT_TAGS, 0))
    with (
        everything.open(encoding="utf-8") as lines,
        _whole_files(output / _TOKENIZER_FILE, output / _TRAIN_FILE, output / _VALID_FILE) as (words, train, held),
    ):
        for line, is_kept, is_valid in zip(lines, kept, valid, strict=True):
            if not is_kept:
                continue
            (held if is_valid else train).write(f'{{"text": {line.rstrip()}}}\n')
            text = json.loads(line)
            if not is_valid:  # with the held-out texts in it, their words would be in the vocabulary
                words.write(f"{text}\n")
            characters += len(text)
            for tag in CONTENT_TAGS:
                masked[tag] += text.count(tag)
    return characters


@contextmanager
def _whole_files(*paths: Path) -> Iterator[list[TextIO]]:
    """Files under temporary names, which replace those at `paths` once all are written, or else none."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_all(paths) as parts, ExitStack() as opened:
        yield [opened.enter_context(part.open("w", encoding="utf-8", newline="\n")) for part in parts]


def _written(output: Path) -> list[tuple[str, int, int]]:
    """The three files as they are, to see later whether they still are. Raises OSError if one is missing."""
    status = {path: (output / path).stat() for path in (_TOKENIZER_FILE, _TRAIN_FILE, _VALID_FILE)}
    return [(str(path), found.st_size, found.st_mtime_ns) for path, found in status.items()]


def prepared_with(output: Path = Path("data")) -> DataSettings | None:
    """The options with which `prepare` wrote the texts under `output`; None if others are there, or none."""
    try:
        told = json.loads((output / _CACHE / "state.json").read_text(encoding="utf-8"))
        if [tuple(file) for file in told["written"]] != _written(output):
            return None
        return DataSettings(**told["options"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(output: Path, state: str, options: DataSettings, summary: Summary) -> None:
    told = {"state": state, "options": options.model_dump(), "written": _written(output), "summary": vars(summary)}
    write_whole(output / _CACHE / "state.json", json.dumps(told, ensure_ascii=False) + "\n")


def _unchanged(output: Path, state: str) -> Summary | None:
    """What was done the last time, if files, code and what was written are still the same."""
    try:
        told = json.loads((output / _CACHE / "state.json").read_text(encoding="utf-8"))
        if told["state"] != state or [tuple(file) for file in told["written"]] != _written(output):
            return None
        summary = told["summary"]
        return Summary(**{**summary, "masked": Counter(summary["masked"]), "refused": tuple(summary["refused"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _report_files(
    entries: list[Entry],
    repeated: dict[str, int],
    refused: list[str],
    passed_over: int,
    report: Report,
) -> None:
    """A table of what was read. A row's messages, repeated, system, deleted and broken are all that the file holds."""
    if entries:
        names = [entry.name if len(entry.name) <= 44 else f"…{entry.name[-43:]}" for entry in entries]
        wide = max(map(len, names))
        report(
            f"{'file':<{wide}}  {'format':<32} {'messages':>9} {'repeated':>9} "
            f"{'system':>7} {'deleted':>7} {'broken':>7}"
        )
        for name, entry in zip(names, entries, strict=True):
            if entry.refused:
                report(f"{name:<{wide}}  not used")
                continue
            twice = repeated.get(entry.name, 0)
            report(
                f"{name:<{wide}}  {entry.format:<32} {entry.messages - twice:>9,} {twice:>9,} {entry.system:>7,} "
                f"{entry.deleted:>7,} {len(entry.broken):>7,}"
            )
    for entry in entries:
        if entry.broken and not entry.refused:
            some = ", ".join(map(str, entry.broken[:5])) + (", …" if len(entry.broken) > 5 else "")
            report(f"{entry.name}: {len(entry.broken):,} broken (line {some}), left out")
    for line in refused:
        report(f"not used: {line}")
    if passed_over:
        report(f"{passed_over:,} photos, documents and the like passed over")


def _report_result(summary: Summary, output: Path, report: Report) -> None:
    masked = [f"{tag} {count:,}" for tag, count in summary.masked.items() if count]
    report(f"masked: {', '.join(masked) or 'nothing'} (--review FILE shows samples)")
    left_out = f"; {summary.same:,} repeated and {summary.nearly_same:,} nearly repeated texts left out"
    report(f"wrote {summary.characters:,} characters" + (left_out if summary.same + summary.nearly_same else ""))
    report(f"  {output / _TOKENIZER_FILE}")
    report(f"  {output / _TRAIN_FILE}: {summary.train:,} texts")
    report(f"  {output / _VALID_FILE}: {summary.valid:,} texts")

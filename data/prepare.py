"""The whole way from chat exports to texts to train on: `prepare`.

Exports are read (`data/formats/`) and kept (`data/texts/cache.py`). Those of one chat are put together and cut into
conversations (`data/texts/`), which are cleaned on all cores (`data/masking/`) and written, each text once, as
`{"text": ...}` a line:

    for-tokenizer-training/textonly.txt     every line of the texts in train.jsonl, conversations
                                            with a blank line between
    for-model-training/train.jsonl          nine conversations of ten
    for-model-training/valid.jsonl          the tenth, and more where that is too little to judge by
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
from typing import Any, TextIO

import numpy as np

from data.atomic import replacing_all, write_whole
from data.errors import DataError
from data.formats.files import Source, find
from data.masking.cleaning import Plan
from data.masking.names import read_names
from data.masking.tags import CONTENT_TAGS
from data.options import DataSettings
from data.terminal import printable
from data.texts import summary as summaries
from data.texts.cache import Cache, Entry, code_version, fingerprint
from data.texts.conversations import Conversation, conversations
from data.texts.duplicates import BANDS, ENOUGH, held_out, keep
from data.texts.overlaps import group
from data.texts.repeated import Repeated, Stretches
from data.texts.review import Doubtful, Samples, check_place
from data.texts.workers import Text, all_texts

_TOKENIZER_FILE = Path("for-tokenizer-training/textonly.txt")
_TRAIN_FILE = Path("for-model-training/train.jsonl")
_VALID_FILE = Path("for-model-training/valid.jsonl")
_FILES = (_TOKENIZER_FILE, _TRAIN_FILE, _VALID_FILE)
_CACHE = Path(".cache")
_SAMPLES = Path("masked.json")  # in the cache, for the owner's page
MOST_ODD = 0.02  # of a file's lines may look like messages and follow no rule before that is said
_ALIASES = Path("aliases.txt")
_NOT_NAMES = Path("not-names.txt")

Report = Callable[[str], None]  # takes lines for the user
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, and of how much


@dataclass(frozen=True)
class Summary:
    """The numbers of what `prepare` did. The first five together are all that the files hold."""

    messages: int  # used
    repeated: int  # in another export of the same chat
    system: int  # of the app
    deleted: int  # taken back by their senders
    broken: int  # not readable
    train: int  # texts written
    valid: int
    beyond_a_tenth: int  # of the latter, so that there is enough to judge by
    same: int  # texts left out, since they are there already
    nearly_same: int
    repeated_lines: int  # of other texts, left out: forwarded, or copied
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
    judge: Callable[[list[Doubtful]], None] = lambda doubtful: None,
) -> Summary:
    """Read every export in `raw`, a folder or several files and folders, and write the three files under `output`.

    `report` takes lines for the user. In the folder `lists` may be aliases.txt and not-names.txt, which
    `data/masking/names.py` reads. Samples of what was masked go to the file `review`, and
    `judge` is given the names that are words too. If nothing has changed since the
    last time, nothing is written. A file that cannot be used is reported and left out. Raises DataError if none can be
    used or the output cannot be written; what an earlier call wrote is then as it was.
    """
    places = [raw] if isinstance(raw, Path) else list(raw)
    told = ", ".join(map(str, places))
    if review is not None:
        check_place(review, [*places, *((output / file).parent for file in _FILES), output / _CACHE])
    aliases, not_names = read_names(lists / _ALIASES), read_names(lists / _NOT_NAMES)
    cache = Cache(output / _CACHE)
    sources, refused, passed_over = _find(places, cache)
    state = fingerprint([[(s.name, s.size, s.modified) for s in sources], refused, passed_over, code_version()])
    state = fingerprint([state, options.model_dump(), aliases, not_names])
    if review is None and (known := _unchanged(output, state)) is not None:
        _report_unchanged(known, told, report)
        return known
    samples = Samples()
    try:
        entries = _read(sources, cache, progress)
        refused += [entry.refused for entry in entries if entry.refused]
        used = [entry for entry in entries if not entry.refused]
        groups, repeated = group(used, cache)
        _report_files(entries, repeated, refused, passed_over, report)
        if not used:
            raise DataError(f"none of the files in {told} can be used; put a chat export there")
        counts = _counts(used, repeated)
        wrote = {sender for group in groups for chat in group.chats for sender in chat.senders}
        people = sorted(wrote.union(*(entry.people for entry in used)))
        plan = Plan(senders=people, aliases=aliases, not_names=not_names, options=options)
        cut = chain.from_iterable(conversations(group.messages(cache)) for group in groups)
        cleaned = all_texts(_with_progress(cut, counts["messages"], progress), plan, samples)
        written = _write_texts(cleaned, cache.folder, output)
        if written is None:
            raise DataError(f"nothing is left of the files in {told} once they are cleaned; put a chat export there")
        summary = Summary(**counts, **written, refused=tuple(refused))
        messages = {entry.name: entry.messages - repeated.get(entry.name, 0) for entry in used}
        _remember(output, state, options, places, summary, messages)
        samples.keep(cache.folder / _SAMPLES)
        if review is not None:
            samples.write(review)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or output}: {error.strerror}") from None
    _report_result(summary, output, review, report)
    judge(samples.doubtful())
    return summary


def summarise(raw: Sequence[Path], output: Path = Path("data")) -> Iterator[str]:
    """Yield lines for the user: who wrote how much and when in `raw`, and what was masked in what `prepare` made of it.

    Of files that `prepare` has read nothing is read again. Raises DataError if there is nothing to sum up.
    """
    cache = Cache(output / _CACHE)
    sources, _, _ = find(raw)
    try:
        entries = [entry for entry in (cache.entry(source) for source in sources) if not entry.refused]
        summed = summaries.Summary()
        for chats in group(entries, cache)[0]:
            summed.take(chats.messages(cache))
    except OSError as error:
        raise DataError(f"cannot write {error.filename or output}: {error.strerror}") from None
    yield from summed.lines(prepared_texts(output)[1])


def _find(places: list[Path], cache: Cache) -> tuple[list[Source], list[str], int]:
    """Return what `data.formats.files.find` does, and let the cache forget all other files.

    Raises DataError if there is nothing at all.
    """
    sources, refused, passed_over = find(places)
    is_there = any(map(Path.exists, places))
    if is_there:  # a path that was mistyped is no wish to forget
        cache.forget_others(sources)
        if not sources:
            (cache.folder / _SAMPLES).unlink(missing_ok=True)
    if not sources and not (refused and is_there):
        raise DataError(f"no chat export in {', '.join(map(str, places))}; put one there")
    return sources, refused, passed_over


def _read(sources: list[Source], cache: Cache, progress: Progress) -> list[Entry]:
    """Return what each file holds. Raises OSError."""
    entries = []
    for number, source in enumerate(sources):

        def told(messages: int, what: str = f"reading {source.name}", number: int = number) -> None:
            progress(f"{what} ({messages:,} messages)", number, len(sources))

        entries.append(cache.entry(source, told))
    return entries


def _counts(used: list[Entry], repeated: dict[str, int]) -> dict[str, Any]:
    """Return the first five numbers of a Summary."""
    twice = sum(repeated.values())
    return {
        "messages": sum(entry.messages for entry in used) - twice,
        "repeated": twice,
        "system": sum(entry.system for entry in used),
        "deleted": sum(entry.deleted for entry in used),
        "broken": sum(len(entry.broken) for entry in used),
    }


class _Scratch:
    """All cleaned texts in a file, a line of JSON each, and in memory the few numbers by which they are compared."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.conversation, self._exact, self._bands = array("L"), array("Q"), array("Q")
        self._lengths = array("L")  # in characters
        self._stretches = Stretches()

    def write(self, cleaned: Iterable[list[Text]]) -> None:
        """Write the texts of each conversation. Raises OSError."""
        with self.path.open("w", encoding="utf-8", newline="\n") as file:
            for number, texts in enumerate(cleaned):
                for text, key, likeness, hashes, lengths in texts:
                    file.write(json.dumps(text, ensure_ascii=False) + "\n")
                    self.conversation.append(number)
                    self._exact.append(key)
                    self._bands.extend(likeness)
                    self._lengths.append(len(text))
                    self._stretches.add(hashes, lengths)

    def __len__(self) -> int:
        return len(self._exact)

    def choose(self) -> tuple[np.ndarray, np.ndarray, Repeated, dict[str, int]]:
        """Return which texts are kept and which of these are held out, each (texts,) bool, and lines to leave out.

        Also returns what a Summary says of that.
        """
        keys = np.frombuffer(self._exact, dtype=np.uint64)
        kept, same, nearly = keep(keys, np.frombuffer(self._bands, dtype=np.uint64).reshape(-1, BANDS))
        repeated = self._stretches.repeated(kept)
        kept &= ~repeated.whole_texts()
        valid = np.zeros(len(kept), dtype=bool)
        conversation = np.frombuffer(self.conversation, dtype=np.uint64)[kept]
        lengths = np.frombuffer(self._lengths, dtype=np.uint64)[kept]
        valid[kept], beyond = held_out(conversation, keys[kept], lengths)
        counts = {"train": int((kept & ~valid).sum()), "valid": int(valid.sum()), "beyond_a_tenth": beyond}
        counts |= {"same": same, "nearly_same": nearly, "repeated_lines": repeated.lines}
        return kept, valid, repeated, counts


def _write_texts(cleaned: Iterable[list[Text]], scratch_folder: Path, output: Path) -> dict[str, Any] | None:
    """Write the three files and return what a Summary says of them; None, and nothing is written, if no text is left.

    Raises OSError and DataError.
    """
    scratch = _Scratch(scratch_folder / f"texts.{os.getpid()}.part")
    try:
        scratch.write(cleaned)
        if not len(scratch):
            return None
        kept, valid, repeated, counts = scratch.choose()
        characters, masked = _write_chosen(scratch, output, kept, valid, repeated)
    finally:
        with suppress(OSError):
            scratch.path.unlink()
    return {**counts, "characters": characters, "masked": masked}


def _with_progress(cut: Iterable[Conversation], total: int, progress: Progress) -> Iterator[Conversation]:
    """Pass the conversations through, telling how many of all messages were in those before."""
    done = 0
    for conversation in cut:
        progress("cleaning", done, total)
        yield conversation
        done += len(conversation)


def _write_chosen(
    scratch: _Scratch, output: Path, kept: np.ndarray, valid: np.ndarray, repeated: Repeated
) -> tuple[int, Counter[str]]:
    """Write the texts that are kept to the three files; return the number of their characters, and of each tag."""
    characters = 0
    masked = Counter(dict.fromkeys(CONTENT_TAGS, 0))
    paths = [output / file for file in _FILES]
    last = None  # conversation whose words were written
    with scratch.path.open(encoding="utf-8") as lines, _whole_files(paths) as (words, train, held):
        chosen = zip(lines, scratch.conversation, kept, valid, strict=True)
        for number, (line, conversation, is_kept, is_valid) in enumerate(chosen):
            if not is_kept:
                continue
            text = repeated.without(number, json.loads(line))
            (held if is_valid else train).write(f'{{"text": {json.dumps(text, ensure_ascii=False)}}}\n')
            if not is_valid:  # with the held-out texts in it, their words would be in the vocabulary
                # the tokenizer is to know in how many of them a word is
                words.write(f"{'' if last in (None, conversation) else chr(10)}{text}\n")
                last = conversation
            characters += len(text)
            for tag in CONTENT_TAGS:
                masked[tag] += text.count(tag)
    return characters, masked


@contextmanager
def _whole_files(paths: list[Path]) -> Iterator[list[TextIO]]:
    """Open a file for each of `paths`, which takes its place once all are written; if any fails, none does."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_all(paths) as parts, ExitStack() as opened:
        yield [opened.enter_context(part.open("w", encoding="utf-8", newline="\n")) for part in parts]


def private_places(output: Path = Path("data")) -> list[Path]:
    """Return where people's texts and names may lie in a folder: exports, what was made of them, and lists of names."""
    made = [output / folder for folder in dict.fromkeys(file.parent for file in _FILES)]
    return [output / "raw", output / _CACHE, *made, output / _ALIASES, output / _NOT_NAMES]


def _written(output: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of the three files. Raises OSError if one is missing."""
    status = {path: (output / path).stat() for path in _FILES}
    return [(str(path), found.st_size, found.st_mtime_ns) for path, found in status.items()]


def prepared_with(output: Path = Path("data")) -> DataSettings | None:
    """Return the options with which `prepare` wrote the texts under `output`; None if others are there, or none."""
    try:
        return DataSettings(**_remembered(output)["options"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def prepared_from(output: Path = Path("data")) -> list[Path]:
    """Return the files and folders that `prepare` made the texts under `output` of; none if others are there."""
    try:
        return [Path(place) for place in _remembered(output)["raw"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def holds_out_too_little(output: Path = Path("data")) -> bool:
    """Return whether the texts are of an earlier version of `prepare`, which held out a tenth however little it was."""
    path, most_bytes = output / _VALID_FILE, 16 * ENOUGH
    try:
        if "beyond_a_tenth" in _remembered(output)["summary"] or path.stat().st_size > most_bytes:
            return False
        lines = path.read_text(encoding="utf-8").splitlines()
        return sum(len(json.loads(line)["text"]) for line in lines) < ENOUGH
    except (OSError, ValueError, KeyError, TypeError):
        return False


def prepared_texts(output: Path = Path("data")) -> tuple[dict[str, int], dict[str, int]]:
    """Return what `prepare` made the texts under `output` of: file -> messages used, and tag -> how often it is there.

    Both are empty where other texts are there, or none.
    """
    try:
        told = _remembered(output)
        masked = {str(tag): int(count) for tag, count in told["summary"]["masked"].items() if count}
        return {str(name): int(messages) for name, messages in told["files"].items()}, masked
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}


def _remember(
    output: Path, state: str, options: DataSettings, places: list[Path], summary: Summary, messages: dict[str, int]
) -> None:
    """Keep for the next call, and for whoever asks, what this one has made of which state. Raises OSError."""
    told: dict[str, Any] = {"state": state, "options": options.model_dump(), "raw": list(map(str, places))}
    told |= {"written": _written(output), "summary": vars(summary), "files": messages}
    write_whole(output / _CACHE / "state.json", json.dumps(told, ensure_ascii=False) + "\n")


def _remembered(output: Path) -> dict[str, Any]:
    """Return what `_remember` kept of the texts that are there.

    Raises OSError, ValueError, KeyError or TypeError if there is nothing, or the texts were written by somebody else.
    """
    told: dict[str, Any] = json.loads((output / _CACHE / "state.json").read_text(encoding="utf-8"))
    if [tuple(file) for file in told["written"]] != _written(output):
        raise ValueError("the texts have changed since")
    return told


def _unchanged(output: Path, state: str) -> Summary | None:
    """Return what was done the last time, if files, code and what was written are still the same; or else None."""
    try:
        told = _remembered(output)
        if told["state"] != state:
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
    """Tell what was read, in a table: a row's messages, repeated, system, deleted and broken are all the file holds."""
    if entries:
        _report_table(entries, repeated, report)
    for entry in entries:
        if entry.broken and not entry.refused:
            some = ", ".join(map(str, entry.broken[:5])) + (", …" if len(entry.broken) > 5 else "")
            report(f"{entry.name}: {len(entry.broken):,} broken (line {some}), left out")
        if len(entry.odd) > MOST_ODD * entry.records:
            some = ", ".join(map(str, entry.odd[:5])) + (", …" if len(entry.odd) > 5 else "")
            report(
                f"{entry.name}: {len(entry.odd):,} of {entry.records:,} lines look like messages, but not of "
                f"{entry.format} (line {some}); they may be read wrongly: export it again, or mend these lines"
            )
    if nameless := _nameless(entries):
        some = ", ".join(nameless[:3]) + (", …" if len(nameless) > 3 else "")
        report(
            f"without a name: {len(nameless):,} of Slack's ids ({printable(some)}); whoever they are, they are not "
            "masked where others name them: put the export's users.json beside it, or list them in data/aliases.txt"
        )
    for line in refused:
        report(f"not used: {line}")
    if passed_over:
        report(f"{passed_over:,} photos, documents and the like passed over")


def _nameless(entries: list[Entry]) -> list[str]:
    """Return the ids of those who wrote and have a name in none of the files."""
    ids = {identity for entry in entries if not entry.refused for identity in entry.identified}
    return sorted(ids - {identity for entry in entries for identity, named in entry.identified.items() if named})


def _report_table(entries: list[Entry], repeated: dict[str, int], report: Report) -> None:
    names = [entry.name if len(entry.name) <= 44 else f"…{entry.name[-43:]}" for entry in entries]
    wide = max(map(len, names))
    report(
        f"{'file':<{wide}}  {'format':<32} {'messages':>9} {'repeated':>9} {'system':>7} {'deleted':>7} {'broken':>7}"
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


def _report_unchanged(known: Summary, told: str, report: Report) -> None:
    report(f"nothing in {told} has changed: {known.train:,} texts to train on and {known.valid:,} held out are there")
    for line in known.refused:
        report(f"not used: {line}")


def _report_result(summary: Summary, output: Path, review: Path | None, report: Report) -> None:
    masked = [f"{tag} {count:,}" for tag, count in summary.masked.items() if count]
    report(f"masked: {', '.join(masked) or 'nothing'} (--review FILE shows samples)")
    left_out = ""
    if summary.same + summary.nearly_same:
        left_out += f"; {summary.same:,} repeated and {summary.nearly_same:,} nearly repeated texts left out"
    if summary.repeated_lines:
        left_out += f"; {summary.repeated_lines:,} lines that were forwarded or copied left out"
    report(f"wrote {summary.characters:,} characters{left_out}")
    report(f"  {output / _TOKENIZER_FILE}")
    report(f"  {output / _TRAIN_FILE}: {summary.train:,} texts")
    more = f", {summary.beyond_a_tenth:,} of them beyond a tenth, so that there is enough to judge by"
    report(f"  {output / _VALID_FILE}: {summary.valid:,} texts" + (more if summary.beyond_a_tenth else ""))
    if review is not None:
        report(f"  {review}: what was masked, before and after; nobody else should see it")

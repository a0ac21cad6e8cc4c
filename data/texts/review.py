"""Samples of what was masked, before and after, and what was doubtful, for the eyes of whoever prepares a chat.

They hold what the masks hide, so they go to a file of their own, far from what is trained on, that only its owner can
read.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.atomic import write_whole
from data.errors import DataError
from data.masking.tags import CONTENT_TAGS
from data.terminal import printable
from data.texts.hashes import hash64

PER_TAG = 20
MOST_DOUBTFUL = 100
_LONGEST = 2000  # characters of a message that are shown
_SHOWN = 100  # of one, in a question
FEW, _SHORT = 4, 300  # of a tag that are kept, and characters of them
_TAG = re.compile("|".join(CONTENT_TAGS))
_TITLE = "What was masked, before and after. This file holds people's data: it is for nobody else's eyes."


# Of each tag: a message that got it, and what became of it. Of each doubt: how often, and a message.
Given = tuple[list[tuple[str, str, str]], list[tuple[str, bool, int, str]]]


@dataclass(frozen=True)
class Doubtful:
    """A word that is also somebody's name: how often it was masked and left, and a message of each kind."""

    word: str
    masked: int
    left: int
    samples: tuple[str, ...]


class Samples:
    """PER_TAG different messages for each tag that got it: those with the smallest hashes, so always the same."""

    def __init__(self) -> None:
        self._of_tag: dict[str, dict[int, tuple[str, str]]] = {}
        self._doubts: dict[tuple[str, bool], tuple[int, str]] = {}  # how often, and a short message

    def add(self, before: str, after: str, doubts: Iterable[tuple[str, bool]] = ()) -> None:
        """Take in a message, what became of it, and which words in it are names as well, masked or not."""
        for doubt in doubts:
            self._count(doubt, 1, before[:_SHORT])
        tags = set(_TAG.findall(after))
        if tags:
            key = hash64(before)
            for tag in tags:
                self._keep(tag, key, (before, after))

    def given(self) -> Given:
        """Return all of them."""
        samples = [(tag, *sample) for tag, samples in self._of_tag.items() for sample in samples.values()]
        return samples, [(word, masked, *counted) for (word, masked), counted in self._doubts.items()]

    def take(self, given: Given) -> None:
        """Take in what another process has given."""
        samples, doubts = given
        for tag, before, after in samples:
            self._keep(tag, hash64(before), (before, after))
        for word, masked, count, sample in doubts:
            self._count((word, masked), count, sample)

    def _count(self, doubt: tuple[str, bool], count: int, sample: str) -> None:
        before, kept = self._doubts.get(doubt, (0, sample))
        self._doubts[doubt] = (before + count, min(kept, sample, key=lambda text: (hash64(text), text)))

    def doubtful(self) -> list[Doubtful]:
        """Return the words that were hardest to judge, MOST_DOUBTFUL at most, the most mixed ones first."""
        found = []
        for word in {word for word, _ in self._doubts}:
            kinds = [self._doubts.get((word, masked), (0, "")) for masked in (True, False)]
            texts = tuple(text for _, text in kinds if text)
            found.append(Doubtful(word, kinds[0][0], kinds[1][0], texts))
        found.sort(key=lambda one: (-min(one.masked, one.left), -one.masked - one.left, one.word))
        return found[:MOST_DOUBTFUL]

    def _keep(self, tag: str, key: int, sample: tuple[str, str]) -> None:
        kept = self._of_tag.setdefault(tag, {})
        kept[key] = sample
        if len(kept) > PER_TAG:
            del kept[max(kept)]

    def keep(self, path: Path) -> None:
        """Keep a few of them beside what else is kept of the exports, for the owner's page alone. Raises OSError."""
        few = [
            {"tag": tag, "before": before[:_SHORT], "after": after[:_SHORT]}
            for tag in CONTENT_TAGS
            for _, (before, after) in sorted(self._of_tag.get(tag, {}).items())[:FEW]
        ]
        umask = os.umask(0o077)
        try:
            write_whole(path, json.dumps(few, ensure_ascii=False), synced=False)
        finally:
            os.umask(umask)

    def write(self, path: Path) -> None:
        """Write them to a file that only its owner may read. Raises OSError."""
        lines = [_TITLE]
        for tag in CONTENT_TAGS:
            samples = self._of_tag.get(tag, {})
            lines += ["", f"{tag}  {len(samples)} different messages"] if samples else []
            for _, (before, after) in sorted(samples.items()):
                lines += ["", *_quoted("before", before), *_quoted("after", after)]
        doubtful = self.doubtful()
        lines += ["", f"names that are words too  {len(doubtful)}"] if doubtful else []
        for one in doubtful:
            lines += ["", f"  {one.word}: masked {one.masked:,} times, left {one.left:,} times"]
            lines += [line for text in one.samples for line in _quoted("", text)]
        _write_private(path, "".join(f"{line}\n" for line in lines))


def ask(doubtful: Iterable[Doubtful], lists: Path, answer: Callable[[str], str]) -> int:
    """Ask the owner about each word, and write y's into aliases.txt and n's into not-names.txt; return how many.

    `answer` shows a question and returns what was typed: y, n, q to end, or anything else to leave it as it is. Raises
    OSError.
    """
    given: dict[str, list[str]] = {"y": [], "n": []}
    for one in doubtful:
        shown = "".join(f"    {printable(text[:_SHOWN])}\n" for text in one.samples)
        reply = answer(
            f"{printable(one.word)}: masked {one.masked:,} times, left {one.left:,} times\n{shown}"
            "  always a person (y), never (n), as it was (Enter), enough (q)? "
        )
        reply = reply.strip().lower()[:1]
        if reply == "q":
            break
        given.get(reply, []).append(one.word)
    for words, name in ((given["y"], "aliases.txt"), (given["n"], "not-names.txt")):
        if words:
            path = lists / name
            before = path.read_text(encoding="utf-8-sig") if path.exists() else ""
            start = before if before.endswith("\n") or not before else f"{before}\n"
            _write_private(path, start + "".join(f"{word}\n" for word in words))
    return len(given["y"]) + len(given["n"])


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    umask = os.umask(0o077)
    try:
        write_whole(path, text)
    finally:
        os.umask(umask)


def _quoted(label: str, text: str) -> list[str]:
    first, *others = text[:_LONGEST].splitlines() or [""]
    return [f"  {label:<7} {first}", *(f"{'':10}{line}" for line in others)]


def check_place(path: Path, forbidden: Sequence[Path]) -> None:
    """Raise DataError if a review there would be trained on, or would replace something else."""
    place = path.resolve()
    for folder in forbidden:
        if place.is_relative_to(folder.resolve()):
            raise DataError(
                f"--review {path}: would lie in {folder}, with what is trained on; "
                "choose a file outside, as in --review review.txt"
            )
    if place.is_dir():
        raise DataError(f"--review {path}: is a folder; give the name of a file")
    if place.exists():
        with place.open("rb") as file:
            if file.readline().strip() != _TITLE.encode():
                raise DataError(f"--review {path}: is there and is no review; give the name of a new file")

"""Samples of what was masked, before and after, for the eyes of whoever prepares a chat.

They hold what the masks hide, so they go to a file of their own, far from what is trained on, that only its owner can
read.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.atomic import write_whole
from data.errors import DataError
from data.masking.tags import CONTENT_TAGS
from data.texts.cache import hash64

PER_TAG = 20
_LONGEST = 2000  # characters of a message that are shown
FEW, _SHORT = 4, 300  # of a tag that are kept, and characters of them
_TAG = re.compile("|".join(CONTENT_TAGS))
_TITLE = "What was masked, before and after. This file holds people's data: it is for nobody else's eyes."


class Samples:
    """PER_TAG different messages for each tag that got it: those with the smallest hashes, so always the same."""

    def __init__(self) -> None:
        self._of_tag: dict[str, dict[int, tuple[str, str]]] = {}

    def add(self, before: str, after: str) -> None:
        """Take in a message and what became of it."""
        tags = set(_TAG.findall(after))
        if tags:
            key = hash64(before)
            for tag in tags:
                self._keep(tag, key, (before, after))

    def given(self) -> list[tuple[str, str, str]]:
        """Return all of them: a tag, a message that got it, and what became of it."""
        return [(tag, *sample) for tag, samples in self._of_tag.items() for sample in samples.values()]

    def take(self, given: Iterable[tuple[str, str, str]]) -> None:
        """Take in what another process has given."""
        for tag, before, after in given:
            self._keep(tag, hash64(before), (before, after))

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
        path.parent.mkdir(parents=True, exist_ok=True)
        umask = os.umask(0o077)
        try:
            write_whole(path, "".join(f"{line}\n" for line in lines))
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

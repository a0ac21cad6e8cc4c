"""What a model knows by heart: lines of texts that it completes word for word from what stands before.

Given up to PREFIX tokens of a text, which end in the middle of a line, it goes on with the likeliest token each time
(greedy decoding; arXiv 2202.07646). Of lines that it has never seen it completes some as well, for some say themselves:
only what it completes more often than those is memorized.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from minigpt import PADDING, START, UNKNOWN
from minigpt.encoding import DatasetError, piece_bytes
from minigpt.held_out import held_out_texts
from minigpt.inference.sampling import stream_text
from minigpt.model import MiniGPT

PREFIX = 50  # tokens at most that the model is given, half of the line among them, and half of what it can look back
COMPLETION = 50  # tokens at most that it is asked for
FEWEST_TOKENS = 8  # of a line: shorter ones are said by everybody
CONTEXT_CHARACTERS = 400  # before a line: never fewer than PREFIX tokens, but where a tag or an emoji is long
ROWS_AT_ONCE = 8
PROBE_LINES = 100  # are tried now and then while a model is trained,
PROBE_CHARACTERS = 1_000_000  # of so much of its texts: a look through all of them would take too long


@dataclass
class Line:
    """A line of texts, cut in two: what a model is given, and what it is to go on with."""

    text: str
    given: list[int]  # START or some of the text before the line, then the first half of it
    rest: list[int]
    beginning: str  # of the line
    end: str  # the rest of it
    times: int = 1  # that the line is in the texts


@dataclass(frozen=True)
class Memorized:
    """How many lines of how many are completed word for word; of training texts, and of held-out ones beside them."""

    completed: int
    lines: int
    held_out_completed: int = 0
    held_out_lines: int = 0

    @property
    def of_a_thousand(self) -> int:
        """The lines of the training texts that are completed, of a thousand."""
        return round(1000 * self.completed / self.lines)

    @property
    def excess(self) -> int:
        """The lines that are known by heart, of a thousand: those that are completed more often than held-out ones."""
        return max(0, self.of_a_thousand - (self.held_out_of_a_thousand or 0))

    @property
    def held_out_of_a_thousand(self) -> int | None:
        """The held-out lines that are completed, of a thousand; None where none was tried."""
        return round(1000 * self.held_out_completed / self.held_out_lines) if self.held_out_lines else None


@dataclass
class LineSample:
    """Lines of texts, each once however often it is there: the `count` whose hashes are the smallest.

    Which ones they are depends on the texts alone, and all texts are seen once, with no more kept than these lines.

    :param seq_len: tokens that the model looks back over
    :param watched: lines that are looked for in the texts besides, and are `met` where they are there
    """

    tokenizer: Any
    count: int
    seq_len: int
    watched: Collection[str] = ()
    met: set[str] = field(default_factory=set)
    _lines: dict[int, Line] = field(default_factory=dict, init=False)
    _largest: list[int] = field(default_factory=list, init=False)  # of their hashes, negative: a heap

    def add(self, text: str) -> None:
        """Look through a text."""
        start = 0
        for line in text.split("\n"):
            self._add(line, text[max(0, start - CONTEXT_CHARACTERS) : start], start <= CONTEXT_CHARACTERS)
            start += len(line) + 1

    def _add(self, line: str, before: str, is_whole: bool) -> None:
        """Look at a line of a text; `is_whole` says that the text begins with `before`."""
        if line in self.watched:
            self.met.add(line)
        key = hash_of(line)
        if key in self._lines:
            self._lines[key].times += 1
            return
        if len(self._lines) >= self.count and key >= -self._largest[0]:
            return
        found = cut(line, before, is_whole, self.tokenizer, self.seq_len)
        if found is None:
            return
        self._lines[key] = found
        heapq.heappush(self._largest, -key)
        if len(self._lines) > self.count:
            del self._lines[-heapq.heappop(self._largest)]

    @property
    def lines(self) -> list[Line]:
        """The lines so far, always in the same order."""
        return [self._lines[key] for key in sorted(self._lines)]


def hash_of(line: str) -> int:
    """Return a number of 64 bits that is the same on every run."""
    return int.from_bytes(hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def sample_lines(texts: Iterable[str], tokenizer: Any, count: int, seq_len: int) -> list[Line]:
    """Return so many lines of texts at the most; see LineSample."""
    sample = LineSample(tokenizer, count, seq_len)
    for text in texts:
        sample.add(text)
    return sample.lines


def cut(line: str, before: str, is_whole: bool, tokenizer: Any, seq_len: int) -> Line | None:
    """Return a line cut in the middle, between two characters; None for one of fewer than FEWEST_TOKENS."""
    ids = tokenizer.encode(line)
    if len(ids) < FEWEST_TOKENS:
        return None
    half = len(ids) // 2
    while half < len(ids) - 1 and not ends_whole(ids[:half], tokenizer):
        half += 1
    most = min(PREFIX, seq_len // 2)
    context = [*([START] if is_whole else []), *tokenizer.encode(before)] if half < most else []
    given = [*context, *ids[:half]][-most:]
    rest = ids[half:][: min(COMPLETION, seq_len - len(given) + 1)]
    beginning, end = ("".join(stream_text(tokenizer, part)) for part in (ids[:half], rest))
    return Line(line, given, rest, beginning, end)


def ends_whole(ids: Sequence[int], tokenizer: Any) -> bool:
    """Return whether these ids do not end within a character."""
    try:
        b"".join(piece_bytes(tokenizer, id) for id in ids).decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class Probe:
    """A few lines to try a model with while it is trained, always the same; and held-out lines beside them."""

    lines: Sequence[Line]
    held_out: Sequence[Line]

    @classmethod
    def from_files(cls, texts: Path, held_out: Path, tokenizer: Any, seq_len: int) -> Self:
        """Take them from the beginning of both files. Raises DatasetError, also where the first has no such line."""
        others = sample_lines(beginning_of(held_out), tokenizer, PROBE_LINES, seq_len) if held_out.exists() else []
        sample = LineSample(tokenizer, PROBE_LINES, seq_len, watched={line.text for line in others})
        for text in beginning_of(texts):
            sample.add(text)
        if not sample.lines:
            raise DatasetError(f"{texts} has no line of {FEWEST_TOKENS} tokens or more")
        return cls(sample.lines, [line for line in others if line.text not in sample.met])

    def try_on(self, model: MiniGPT) -> Memorized:
        """Return how much of them a model knows. Of one that completes none, held-out lines are not asked for."""
        known = sum(completed(model, self.lines))
        others = self.held_out if known else []
        return Memorized(known, len(self.lines), sum(completed(model, others)), len(others))


def beginning_of(path: Path) -> Iterator[str]:
    """Yield the first texts of a file, of PROBE_CHARACTERS. Raises DatasetError."""
    characters = 0
    for text in held_out_texts(path):
        yield text
        characters += len(text)
        if characters >= PROBE_CHARACTERS:
            return


@torch.no_grad()
def completed(
    model: MiniGPT, lines: Sequence[Line], progress: Callable[[int, int], None] = lambda done, total: None
) -> list[bool]:
    """Return for each line whether the model completes it word for word, by the likeliest token each time.

    It does if each token of the rest is the likeliest one after all before it, so one pass over the line tells.

    :param progress: called with how many lines are done, and of how many
    """
    device = next(model.parameters()).device
    result = [False] * len(lines)
    by_length = sorted(range(len(lines)), key=lambda place: len(lines[place].given) + len(lines[place].rest))
    was_training = model.training
    model.eval()
    try:
        for first in range(0, len(lines), ROWS_AT_ONCE):
            places = by_length[first : first + ROWS_AT_ONCE]
            rows = [lines[place] for place in places]
            guesses = likeliest(model, [[*line.given, *line.rest[:-1]] for line in rows], device)
            for place, line, guessed in zip(places, rows, guesses):
                start = len(line.given) - 1
                result[place] = guessed[start : start + len(line.rest)] == line.rest
            progress(min(len(lines), first + ROWS_AT_ONCE), len(lines))
    finally:
        model.train(was_training)
    return result


def likeliest(model: MiniGPT, rows: Sequence[Sequence[int]], device: torch.device) -> list[list[int]]:
    """Return for each id of each row the likeliest one to follow it; control symbols are not text."""
    longest = max(map(len, rows))
    input_ids: Tensor = torch.full((len(rows), longest), PADDING)
    for row, ids in zip(input_ids, rows):
        row[: len(ids)] = torch.tensor(ids)
    logits = model(input_ids.to(device))
    logits[..., [UNKNOWN, START, PADDING]] = -math.inf
    return logits.argmax(-1).tolist()


def surprises(lines: Sequence[Line]) -> list[float]:
    """Return how much each line's completion says: bits, by how often its tokens are in all these lines.

    Laughter has few, and a password many.
    """
    counts = Counter(id for line in lines for id in (*line.given, *line.rest))
    total = sum(counts.values())
    return [sum(math.log2(total / counts[id]) for id in line.rest) for line in lines]

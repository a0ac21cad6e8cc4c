"""The quality of what a model writes: words that exist, repetition, and lines that it knows by heart.

The same is measured of held-out texts, cut alike, as the yardstick: people write words too that no other text has, and
say some things twice.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Self

from minigpt.encoding import DatasetError
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import ANY_TAG
from minigpt.inference.sampling import generate_texts, stream_text

MOST_TOKENS = 128  # of a passage, written or held out: shares of repeated n-grams compare at equal lengths only
TEXTS_AT_ONCE = 32  # that are written side by side
TOKENS_PER_WORD = 10  # after so many for each word that was wanted, a model that writes hardly any may stop
FEWEST_WORDS = 5  # of a line that may count as copied: everybody says the shorter ones
WORD = re.compile(r"[^\W\d_\u3131-\u318e]+")  # letters; ㅋㅋ and ㅠㅠ are none, at whatever length


def words_in(text: str) -> list[str]:
    """Return the words of a text as they are written, particles and endings with them, but in small letters.

    Spaces, punctuation, digits, tags and single Korean consonants and vowels (ㅋㅋ) part words and are in none.
    """
    return WORD.findall(unicodedata.normalize("NFC", ANY_TAG.sub(" ", text)).lower())


@dataclass(frozen=True)
class Passage:
    """The first tokens of a text. One that is not whole may end within a word."""

    ids: list[int]
    text: str
    is_whole: bool

    @classmethod
    def from_ids(cls, ids: Sequence[int], tokenizer: Any, most: int) -> Self:
        """Return the first `most` ids of a text, control symbols not among them. Of a written one there are no more."""
        ids, is_whole = list(ids[:most]), len(ids) < most
        return cls(ids, "".join(stream_text(tokenizer, ids)), is_whole)

    def words(self) -> list[str]:
        """Return its words, without one that may be cut off."""
        return words_in(self.text if self.is_whole else re.sub(r"\S+\Z", "", self.text))

    def lines(self) -> list[str]:
        """Return each line of FEWEST_WORDS and more as its words with a space between; none that may be cut off."""
        lines = map(words_in, self.text.split("\n")[: None if self.is_whole else -1])
        return [" ".join(words) for words in lines if len(words) >= FEWEST_WORDS]


def write_passages(
    model: InferenceModel, tokenizer: Any, count: int, *, temperature: float, seed: int, progress: Callable[[int], None]
) -> list[Passage]:
    """Return texts that the model has begun by itself, until they have `count` words; the same for the same seed.

    `progress` is called with the number of words so far. A model that writes no words ends all the same.
    """
    passages: list[Passage] = []
    words = tokens = 0
    most = min(MOST_TOKENS, model.seq_len)
    while words < count and tokens < TOKENS_PER_WORD * count:
        seeds = range(seed + len(passages), seed + len(passages) + TEXTS_AT_ONCE)
        for ids in generate_texts(model, seeds, max_new_tokens=most, temperature=temperature):
            passages.append(Passage.from_ids(ids, tokenizer, most))
            words += len(passages[-1].words())
            tokens += len(ids) + 1  # its end is one as well
        progress(min(words, count))
    return passages


def take_passages(texts: Iterable[str], tokenizer: Any, count: int, seq_len: int) -> list[Passage]:
    """Return the beginnings of the first texts, as long as a model of `seq_len` writes them, to `count` words."""
    passages: list[Passage] = []
    words = 0
    for text in texts:
        if words >= count:
            break
        passages.append(Passage.from_ids(tokenizer.encode(text), tokenizer, min(MOST_TOKENS, seq_len)))
        words += len(passages[-1].words())
    return passages


@dataclass
class Search:
    """A search in the training texts for words and lines of passages; nothing else of the training texts is kept."""

    words: set[str] = field(default_factory=set)  # to be found
    lines: set[str] = field(default_factory=set)
    found_words: set[str] = field(default_factory=set)
    found_lines: set[str] = field(default_factory=set)

    def want(self, passages: Iterable[Passage]) -> None:
        """Have the words and the lines of these passages searched for."""
        for passage in passages:
            self.words.update(passage.words())
            self.lines.update(passage.lines())

    def read(self, text: str) -> None:
        """Look through a training text."""
        for line in text.split("\n"):
            words = words_in(line)
            self.found_words |= self.words.intersection(words)
            if len(words) >= FEWEST_WORDS and (joined := " ".join(words)) in self.lines:
                self.found_lines.add(joined)


@dataclass(frozen=True)
class Quality:
    """What passages are like; shares from 0 to 1, None where there is nothing to take a share of."""

    words: int  # that were judged
    exist: float | None  # of these, those that occur in the training texts or in the word list
    repetition: float | None  # seq-rep-4: of a passage's 4-grams of tokens, those said before in it (arXiv:1908.04319)
    distinct: float | None  # distinct-2: different pairs of neighbouring words, of all pairs (arXiv:1510.03055)
    lines: int  # of FEWEST_WORDS and more
    copied: float | None  # of these, those that are a line of the training texts, word for word


def judge(passages: Sequence[Passage], count: int, existing: set[str] | None, known: set[str] | None) -> Quality:
    """Return the quality of passages, by their first `count` words.

    `existing` are all of their words that exist, `known` all of their lines that are in the training texts; None where
    that is not known.
    """
    words = list(islice((word for passage in passages for word in passage.words()), count))
    pairs = list(islice((pair for passage in passages for pair in pairwise(passage.words())), count))
    lines = [line for passage in passages for line in passage.lines()]
    repeated = [share for passage in passages if (share := repeated_share(passage.ids)) is not None]
    return Quality(
        words=len(words),
        exist=None if existing is None else share_of(sum(word in existing for word in words), len(words)),
        repetition=share_of(sum(repeated), len(repeated)),
        distinct=share_of(len(set(pairs)), len(pairs)),
        lines=len(lines),
        copied=None if known is None else share_of(sum(line in known for line in lines), len(lines)),
    )


def repeated_share(ids: Sequence[int], n: int = 4) -> float | None:
    """Return the share of n-grams that came before in the same row of ids; None for a row too short to have one."""
    grams = [tuple(ids[start : start + n]) for start in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def share_of(part: float, whole: int) -> float | None:
    """Return the share, None of nothing."""
    return part / whole if whole else None


def read_words(path: Path) -> set[str]:
    """Return the words of a list, a word a line, or of any text. Raises DatasetError.

    What follows a slash is left out, so that the .dic of a spelling checker can be taken as it is.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            found = {word for line in file for word in words_in(line.partition("/")[0])}
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    if not found:
        raise DatasetError(f"{path} has no word in it")
    return found

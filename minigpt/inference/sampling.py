"""From logits to text: the next token chosen, guessed ahead where that is faster, and streamed as characters."""

import codecs
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.encoding import piece_bytes
from minigpt.inference.decoding import Decoding, InferenceModel

FEWEST_GUESSES, MOST_GUESSES = 2, 15  # tokens; on one core a pass of 3 takes 1.2 times one of 1, one of 16 three times


@dataclass(frozen=True)
class Sampling:
    """The way to choose the next token: temperature 0 takes the likeliest, `top_k` and `top_p` narrow the choice."""

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None  # the same number gives the same ids on the same device


class Context:
    """The ids that the model has before it; its `Decoding` keeps what it has made of them.

    The model looks back over `seq_len` ids at most. Where more have come it begins anew with the last half of that, so
    that half as many can follow before the next time: a window that moved with every id would have nothing to keep.

    A pass takes the time in which all parameters are read from memory, for one id as for a few. So it takes guesses of
    what comes next along, and those that come true save passes of their own (speculative decoding, arXiv:2211.17192,
    with what followed before as the guess: prompt lookup decoding). The ids that are chosen stay the same.
    """

    def __init__(self, model: InferenceModel, ids: Sequence[int]):
        self.model = model
        self.ids = list(ids)
        self._decoding = Decoding(model)
        self._read: list[int] = []  # what the decoding has read, with the guesses at its end
        self._guesses = 0
        self._logits = torch.empty(0)  # (1 + guesses, V): of what follows the last id that was none, and each guess
        self._courage = FEWEST_GUESSES

    def append(self, id: int) -> None:
        """Add an id that was chosen, or said by somebody."""
        self.ids.append(id)

    def next_logits(self) -> Tensor:
        """Return the logits (V,) of what follows."""
        window = self.model.seq_len
        if len(self.ids) > window:
            self.ids = self.ids[-window // 2 :]
            self._read, self._guesses = [], 0
        certain = known = len(self._read) - self._guesses
        while known < min(len(self._read), len(self.ids)) and self._read[known] == self.ids[known]:
            known += 1
        if known < len(self.ids):
            came_true = 0 < self._guesses == known - certain
            self._courage = min(2 * self._courage, MOST_GUESSES) if came_true else FEWEST_GUESSES
            self._read_on(known)
        return self._logits[len(self.ids) - len(self._read) - 1]

    def _read_on(self, known: int) -> None:
        """Have the model read what it does not know yet, and some guesses."""
        guesses = what_followed(self.ids, min(self._courage, self.model.seq_len - len(self.ids)))
        self._decoding.used, self._read, self._guesses = known, self.ids + guesses, len(guesses)
        self._logits = self._decoding.read(self._read[known:], 1 + len(guesses))


def what_followed(ids: list[int], count: int) -> list[int]:
    """Return a guess at the next `count` ids: as it went on when the last three, two or one of them came before."""
    for length in (3, 2, 1):
        for start in range(len(ids) - length - 1, -1, -1):
            if ids[start : start + length] == ids[-length:]:
                text = list(ids)
                for number in range(count):  # perhaps into the guess itself, where the text goes in circles
                    text.append(text[start + length + number])
                return text[len(ids) :]
    return []


def generate(
    model: InferenceModel, ids: Sequence[int] | Context, *, max_new_tokens: int, sampling: Sampling | None = None
) -> Iterator[int]:
    """Yield the ids that follow `ids`, until the text ends (END_OF_TEXT is not among them) or `max_new_tokens`.

    A Context goes on where it is, and holds what was said afterwards.
    """
    context = ids if isinstance(ids, Context) else Context(model, ids)
    sampling = sampling or Sampling()
    random = torch.Generator(model.words.device)
    if sampling.seed is None:
        random.seed()
    else:
        random.manual_seed(sampling.seed)
    for _ in range(max_new_tokens):
        id = sample(context.next_logits(), sampling.temperature, sampling.top_k, sampling.top_p, random)
        if id == END_OF_TEXT:
            return
        context.append(id)
        yield id


def generate_texts(
    model: InferenceModel, seeds: Sequence[int], *, max_new_tokens: int, temperature: float
) -> list[list[int]]:
    """Return for each seed the ids of a text that the model has begun: those that `generate` yields, up to rounding.

    They are computed side by side, in a fraction of the time. `max_new_tokens` is the model's seq_len at most.
    """
    texts: list[list[int]] = [[] for _ in seeds]
    randoms = [torch.Generator(model.words.device).manual_seed(seed) for seed in seeds]
    going = list(range(len(seeds)))
    decoding = Decoding(model, rows=len(going), room=max_new_tokens)
    last = [START for _ in going]
    for _ in range(max_new_tokens):
        drawn = [
            sample(logits, temperature, None, None, randoms[text])
            for text, logits in zip(going, decoding.read_rows(last), strict=True)
        ]
        rows = [row for row, id in enumerate(drawn) if id != END_OF_TEXT]
        if not rows:
            break
        if len(rows) < len(going):
            decoding.keep_rows(rows)
        going, last = [going[row] for row in rows], [drawn[row] for row in rows]
        for text, id in zip(going, last, strict=True):
            texts[text].append(id)
    return texts


@torch.inference_mode()
def sample(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, random: torch.Generator) -> int:
    """Return an id drawn by logits (V,), from the `top_k` likeliest or the likeliest that make up `top_p` together."""
    logits = logits.clone()
    for id in (UNKNOWN, START, PADDING):
        logits[id] = -math.inf  # these are not text
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits - logits.max()) / max(temperature, torch.finfo(logits.dtype).tiny)  # at most 0: none is too small
    probabilities, ids = logits.softmax(dim=-1).sort(descending=True)
    if top_k is not None:
        probabilities[top_k:] = 0
    if top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities  # what likelier ids make up without this one
        probabilities[1:][before[1:] >= top_p * probabilities.sum()] = 0
    return int(ids[torch.multinomial(probabilities, 1, generator=random)])


def stream_text(tokenizer: Any, ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of `ids` as it comes. A character made of several byte tokens is held back until it is whole."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for id in ids:
        yield decoder.decode(piece_bytes(tokenizer, id))
    yield decoder.decode(b"", final=True)

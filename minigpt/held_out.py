"""The held-out loss: how well a model foretells texts that it was not trained on."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from minigpt import IGNORED, PADDING, START
from minigpt.encoding import DatasetError, piece_bytes, read_texts, wrap
from minigpt.model import MiniGPT, mask_between_texts

ROWS_AT_ONCE = 8
GUESSES = 1024  # tokens that are enough to tell how often a model guesses right


class HeldOut:
    """A few texts, the same every time, packed into sequences; every token but the start symbols is predicted."""

    def __init__(self, input_ids: Tensor, labels: Tensor, text_bytes: int) -> None:
        self.input_ids, self.labels = input_ids, labels  # each (N, T)
        self.text_bytes = text_bytes

    @classmethod
    def from_file(cls, path: Path, tokenizer: Any, seq_len: int, max_tokens: int = 4096) -> Self:
        """Take the first `max_tokens` tokens of a file's texts. Raises DatasetError, also for a file without any."""
        return cls.from_texts(held_out_texts(path), str(path), tokenizer, seq_len, max_tokens)

    @classmethod
    def from_texts(cls, texts: Iterable[str], name: str, tokenizer: Any, seq_len: int, max_tokens: int) -> Self:
        """Take the first `max_tokens` tokens of texts, which an error calls `name`. Raises DatasetError."""
        ids: list[int] = []
        for text in texts:
            ids += wrap(tokenizer.encode(text))
            if len(ids) > max_tokens:
                break
        ids = ids[: max_tokens + 1]
        text_bytes = sum(len(piece_bytes(tokenizer, id)) for id in ids[1:])
        if not text_bytes:
            raise DatasetError(f"{name} has no text in it to measure the model on")
        rows = math.ceil((len(ids) - 1) / seq_len)
        input_ids = torch.full((rows * seq_len,), PADDING)
        labels = torch.full((rows * seq_len,), IGNORED)
        input_ids[: len(ids) - 1] = torch.tensor(ids[:-1])
        labels[: len(ids) - 1] = torch.tensor(ids[1:])
        labels[labels == START] = IGNORED  # that a text begins after the end of another is no news
        return cls(input_ids.view(rows, seq_len), labels.view(rows, seq_len), text_bytes)

    @property
    def name(self) -> str:
        """The name of these texts: losses on texts of another name do not compare with those on these."""
        return hashlib.sha256(self.input_ids.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()[:16]

    @property
    def tokens(self) -> int:
        """The number of tokens that are predicted."""
        return int((self.labels != IGNORED).sum())

    @torch.no_grad()
    def evaluate(
        self,
        model: MiniGPT,
        autocast: torch.dtype | None = None,
        block_attention: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[float, float]:
        """Return the mean loss in nats per token, and bits per byte of the text, which compares across tokenizers.

        :param block_attention: hide the texts in a sequence from each other, as they were in training
        :param progress: called with how many tokens are done, and of how many
        """
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        nats, tokens, total = 0.0, 0, self.tokens
        try:
            for input_ids, labels in zip(self.input_ids.split(ROWS_AT_ONCE), self.labels.split(ROWS_AT_ONCE)):
                if count := int((labels != IGNORED).sum()):
                    input_ids, labels = input_ids.to(device), labels.to(device)
                    mask = mask_between_texts(input_ids) if block_attention else None
                    with torch.autocast(device.type, autocast, enabled=autocast is not None):
                        nats += float(model(input_ids, labels, mask)) * count
                    tokens += count
                    progress(tokens, total)
        finally:
            model.train(was_training)
        return nats / tokens, nats / math.log(2) / self.text_bytes

    @torch.no_grad()
    def right_share(
        self, model: MiniGPT, autocast: torch.dtype | None = None, block_attention: bool = False
    ) -> float | None:
        """Return how often the token that the model takes for the likeliest is the next one, 0 to 1.

        GUESSES of them are looked at. None where nothing is to be guessed.
        """
        device, right, tokens = next(model.parameters()).device, 0, 0
        was_training = model.training
        model.eval()
        try:
            for input_ids, labels in zip(self.input_ids.split(1), self.labels.split(1)):
                input_ids, labels = input_ids.to(device), labels.to(device)
                mask = mask_between_texts(input_ids) if block_attention else None
                with torch.autocast(device.type, autocast, enabled=autocast is not None):
                    guessed = model(input_ids, mask=mask).argmax(-1)
                right += int((guessed == labels).sum())
                tokens += int((labels != IGNORED).sum())
                if tokens >= GUESSES:
                    break
        finally:
            model.train(was_training)
        return right / tokens if tokens else None


def held_out_texts(path: Path) -> Iterator[str]:
    """Yield the texts of a .jsonl file as training takes it, or of any other file one a line. Raises DatasetError."""
    if path.suffix == ".jsonl":
        yield from (text.text for text in read_texts(path))
        return
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from (line.rstrip("\n") for line in file if line.strip())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text; save it as UTF-8") from error


def texts_in(path: Path) -> list[str]:
    """Return the texts of a file, or of all .txt and .jsonl files in a folder and below, as `held_out_texts` does.

    Raises DatasetError, also where there is none.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in (".txt", ".jsonl") and file.is_file())
        if not files:
            raise DatasetError(f"{path} has no .txt or .jsonl file in it")
    texts = [text for file in files for text in held_out_texts(file)]
    if not texts:
        raise DatasetError(f"{path} has no text in it to measure the model on")
    return texts

"""Prompts in the form of the texts that the model learnt from: the same letters, the same control tokens."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from minigpt import START
from minigpt.checkpoint import Checkpoint
from tokenizer import TAGS

ANY_TAG = re.compile(f"({'|'.join(TAGS)})")


class PromptError(ValueError):
    """A prompt that cannot be used."""


def encode_prompt(prompt: str, tokenizer: Any) -> list[int]:
    """Return the ids of a prompt as the beginning of a text; the model can look back over its last `seq_len`."""
    return [START, *tokenizer.encode(prompt)]


def as_learnt(text: str, checkpoint: Checkpoint) -> str:
    """Return the text made like those that the model has learnt from: without capital letters, say."""
    text = unicodedata.normalize("NFC", text)
    if not checkpoint.settings.data.lower_case:
        return text
    return "".join(part if part in TAGS else part.lower() for part in ANY_TAG.split(text))


def encode_message(message: str, tokenizer: Any) -> list[int]:
    """Return the ids of a message in a talk, as the chats that the model learnt from go: each is a line."""
    ids: list[int] = tokenizer.encode(message.strip("\n") + "\n")
    return ids


def first_line(texts: Iterable[str]) -> Iterator[str]:
    """Yield the first line of what comes that is not empty, without its end: the answer in a talk."""
    begun = False
    for text in texts:
        shown, newline, _ = text.partition("\n")
        yield shown
        begun = begun or bool(shown)
        if newline and begun:
            return

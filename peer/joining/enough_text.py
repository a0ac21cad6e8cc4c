"""The least text that a model learns anything from. One message alone it would only learn by heart, to a loss of 0."""

from __future__ import annotations

from pathlib import Path

import tokenizer
from data.errors import DataError
from minigpt.encoding import read_texts
from minigpt.inference.prompts import ANY_TAG
from minigpt.settings import DatasetSettings, Settings

FEWEST_TOKENS = 32  # the chat of the guide has 46, and one message about ten
CHARACTERS_A_TOKEN = 8  # at the most, of whole chats


def is_little(settings: Settings) -> bool:
    """Return whether the training texts have so few words that they may not be enough. Raises DatasetError."""
    count = 0
    for text in read_texts(settings.training.dataset.path):
        count += len(words_of(text.text))
        if count >= CHARACTERS_A_TOKEN * FEWEST_TOKENS:
            return False
    return True


def check_enough_text(settings: Settings, tokenizer_model: Path) -> None:
    """Raise DataError where the training texts have fewer than FEWEST_TOKENS, tags aside. Raises DatasetError."""
    path = settings.training.dataset.path
    sentencepiece, count = tokenizer.load(tokenizer_model), 0
    for text in read_texts(path):
        count += len(sentencepiece.encode(words_of(text.text)))
        if count >= FEWEST_TOKENS:
            return
    where = "data/raw" if path == DatasetSettings().path else path
    raise DataError(
        f"nothing can be learnt from so little text: {count} tokens of words in {path}, and it takes "
        f"{FEWEST_TOKENS} at least; put longer chats into {where}"
    )


def words_of(text: str) -> str:
    """Return the text without tags, such as those that pictures and emoji are masked by, in one line."""
    return " ".join(ANY_TAG.sub(" ", text).split())

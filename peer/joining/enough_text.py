"""The least text that a model learns anything from: one sequence of words. With less it learns that little by heart."""

from __future__ import annotations

from pathlib import Path

import tokenizer
from data.errors import DataError
from minigpt.encoding import read_texts
from minigpt.inference.prompts import ANY_TAG
from minigpt.settings import DatasetSettings, Settings

CHARACTERS_A_TOKEN = 8  # at the most, of whole chats: with less the texts may not fill a sequence


def is_little(settings: Settings) -> bool:
    """Return whether the training texts have so few words that they may not fill one sequence. Raises DatasetError."""
    dataset, count = settings.training.dataset, 0
    for text in read_texts(dataset.path):
        count += len(words_of(text.text))
        if count >= CHARACTERS_A_TOKEN * dataset.seq_len:
            return False
    return True


def check_enough_text(settings: Settings, tokenizer_model: Path) -> None:
    """Raise DataError where the training texts have fewer tokens than a sequence, tags aside. Raises DatasetError."""
    path, needed = settings.training.dataset.path, settings.training.dataset.seq_len
    sentencepiece, count = tokenizer.load(tokenizer_model), 0
    for text in read_texts(path):
        count += len(sentencepiece.encode(words_of(text.text)))
        if count >= needed:
            return
    where = "data/raw" if path == DatasetSettings().path else path
    raise DataError(
        f"nothing can be learnt from so little text: {count} tokens of words in {path}, and one sequence has {needed}; "
        f"put longer chats into {where}"
    )


def words_of(text: str) -> str:
    """Return the text without tags, such as those that pictures and emoji are masked by, in one line."""
    return " ".join(ANY_TAG.sub(" ", text).split())

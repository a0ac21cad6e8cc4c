"""The preparations of this device for a run before it trains: cleaned text, and for a new run a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tokenizer
from data.errors import DataError
from data.prepare import holds_out_too_little, prepare, prepared_from, prepared_with
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import TOKENIZER
from minigpt.encoding import DatasetError
from minigpt.settings import DatasetSettings, Settings, TokenizerSettings
from peer.joining.enough_text import check_enough_text, is_little
from peer.joining.errors import JoinError
from peer.joining.presence import Presence
from peer.joining.shared_text import RAW, kept_text, only_samples

USUAL_TOKENIZERS = (TokenizerSettings().model_path, Path("tokenizer/tokenizer.model"))  # the latter is the guide's
TOKENIZER_TEXT = Path("data/for-tokenizer-training/textonly.txt")


def has_text(presence: Presence, settings: Settings, run_folder: Path) -> bool:
    """Clean this device's text for the run, and return whether there is any. Raises JoinError: see `prepare_text`.

    The samples of a fresh clone are some, but where somebody shares real text, that is taken instead.
    """
    shared = any(other.gives_text for other in presence.network.view.notices) or kept_text(run_folder)
    if shared and not settings.training.dataset.path.exists() and only_samples():
        presence.say_once("only the sample chats are in data/raw: text that others share is trained on instead")
        return False
    try:
        prepare_text(settings, presence.say)
    except DataError as error:
        presence.say_once(f"no text of its own: {error}")
        return False
    return True


def is_enough_text(presence: Presence, settings: Settings, tokenizer_model: Path) -> bool:
    """Return whether there is something to learn in this device's text; if not, say so once. Raises DatasetError."""
    try:
        check_enough_text(settings, tokenizer_model)
    except DataError as error:
        presence.say_once(str(error))
        return False
    return True


def prepare_text(settings: Settings, report: Callable[[str], None]) -> None:
    """Clean `data/raw` as the run does, if there is no training text yet or one that was prepared otherwise.

    Text that `python -m data` did not write is the user's own and left alone. Raises JoinError if it is missing, and
    DataError where there is nothing to clean.
    """
    path = settings.training.dataset.path
    if path != DatasetSettings().path:
        if path.exists():
            return
        raise JoinError(f"training.dataset.path is {path}, which does not exist. Correct it in the settings.")
    if path.exists():
        found = prepared_with()
        if found == settings.data and is_made_of_raw(settings) and holds_out_too_little():
            report("too little text is held out here to judge by: cutting the texts anew")
            prepare_again(settings, report)
        if found == settings.data and is_made_of_raw(settings) and is_little(settings):
            prepare_again(settings, report)  # more may have been put there since
        if found in (None, settings.data):
            return
        report("the texts here were prepared in another way than this run's: preparing them again")
    prepare(report=report, options=settings.data)


def is_made_of_raw(settings: Settings) -> bool:
    """Return whether the training text is what was made of `data/raw`, so that it can be made anew of what is there."""
    return settings.training.dataset.path == DatasetSettings().path and prepared_from() == [RAW]


def prepare_again(settings: Settings, report: Callable[[str], None]) -> None:
    """Clean `data/raw` anew, with what has come into it; where that fails, the text is as it was, and that is said."""
    try:
        prepare(report=report, options=settings.data)
    except DataError as error:
        report(f"the text stays as it was: {error}")


def find_tokenizer(settings: Settings, given: Checkpoint | None, report: Callable[[str], None]) -> Path:
    """Return the tokenizer of the settings; where it is missing, the given checkpoint's, or one that is trained now.

    Raises JoinError and TokenizerError; and DataError and DatasetError where the text is too little to learn from,
    or no text: then none is left behind that was trained on it.
    """
    path = settings.tokenizer.model_path
    if path.exists() or given is not None:
        found = path if given is None or path.exists() else given.folder / TOKENIZER
        check_enough_text(settings, found)
        return found
    if path not in USUAL_TOKENIZERS:
        raise JoinError(
            f"tokenizer.model_path is {path}, which does not exist. "
            "Train it with python -m tokenizer, or leave the key out to have one trained."
        )
    wanted = settings.tokenizer.vocab_size
    vocab_size = tokenizer.fitting_vocab_size(TOKENIZER_TEXT, wanted)
    if vocab_size < wanted:
        report(f"so little text is learnt better with {vocab_size:,} pieces than with {wanted:,}")
    trained = tokenizer.train(
        TOKENIZER_TEXT, model_prefix=path.stem, output_dir=path.parent, vocab_size=vocab_size, report=report
    )
    try:
        check_enough_text(settings, trained)
    except (DataError, DatasetError):
        for file in tokenizer.private_files(path.parent, path.stem):  # it would be the tokenizer of longer chats, too
            file.unlink(missing_ok=True)
        raise
    return trained

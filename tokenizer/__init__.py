"""Clean text in, a sentencepiece model out: `python -m tokenizer`, or `train` and `load` from another program.

The settings are those that give back Korean chat exactly, character by character (emoji, ㅋㅋㅋ, spaces, newlines):
no normalization, spaces kept, characters outside the vocabulary as bytes. The one exception is `▁` (U+2581), which is
how sentencepiece writes a space. Pieces that only one or two conversations have are left out (`rare_pieces.py`).

The folder that `train` writes into is a Hugging Face tokenizer as well: `AutoTokenizer.from_pretrained("tokenizer")`.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import sentencepiece

from data.atomic import write_whole
from data.terminal import printable
from tokenizer.rare_pieces import FEWEST_CONVERSATIONS, without_rare_pieces

TAGS = (  # data/masking/tags.py says what they are
    *("<PHOTO>", "<MOVIE>", "<EMOJI>", "<URL>", "<NAME>"),
    *("<FILE>", "<VOICE>", "<CALL>", "<MONEY>", "<POLL>", "<NOTICE>", "<PLACE>", "<CONTACT>"),
    *("<EMAIL>", "<PHONE>", "<ID>", "<CARD>", "<ACCOUNT>", "<ADDRESS>"),
    *(f"<P{number}>" for number in range(1, 17)),
)
MODEL_TYPES = ("bpe", "unigram")
CHARACTERS_PER_PIECE = 25
SMALLEST_VOCAB_SIZE = 2000  # tags, bytes and the single characters of Korean chat take most of this

# Control symbols by id. Wrap sequences by id: the string `<|start|>` in a text stays plain characters.
_CONTROL_SYMBOLS = ("<unk>", "<|start|>", "<|endoftext|>", "<|pad|>")
_MOST_PIECES = 2**31 - 1
_MAX_SENTENCES = 500_000  # more change no vocabulary of this size, but take memory that a phone does not have
_MAX_CHARACTERS = 20_000_000  # in all of them: 0.4 GB while it trains
_MOST_LINES = 1000  # of a conversation, in the mean; with more, blank lines in a text part something else
_LONGEST = 1000  # characters of a line; sentencepiece skips lines over 4192 bytes without a word

# With this in tokenizer_config.json and the model as tokenizer.model, Hugging Face's tokenizer gives the same ids as
# sentencepiece does: no space of its own at the start, and `<|start|>` in a text stays plain characters.
HUGGING_FACE_SETTINGS = {
    "tokenizer_class": "LlamaTokenizer",
    "legacy": False,
    "add_prefix_space": False,
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<|start|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<unk>",
    "pad_token": "<|pad|>",
    "split_special_tokens": True,
    "clean_up_tokenization_spaces": False,
}


class TokenizerError(ValueError):
    """A tokenizer that cannot be trained or loaded. The message is meant for the user."""


def train(
    input: Path,
    *,
    model_prefix: str = "minigpt",
    output_dir: Path = Path("tokenizer"),
    vocab_size: int = 8000,
    character_coverage: float = 0.9995,
    model_type: str = "bpe",
    report: Callable[[str], None] = print,
) -> Path:
    """Train on a UTF-8 file, a sentence a line; return the path of the .model file, with the others beside it.

    Blank lines part conversations; where there are none, every line is one of its own. A piece is in three of them at
    least.

    A file too small for `vocab_size` gets the largest vocabulary that fits, and `report` says so. The same input and
    settings give the same bytes. Raises TokenizerError, leaving files of earlier calls alone.
    """
    if model_type not in MODEL_TYPES:
        raise TokenizerError(f"model type {model_type!r} is not one of {', '.join(MODEL_TYPES)}")
    if not 0.98 <= character_coverage <= 1:
        raise TokenizerError(f"character coverage {character_coverage} is not between 0.98 and 1")
    if not 1 <= vocab_size <= _MOST_PIECES:
        raise TokenizerError(f"a vocabulary of {vocab_size} pieces is not possible; the usual size is 8000")
    text = _Text.measured(input)
    which = "" if text.step == 1 else f" one line in {text.step} of"
    report(
        f"training a {model_type} tokenizer of {vocab_size:,} pieces on{which} {input} "
        f"({text.lines:,} lines, {text.characters:,} characters) …"
    )
    model, size = _train_without_rare_pieces(text, vocab_size, character_coverage, model_type)
    if size < vocab_size:
        report(f"{input} is too small for {vocab_size:,} pieces: the vocabulary has {size:,}, all that fit")
    return _save(model, output_dir, model_prefix)


def _train_without_rare_pieces(
    text: "_Text", vocab_size: int, character_coverage: float, model_type: str
) -> tuple[bytes, int]:
    """Return the serialized model, and how many pieces it has. Raises TokenizerError.

    More pieces are learnt than are wanted, for some of them are left out.
    """
    wanted, is_largest = vocab_size, False
    while True:
        wanted = min(2 * wanted, _MOST_PIECES)
        try:
            model = _train(text.sentences(), wanted, character_coverage, model_type)
        except RuntimeError as error:
            largest = re.search(r"too high .* value <= (\d+)", str(error))
            if largest is None:
                raise _explained(error, vocab_size) from None
            wanted, is_largest = int(largest[1]), True
            try:
                model = _train(text.sentences(), wanted, character_coverage, model_type)
            except RuntimeError as second_error:
                raise _explained(second_error, wanted) from None
        model, needed = without_rare_pieces(model, text.numbered_sentences(), vocab_size)
        size = sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()
        if needed > vocab_size:
            raise _too_small(vocab_size, needed)
        if size == vocab_size or is_largest or wanted == _MOST_PIECES:
            return model, size


def fitting_vocab_size(input: Path, wanted: int) -> int:
    """Return the largest vocabulary, up to `wanted`, that so much text can teach a model to use.

    A piece that a model sees a handful of times stays noise to it: on 52,000 characters of chat 2,000 pieces gave 2.21
    held-out bits per byte where 8,000 gave 2.35 (docs/log.md).
    """
    try:
        characters = sum(len(sentence) for _, sentence in _sentences(input))
    except (OSError, UnicodeDecodeError):
        return wanted  # `train` says what is wrong with it
    return min(wanted, max(SMALLEST_VOCAB_SIZE, characters // CHARACTERS_PER_PIECE))


def load(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Return the tokenizer in a .model file. Raises TokenizerError if it is missing, or not one of `train`'s."""
    try:
        proto = Path(path).read_bytes()
    except OSError as error:
        raise TokenizerError(f"tokenizer {path} cannot be read ({error.strerror}); run: python -m tokenizer") from None
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
        pieces = tuple(map(processor.id_to_piece, range(processor.get_piece_size())))[:4]
    except (RuntimeError, UnicodeDecodeError):  # the latter where a piece is no text
        raise TokenizerError(f"tokenizer {path} is no sentencepiece model; run: python -m tokenizer") from None
    ids = (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id())
    if pieces != _CONTROL_SYMBOLS or ids != (0, 1, 2, 3):
        raise TokenizerError(
            f"tokenizer {path} begins with {printable(' '.join(pieces))[:80]} instead of {' '.join(_CONTROL_SYMBOLS)}; "
            "train one with: python -m tokenizer"
        )
    return processor


@dataclass(frozen=True)
class _Text:
    """The text to train on, of which every `step`-th line is taken: more change no vocabulary of this size."""

    input: Path
    lines: int
    characters: int
    blocks: int  # that blank lines part
    step: int

    @classmethod
    def measured(cls, input: Path) -> Self:
        """Return how much text there is. Raises TokenizerError if the file is of no use."""
        lines = characters = blocks = 0
        try:
            for block, sentence in _sentences(input):
                lines += 1
                characters += len(sentence)
                blocks = block + 1
        except OSError as error:
            raise TokenizerError(f"{input} cannot be read ({error.strerror}); run: python -m data") from None
        except UnicodeDecodeError:
            raise TokenizerError(f"{input} is not UTF-8 text; run: python -m data") from None
        if not lines:
            raise TokenizerError(f"{input} has no text in it; run: python -m data")
        step = max(-(-lines // _MAX_SENTENCES), -(-characters // _MAX_CHARACTERS))
        return cls(input, lines, characters, blocks, step)

    def sentences(self) -> Iterator[str]:
        """Yield the lines that are trained on."""
        return (sentence for _, sentence in islice(_sentences(self.input), 0, None, self.step))

    def numbered_sentences(self) -> Iterator[tuple[int, str]]:
        """Yield them with the number of each one's conversation; where these are not known, each is its own."""
        is_parted = self.blocks >= FEWEST_CONVERSATIONS and self.lines <= _MOST_LINES * self.blocks
        for number, (block, sentence) in enumerate(islice(_sentences(self.input), 0, None, self.step)):
            yield block if is_parted else number, sentence


def _sentences(input: Path) -> Iterator[tuple[int, str]]:
    """Yield the file's lines that are not blank, long ones in pieces and never whole in memory.

    With each comes how many blocks were before its own; blank lines are between them.
    """
    block, is_within, is_whole = -1, False, True
    with input.open(encoding="utf-8", newline="\n") as file:
        while line := file.readline(_LONGEST):
            if line.strip():
                block += not is_within
                is_within = True
                yield block, line.rstrip("\r\n")
            elif is_whole:  # and not the end of a line that came in pieces
                is_within = False
            is_whole = line.endswith("\n")


def _train(sentences: Iterator[str], vocab_size: int, character_coverage: float, model_type: str) -> bytes:
    """Return the serialized model. Iterator and writer keep paths out of it, so that its hash tells content only."""
    model = io.BytesIO()
    unk, bos, eos, pad = _CONTROL_SYMBOLS
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences,
        model_writer=model,
        model_type=model_type,
        vocab_size=vocab_size,
        character_coverage=character_coverage,
        byte_fallback=True,
        normalization_rule_name="identity",  # the default, nmt_nfkc, turns ㅋ into another letter
        remove_extra_whitespaces=False,
        split_digits=True,
        add_dummy_prefix=False,
        user_defined_symbols=list(TAGS),
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        unk_piece=unk,
        bos_piece=bos,
        eos_piece=eos,
        pad_piece=pad,
        minloglevel=2,
    )
    return model.getvalue()


def _explained(error: RuntimeError, vocab_size: int) -> TokenizerError:
    """Return an error that says what to do, for one of sentencepiece's."""
    if needed := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error)):
        return _too_small(vocab_size, int(needed[1]))
    return TokenizerError(f"sentencepiece cannot train {vocab_size:,} pieces: {error}")


def _too_small(vocab_size: int, needed: int) -> TokenizerError:
    """Return the error for a vocabulary that has no room for what it needs."""
    return TokenizerError(
        f"a vocabulary of {vocab_size:,} is too small: tags, bytes and single characters need {needed:,}; "
        f"set --vocab-size to more than {needed:,} or lower --character-coverage"
    )


def private_files(output_dir: Path = Path("tokenizer"), model_prefix: str = "minigpt") -> list[Path]:
    """Return the files of a tokenizer that hold pieces of people's texts."""
    return [output_dir / name for name in (f"{model_prefix}.model", f"{model_prefix}.vocab", "tokenizer.model")]


def _save(model: bytes, output_dir: Path, model_prefix: str) -> Path:
    """Write <prefix>.vocab (a piece and its score a line) and what Hugging Face asks for, then <prefix>.model."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = processor.get_piece_size()
    vocabulary = "".join(f"{processor.id_to_piece(piece)}\t{processor.get_score(piece):g}\n" for piece in range(size))
    path = output_dir / f"{model_prefix}.model"
    files = {
        f"{model_prefix}.vocab": vocabulary.encode(),
        "tokenizer_config.json": json.dumps(HUGGING_FACE_SETTINGS, indent=2).encode(),
        "tokenizer.model": model,
        path.name: model,
    }
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(output_dir / name, content)
    except OSError as error:
        raise TokenizerError(f"cannot write {path}: {error.strerror}") from None
    return path

"""Train the tokenizer: `python -m tokenizer`; look at one: `python -m tokenizer --report`."""

import argparse
import sys
from functools import partial
from pathlib import Path

from data.private import close_to_others, keep_private
from data.terminal import CommandParser, exit_code
from tokenizer import MODEL_TYPES, TokenizerError, load, private_files, train
from tokenizer.report import report

TRAINING_TEXT = Path("data/for-tokenizer-training/textonly.txt")
HELD_OUT_TEXT = Path("data/for-model-training/valid.jsonl")


def parse_arguments() -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m tokenizer",
        description="Trains a sentencepiece tokenizer on clean text and writes PREFIX.model and PREFIX.vocab, and "
        "beside them what makes the folder a Hugging Face tokenizer.",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help=f"UTF-8 text, a sentence a line (default: {TRAINING_TEXT}); with --report, texts that the tokenizer "
        f'was not trained on, one a line, or {{"text": …}} a line in a .jsonl (default: {HELD_OUT_TEXT})',
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="train nothing: show tokens per character, byte tokens, longest pieces, whether texts come back exactly",
    )
    parser.add_argument(
        "--model-prefix", default="minigpt", metavar="PREFIX", help="name of the two files (default: %(default)s)"
    )
    parser.add_argument(
        "--vocab-size", type=int, default=8000, metavar="N", help="pieces, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=0.9995,
        metavar="SHARE",
        help="share of all characters with a piece of their own, 0.98 to 1; the rest become bytes "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--model-type", choices=MODEL_TYPES, default="bpe", help="unigram takes far longer (default: %(default)s)"
    )
    parser.add_argument(
        "--output-dir", type=Path, default=Path("tokenizer"), help="where the files are (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> int:
    keep_private()
    return exit_code(partial(work, parse_arguments()), TokenizerError)


def work(arguments: argparse.Namespace) -> None:
    """Look at a tokenizer or train one, as the command line asks. Raises TokenizerError."""
    if arguments.report:
        model = arguments.output_dir / f"{arguments.model_prefix}.model"
        print(report(model, arguments.input or HELD_OUT_TEXT))
        return
    close_to_others(private_files(arguments.output_dir, arguments.model_prefix), print)
    path = train(
        arguments.input or TRAINING_TEXT,
        model_prefix=arguments.model_prefix,
        output_dir=arguments.output_dir,
        vocab_size=arguments.vocab_size,
        character_coverage=arguments.character_coverage,
        model_type=arguments.model_type,
    )
    print(f"wrote {path} and .vocab: {load(path).get_piece_size():,} pieces")


if __name__ == "__main__":
    sys.exit(main())

"""Train the tokenizer: `python -m tokenizer`."""

import argparse
import sys
from pathlib import Path

from tokenizer import MODEL_TYPES, TokenizerError, load, train


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tokenizer",
        description="Trains a sentencepiece tokenizer on clean text and writes PREFIX.model and PREFIX.vocab.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--input",
        type=Path,
        default=Path("data/for-tokenizer-training/textonly.txt"),
        metavar="FILE",
        help="UTF-8 text, a sentence a line",
    )
    parser.add_argument("--model-prefix", default="minigpt", metavar="PREFIX", help="name of the two files written")
    parser.add_argument("--vocab-size", type=int, default=8000, metavar="N", help="pieces, at most")
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=0.9995,
        metavar="SHARE",
        help="share of all characters with a piece of their own, 0.98 to 1; the rest become bytes",
    )
    parser.add_argument("--model-type", choices=MODEL_TYPES, default="bpe", help="unigram takes many times longer")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("tokenizer"), metavar="DIR", help="where the files are written"
    )
    arguments = parser.parse_args()
    try:
        path = train(**vars(arguments))
        print(f"wrote {path} and .vocab: {load(path).get_piece_size():,} pieces")
    except TokenizerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

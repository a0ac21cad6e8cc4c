"""Prepare chat exports for training: `python -m data`."""

import argparse
import sys
from pathlib import Path

from data import DataError, prepare


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data",
        description="Reads chat exports (*.csv with the columns Date,User,Message; *.txt from KakaoTalk; other "
        "*.txt as plain text, a text a line), cleans them, masks names, links and pictures, and writes the texts to "
        "train on.",
        epilog="Nothing leaves this device. Files that cannot be used are named and left out.",
    )
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), metavar="DIR", help="the exports (%(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where for-tokenizer-training/ and for-model-training/ are written (%(default)s)",
    )
    arguments = parser.parse_args()
    try:
        prepare(arguments.raw, arguments.output)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Let a trained model continue a text: `python -m minigpt.generate --prompt "안녕 GPT!"`.

Takes the newest checkpoint under checkpoints/ and writes the continuation to standard output as it comes; everything
else that there is to say goes to standard error.
"""

import argparse
import codecs
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.checkpoint import Checkpoint, newest, read
from minigpt.dataset import piece_bytes
from minigpt.device import pick_device
from minigpt.manifest import CheckpointError
from minigpt.model import MiniGPT

CHECKPOINTS = Path("checkpoints")


class PromptError(ValueError):
    """A prompt that cannot be used."""


@torch.no_grad()
def generate(
    model: MiniGPT,
    ids: list[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> Iterator[int]:
    """The ids that follow `ids`, one by one, until the end of the text (which is not given out) or `max_new_tokens`.

    The model looks back over its last `seq_len` ids. Temperature 0 always takes the likeliest id. The same seed gives
    the same ids on the same device.
    """
    device = next(model.parameters()).device
    random = torch.Generator(device)
    if seed is None:
        random.seed()
    else:
        random.manual_seed(seed)
    ids = list(ids)
    model.eval()
    for _ in range(max_new_tokens):
        logits = model(torch.tensor([ids[-model.seq_len :]], device=device))[0, -1]  # (V,)
        id = sample(logits, temperature, top_k, top_p, random)
        if id == END_OF_TEXT:
            return
        ids.append(id)
        yield id


def sample(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, random: torch.Generator) -> int:
    """Draw an id by its logits (V,), from the `top_k` likeliest or the likeliest that make up `top_p` together."""
    logits = logits.clone()
    logits[[UNKNOWN, START, PADDING]] = -math.inf  # these are not text
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits - logits.max()) / temperature  # at most 0, so that no temperature is too small
    probabilities, ids = logits.softmax(dim=-1).sort(descending=True)
    if top_k is not None:
        probabilities[top_k:] = 0
    if top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities  # what likelier ids make up without this one
        probabilities[1:][before[1:] >= top_p * probabilities.sum()] = 0
    return int(ids[torch.multinomial(probabilities, 1, generator=random)])


def stream_text(tokenizer: Any, ids: Iterable[int]) -> Iterator[str]:
    """The text of `ids` as it comes. A character made of several byte tokens is held back until it is whole."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for id in ids:
        yield decoder.decode(piece_bytes(tokenizer, id))
    yield decoder.decode(b"", final=True)


def encode_prompt(prompt: str, tokenizer: Any, seq_len: int) -> list[int]:
    """The ids of a prompt as the beginning of a text; of one that is too long, the last `seq_len`."""
    ids = [START, *tokenizer.encode(prompt)]
    if len(ids) > seq_len:
        say(f"the prompt has {len(ids)} tokens and the model looks back over {seq_len}: only its last part is used")
    return ids[-seq_len:]


def find_checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    """The checkpoint that the command line asks for."""
    if arguments.checkpoint is not None:
        return read(arguments.checkpoint)
    if arguments.from_peer is not None:
        return read(fetch_from_peer(arguments.from_peer))
    found = newest(CHECKPOINTS, report=say)
    if found is None:
        raise CheckpointError(f"no checkpoint under {CHECKPOINTS}/ yet: start training with python -m peer --join")
    return found


def fetch_from_peer(address: str) -> Path:
    """The newest checkpoint of the running peer at `address`, in a folder here."""
    # the one place where this room looks into peer/: only here, since hivemind takes seconds to import
    from peer.ask import fetch_from_peer
    from peer.transfer import TransferError

    try:
        return fetch_from_peer(address, CHECKPOINTS / "from-peer")
    except TransferError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(f"the model of {address} cannot be kept here: {error}") from error


def read_prompt(arguments: argparse.Namespace) -> str:
    """The prompt from the command line or from its file, newlines and all."""
    try:
        if arguments.prompt_file is None:
            arguments.prompt.encode()
            return str(arguments.prompt)
        return Path(arguments.prompt_file).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PromptError(f"the prompt file {arguments.prompt_file} cannot be read: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise PromptError("the prompt is not valid UTF-8 text") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"the prompt file {arguments.prompt_file} is not UTF-8 text; save it as UTF-8") from error


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], int | float]:
    """A type for argparse: a number from low to high."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if not low <= value <= high:  # "nan" is not either
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # what argparse calls it in its messages
    return parse


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m minigpt.generate", description="Let a trained model continue a text.")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", metavar="TEXT", help="the text to continue")
    prompt.add_argument("--prompt-file", metavar="FILE", type=Path, help="a file with the text to continue, UTF-8")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--checkpoint", metavar="FOLDER", type=Path, help="default: the newest under checkpoints/")
    source.add_argument("--from-peer", metavar="ADDRESS", help="a running peer, as in the first line that it prints")
    parser.add_argument(
        "--max-new-tokens", metavar="N", type=number(int, 1, 1_000_000), default=100, help="default: 100"
    )
    parser.add_argument(
        "--temperature",
        metavar="T",
        type=number(float, 0, 100),
        default=0.8,
        help="below 1 safer, above 1 wilder, 0 always the likeliest token; default: 0.8",
    )
    parser.add_argument(
        "--top-k", metavar="K", type=number(int, 1, 1_000_000), help="choose among the K likeliest tokens"
    )
    parser.add_argument(
        "--top-p",
        metavar="P",
        type=number(float, 0, 1),
        help="choose among the likeliest that make up P together, as 0.9",
    )
    parser.add_argument("--seed", metavar="N", type=number(int, 0, 2**63 - 1), help="the same number, the same text")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Hangul gets question marks and no traceback
    try:
        prompt = read_prompt(arguments)
        checkpoint = find_checkpoint(arguments)
        tokenizer = checkpoint.load_tokenizer()
        model = checkpoint.build_model().to(pick_device())
        ids = generate(
            model,
            encode_prompt(prompt, tokenizer, model.seq_len),
            max_new_tokens=arguments.max_new_tokens,
            temperature=arguments.temperature,
            top_k=arguments.top_k,
            top_p=arguments.top_p,
            seed=arguments.seed,
        )
        for text in stream_text(tokenizer, ids):
            print(text, end="", flush=True)
        print()
    except (CheckpointError, PromptError) as error:
        say(str(error))
        return 2
    except BrokenPipeError:  # the reader has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print()
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

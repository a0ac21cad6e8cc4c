"""Let a trained model continue a text: `python -m minigpt.generate --prompt "안녕 GPT!"`, or talk to it: `--chat`.

Takes the newest checkpoint under checkpoints/ and writes the continuation to standard output as it comes; everything
else that there is to say goes to standard error.
"""

import argparse
import codecs
import io
import math
import re
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from minigpt import END_OF_TEXT, PADDING, START, UNKNOWN
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import CHECKPOINTS, exit_code, find_checkpoint, number_between, say
from minigpt.decoding import Decoding, InferenceModel
from minigpt.device import pick_device
from minigpt.encoding import piece_bytes
from tokenizer import TAGS

FOLLOW_SECONDS = 2.0  # between two looks for a newer checkpoint
FEWEST_GUESSES, MOST_GUESSES = 2, 15  # tokens; on one core a pass of 3 takes 1.2 times one of 1, one of 16 three times


ANY_TAG = re.compile(f"({'|'.join(TAGS)})")


class PromptError(ValueError):
    """A prompt that cannot be used."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: temperature 0 always takes the likeliest, `top_k` and `top_p` narrow the choice."""

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None  # the same number gives the same ids on the same device


class Context:
    """What the model has before it: the ids so far, of which `Decoding` keeps what the model has made of them.

    The model looks back over `seq_len` ids at most. Where more have come it begins anew with the last half of that, so
    that half as many can follow before the next time: a window that moved with every id would have nothing to keep.

    A pass takes the time in which all parameters are read from memory, for one id as for a few. So it takes guesses of
    what comes next along, and those that come true save passes of their own (speculative decoding, arXiv:2211.17192,
    with what followed before as the guess: prompt lookup decoding). The ids that are chosen stay the same.
    """

    def __init__(self, model: InferenceModel, ids: Sequence[int]):
        self.model = model
        self.ids = list(ids)
        self._decoding = Decoding(model)
        self._read: list[int] = []  # what the decoding has read, with the guesses at its end
        self._guesses = 0
        self._logits = torch.empty(0)  # (1 + guesses, V): of what follows the last id that was none, and each guess
        self._courage = FEWEST_GUESSES

    def append(self, id: int) -> None:
        self.ids.append(id)

    def next_logits(self) -> Tensor:
        """Logits (V,) of what follows."""
        window = self.model.seq_len
        if len(self.ids) > window:
            self.ids = self.ids[-window // 2 :]
            self._read, self._guesses = [], 0
        certain = known = len(self._read) - self._guesses
        while known < min(len(self._read), len(self.ids)) and self._read[known] == self.ids[known]:
            known += 1
        if known < len(self.ids):
            came_true = 0 < self._guesses == known - certain
            self._courage = min(2 * self._courage, MOST_GUESSES) if came_true else FEWEST_GUESSES
            self._read_on(known)
        return self._logits[len(self.ids) - len(self._read) - 1]

    def _read_on(self, known: int) -> None:
        """Have the model read what it does not know yet, and some guesses."""
        guesses = what_followed(self.ids, min(self._courage, self.model.seq_len - len(self.ids)))
        self._decoding.used, self._read, self._guesses = known, self.ids + guesses, len(guesses)
        self._logits = self._decoding.read(self._read[known:], 1 + len(guesses))


def what_followed(ids: list[int], count: int) -> list[int]:
    """A guess at the next `count` ids: as it went on when the last three, two or one of them came before."""
    for length in (3, 2, 1):
        for start in range(len(ids) - length - 1, -1, -1):
            if ids[start : start + length] == ids[-length:]:
                text = list(ids)
                for number in range(count):  # perhaps into the guess itself, where the text goes in circles
                    text.append(text[start + length + number])
                return text[len(ids) :]
    return []


def generate(
    model: InferenceModel, ids: Sequence[int] | Context, *, max_new_tokens: int, sampling: Sampling | None = None
) -> Iterator[int]:
    """The ids that follow `ids`, one by one, until the end of the text (which is not given out) or `max_new_tokens`.

    A Context goes on where it is, and holds what was said afterwards.
    """
    context = ids if isinstance(ids, Context) else Context(model, ids)
    sampling = sampling or Sampling()
    random = torch.Generator(model.words.device)
    if sampling.seed is None:
        random.seed()
    else:
        random.manual_seed(sampling.seed)
    for _ in range(max_new_tokens):
        id = sample(context.next_logits(), sampling.temperature, sampling.top_k, sampling.top_p, random)
        if id == END_OF_TEXT:
            return
        context.append(id)
        yield id


@torch.inference_mode()
def sample(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None, random: torch.Generator) -> int:
    """Draw an id by its logits (V,), from the `top_k` likeliest or the likeliest that make up `top_p` together."""
    logits = logits.clone()
    for id in (UNKNOWN, START, PADDING):
        logits[id] = -math.inf  # these are not text
    if temperature == 0:
        return int(logits.argmax())
    logits = (logits - logits.max()) / max(temperature, torch.finfo(logits.dtype).tiny)  # at most 0: none is too small
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


def encode_prompt(prompt: str, tokenizer: Any) -> list[int]:
    """The ids of a prompt as the beginning of a text; the model can look back over its last `seq_len`."""
    return [START, *tokenizer.encode(prompt)]


def as_learnt(text: str, checkpoint: Checkpoint) -> str:
    """The text as those that the model has learnt from were made: capital letters may be none that it knows."""
    text = unicodedata.normalize("NFC", text)
    if not checkpoint.settings.data.lower_case:
        return text
    return "".join(part if part in TAGS else part.lower() for part in ANY_TAG.split(text))


def write_samples(
    model: InferenceModel, tokenizer: Any, ids: list[int], sampling: Sampling, max_new_tokens: int, samples: int
) -> None:
    """So many continuations, with an empty line between; the first is what one alone would be."""
    for number in range(samples):
        if number:
            print()
        own = sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)
        for text in stream_text(tokenizer, generate(model, ids, max_new_tokens=max_new_tokens, sampling=own)):
            print(text, end="", flush=True)
        print(flush=True)


def chat(model: InferenceModel, tokenizer: Any, lines: Iterable[str], sampling: Sampling, max_new_tokens: int) -> None:
    """Answer line by line, with all that was said before in mind."""
    context = Context(model, [START])
    newline = tokenizer.encode("\n")
    for number, line in enumerate(lines):
        for id in encode_message(line, tokenizer):
            context.append(id)
        turn = sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)
        ids = generate(model, context, max_new_tokens=max_new_tokens, sampling=turn)
        for text in first_line(stream_text(tokenizer, ids)):
            print(text, end="", flush=True)
        if context.ids[-len(newline) :] != newline:  # it was too long, or the end of a text
            for id in newline:
                context.append(id)
        print(flush=True)


def encode_message(message: str, tokenizer: Any) -> list[int]:
    """The ids of a message in a talk, as the chats that the model learnt from go: each is a line."""
    ids: list[int] = tokenizer.encode(message.strip("\n") + "\n")
    return ids


def first_line(texts: Iterable[str]) -> Iterator[str]:
    """The first line of what comes that is not empty, without its end: the answer in a talk."""
    begun = False
    for text in texts:
        shown, newline, _ = text.partition("\n")
        yield shown
        begun = begun or bool(shown)
        if newline and begun:
            return


def standard_input() -> TextIO:
    """Raises PromptError where there is none, as a service may start a program."""
    if sys.stdin is None:
        raise PromptError("there is no standard input to read from")
    return sys.stdin


def typed_lines() -> Iterator[str]:
    """What the user types, line by line, until an empty line or Ctrl+D."""
    stdin = standard_input()
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(errors="strict")  # where no language is set, bytes that are no text would pass as characters
    at_a_terminal = stdin.isatty()
    if at_a_terminal:
        say("write a message; an empty line or Ctrl+D ends the talk")
    while True:
        if at_a_terminal:
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            line = stdin.readline()
        except UnicodeDecodeError as error:
            raise PromptError("standard input is not UTF-8 text") from error
        if not line.strip():
            return
        yield line


def fetch(arguments: argparse.Namespace) -> Path:
    """The newest checkpoint of the running peer that the command line asks for, in a folder here."""
    # the one place where this room looks into peer/: only here, since hivemind takes seconds to import
    from peer.ask import fetch_from_peer, fetch_from_swarm
    from peer.transfer import TransferError

    root = CHECKPOINTS / "from-peer"
    try:
        if arguments.from_swarm is not None:
            return fetch_from_swarm(arguments.from_swarm, root)
        return fetch_from_peer(arguments.from_peer, root)
    except TransferError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(f"the model cannot be kept in {root}: {error}") from error


def chosen_checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    """The checkpoint that the command line asks for."""
    remote = arguments.from_peer is not None or arguments.from_swarm is not None
    return find_checkpoint(fetch(arguments) if remote else arguments.checkpoint)


def newer(than: Checkpoint, arguments: argparse.Namespace) -> Checkpoint:
    """The next checkpoint that the command line asks for, once there is one: of several donors one may be behind."""
    while True:
        checkpoint = chosen_checkpoint(arguments)
        here, there = checkpoint.progress, than.progress
        if here.run_id != there.run_id or (here.samples, here.round) > (there.samples, there.round):
            return checkpoint
        time.sleep(FOLLOW_SECONDS)


def read_prompt(arguments: argparse.Namespace) -> str:
    """The prompt from the command line or from its file, newlines and all."""
    path = arguments.prompt_file
    name = "standard input" if str(path) == "-" else f"the prompt file {path}"
    try:
        if path is None:
            arguments.prompt.encode()
            return str(arguments.prompt)
        content = standard_input().buffer.read() if str(path) == "-" else path.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise PromptError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise PromptError("the prompt is not valid UTF-8 text") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{name} is not UTF-8 text; save it as UTF-8") from error


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m minigpt.generate", description="Let a trained model continue a text.")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", metavar="TEXT", help="the text to continue")
    prompt.add_argument(
        "--prompt-file", metavar="FILE", type=Path, help="a file with the text to continue, UTF-8; - is standard input"
    )
    prompt.add_argument("--chat", action="store_true", help="talk: every line that is typed is answered with a line")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--checkpoint", metavar="FOLDER", type=Path, help="default: the newest under checkpoints/")
    source.add_argument("--from-peer", metavar="ADDRESS", help="a running peer, as in the first line that it prints")
    source.add_argument(
        "--from-swarm", metavar="RUN", nargs="?", const="", help="a running peer on this network, of that run or of any"
    )
    parser.add_argument(
        "--follow", action="store_true", help="answer again with every newer checkpoint, until Ctrl+C ends it"
    )
    parser.add_argument(
        "--max-new-tokens", metavar="N", type=number_between(int, 1, 1_000_000), default=100, help="default: 100"
    )
    parser.add_argument(
        "--temperature",
        metavar="T",
        type=number_between(float, 0, 100),
        default=0.8,
        help="below 1 safer, above 1 wilder, 0 always the likeliest token; default: 0.8",
    )
    parser.add_argument(
        "--top-k", metavar="K", type=number_between(int, 1, 1_000_000), help="choose among the K likeliest tokens"
    )
    parser.add_argument(
        "--top-p",
        metavar="P",
        type=number_between(float, 0, 1),
        help="choose among the likeliest that make up P together, as 0.9",
    )
    parser.add_argument(
        "--samples", metavar="N", type=number_between(int, 1, 1000), default=1, help="so many continuations; default: 1"
    )
    parser.add_argument(
        "--seed", metavar="N", type=number_between(int, 0, 2**63 - 1), help="the same number, the same text"
    )
    arguments = parser.parse_args(argv)
    if arguments.follow and (arguments.chat or arguments.checkpoint is not None):
        parser.error("--follow answers a prompt as training goes on: not with --chat or --checkpoint")
    return arguments


def answer(checkpoint: Checkpoint, prompt: str | None, sampling: Sampling, arguments: argparse.Namespace) -> None:
    """Continue the prompt; with none of them, talk."""
    tokenizer = checkpoint.load_tokenizer()
    model = InferenceModel(checkpoint.build_model().to(pick_device()))
    if prompt is None:
        lines = (as_learnt(line, checkpoint) for line in typed_lines())
        chat(model, tokenizer, lines, sampling, arguments.max_new_tokens)
    else:
        ids, seen = encode_prompt(as_learnt(prompt, checkpoint), tokenizer), model.seq_len
        if len(ids) > seen:
            say(f"the prompt has {len(ids)} tokens and the model looks back over {seen}: only its last part is used")
        write_samples(model, tokenizer, ids[-seen:], sampling, arguments.max_new_tokens, arguments.samples)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    sampling = Sampling(arguments.temperature, arguments.top_k, arguments.top_p, arguments.seed)

    def work() -> None:
        prompt = None if arguments.chat else read_prompt(arguments)
        checkpoint = chosen_checkpoint(arguments)
        answer(checkpoint, prompt, sampling, arguments)
        while arguments.follow:
            checkpoint = newer(checkpoint, arguments)
            say(f"round {checkpoint.progress.round}:")
            answer(checkpoint, prompt, sampling, arguments)

    return exit_code(work, (CheckpointError, PromptError))


if __name__ == "__main__":
    sys.exit(main())

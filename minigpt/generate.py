"""Let a trained model continue a text: `python -m minigpt.generate --prompt "안녕 GPT!"`, or talk to it: `--chat`.

Takes the best checkpoint under checkpoints/, or the newest, and writes the continuation to standard output as it comes;
everything else that there is to say goes to standard error.
"""

import argparse
import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from data.terminal import ASKED_FOR, CommandParser, asked_for_invite, printable
from minigpt import START
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import (
    CHECKPOINTS,
    GuideMode,
    add_checkpoint_option,
    add_newest_option,
    chosen_checkpoint,
    exit_code,
    find_checkpoint,
    number_between,
    say,
)
from minigpt.device import pick_device
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import PromptError, as_learnt, encode_message, encode_prompt, first_line
from minigpt.inference.sampling import Context, Sampling, generate, stream_text

FOLLOW_SECONDS = 2.0  # between two looks for a newer checkpoint
STOP_SECONDS = 3.0  # that the process which asks a peer has to end in good order


def write_samples(
    model: InferenceModel, tokenizer: Any, ids: list[int], sampling: Sampling, max_new_tokens: int, samples: int
) -> None:
    """Write so many continuations, with an empty line between; the first is what one alone would be."""
    for number in range(samples):
        if number:
            print()
        own = sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)
        for text in stream_text(tokenizer, generate(model, ids, max_new_tokens=max_new_tokens, sampling=own)):
            write(text)
        print(flush=True)


def write(text: str) -> None:
    """Write a piece of what the model says; to a terminal, without what that would take for a command."""
    if sys.stdout.isatty():
        text = "\n".join(map(printable, text.split("\n")))
    print(text, end="", flush=True)


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
            write(text)
        if context.ids[-len(newline) :] != newline:  # it was too long, or the end of a text
            for id in newline:
                context.append(id)
        print(flush=True)


def standard_input() -> TextIO:
    """Return standard input. Raises PromptError where there is none, as a service may start a program."""
    if sys.stdin is None:
        raise PromptError("there is no standard input to read from")
    return sys.stdin


def typed_lines() -> Iterator[str]:
    """Give what the user types, line by line, until an empty line or Ctrl+D. Raises PromptError."""
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


class Pull:
    """The process `python -m peer.joining.pull`: what it needs, hivemind above all, stays out of this one."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Raises PromptError where an invite is asked for and none is typed; the process finds it where it is kept."""
        if arguments.from_peer == ASKED_FOR and not asked_for_invite():
            raise PromptError("there is no invite on standard input, where --from-peer - has it looked for")
        command = [sys.executable, "-m", "peer.joining.pull", "--into", str(CHECKPOINTS / "from-peer")]
        command += ["--follow"] if arguments.follow else []
        command += ["--newest"] if arguments.newest else []
        command += ["--", arguments.from_peer] if arguments.from_swarm is None else [f"--swarm={arguments.from_swarm}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def newest(self) -> Path:
        """Return the newest folder that has been taken since the last call; waits for one. Raises CheckpointError.

        What there is to say of it is passed on.
        """
        assert self._process.stdout is not None and self._process.stderr is not None
        folders = os.read(self._process.stdout.fileno(), 2**16).splitlines()  # lines come whole, and may be several
        if folders:
            said = b""
            if select.select([self._process.stderr], [], [], 0)[0]:  # it was said before the folder was
                said = os.read(self._process.stderr.fileno(), 2**16)
            for line in said.decode(errors="replace").splitlines():
                say(line)
            return Path(os.fsdecode(folders[-1]))
        reason = self._process.stderr.read().decode(errors="replace").strip()
        if self._process.wait() in (130, -signal.SIGINT):  # Ctrl+C came to it first
            raise KeyboardInterrupt
        raise CheckpointError(reason or "the process that takes the model of a peer ended unexpectedly")

    def stop(self) -> None:
        """End the process, and with it the node that it is. Waits a few seconds at most."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def source(arguments: argparse.Namespace) -> Iterator[Callable[[], Checkpoint]]:
    """Give a block a function that returns the checkpoint of now which the command line asks for."""
    if arguments.from_peer is None and arguments.from_swarm is None:
        yield partial(chosen_checkpoint, arguments)
        return
    pull = Pull(arguments)
    try:
        yield lambda: find_checkpoint(pull.newest())
    finally:
        pull.stop()


def newer(than: Checkpoint, newest: Callable[[], Checkpoint]) -> Checkpoint:
    """Return the next checkpoint that `newest` finds, once there is one: of several donors one may be behind."""
    while True:
        checkpoint = newest()
        here, there = checkpoint.progress, than.progress
        if here.run_id != there.run_id or (here.samples, here.round) > (there.samples, there.round):
            return checkpoint
        time.sleep(FOLLOW_SECONDS)


def read_prompt(arguments: argparse.Namespace) -> str:
    """Return the prompt from the command line or from its file, newlines and all. Raises PromptError."""
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
    parser = CommandParser("python -m minigpt.generate", description="Let a trained model continue a text.")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", metavar="TEXT", help="the text to continue")
    prompt.add_argument(
        "--prompt-file", metavar="FILE", type=Path, help="a file with the text to continue, UTF-8; - is standard input"
    )
    prompt.add_argument("--chat", action="store_true", help="talk: every line that is typed is answered with a line")
    source = parser.add_mutually_exclusive_group()
    add_checkpoint_option(source)
    source.add_argument(
        "--from-peer",
        metavar="ADDRESS",
        help="a running peer, as in the first line that it prints, or its invite; - asks for the invite, or reads it "
        "from standard input, so that nobody sees it in ps",
    )
    source.add_argument(
        "--from-swarm", metavar="RUN", nargs="?", const="", help="a running peer on this network, of that run or of any"
    )
    add_newest_option(parser)
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
    parser.add_argument("--mode", action=GuideMode)
    arguments = parser.parse_args(argv)
    if arguments.follow and (arguments.chat or arguments.checkpoint is not None):
        parser.error("--follow answers a prompt as training goes on: not with --chat or --checkpoint")
    if arguments.newest and arguments.checkpoint is not None:
        parser.error("--checkpoint names a state and --newest another: choose one")
    if arguments.from_peer == ASKED_FOR and str(arguments.prompt_file) == "-":
        parser.error("--from-peer - and --prompt-file - both read standard input: choose one")
    arguments.newest |= arguments.follow  # the best one may be the last for hours
    return arguments


def answer(checkpoint: Checkpoint, prompt: str | None, sampling: Sampling, arguments: argparse.Namespace) -> None:
    """Continue the prompt; with none, talk."""
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
        with source(arguments) as newest:
            checkpoint = newest()
            answer(checkpoint, prompt, sampling, arguments)
            while arguments.follow:
                checkpoint = newer(checkpoint, newest)
                say(f"round {checkpoint.progress.round}:")
                answer(checkpoint, prompt, sampling, arguments)

    return exit_code(work, (CheckpointError, PromptError))


if __name__ == "__main__":
    sys.exit(main())

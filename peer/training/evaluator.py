"""The anchor's loss on held-out text, and samples of what it writes: found out beside the training, not in its way."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from minigpt import PADDING, START
from minigpt.device import give_back_freed_memory
from minigpt.held_out import HeldOut
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.sampling import Sampling, generate, stream_text
from minigpt.model import MiniGPT
from peer.device.memory import is_out_of_memory

SHARE = 0.005  # of the processor's time, at most,
FIRST_SECONDS = 3.0  # and so many of the processor's seconds besides: who has just begun wants to see that it learns
NICER = 5  # than training: where cores are few, training gets three times as much of them
PROMPTS = 3  # one of them empty
PROMPT_TOKENS = 6
SAMPLE_TOKENS = 40


@dataclass(frozen=True)
class Verdict:
    """The loss of an anchor on held-out text, and samples of what it writes."""

    held_out: tuple[float, float] | None  # nats a token, bits a byte; None without such text, or memory for it
    samples: list[dict[str, str]]  # each with a prompt and the text that follows it


class Evaluator:
    """Judges anchors on a thread of its own: one core, a lower priority, and no more often than SHARE allows.

    :param held_out: the texts to judge by, whose first words are the prompts of the samples as well
    :param autocast: number format for matrix products on the CPU, or None for float32
    :param block_attention: no token sees another text of its sequence, as in training
    """

    def __init__(
        self, held_out: HeldOut | None, tokenizer: Any, autocast: torch.dtype | None, block_attention: bool = False
    ):
        self._held_out, self._tokenizer, self._autocast = held_out, tokenizer, autocast
        self._block_attention = block_attention
        self._prompts = [[START], *(openings(held_out) if held_out is not None else [])]
        self._cores = torch.get_num_threads()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evaluation", initializer=stand_back)
        self._running: Future[tuple[Verdict, float]] | None = None
        self._since, self._spent = time.monotonic(), 0.0  # processor seconds

    @property
    def busy(self) -> bool:
        """True while an anchor is being judged."""
        return self._running is not None

    def begin(self, anchor: MiniGPT, samples: bool = True) -> bool:
        """Begin to judge an anchor that nobody changes any more; return False where its turn has not come.

        :param samples: have it write samples as well
        """
        allowed = FIRST_SECONDS + SHARE * self._cores * (time.monotonic() - self._since)
        if self.busy or self._spent > allowed:
            return False
        self._running = self._thread.submit(self._judge, anchor, self._prompts if samples else [])
        return True

    def poll(self) -> Verdict | None:
        """Return the verdict once it is there, and None before; never wait."""
        if self._running is None or not self._running.done():
            return None
        verdict, seconds = self._running.result()
        self._running = None
        give_back_freed_memory()
        self._spent += seconds
        return verdict

    def _judge(self, anchor: MiniGPT, prompts: list[list[int]]) -> tuple[Verdict, float]:
        """Return the verdict, and the processor's seconds that it took. Runs on the thread."""
        started = time.thread_time()
        try:
            verdict = self._verdict(anchor, prompts)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            verdict = Verdict(None, [])  # training goes first; the next anchor may be luckier
        return verdict, time.thread_time() - started

    def _verdict(self, anchor: MiniGPT, prompts: list[list[int]]) -> Verdict:
        held_out = None
        if self._held_out is not None:
            held_out = self._held_out.evaluate(anchor, self._autocast, self._block_attention)
        samples = []
        if prompts:
            model = InferenceModel(anchor)
            samples = [self._sample(model, prompt) for prompt in prompts]
        return Verdict(held_out, samples)

    def _sample(self, model: InferenceModel, prompt: list[int]) -> dict[str, str]:
        """Return what the model writes after a prompt.

        The dice are the same every time, so that the samples of two checkpoints differ by what was learnt.
        """
        ids = generate(model, prompt, max_new_tokens=SAMPLE_TOKENS, sampling=Sampling(seed=1))
        prompt_text, text = ("".join(stream_text(self._tokenizer, some)) for some in (prompt, ids))
        return {"prompt": prompt_text, "text": text}


def openings(held_out: HeldOut) -> list[list[int]]:
    """Return the first words of the first texts, as prompts."""
    ids: list[int] = held_out.input_ids.flatten().tolist()
    starts = [place for place, id in enumerate(ids) if id == START][: PROMPTS - 1]
    return [
        [START, *takewhile(lambda id: id > PADDING, ids[place + 1 : place + 1 + PROMPT_TOKENS])] for place in starts
    ]


def stand_back() -> None:
    """Confine this thread to one core, and to a priority below that of training."""
    torch.set_num_threads(1)  # of products begun in this thread
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, min(19, os.getpriority(os.PRIO_PROCESS, me) + NICER))

"""The model's loss on held-out text, and samples of what it writes: found out beside the training, not in its way.

The best one by that loss is kept (`peer/training/best_state.py`), on the same thread and out of the same share of time.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch

from minigpt import PADDING, START
from minigpt.checkpoint.manifest import CheckpointError, HeldOutLoss, Progress
from minigpt.device import give_back_freed_memory
from minigpt.encoding import DatasetError
from minigpt.held_out import HeldOut
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.sampling import Sampling, generate, stream_text
from minigpt.memorization import Memorized, Probe
from minigpt.model import MiniGPT
from peer.device.memory import is_out_of_memory
from peer.training.best_state import BestState

SHARE = 0.005  # of the processor's time, at most,
FIRST_SECONDS = 3.0  # and so many of the processor's seconds besides: who has just begun wants to see that it learns
NICER = 5  # than training: where cores are few, training gets three times as much of them
PROMPTS = 3  # one of them empty
PROMPT_TOKENS = 6
SAMPLE_TOKENS = 40
MOST_NATS = 1000.0  # a token; above it, training has gone astray, and no state is worth keeping


@dataclass(frozen=True)
class Verdict:
    """The loss of a model on held-out text, and samples of what it writes."""

    progress: Progress  # behind the model
    held_out: HeldOutLoss | None = None  # None without such text, or memory for it
    samples: Sequence[dict[str, str]] = ()  # each with a prompt and the text that follows it
    problem: str = ""  # why it was not kept, though it is the best one
    right_share: float | None = None  # of the tokens of these texts that were its first guess
    memorized: Memorized | None = None  # of lines that it was trained on, where it was tried


class Evaluator:
    """Judges models on a thread of its own: one core, a lower priority, and no more often than a share of time allows.

    :param held_out: the texts to judge by, whose first words are the prompts of the samples as well
    :param best: keeps the best of them; None where there are no texts to tell by
    :param autocast: number format for matrix products on the CPU, or None for float32
    :param block_attention: no token sees another text of its sequence, as in training
    :param open_probe: reads the lines that tell what is known by heart; None where there is no text of one's own
    """

    def __init__(
        self,
        held_out: HeldOut | None,
        best: BestState | None,
        tokenizer: Any,
        autocast: torch.dtype | None,
        block_attention: bool = False,
        open_probe: Callable[[], Probe] | None = None,
    ):
        self._held_out, self._best, self._tokenizer, self._autocast = held_out, best, tokenizer, autocast
        self._block_attention = block_attention
        self._open_probe = open_probe
        self._probe: Probe | None = None
        self._prompts = [[START], *(openings(held_out) if held_out is not None else [])]
        self._cores = torch.get_num_threads()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evaluation", initializer=stand_back)
        self._running: Future[tuple[Verdict, float]] | None = None
        self._since, self._spent, self._last = time.monotonic(), 0.0, 0.0  # the latter processor seconds
        self._writes, self._spent_writing = False, 0.0  # samples with the verdict under way, and all such verdicts
        self._probes, self._spent_probing = False, 0.0  # the same of what is known by heart

    @property
    def busy(self) -> bool:
        """True while a model is being judged."""
        return self._running is not None

    def has_time(self, share: float = SHARE, more: int = 0) -> bool:
        """Return whether the next model's turn has come, in so large a share of the processor's time.

        :param more: models besides that there is to be time for afterwards
        """
        allowed = FIRST_SECONDS + share * self._cores * (time.monotonic() - self._since)
        return not self.busy and self._spent + more * self._last <= allowed

    def has_time_to_write(self) -> bool:
        """Return whether the next samples' turn has come.

        They have the usual share to themselves: where texts are judged more often, nothing would be left of it.
        """
        allowed = FIRST_SECONDS + SHARE * self._cores * (time.monotonic() - self._since)
        return not self.busy and self._spent_writing <= allowed

    def _has_time_to_probe(self) -> bool:
        """Return whether it is time to try what is known by heart, in the usual share again: not at first.

        It takes about twice as long as a verdict without.
        """
        allowed = SHARE * self._cores * (time.monotonic() - self._since)
        return self._open_probe is not None and self._spent_probing + 3 * self._last <= allowed

    def begin(self, model: MiniGPT, progress: Progress, *, samples: bool = True) -> None:
        """Begin to judge a model that nobody changes any more, with nothing under way.

        :param progress: behind the model
        :param samples: have it write samples as well
        """
        self._writes, self._probes = samples, samples and self._has_time_to_probe()
        self._running = self._thread.submit(self._judge, model, progress, self._prompts if samples else [])

    def poll(self) -> Verdict | None:
        """Return the verdict once it is there, and None before; never wait."""
        if self._running is None or not self._running.done():
            return None
        verdict, seconds = self._running.result()
        self._running = None
        give_back_freed_memory()
        self._spent, self._last = self._spent + seconds, seconds
        self._spent_writing += seconds if self._writes else 0.0
        self._spent_probing += seconds if self._probes else 0.0
        return verdict

    def _judge(self, model: MiniGPT, progress: Progress, prompts: list[list[int]]) -> tuple[Verdict, float]:
        """Return the verdict, and the processor's seconds that it took. Runs on the thread."""
        started = time.thread_time()
        try:
            verdict = self._verdict(model, progress, prompts)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            verdict = Verdict(progress)  # training goes first; the next one may be luckier
        return verdict, time.thread_time() - started

    def _verdict(self, model: MiniGPT, progress: Progress, prompts: list[list[int]]) -> Verdict:
        verdict = Verdict(progress)
        if self._held_out is not None:
            loss = judge(model, self._held_out, self._autocast, self._block_attention)
            verdict = replace(verdict, held_out=loss)
            if self._best is not None and loss is not None:
                try:
                    self._best.judged(model, progress, loss)
                except CheckpointError as error:
                    verdict = replace(verdict, problem=str(error))
        if prompts:
            asked = InferenceModel(model)
            verdict = replace(verdict, samples=[self._sample(asked, prompt) for prompt in prompts])
            if self._held_out is not None:
                right = self._held_out.right_share(model, self._autocast, self._block_attention)
                verdict = replace(verdict, right_share=right)
        return replace(verdict, memorized=self._memorized(model)) if self._probes else verdict

    def _memorized(self, model: MiniGPT) -> Memorized | None:
        """Return how many lines the model knows by heart; None where there are none to try it with."""
        try:
            if self._probe is None and self._open_probe is not None:
                self._probe = self._open_probe()
        except DatasetError:  # it is trained on all the same: in other lines than those there, or in shorter ones
            self._open_probe = None
        return None if self._probe is None else self._probe.try_on(model)

    def _sample(self, model: InferenceModel, prompt: list[int]) -> dict[str, str]:
        """Return what the model writes after a prompt.

        The dice are the same every time, so that the samples of two checkpoints differ by what was learnt.
        """
        ids = generate(model, prompt, max_new_tokens=SAMPLE_TOKENS, sampling=Sampling(seed=1))
        prompt_text, text = ("".join(stream_text(self._tokenizer, some)) for some in (prompt, ids))
        return {"prompt": prompt_text, "text": text}


def judge(model: MiniGPT, held_out: HeldOut, autocast: torch.dtype | None, block_attention: bool) -> HeldOutLoss | None:
    """Return the model's loss on held-out texts; None where it is no number any more."""
    nats, bits = held_out.evaluate(model, autocast, block_attention)
    return HeldOutLoss(nats=nats, bits=bits) if nats < MOST_NATS else None


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

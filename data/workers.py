"""Conversations into texts on all cores, in order, with little in memory at a time."""

import os
import re
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context

from data.conversations import Conversation, texts
from data.duplicates import likeness
from data.messages import DataError
from data.names import name_pattern
from data.spool import hash64

_BATCH = 2000  # messages
_WORTH_PROCESSES = 50  # batches; below, processes take longer to start than they save
_AHEAD = 3  # batches of each process that are under way

Text = tuple[str, int, list[int]]  # with its hash and its likeness
_names: re.Pattern[str] | None = None


def all_texts(conversations: Iterable[Conversation], senders: set[str]) -> Iterator[list[Text]]:
    """The texts of every conversation. The names of `senders` are masked in all of them.

    Raises DataError if a process is killed. Ends its processes when it is closed.
    """
    batches = _batches(conversations)
    first = list(islice(batches, _WORTH_PROCESSES))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(first) < _WORTH_PROCESSES or cores == 1:
        _begin(sorted(senders))
        for batch in chain(first, batches):
            yield from _texts(batch)
        return
    # Spawned and not forked: whoever calls may have threads.
    pool = ProcessPoolExecutor(cores, get_context("spawn"), _begin_process, (sorted(senders),))
    waiting: deque[Future[list[list[Text]]]] = deque()
    try:
        for batch in chain(first, batches):
            waiting.append(_submit(pool, batch))
            if len(waiting) >= _AHEAD * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise DataError("a process that cleaned texts was ended from outside; is there enough memory?") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, batch: list[Conversation]) -> Future[list[list[Text]]]:
    """With Ctrl+C held back in whatever process is started now: it is for this one, which ends the others."""
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(_texts, batch)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_texts, batch)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_process(senders: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _begin(senders)


def _begin(senders: list[str]) -> None:
    global _names
    _names = name_pattern(senders)


def _texts(batch: list[Conversation]) -> list[list[Text]]:
    return [[(text, hash64(text), likeness(text)) for text in texts(conversation, _names)] for conversation in batch]


def _batches(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    batch: list[Conversation] = []
    size = 0
    for conversation in conversations:
        batch.append(conversation)
        size += len(conversation)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

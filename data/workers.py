"""Conversations into texts on all cores, in order, with little in memory at a time.

A worker is a process of its own: the names of the senders come in as a line of JSON, then batches of conversations, and
for each a line with their texts goes out. It ends with its input. The pools of the standard library fork a process that
has threads, or let Ctrl+C reach processes that are just starting.
"""

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from data.conversations import Conversation, texts
from data.duplicates import likeness
from data.messages import DataError
from data.names import name_pattern
from data.spool import hash64

BATCH = 2000  # messages
WORTH_WORKERS = 50  # batches; below, processes take longer to start than they save
_AHEAD = 3  # batches of each worker that are under way

Text = tuple[str, int, list[int]]  # with its hash and its likeness


def all_texts(conversations: Iterable[Conversation], senders: set[str]) -> Iterator[list[Text]]:
    """The texts of every conversation. The names of `senders` are masked in all of them.

    Raises DataError if a worker is killed. Ends its workers when it is closed.
    """
    batches = _batches(conversations)
    first = list(islice(batches, WORTH_WORKERS))
    batches = chain(first, batches)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(first) < WORTH_WORKERS or cores == 1:
        names = name_pattern(sorted(senders))
        for batch in batches:
            yield from _texts(batch, names)
    else:
        yield from _in_workers(batches, senders, cores)


def _in_workers(batches: Iterable[list[Conversation]], senders: set[str], cores: int) -> Iterator[list[Text]]:
    workers: list[_Worker] = []
    free: SimpleQueue[_Worker] = SimpleQueue()

    def cleaned(batch: list[Conversation]) -> list[list[Text]]:
        worker = free.get()
        try:
            return worker.texts(batch)
        finally:
            free.put(worker)

    threads = ThreadPoolExecutor(cores)
    waiting: deque[Future[list[list[Text]]]] = deque()
    try:
        for _ in range(cores):
            workers.append(_Worker(senders))
            free.put(workers[-1])
        for batch in batches:
            waiting.append(threads.submit(cleaned, batch))
            if len(waiting) >= _AHEAD * cores:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for worker in workers:
            worker.end()
        threads.shutdown(cancel_futures=True)


class _Worker:
    def __init__(self, senders: set[str]) -> None:
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from data.workers import work; work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl+C is for us, and we end it
        )
        self._send(sorted(senders))

    def texts(self, batch: list[Conversation]) -> list[list[Text]]:
        self._send(batch)
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise DataError("a process that cleaned texts was ended from outside; is there enough memory?")
        return json.loads(answer)

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # which `texts` will tell
            pass

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _texts(batch: list[Conversation], names: re.Pattern[str] | None) -> list[list[Text]]:
    return [[(text, hash64(text), likeness(text)) for text in texts(conversation, names)] for conversation in batch]


def _batches(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    batch: list[Conversation] = []
    size = 0
    for conversation in conversations:
        batch.append(conversation)
        size += len(conversation)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def work() -> None:
    """What a worker does."""
    names = None
    for number, line in enumerate(sys.stdin):
        if number == 0:
            names = name_pattern(json.loads(line))
            continue
        try:
            print(json.dumps(_texts(json.loads(line), names)), flush=True)
        except BrokenPipeError:  # whoever asked is gone
            os._exit(1)

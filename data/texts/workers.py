"""Conversations into texts on all cores, in order, with little in memory at a time.

A worker is a process of its own: how to clean comes in as a line of JSON, then batches of conversations, and for each a
line with their texts goes out. It ends with its input. The pools of the standard library fork a process that
has threads, or let Ctrl+C reach processes that are just starting.
"""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from data.errors import DataError
from data.masking.cleaning import Cleaner, Plan
from data.texts.conversations import Conversation, texts
from data.texts.duplicates import likeness
from data.texts.hashes import hash64
from data.texts.repeated import stretches
from data.texts.review import Given, Samples

BATCH = 2000  # messages
WORTH_WORKERS = 50  # batches; below, processes take longer to start than they save
_AHEAD = 3  # batches of each worker that are under way

# with its hash, its likeness, and the hashes and lengths of the stretches in it
Text = tuple[str, int, list[int], list[int], list[int]]
Cleaned = tuple[list[list[Text]], Given]  # a batch of conversations


def all_texts(conversations: Iterable[Conversation], plan: Plan, samples: Samples | None) -> Iterator[list[Text]]:
    """Yield the texts of every conversation, cleaned as planned. `samples`, if there are any, take in what was masked.

    Raises DataError if a worker is killed. Ends its workers when it is closed.
    """
    batches = _batches(conversations)
    first = list(islice(batches, WORTH_WORKERS))
    batches = chain(first, batches)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(first) < WORTH_WORKERS or cores == 1:
        cleaner = Cleaner(plan)
        cleaned: Generator[Cleaned] = (_clean(batch, cleaner, samples is not None) for batch in batches)
    else:
        cleaned = _in_workers(batches, plan, samples is not None, cores)
    with closing(cleaned):
        for found, seen in cleaned:
            if samples is not None:
                samples.take(seen)
            yield from found


def _in_workers(batches: Iterable[list[Conversation]], plan: Plan, sample: bool, cores: int) -> Generator[Cleaned]:
    workers: list[_Worker] = []
    free: SimpleQueue[_Worker] = SimpleQueue()

    def cleaned(batch: list[Conversation]) -> Cleaned:
        worker = free.get()
        try:
            return worker.clean(batch)
        finally:
            free.put(worker)

    threads = ThreadPoolExecutor(cores)
    waiting: deque[Future[Cleaned]] = deque()
    try:
        for _ in range(cores):
            workers.append(_Worker(plan, sample))
            free.put(workers[-1])
        for batch in batches:
            waiting.append(threads.submit(cleaned, batch))
            if len(waiting) >= _AHEAD * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for worker in workers:
            worker.end()
        threads.shutdown(cancel_futures=True)


class _Worker:
    """A process that cleans, one batch at a time."""

    def __init__(self, plan: Plan, sample: bool) -> None:
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from data.texts.workers import work; work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl+C is for us, and we end it
        )
        self._send([plan.model_dump(), sample])

    def clean(self, batch: list[Conversation]) -> Cleaned:
        """Return the texts of a batch. Raises DataError if the process was killed."""
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
        except BrokenPipeError:  # which `clean` will tell
            pass

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _clean(batch: list[Conversation], cleaner: Cleaner, sample: bool) -> Cleaned:
    samples = Samples()
    seen = samples.add if sample else None
    found = [
        [(text, hash64(text), likeness(text), *stretches(text)) for text in texts(conversation, cleaner, seen)]
        for conversation in batch
    ]
    return found, samples.given()


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
    """Clean what comes in until nothing comes any more: the whole life of a worker."""
    first = sys.stdin.readline()
    if not first:  # ended before it began
        return
    plan, sample = json.loads(first)
    cleaner = Cleaner(Plan.model_validate(plan))
    for line in sys.stdin:
        try:
            print(json.dumps(_clean(json.loads(line), cleaner, sample)), flush=True)
        except BrokenPipeError:  # whoever asked is gone
            os._exit(1)

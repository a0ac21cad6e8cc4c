"""Questions from person to model between two devices: what others ask the model here, and what is asked of theirs.

What is said crosses the network as everything does: encrypted by p2pd, and in a locked run past the door.
The model answers in the page's process of the device that is asked; whether it does is decided in `swarm/asking.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import runtime_pb2

from peer.page.answers import NoAnswer, answers
from peer.page.place import read_place
from peer.state.fetching import envelope
from peer.swarm.asking import why_not
from peer.wire import parse
from peer.wire_asking import MOST_CHARACTERS, AnswerPart, AnswerRequest, Problem

MOST_TAKEN = 16_000  # characters of an answer; 400 tokens are less
ANSWER_SECONDS = 120.0  # that an answer takes at most, whoever writes it
MOST_QUESTIONS = 8  # of ours that are kept in mind
UNHEARD_SECONDS = 60.0  # after which one is dropped that nobody wants the answer of


class AnswerService(ServicerBase):
    """Answers others by the model of this device.

    :param checkpoints: the folder in which it is written where the page is
    :param here: tells the peer ids of those that have proved to be in our run
    :param rests: tells why this device does not train
    """

    def __init__(self, checkpoints: Path, here: Callable[[], Collection[str]], rests: Callable[[], str]):
        self._checkpoints, self._here, self._rests = checkpoints, here, rests
        self._asking: list[str] = []  # peer ids of those that are being answered

    async def rpc_answer(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        """Give the parts of an answer; the last one says so, and why there is no more."""
        asked, asker = parse(AnswerRequest, request.uid), context.remote_id.to_base58()
        problem = why_not(asker, self._here(), self._asking, self._rests())
        if problem:
            yield _part(is_last=True, problem=problem)
            return
        self._asking.append(asker)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                async for text in answers(read_place(self._checkpoints) or "", asked):
                    yield _part(text=text[:MOST_CHARACTERS])
        except NoAnswer:
            problem = "no_model"
        except Exception:  # no page, one that has just ended, or one that says what it never does
            problem = "failed" if read_place(self._checkpoints) else "no_model"
        finally:
            self._asking.remove(asker)
        yield _part(is_last=True, problem=problem)


def _part(text: str = "", is_last: bool = False, problem: Problem = "") -> runtime_pb2.ExpertInfo:
    part = AnswerPart(text=text, is_last=is_last, problem=problem)
    return runtime_pb2.ExpertInfo(serialized_info=part.model_dump_json().encode())


@dataclass
class Answer:
    """The answer to a question of ours, as far as it is here."""

    text: str = ""
    is_over: bool = False
    problem: Problem = ""


@dataclass
class _Question:
    answer: Answer = field(default_factory=Answer)
    task: asyncio.Task[None] | None = None
    wanted_at: float = field(default_factory=time.monotonic)


class Questions:
    """What this device asks the models of others."""

    def __init__(self, p2p: P2P):
        self._p2p, self._last = p2p, 0
        self._by_number: dict[int, _Question] = {}

    def ask(self, peer: str, request: AnswerRequest) -> int:
        """Begin to ask a peer, and return the number of the question."""
        now = time.monotonic()
        for number, question in [*self._by_number.items()]:
            if now > question.wanted_at + UNHEARD_SECONDS:
                self.drop(number)
        while len(self._by_number) >= MOST_QUESTIONS:
            self.drop(min(self._by_number))
        self._last += 1
        question = self._by_number[self._last] = _Question()
        question.task = asyncio.create_task(self._take_in(peer, request, question.answer))
        return self._last

    def heard(self, number: int) -> Answer:
        """Return the answer as far as it is here."""
        question = self._by_number.get(number)
        if question is None:
            return Answer(is_over=True, problem="failed")
        question.wanted_at = time.monotonic()
        return question.answer

    def drop(self, number: int) -> None:
        """Take in no more of that answer: the device that writes it stops."""
        question = self._by_number.pop(number, None)
        if question is not None and question.task is not None:
            question.task.cancel()

    async def _take_in(self, peer: str, request: AnswerRequest, answer: Answer) -> None:
        problem: Problem = "failed"
        with suppress(Exception):  # it is gone, or older than questions are, or says what no device says
            async with asyncio.timeout(ANSWER_SECONDS):
                stub = AnswerService.get_stub(self._p2p, PeerID.from_base58(peer))
                stream: Awaitable[AsyncIterator[runtime_pb2.ExpertInfo]] = stub.rpc_answer(envelope(request))
                async for message in await stream:
                    part = parse(AnswerPart, message.serialized_info)
                    answer.text += part.text
                    if part.is_last:
                        problem = part.problem
                        break
                    if len(answer.text) > MOST_TAKEN:
                        break
        answer.problem, answer.is_over = problem, True

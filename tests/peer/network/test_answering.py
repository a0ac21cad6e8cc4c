"""Questions to another device's model, between two real nodes: who is answered, how it comes, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.p2p import P2P

from peer.network import answering
from peer.network.address import Address
from peer.network.answering import Answer, AnswerService, Questions
from peer.network.hivemind_patches import connect
from peer.page.answers import NoAnswer, answers
from peer.wire_asking import AnswerRequest

REQUEST = AnswerRequest(texts=["오늘 저녁에"], is_talk=False, temperature=0.8, tokens=20)
SECONDS = 20.0


class Device:
    """A device that is asked, and the model of its page."""

    def __init__(self) -> None:
        self.here, self.rests, self.has_model = set[str](), "", True
        self.never_ends, self.has_ended = False, False

    async def answers(self, url: str, request: AnswerRequest) -> AsyncIterator[str]:
        if not self.has_model:
            raise NoAnswer
        try:
            yield " 치킨"
            while self.never_ends:
                await asyncio.sleep(0.02)
                yield "ㅋ"
            yield " 먹자"
        finally:
            self.has_ended = True


Work = Callable[[Device, Questions, str], Awaitable[Any]]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(answering, "answers", device.answers)
    return device


def asked(device: Device, folder: Path, work: Work) -> Any:
    """Return what `work` gives for a device that another one asks; it is in the run of the one that is asked."""

    async def run() -> Any:
        nodes = [await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False) for _ in range(2)]
        there, here = nodes
        try:
            device.here.add(here.peer_id.to_base58())
            await AnswerService(folder, lambda: device.here, lambda: device.rests).add_p2p_handlers(there)
            await connect(here, Address.parse(str((await there.get_visible_maddrs())[0])))
            return await asyncio.wait_for(work(device, Questions(here), there.peer_id.to_base58()), 2 * SECONDS)
        finally:
            for node in nodes:
                await node.shutdown()

    return asyncio.run(run())


async def whole(questions: Questions, number: int) -> Answer:
    async with asyncio.timeout(SECONDS):
        while not (answer := questions.heard(number)).is_over:
            await asyncio.sleep(0.01)
    return answer


async def ask(device: Device, questions: Questions, there: str) -> Answer:
    return await whole(questions, questions.ask(there, REQUEST))


def test_an_answer_comes_whole(device: Device, tmp_path: Path) -> None:
    assert asked(device, tmp_path, ask) == Answer(" 치킨 먹자", is_over=True)


@pytest.mark.parametrize("problem", ["busy", "rests", "no_model", "failed"])
def test_why_there_is_none_is_said(device: Device, tmp_path: Path, problem: str) -> None:
    async def work(device: Device, questions: Questions, there: str) -> Answer:
        device.rests = "battery at 19 %" if problem == "rests" else ""
        device.has_model = problem != "no_model"
        if problem == "busy":  # it does not know who asks
            device.here.clear()
        return await ask(device, questions, "QmNobody" if problem == "failed" else there)

    assert asked(device, tmp_path, work) == Answer("", is_over=True, problem=problem)  # type: ignore[arg-type]


def test_one_question_at_a_time_and_one_that_is_dropped_ends(device: Device, tmp_path: Path) -> None:
    async def work(device: Device, questions: Questions, there: str) -> None:
        device.never_ends = True
        first = questions.ask(there, REQUEST)
        async with asyncio.timeout(SECONDS):
            while len(questions.heard(first).text) < 10:
                await asyncio.sleep(0.01)
        assert (await ask(device, questions, there)).problem == "busy"
        questions.drop(first)
        assert questions.heard(first).is_over
        async with asyncio.timeout(SECONDS):
            while not device.has_ended:
                await asyncio.sleep(0.01)
        device.never_ends = False
        assert (await ask(device, questions, there)).text == " 치킨 먹자"

    asked(device, tmp_path, work)


def test_few_questions_are_kept_in_mind(device: Device, tmp_path: Path) -> None:
    async def work(device: Device, questions: Questions, there: str) -> None:
        numbers = [questions.ask(there, REQUEST) for _ in range(answering.MOST_QUESTIONS + 3)]
        assert questions.heard(numbers[0]).problem == "failed"
        assert len(questions._by_number) == answering.MOST_QUESTIONS
        await whole(questions, numbers[-1])

    asked(device, tmp_path, work)


# ---------------------------------------------------------------------- the page of the device that is asked


def test_its_page_is_asked_as_a_program_asks_it() -> None:
    said: list[bytes] = []

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.rpartition(b"Content-Length: ")[2])
        said.append(head.partition(b" HTTP")[0] + await reader.readexactly(length))
        found = b'{"data": [{"id": "cellmind"}]}'
        if length:
            found = b'data: {"choices": [{"delta": {"content": "\xec\x9d\x91"}}]}\n\ndata: [DONE]\n\n'
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + found)
        writer.close()

    async def work() -> list[str]:
        server = await asyncio.start_server(page, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            talk = REQUEST.model_copy(update={"is_talk": True})
            return [text async for text in answers(f"http://127.0.0.1:{port}", talk)]

    assert asyncio.run(work()) == ["응"]
    assert said[0] == b"GET /v1/models" and said[1].startswith(b"POST /v1/chat/completions{")


@pytest.mark.parametrize("said", [b"HTTP/1.1 503 No\r\n\r\n", b'HTTP/1.1 200 OK\r\n\r\n{"data": []}', b""])
def test_a_page_without_a_model_has_no_answer(said: bytes) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(page, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async for _ in answers(f"http://127.0.0.1:{port}", REQUEST):
                pass

    with pytest.raises((NoAnswer, asyncio.IncompleteReadError)):
        asyncio.run(work())

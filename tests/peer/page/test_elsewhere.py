"""Another device's model, asked from this page: what is asked, and how the answer comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from peer.device.control import Action, Control, ControlError
from peer.page.guard import Guard
from peer.page.server import Page
from peer.page.sources import Sources
from peer.wire import parse
from peer.wire_asking import MOST_TEXTS, AnswerRequest
from tests.peer.page.folders import fill

HOST = "http://127.0.0.1:23480"
BUTTON = {"origin": HOST, "x-cellmind": "1"}
WRITTEN = ["", " 치킨", " 치킨 먹", " 치킨 먹자"]


class Peer:
    """The peer's end of the control channel, whose answer is longer at each look."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, AnswerRequest]] = []
        self.looks, self.problem, self.dropped = 0, "", list[str]()

    @property
    def actions(self) -> dict[str, Action]:
        return {"ask": self.ask, "heard": self.heard, "drop": self.drop}

    def ask(self, arguments: Sequence[str]) -> dict[str, Any]:
        if arguments[0] == "gone":
            raise ControlError("that device is not here any more")
        self.asked.append((arguments[0], parse(AnswerRequest, arguments[1])))
        return {"number": 7}

    def heard(self, arguments: Sequence[str]) -> dict[str, Any]:
        assert arguments == ["7"]
        self.looks += 1
        is_over = self.looks >= len(WRITTEN)
        return {"text": WRITTEN[self.looks - 1], "is_over": is_over, "problem": self.problem if is_over else ""}

    def drop(self, arguments: Sequence[str]) -> dict[str, Any]:
        self.dropped += arguments
        return {}


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    fill(tmp_path)
    found = Peer()
    control = Control(tmp_path, found.actions)
    yield found
    control.stop()


@pytest.fixture
def here(tmp_path: Path, peer: Peer) -> TestClient:
    return TestClient(Guard(Page(Sources(tmp_path)).application), base_url=HOST)


def test_an_answer_comes_as_it_is_written(here: TestClient, peer: Peer) -> None:
    assert here.get("/api/of/QmB/v1/models").json()["data"]
    body = {"model": "best", "prompt": "오늘 저녁에", "temperature": 1, "max_tokens": 60, "stream": True}
    answer = here.post("/api/of/QmB/v1/completions", json=body, headers=BUTTON)
    *parts, end = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert [json.loads(part)["choices"][0]["text"] for part in parts] == [" 치킨", " 먹", "자"] and end == "[DONE]"
    assert peer.asked == [("QmB", AnswerRequest(texts=["오늘 저녁에"], is_talk=False, temperature=1.0, tokens=60))]
    assert peer.dropped == ["7"]


def test_of_a_long_talk_the_end_is_asked_and_why_there_is_no_answer_is_said(here: TestClient, peer: Peer) -> None:
    peer.problem = "rests"
    messages = [{"role": "user", "content": f"{number} " + "가" * 5000} for number in range(50)]
    answer = here.post("/api/of/QmB/v1/chat/completions", json={"messages": messages}, headers=BUTTON)
    *_, problem, _ = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert json.loads(problem)["error"]["kind"] == "asked_rests"
    [(_, asked)] = peer.asked
    assert asked.is_talk and 1 <= len(asked.texts) <= MOST_TEXTS and asked.texts[-1].startswith("가")


@pytest.mark.parametrize(
    ("of", "body", "headers", "status"),
    [
        ("gone", {"prompt": "x"}, BUTTON, 409),
        ("QmB", {"prompt": "x", "max_tokens": 100_000}, BUTTON, 409),
        ("QmB", {"prompt": 5}, BUTTON, 400),
        ("QmB", {"prompt": "x" * 1_100_000}, BUTTON, 413),
        ("QmB", {"prompt": "x"}, {"origin": HOST}, 403),
        ("QmB", {"prompt": "x"}, {**BUTTON, "origin": "http://evil.example"}, 403),
    ],
)
def test_what_is_not_asked(
    here: TestClient, peer: Peer, of: str, body: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    answer = here.post(f"/api/of/{of}/v1/completions", json=body, headers=headers)
    assert answer.status_code == status and answer.json()["error"]
    assert not peer.asked

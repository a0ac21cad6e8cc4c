"""The models of other devices, asked from this page as its own is: OpenAI's answers in a stream, by way of the peer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from minigpt.serving.guards import read_body
from peer.device.event_log import KnownLine
from peer.page.control import NotDone, ask

BODY_BYTES, BODY_SECONDS = 1_000_000, 5.0  # as of a question to the model here
LOOK_SECONDS = 0.1  # between two looks at how far the answer is
MOST_AT_ONCE = 4  # questions of this page
PROBLEMS = {
    "busy": KnownLine("that device answers somebody else already, or does not know this one yet", "asked_busy"),
    "rests": KnownLine("that device rests, and is spared", "asked_rests"),
    "no_model": KnownLine("that device has no page, or nothing to answer with yet", "asked_no_model"),
    "failed": KnownLine("that device has not answered; it may be gone, or run an older version", "asked_failed"),
}


class Said(BaseModel):
    """A message of a talk."""

    content: str


class Question(BaseModel):
    """The fields of OpenAI's requests that are passed on."""

    model_config = ConfigDict(strict=True)

    prompt: str = ""
    messages: list[Said] = []
    temperature: float = 0.8
    max_tokens: int = 100


class Elsewhere:
    """The addresses under which other devices are asked, by their peer ids."""

    def __init__(self, checkpoints: Path):
        self._checkpoints, self._asked = checkpoints, 0

    def routes(self) -> list[BaseRoute]:
        """Return the addresses."""
        of = "/api/of/{peer:str}/v1"
        return [
            Route(f"{of}/models", self.models),
            Route(f"{of}/completions", self.answer, methods=["POST"]),
            Route(f"{of}/chat/completions", self.answer, methods=["POST"]),
        ]

    async def models(self, request: Request) -> Response:
        """Answer GET …/models: whether there is one that device says when it is asked."""
        return JSONResponse({"data": [{"id": "best"}]})

    async def answer(self, request: Request) -> Response:
        """Answer POST …/completions and …/chat/completions with a stream."""
        if self._asked >= MOST_AT_ONCE:
            raise HTTPException(429, f"{self._asked} questions are being answered: wait for them")
        try:
            question = Question.model_validate_json(await read_body(request, BODY_BYTES, BODY_SECONDS))
        except ValidationError as error:
            raise HTTPException(400, str(error.errors(include_url=False, include_input=False)[0]["msg"])) from None
        is_talk = request.url.path.endswith("/chat/completions")
        body = {
            "texts": talk_of(question) if is_talk else [question.prompt],
            "is_talk": is_talk,
            "temperature": question.temperature,
            "tokens": question.max_tokens,
        }
        try:
            found = await self._ask("ask", request.path_params["peer"], json.dumps(body, ensure_ascii=False))
        except NotDone as error:
            raise HTTPException(409, error.args[0]) from None
        return StreamingResponse(self._told(str(found["number"]), is_talk), media_type="text/event-stream")

    async def _told(self, number: str, is_talk: bool) -> AsyncIterator[bytes]:
        """Yield an answer as it comes; whoever leaves ends it."""
        told, self._asked = 0, self._asked + 1
        try:
            while True:
                found = await self._ask("heard", number)
                text, told = str(found["text"])[told:], len(str(found["text"]))
                if text:
                    yield event({"choices": [{"delta": {"content": text}} if is_talk else {"text": text}]})
                if found["is_over"]:
                    if found["problem"]:
                        line = PROBLEMS.get(found["problem"], PROBLEMS["failed"])
                        yield event({"error": {"message": line, "kind": line.kind, "values": line.values}})
                    yield b"data: [DONE]\n\n"
                    return
                await asyncio.sleep(LOOK_SECONDS)
        except NotDone as error:
            yield event({"error": {"message": str(error)}})
        finally:
            self._asked -= 1
            with suppress(NotDone):
                await asyncio.shield(self._ask("drop", number))

    async def _ask(self, action: str, *arguments: str) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self._checkpoints, action, *arguments)


def talk_of(question: Question) -> list[str]:
    """Return the end of a talk, as much of it as is passed on: no model of ours looks back over more."""
    texts = [message.content[-4000:] for message in question.messages][-32:]
    while len(texts) > 1 and sum(len(text.encode()) for text in texts) > 2**15:
        del texts[0]
    return texts


def event(content: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()

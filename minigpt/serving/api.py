"""OpenAI's API under /v1, for whatever application mounts its routes.

Answers /v1/models, /v1/completions and /v1/chat/completions, at once or as a stream. What such a small model has no use
for in a request (tools, penalties) is passed over; what would be missed in the answer (log probabilities) is refused.
One thread computes, a token of every request in turn, and nothing is computed for a client that has left.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from minigpt.serving.guards import Refusal, read_body

if TYPE_CHECKING:
    from minigpt.inference.openai_api import LoadedModel, Part
    from minigpt.serving.current_model import CurrentModel

BODY_BYTES = 1_000_000  # of a request, and far more than a model looks back over
MEANT = ("too_long", "too_short", "greater_than_equal")  # errors of a field that has a right form, as it was meant
BODY_SECONDS = 10.0  # for a request to arrive


def invalid(error: ValidationError) -> Refusal:
    """Return the refusal of a request that is not as it should be, with one thing that is wrong.

    Where a field takes a text or a list, pydantic says what is wrong with it as either: what is deepest is meant.
    """
    errors = error.errors(include_url=False, include_input=False)
    worst = max(errors, key=lambda error: (len(error["loc"]), error["type"] in MEANT))
    names = [str(name) for name in worst["loc"] if isinstance(name, int) or (name.isidentifier() and name != "str")]
    text = f"{'.'.join(names)}: {worst['msg']}" if names else worst["msg"]
    return Refusal(400, text, param=names[0] if names else None)


def no_such_model(name: str, names: list[str]) -> Refusal:
    """Return the refusal of a request for a model that is none of `names`."""
    message = f"there is no model {name[:100]!r} here, only {', '.join(map(repr, names)) or 'none'}"
    return Refusal(404, message, param="model", code="model_not_found")


class Api:
    """The answers to requests, a method for each address.

    :param newest: answer from the newest state, though an earlier one was better
    :param checkpoints: the folder that it is taken from
    """

    def __init__(self, newest: bool = False, checkpoints: Path = Path("checkpoints")) -> None:
        self._newest, self._checkpoints = newest, checkpoints
        self._lock = threading.Lock()
        self._current: CurrentModel | None = None
        self._computing = ThreadPoolExecutor(1)

    def routes(self) -> list[BaseRoute]:
        """Return the addresses under /v1. The application's error handler is to be `guards.error_response`."""
        return [
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat_completions, methods=["POST"]),
        ]

    def load(self) -> LoadedModel:
        """Return the model of now, in any thread; the first call takes seconds. Raises Refusal where there is none."""
        from minigpt.checkpoint.manifest import CheckpointError  # with torch, as what comes next
        from minigpt.serving.current_model import CurrentModel

        with self._lock:
            self._current = self._current or CurrentModel(self._newest, self._checkpoints)
        try:
            return self._current.get()
        except CheckpointError as error:
            raise Refusal(503, str(error)) from None

    async def models(self, request: Request) -> Response:
        """Answer GET /v1/models."""
        return JSONResponse({"object": "list", "data": await self._descriptions()})

    async def model(self, request: Request) -> Response:
        """Answer GET /v1/models/NAME."""
        name, models = request.path_params["name"], await self._descriptions()
        for model in models:
            if model["id"] == name:
                return JSONResponse(model)
        raise no_such_model(name, [str(model["id"]) for model in models])

    async def _descriptions(self) -> list[dict[str, object]]:
        """Return the description of the one model that there is, or none."""
        with suppress(Refusal):
            loaded = await asyncio.to_thread(self.load)
            return [{"id": loaded.name, "object": "model", "created": loaded.time, "owned_by": "cellmind"}]
        return []

    async def completions(self, request: Request) -> Response:
        """Answer POST /v1/completions."""
        return await self._answer(request, chat=False)

    async def chat_completions(self, request: Request) -> Response:
        """Answer POST /v1/chat/completions."""
        return await self._answer(request, chat=True)

    async def _answer(self, request: Request, chat: bool) -> Response:
        """Return the answer to a request of this kind, whole or as a stream. Raises Refusal."""
        body = await read_body(request, BODY_BYTES, BODY_SECONDS)
        loaded = await asyncio.to_thread(self.load)
        from minigpt.inference.openai_api import ChatCompletionRequest, CompletionRequest, Reply  # torch is here by now
        from minigpt.inference.prompts import PromptError

        kind = ChatCompletionRequest if chat else CompletionRequest
        try:
            asked = kind.model_validate_json(body)
        except ValidationError as error:
            raise invalid(error) from None
        if asked.model != loaded.name:
            raise no_such_model(asked.model, [loaded.name])
        try:
            asked.check(loaded)
        except PromptError as error:
            raise Refusal(400, str(error), param="prompt") from None
        reply = Reply(asked, loaded)
        parts = self._computed(reply.parts(), request)
        if asked.stream:
            return StreamingResponse(reply.events(parts), media_type="text/event-stream")
        return JSONResponse(await reply.whole(parts))

    async def _computed(self, parts: Iterator[Part], request: Request) -> AsyncIterator[Part]:
        """Yield `parts`, each from the thread that computes, for as long as the client is there."""
        loop = asyncio.get_running_loop()
        while not await request.is_disconnected():
            part = await loop.run_in_executor(self._computing, next, parts, None)
            if part is None:
                return
            yield part

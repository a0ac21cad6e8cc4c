"""Serve the newest checkpoint to the clients that OpenAI's models have: `python -m minigpt.serve --port 8000`.

    OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")        the openai package, and whatever is built on it

Answers /v1/models, /v1/completions and /v1/chat/completions, at once or as a stream. What such a small model has no use
for in a request (tools, penalties, log probabilities) is passed over. One thread computes, a token of every request in
turn, and nothing is computed for a client that has left.
"""

import argparse
import asyncio
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

from pydantic import ValidationError

from minigpt import heed_interrupts
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import CHECKPOINTS, find_checkpoint, number_between, say
from minigpt.device import pick_device
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.openai_api import ChatCompletionRequest, CompletionRequest, LoadedModel, Part, Reply


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    description = "Serve the newest checkpoint to the clients that OpenAI's models have."
    parser = argparse.ArgumentParser("python -m minigpt.serve", description=description)
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen at; default: 127.0.0.1, this device alone"
    )
    parser.add_argument("--port", metavar="N", type=number_between(int, 0, 65535), default=8000, help="default: 8000")
    arguments = parser.parse_args(argv)
    if not arguments.host:
        parser.error("--host needs an address; 0.0.0.0 lets every device on this network ask")
    return arguments


try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.datastructures import Headers
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ImportError:
    if {"-h", "--help"} & set(sys.argv[1:]):
        parse_arguments(None)  # which needs none of them
    say("the server needs packages that are not installed: pip install -e '.[serve]'")
    sys.exit(2)

REQUESTS = 16  # at once; who comes beyond that is told to try again
BODY_BYTES = 1_000_000  # of a request, and far more than a model looks back over
BODY_SECONDS = 10.0  # for a request to arrive
SEND_SECONDS = 30.0  # in which a client has to take what it asked for
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Refusal(HTTPException):
    """A request that gets an error for an answer; the text is for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(status, message, headers)
        self.param, self.code = param, code


# -- requests


async def read_body(request: Request) -> bytes:
    """Return the body of a request. Raises Refusal if it is too large or takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES:
                    raise Refusal(413, f"the request is larger than {BODY_BYTES} bytes")
    except TimeoutError:
        raise Refusal(408, f"the request was not here within {BODY_SECONDS:g} seconds") from None
    except ClientDisconnect:
        raise Refusal(400, "the request was cut off") from None
    return bytes(body)


def invalid(error: ValidationError) -> Refusal:
    """Return the refusal of a request that is not as it should be, with one thing that is wrong.

    Where a field takes a text or a list, pydantic says what is wrong with it as either: what is deepest is meant.
    """
    errors = error.errors(include_url=False, include_input=False)
    worst = max(errors, key=lambda error: (len(error["loc"]), error["type"] == "too_long"))
    names = [str(name) for name in worst["loc"] if isinstance(name, int) or (name.isidentifier() and name != "str")]
    text = f"{'.'.join(names)}: {worst['msg']}" if names else worst["msg"]
    return Refusal(400, text, param=names[0] if names else None)


def no_such_model(name: str, names: list[str]) -> Refusal:
    """Return the refusal of a request for a model that is none of `names`."""
    message = f"there is no model {name[:100]!r} here, only {', '.join(map(repr, names)) or 'none'}"
    return Refusal(404, message, param="model", code="model_not_found")


# -- the model


class NewestModel:
    """The newest checkpoint's model; `get` looks whether there is a newer one, and may be called in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[object] | None = None
        self._loaded: LoadedModel | None = None
        self._problem = ""

    def get(self) -> LoadedModel:
        """Return it. A broken one is passed over, and what was there before stays. Raises CheckpointError for none."""
        with self._lock:
            there = checkpoint_files()
            if there != self._seen:  # looking at a broken one again and again would cost a hash of it every time
                self._seen = there
                try:
                    self._load()
                except CheckpointError as error:
                    self._problem = str(error)
                    say(self._problem)
            if self._loaded is None:
                raise CheckpointError(self._problem)
            return self._loaded

    def _load(self) -> None:
        found = find_checkpoint()
        if self._loaded is None or self._loaded.checkpoint != found:
            model = InferenceModel(found.build_model().to(pick_device()))
            self._loaded = LoadedModel(found, model, found.load_tokenizer(), int(time.time()))
            say(f"model '{self._loaded.name}' is round {found.progress.round} of {found.progress.run_id}")


def checkpoint_files() -> set[object]:
    """Return what is different as soon as any checkpoint is."""
    there: set[object] = {os.path.realpath(CHECKPOINTS / "latest")}
    for path in CHECKPOINTS.glob("*/round-*/*"):
        with suppress(FileNotFoundError):  # pruned just now
            status = path.stat()
            there.add((path, status.st_size, status.st_mtime_ns))
    return there


# -- the server


class Service:
    """The answers to requests, a method for each address."""

    def __init__(self) -> None:
        self.newest = NewestModel()
        self.computing = ThreadPoolExecutor(1)

    async def models(self, request: Request) -> Response:
        """Answer GET /v1/models."""
        return JSONResponse({"object": "list", "data": await self.descriptions()})

    async def model(self, request: Request) -> Response:
        """Answer GET /v1/models/NAME."""
        name, models = request.path_params["name"], await self.descriptions()
        for model in models:
            if model["id"] == name:
                return JSONResponse(model)
        raise no_such_model(name, [str(model["id"]) for model in models])

    async def descriptions(self) -> list[dict[str, object]]:
        """Return the description of the one model that there is, or none."""
        with suppress(CheckpointError):
            loaded = await asyncio.to_thread(self.newest.get)
            return [{"id": loaded.name, "object": "model", "created": loaded.time, "owned_by": "cellmind"}]
        return []

    async def completions(self, request: Request) -> Response:
        """Answer POST /v1/completions."""
        return await self.answer(request, CompletionRequest)

    async def chat_completions(self, request: Request) -> Response:
        """Answer POST /v1/chat/completions."""
        return await self.answer(request, ChatCompletionRequest)

    async def answer(self, request: Request, kind: type[CompletionRequest] | type[ChatCompletionRequest]) -> Response:
        """Return the answer to a request of this kind, whole or as a stream. Raises Refusal."""
        try:
            asked = kind.model_validate_json(await read_body(request))
            loaded = await asyncio.to_thread(self.newest.get)
        except ValidationError as error:
            raise invalid(error) from None
        except CheckpointError as error:
            raise Refusal(503, str(error)) from None
        if asked.model != loaded.name:
            raise no_such_model(asked.model, [loaded.name])
        reply = Reply(asked, loaded)
        parts = self.computed(reply.parts(), request)
        if asked.stream:
            return StreamingResponse(reply.events(parts), media_type="text/event-stream")
        return JSONResponse(await reply.whole(parts))

    async def computed(self, parts: Iterator[Part], request: Request) -> AsyncIterator[Part]:
        """Yield `parts`, each from the thread that computes, for as long as the client is there."""
        loop = asyncio.get_running_loop()
        while not await request.is_disconnected():
            part = await loop.run_in_executor(self.computing, next, parts, None)
            if part is None:
                return
            yield part


class NotTaken(Exception):
    """The client does not read what it asked for."""


class RequestLimit:
    """A limit of REQUESTS that are answered at once, streams to their end included; the next are refused."""

    def __init__(self, app: ASGIApp):
        self.app, self.running = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server's own start and end
            await self.app(scope, receive, send)
            return
        if self.running >= REQUESTS:
            text = f"{REQUESTS} requests are being answered: try again later"
            refusal = Refusal(429, text, headers={"Retry-After": "1"})
            await error_response(Request(scope), refusal)(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(message)
            except TimeoutError:
                raise NotTaken from None

        self.running += 1
        try:
            with suppress(NotTaken):  # who does not read leaves its place to others
                await self.app(scope, receive, send_in_time)
        finally:
            self.running -= 1


class OwnNamesOnly:
    """A guard of a server for this device alone: who calls the device by any other name is refused.

    A page on the web can lead a browser here by a name of its own (DNS rebinding), and would read the answers.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        own = f"http://{LOOPBACK[0]}"
        for url in (f"http://{headers.get('host', LOOPBACK[0])}", headers.get("origin", own)):
            if hostname(url) not in LOOPBACK:
                refusal = Refusal(403, f"{url[:100]} is not this device; --host lets others ask")
                await error_response(Request(scope), refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def hostname(url: str) -> str | None:
    """Return the name of the host in a URL; None if there is none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def error_response(request: Request, error: Exception) -> Response:
    """Return any error as OpenAI's clients know it. One that is no refusal is ours, and is shown here as well."""
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    else:
        traceback.print_exception(error)
        status, message = 500, "the server failed; what happened is in its output"
    kind = "invalid_request_error" if status < 500 else "server_error"
    param, code = getattr(error, "param", None), getattr(error, "code", None)
    content = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(content, status, headers=getattr(error, "headers", None))


def build_app(service: Service, host: str) -> Starlette:
    """Return the application that answers at the address `host`."""
    app = Starlette(
        routes=[
            Route("/v1/models", service.models),
            Route("/v1/models/{name:path}", service.model),
            Route("/v1/completions", service.completions, methods=["POST"]),
            Route("/v1/chat/completions", service.chat_completions, methods=["POST"]),
        ],
        middleware=[*([Middleware(OwnNamesOnly)] if host in LOOPBACK else []), Middleware(RequestLimit)],
        exception_handlers={HTTPException: error_response, Exception: error_response},
    )
    app.router.redirect_slashes = False  # to whatever name it was asked by
    return app


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    heed_interrupts()
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        listener = socket.create_server((arguments.host, arguments.port), family=family)
    except (OSError, UnicodeError, TypeError) as error:  # the last two where it is no name at all
        say(f"cannot listen at {arguments.host}: {getattr(error, 'strerror', None) or error}")
        return 2
    service = Service()
    with suppress(KeyboardInterrupt):
        with suppress(CheckpointError):  # it was said, and a later one is taken when it is there
            service.newest.get()
        # what fails is shown by error_response; uvicorn would also show requests that the end interrupts
        app = build_app(service, arguments.host)
        config = uvicorn.Config(app, ws="none", log_level="critical", timeout_graceful_shutdown=1)
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        say(f"listens at http://{host}:{listener.getsockname()[1]}/v1; Ctrl+C ends it")
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())

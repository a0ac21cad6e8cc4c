"""The page's answers to browsers; who may ask is decided in `guard.py`, what there is to tell in `sources.py`."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from minigpt.serving.api import Api
from minigpt.serving.guards import RequestLimit, error_response, read_body
from peer.page.control import NotDone
from peer.page.deeds import Deeds
from peer.page.elsewhere import Elsewhere
from peer.page.guard import refused
from peer.page.lan import Lan
from peer.page.models import Deed, Masked, PageNow, Text
from peer.page.sources import Sources
from peer.page.stream import events, place_of

MASKED, MOST_MASKED = Path("data/.cache/masked.json"), 100  # see data/texts/review.py
STATIC = Path(__file__).with_name("static")
MOST_STREAMS = 24  # open at once; a household has fewer browsers
MOST_POINTS = 10_000
BODY_BYTES, BODY_SECONDS = 4096, 5.0  # of a button
ASKED = ("/v1/", "/newest/v1/")  # the model: the best state, or the newest
NO_STORE = {"cache-control": "no-store"}


class Files(StaticFiles):
    """The files that browsers load; they ask each time whether one is newer, so none of an older program stays."""

    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers["cache-control"] = "no-cache"
        return response


class Page:
    """The answers, a method for each address."""

    def __init__(self, sources: Sources):
        self.sources = sources
        self.application = self._application()
        self.lan = Lan(sources.checkpoints, self.application, lambda: sources.snapshot.device.address, sources.on_lan)
        self.deeds = Deeds(sources.checkpoints, self.lan)
        self._version, self._streams = own_version(), 0

    def _application(self) -> ASGIApp:
        """Return all of it as an application, which a `Guard` is to stand before."""
        page = Starlette(
            routes=[
                Route("/", self.index),
                Route("/api/snapshot", self.snapshot),
                Route("/api/metrics", self.metrics),
                Route("/api/samples", self.samples),
                Route("/api/lines", self.lines),
                Route("/api/text", self.text),
                Route("/api/stream", self.stream),
                Route("/api/do", self.do, methods=["POST"]),
                *Elsewhere(self.sources.checkpoints).routes(),
                Mount("/static", Files(directory=STATIC)),
            ],
            exception_handlers={HTTPException: failed, Exception: failed},
        )
        best, newest = (Api(which, self.sources.checkpoints) for which in (False, True))
        asking = RequestLimit(
            Starlette(
                routes=[*best.routes(), Mount("/newest", routes=newest.routes())],
                exception_handlers={HTTPException: error_response, Exception: error_response},
            )
        )

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await (asking if scope["path"].startswith(ASKED) else page)(scope, receive, send)

        return application

    async def index(self, request: Request) -> Response:
        """Answer GET /."""
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def snapshot(self, request: Request) -> Response:
        """Answer GET /api/snapshot."""
        self.sources.look_at_snapshot()
        return as_json(self.sources.now(self._page(request)))

    async def metrics(self, request: Request) -> Response:
        """Answer GET /api/metrics?points=N."""
        await self.sources.catch_up()
        return as_json(self.sources.metrics(whole_number(request, "points", 2000, 1, MOST_POINTS)))

    async def samples(self, request: Request) -> Response:
        """Answer GET /api/samples."""
        await self.sources.catch_up()
        return as_json(self.sources.samples_since(0))

    async def lines(self, request: Request) -> Response:
        """Answer GET /api/lines?since=N."""
        await self.sources.catch_up()
        return as_json(self.sources.lines_since(whole_number(request, "since", 0, 0, 2**53)))

    async def text(self, request: Request) -> Response:
        """Answer GET /api/text."""
        self.sources.look_at_snapshot()
        texts, masked = self.sources.snapshot.texts, self.sources.snapshot.masked
        stays_here = not any(text.is_shared for text in texts)
        samples = masked_samples(MASKED) if self._page(request).is_local else None
        return as_json(Text(texts=texts, masked=masked, stays_here=stays_here, samples=samples))

    async def stream(self, request: Request) -> Response:
        """Answer GET /api/stream."""
        if self._streams >= MOST_STREAMS:
            raise HTTPException(429, f"{self._streams} pages are open already: close one", {"retry-after": "5"})
        await self.sources.catch_up()
        place = place_of(request, self.sources)
        told = self._counted(events(self.sources, place, lambda: self._page(request)))
        return StreamingResponse(told, media_type="text/event-stream", headers=NO_STORE)

    @property
    def is_looked_at(self) -> bool:
        """Whether a page is open somewhere."""
        return self._streams > 0

    async def _counted(self, told: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            async for part in told:
                yield part
        finally:
            self._streams -= 1

    async def do(self, request: Request) -> Response:
        """Answer POST /api/do."""
        try:
            deed = Deed.model_validate_json(await read_body(request, BODY_BYTES, BODY_SECONDS))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            raise HTTPException(400, f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {problem['msg']}") from None
        try:
            return as_json(await self.deeds.do(deed, self._page(request).is_local))
        except ValidationError:
            raise HTTPException(400, "quiet hours begin and end at times such as 22:00 and 07:00") from None
        except NotDone as error:
            raise HTTPException(409, error.args[0]) from None

    def _page(self, request: Request) -> PageNow:
        is_local = bool(request.scope.get("state", {}).get("is_local"))
        return self.sources.page.model_copy(update={"version": self._version, "is_local": is_local})


def masked_samples(path: Path) -> list[Masked]:
    """Return messages before and after masking, as `data.prepare` kept a few of them; none where there are none."""
    try:
        found = json.loads(path.read_bytes())
        return [Masked.model_validate(sample) for sample in found[:MOST_MASKED]]
    except (OSError, ValueError, TypeError):
        return []


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number of the query. Raises HTTPException."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise HTTPException(400, f"{name} is {text[:20]!r}: it must be a whole number from {least} to {most}")
    return int(text)


def as_json(content: BaseModel) -> Response:
    """Return an answer that no cache keeps."""
    return Response(content.model_dump_json(), media_type="application/json", headers=NO_STORE)


def failed(request: Request, error: Exception) -> Response:
    """Return any error as the page knows it. One that is no refusal is ours, and its trace is shown in our output."""
    if isinstance(error, HTTPException):
        return refused(error.status_code, error.detail, dict(error.headers or {}))
    traceback.print_exception(error)
    return refused(500, "the page failed; training goes on. What happened is in checkpoints/page.log")


def own_version() -> str:
    """Return the version of this program; "" where it is not installed."""
    try:
        return version("cellmind")
    except PackageNotFoundError:
        return ""

"""The page's stream of server-sent events: what is new, as long as a browser listens."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import Request

from peer.page.models import PageNow
from peer.page.sources import Sources

LOOK_SECONDS = 0.4  # from a change in a file to its event, at most
QUIET_SECONDS = 10.0  # then a comment tells that we are there, and finds out whether the browser is
_PLACE = re.compile(r"([\w.-]{0,60}):([0-9]{1,12}):([0-9]{1,12}):([0-9]{1,12})")


@dataclass
class Place:
    """How far a browser is: the id of each event, with which it goes on after it has slept (Last-Event-ID)."""

    run_id: str
    rows: int
    line: int
    sample: int

    def __str__(self) -> str:
        return f"{self.run_id}:{self.rows}:{self.line}:{self.sample}"


def place_of(request: Request, sources: Sources) -> Place:
    """Return where a browser goes on: after the event that it got last, or the id in `?since=`; else now."""
    found = _PLACE.fullmatch(request.headers.get("last-event-id") or request.query_params.get("since", ""))
    if found is not None:
        return Place(found[1], *map(int, found.group(2, 3, 4)))
    run_id, rows = sources.rows
    return Place(run_id, rows, sources.lines_since(0).next, sources.samples_since(0).next)


async def events(sources: Sources, place: Place, page: Callable[[], PageNow]) -> AsyncIterator[bytes]:
    """Yield what is new after a place, until this device stops; the snapshot comes first.

    :param page: tells what this browser is told of the page itself
    """
    seen, told_at = -1, time.monotonic()
    while True:
        await sources.catch_up()
        parts = news(sources, place)
        if seen != sources.seen:
            seen = sources.seen
            parts.append(event("snapshot", sources.now(page()), place))
        if parts:
            told_at = time.monotonic()
            yield b"".join(parts)
        elif time.monotonic() > told_at + QUIET_SECONDS:
            told_at = time.monotonic()
            yield b": still here\n\n"
        if sources.stopped:
            return
        await asyncio.sleep(LOOK_SECONDS)


def news(sources: Sources, place: Place) -> list[bytes]:
    """Return the events of rounds, lines and samples after a place, which is moved on."""
    parts = []
    if (place.run_id, place.rows) != sources.rows:
        metrics = sources.metrics_since(place.run_id, place.rows)
        if place.run_id != metrics.run_id:
            place.sample = 0
        place.run_id, place.rows = metrics.run_id, metrics.next
        parts.append(event("metrics", metrics, place))
    lines = sources.lines_since(place.line)
    for line in lines.lines:
        place.line = line.n
        parts.append(event("line", line, place))
    samples = sources.samples_since(place.sample)
    for sample in samples.samples:
        place.sample = sample.n
        parts.append(event("sample", sample, place))
    place.line, place.sample = lines.next, samples.next
    return parts


def event(name: str, content: BaseModel, place: Place) -> bytes:
    """Return a server-sent event."""
    return f"id: {place}\nevent: {name}\ndata: {content.model_dump_json()}\n\n".encode()

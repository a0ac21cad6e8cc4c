"""The answers of the model on this device, as its own page gives them, for the process that talks to other devices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from peer.wire_asking import AnswerRequest

CONNECT_SECONDS, LOAD_SECONDS = 5.0, 60.0  # until the page is there, and until the model has said something
LINE_BYTES = 2**16


class NoAnswer(Exception):
    """The page has no answer: there is no model yet, or no page."""


async def answers(url: str, request: AnswerRequest) -> AsyncIterator[str]:
    """Yield the parts of the best state's answer as they are written. Raises NoAnswer.

    :param url: of the page on this device
    """
    async for line in lines(url, "GET", "/v1/models", None):
        models = json.loads(line)["data"]
    if not models:
        raise NoAnswer
    body: dict[str, Any] = {"model": models[0]["id"], "temperature": request.temperature, "stream": True}
    body["max_tokens"] = request.tokens
    if request.is_talk:
        path, body["messages"] = "/v1/chat/completions", [{"role": "user", "content": text} for text in request.texts]
    else:
        path, body["prompt"] = "/v1/completions", request.texts[0]
    async for line in lines(url, "POST", path, json.dumps(body).encode()):
        data = line.removeprefix(b"data: ").strip()
        if data and data != b"[DONE]":
            choice = json.loads(data)["choices"][0]
            yield choice["text"] if "text" in choice else choice["delta"].get("content", "")


async def lines(url: str, method: str, path: str, body: bytes | None) -> AsyncIterator[bytes]:
    """Yield the lines of an answer's content. Raises NoAnswer for every status but 200.

    HTTP/1.0 (RFC 1945), so that the content comes as it is and ends with the connection.
    """
    place = urlsplit(url)
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=LINE_BYTES)
    try:
        said = f"{method} {path} HTTP/1.0\r\nHost: {place.netloc}\r\nContent-Length: {len(body or b'')}\r\n\r\n"
        writer.write(said.encode() + (body or b""))
        async with asyncio.timeout(LOAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        if head.split(b" ", 2)[1] != b"200":
            raise NoAnswer
        while True:
            async with asyncio.timeout(LOAD_SECONDS):
                line = await reader.readline()
            if not line:
                return
            yield line
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

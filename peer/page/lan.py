"""The page for other devices on this network: a second listener, which asks for the token in the page's link."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from data.atomic import write_whole
from minigpt.serving.connections import server_of
from peer.device.event_log import KnownLine
from peer.page.control import NotDone
from peer.page.guard import Guard, Token
from peer.page.place import OPEN, listen

TOKEN = "page.token"  # in the checkpoints folder, so that a link is good after the next start as well


class Lan:
    """The listener, which may be opened and closed again.

    :param app: what answers, behind the guard
    :param address: tells this device's address of now
    :param changed: is called with whether it is open
    """

    def __init__(
        self, checkpoints: Path, app: ASGIApp, address: Callable[[], str], changed: Callable[[bool], None]
    ) -> None:
        self._path, self._app, self._address, self._changed = checkpoints / TOKEN, app, address, changed
        self._open = checkpoints / OPEN
        self.token = Token(kept(self._path))
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port: int | None = None  # the last one

    async def open_again(self) -> None:
        """Serve on the LAN where a process that has died did so, at its port."""
        with suppress(OSError, ValueError, NotDone):
            self._port = int(self._open.read_text())
            await self.open()

    async def open(self) -> str:
        """Serve on the LAN, if it is not yet, and return the link. Raises NotDone."""
        address = self._address()
        if not address or address.startswith("127."):
            raise NotDone(KnownLine("this device is on no network: there is nobody to show the page to", "no_network"))
        if self._server is None:
            listener = listen("0.0.0.0", self._port)
            if listener is None:
                raise NotDone("no port is free for the page on the LAN")
            self._keep()
            self._port = listener.getsockname()[1]
            with suppress(OSError):
                write_whole(self._open, str(self._port), synced=False)
            self._server = server_of(Guard(self._app, self.token))
            self._serving = asyncio.create_task(self._server._serve([listener]))  # without signals of its own
            self._changed(True)
        return f"http://{address}:{self._port}/#token={self.token.word}"

    async def close(self) -> None:
        """Serve on the LAN no more, and end what is open there."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            self._server = None
            self._open.unlink(missing_ok=True)
            self._changed(False)
            await self._serving

    async def renew(self) -> None:
        """Take another token, and end what is open with the old one: all links of before are good no more."""
        await self.close()
        self.token.renew()
        self._keep()

    def _keep(self) -> None:
        with suppress(OSError):  # then the link is another one after the next start
            umask = os.umask(0o077)
            try:
                write_whole(self._path, self.token.word, synced=False)
            finally:
                os.umask(umask)


def kept(path: Path) -> str:
    """Return the token of an earlier start; another one where none is kept that only the owner can read."""
    try:
        word = path.read_text()
        if not path.stat().st_mode & 0o077 and len(word) >= 32 and word.isascii() and word.isprintable():
            return word
    except (OSError, ValueError):
        pass
    return secrets.token_urlsafe(24)

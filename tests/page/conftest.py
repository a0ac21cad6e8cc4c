"""Fixtures of the tests in a browser: the browser, and the page's own process over the files of a night."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.browser import Watched, browsers, chromium
from tests.page.night import write_night

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[..., Watched]


class PageProcess:
    """`python -m peer.page` over a checkpoints folder, as a peer starts it."""

    def __init__(self, checkpoints: Path):
        self.checkpoints = checkpoints
        self.port = 0  # any free one, then always the same
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it, at the port of before."""
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen()
            self.port, number = listener.getsockname()[1], listener.fileno()
            command = [sys.executable, "-m", "peer.page", "--checkpoints", str(self.checkpoints)]
            self._process = subprocess.Popen(
                [*command, "--listener", str(number), "--parent", str(os.getpid())],
                cwd=self.checkpoints.parent,
                pass_fds=[number],
            )

    def stop(self) -> None:
        """End it as the end of its peer does."""
        self._process.terminate()
        self._process.wait(10)

    def kill(self) -> None:
        """End it without its last words."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers(chromium()) as [found]:
        yield found


@pytest.fixture
def night(tmp_path: Path) -> Iterator[PageProcess]:
    """The page of a device that has trained for a night with two others."""
    write_night(tmp_path / "checkpoints")
    process = PageProcess(tmp_path / "checkpoints")
    yield process
    process.kill()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open pages, and see at the end that nothing went wrong in them."""
    pages: list[Watched] = []

    def open_page(address: str, **more: Any) -> Watched:
        pages.append(Watched(browser, address, **more))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
        assert page.errors == []

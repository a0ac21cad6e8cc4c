"""A real browser for tests: Debian's Chromium, driven by playwright, and what every page that it opens must keep to."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.lan import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response

WAIT = 60_000.0  # ms that anything may take on a machine that runs other things as well
GRAVE = ("serious", "critical")  # findings of axe-core
PHONE, DESK = (360, 740), (1280, 900)  # pixels


@functools.cache
def requirements_missing() -> str | None:
    """Return the reason, for `pytest.mark.skipif`, why there is no browser to test with; None if there is one."""
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (pip install -e '.[dev]')"
    if not chromium():
        return "Chromium is missing (on Debian: apt install chromium)"
    return None


def chromium() -> str:
    """Return the path of this machine's Chromium; "" where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or ""


@contextmanager
def browsers(*executables: str | Path) -> Iterator[list[Browser]]:
    """Start a browser for each of some commands that do so."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, ExitStack() as stack:
        found = []
        for executable in executables:
            found.append(playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"]))
            stack.callback(found[-1].close)
        yield found


class Watched:
    """A page that is open: what it asked for, what it logged, and whether its rules are kept."""

    def __init__(self, browser: Browser, address: str, size: tuple[int, int] = DESK, **context: Any):
        viewport: Any = {"width": size[0], "height": size[1]}
        self.context = browser.new_context(viewport=viewport, **{"locale": "en-GB", **context})
        self.context.set_default_timeout(WAIT)
        self.page: Page = self.context.new_page()
        self.requested: list[str] = []
        self.errors: list[str] = []
        self._streams = 0  # that have begun
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.extend([said.text] if "Content Security" in said.text else []))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.page.on("response", self._count_streams)
        self.page.goto(address)

    def _count_streams(self, response: Response) -> None:
        self._streams += "/api/stream" in response.url

    def text(self, selector: str) -> str:
        """Return what an element says."""
        return self.page.inner_text(selector)

    def wait_for(self, selector: str, text: str) -> None:
        """Wait until a visible element says this."""
        self.page.locator(selector, has_text=text).first.wait_for(state="visible")

    def wait_for_stream(self) -> None:
        """Wait until the device tells the page what is new: it shows how things are before that."""
        assert wait_until(lambda: self.page.evaluate("true") and self._streams, WAIT / 1000)  # events come with calls

    def hosts(self) -> set[str]:
        """Return the hosts that were asked for anything."""
        return {urlsplit(url).netloc for url in self.requested if urlsplit(url).scheme not in ("data", "blob")}

    def scrolls_sideways(self) -> bool:
        """Return whether something is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def grave_findings(self) -> list[str]:
        """Return what axe-core calls serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in GRAVE]

    def close(self) -> None:
        """Close it."""
        self.context.close()

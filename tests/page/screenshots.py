"""Make the pictures of the page in docs/: `python -m tests.page.screenshots`.

They show a night that was made up. It needs Chromium and a font with Hangul (on Debian: fonts-noto-cjk).
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from tests.page.browser import Watched, browsers, chromium, requirements_missing
from tests.page.conftest import PageProcess
from tests.page.night import write_night

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = {  # width and height of the window, pixels of the picture for one of them, how the file is called
    "page": (1280, 1040, 1.25, "en-GB"),
    "page.ko": (1280, 1040, 1.25, "ko-KR"),
    "page-phone": (360, 1380, 1.5, "en-GB"),
    "page-phone.ko": (360, 1380, 1.5, "ko-KR"),
}


def main() -> None:
    if (missing := requirements_missing()) is not None:
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as folder, browsers(chromium()) as [browser]:
        checkpoints = Path(folder, "checkpoints")
        write_night(checkpoints)
        process = PageProcess(checkpoints)
        for name, (width, height, scale, locale) in PICTURES.items():
            size = (width, height)
            shown = Watched(browser, process.address, size, locale=locale, device_scale_factor=scale)
            picture = DOCS / f"{name}.webp"
            picture.write_bytes(photograph(shown, width, height, scale))
            print(f"{picture} ({picture.stat().st_size / 1000:.0f} kB)")
            shown.close()
        process.kill()


def photograph(shown: Watched, width: int, height: int, scale: float) -> bytes:
    """Return a picture of what is to be seen, once the curves are there with the best state on them."""
    shown.page.wait_for_selector("#learning-chart canvas")
    shown.page.wait_for_selector("#people-list li")
    shown.page.wait_for_timeout(1500)
    session = shown.context.new_cdp_session(shown.page)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": 82, "clip": clip})
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    main()

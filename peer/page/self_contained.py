"""The page as one file that needs no server: its styles, its modules and the data that it shows are in it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from peer.page.models import Metrics, Model, Sample, Snapshot

STATIC = Path(__file__).with_name("static")
POLICY = (  # nothing is ever asked of anybody, whoever opens the file
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
)
_STYLE = re.compile(r'<link rel="stylesheet" href="static/([\w./-]+)" />')
_SCRIPT = re.compile(r'<script src="static/([\w./-]+)" defer></script>')
_MAIN = '<script src="static/main.js" type="module"></script>'
_CHARSET = '<meta charset="utf-8" />'
_LINK = re.compile(r'\s*<link rel="(?:icon|modulepreload)"[^>]*>')
_IMPORT = re.compile(r'(from |import )"\./([\w-]+\.js)"')


class Kept(Model):
    """What a report shows. Fields of the snapshot that are only true now are left out: since, link, is_us and such."""

    snapshot: Snapshot  # the share of a device is that of all that was trained
    metrics: Metrics
    samples: list[Sample] = []
    settings: dict[str, str | int | float | bool] = {}


def self_contained(data: Kept) -> str:
    """Return report.js with all that it needs, and the data that it shows, as an HTML file.

    Modules name each other in an import map, in which each is a data: URL: so they run as they are, from any folder.
    """
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    page = _LINK.sub("", page)
    page = _STYLE.sub(lambda found: f"<style>\n{text_of(found[1])}</style>", page)
    page = _SCRIPT.sub(lambda found: f"<script>\n{text_of(found[1])}</script>", page)
    modules = {f"page/{path.name}": module_url(path) for path in sorted(STATIC.glob("*.js"))}
    main = (
        f'<script type="application/json" id="data">{in_html(data.model_dump_json())}</script>\n'
        f'    <script type="importmap">{in_html(json.dumps({"imports": modules}))}</script>\n'
        '    <script type="module">import "page/report.js";</script>'
    )
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />'
    return page.replace(_MAIN, main).replace(_CHARSET, f"{_CHARSET}\n    {policy}")


def text_of(name: str) -> str:
    """Return a file of the page, which must not end the element that it is put into."""
    text = (STATIC / name).read_text(encoding="utf-8")
    assert "</script" not in text and "</style" not in text, name
    return text


def module_url(path: Path) -> str:
    """Return a module as a data: URL; what it imports goes by the names in the import map."""
    text = _IMPORT.sub(r'\1"page/\2"', path.read_text(encoding="utf-8"))
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


def in_html(text: str) -> str:
    """Return JSON in which no HTML can begin or end."""
    return text.replace("<", "\\u003c")

"""The page's answers: every address, what may not ask, and what no button may do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from peer.device.control import Control
from peer.device.device_requests import DeviceRequests
from peer.device.wishes import Wishes
from peer.page import server
from peer.page.deeds import Deeds
from peer.page.guard import Guard, Token
from peer.page.server import Page
from peer.page.snapshot import SNAPSHOT, write_snapshot
from peer.page.sources import Sources
from tests.peer.page.folders import RUN_ID, append, fill, line, row, snapshot

HOST, LAN_HOST = "http://127.0.0.1:23480", "http://10.0.0.1:23480"
BUTTON = {"origin": HOST, "x-cellmind": "1"}
WORD, INVITE = "a" * 32, "CM1-BJGQAC"
GUARDED = ["/api/snapshot", "/api/metrics", "/api/samples", "/api/lines", "/api/text", "/api/stream", "/v1/models"]
BUTTONS: list[dict[str, Any]] = [
    *({"what": what} for what in ("pause", "go_on", "sync", "checkpoint", "invite", "unlock", "doctor")),
    *({"what": what} for what in ("who_gets_the_key", "lock")),
    {"what": "quiet_hours", "begins": "22:00", "ends": "07:00"},
    {"what": "share_of_time", "share": 0.5},
    {"what": "admit", "number": "4827"},
    {"what": "eject", "name": "phone"},
    {"what": "page", "lan": True},
]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "checkpoints")
    return Page(Sources(tmp_path / "checkpoints"))


@pytest.fixture
def here(page: Page) -> TestClient:
    """A browser on this device."""
    return TestClient(Guard(page.application), base_url=HOST)


@pytest.fixture
def there(page: Page) -> TestClient:
    """A browser on another device, that has the link."""
    headers = {"authorization": f"Bearer {WORD}"}
    return TestClient(Guard(page.application, Token(WORD)), base_url=LAN_HOST, headers=headers)


@pytest.fixture
def wishes(page: Page) -> Iterator[Wishes]:
    """What the peer that trains in this folder is asked for."""
    found = Wishes(page.sources.checkpoints)
    control = Control(page.sources.checkpoints, DeviceRequests(found).actions)
    yield found
    control.stop()


def events_of(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id, event, data) of each server-sent event."""
    found = re.findall(r"id: (.*)\nevent: (.*)\ndata: (.*)\n\n", text)
    return [(id, name, json.loads(data)) for id, name, data in found]


# ---------------------------------------------------------------------- what it says


def test_every_address_answers(page: Page, here: TestClient) -> None:
    shown = here.get("/api/snapshot").json()
    assert shown["run"]["round"] == 3 and shown["peers"][1]["name"] == "<script>alert(1)</script>"
    assert (shown["stopped"], shown["page"]["is_local"], shown["page"]["is_lan"]) == (False, True, False)
    metrics = here.get("/api/metrics?points=2").json()
    assert (metrics["round"][-1], metrics["next"], metrics["run_id"]) == (3, 3, RUN_ID)
    assert metrics["tokens_per_second"] == {"desk": [10.0, 10.0], "phone": [5.0, 5.0]}
    assert [mark["name"] for mark in metrics["marks"]] == ["phone"]
    assert [sample["n"] for sample in here.get("/api/samples").json()["samples"]] == [1, 2, 3]
    assert [line["n"] for line in here.get("/api/lines?since=1").json()["lines"]] == [2]
    text = here.get("/api/text").json()
    assert text["texts"][0]["messages"] == 7 and text["stays_here"] and text["samples"] == []
    index = here.get("/")
    assert index.status_code == 200 and "script-src 'self'" in index.headers["content-security-policy"]
    assert "unsafe" not in index.headers["content-security-policy"]
    assert here.get("/static/main.js").headers["cache-control"] == "no-cache", "an older program's is not gone on with"


@pytest.mark.parametrize(
    "path",
    [
        "/api/metrics?points=0",
        "/api/metrics?points=99999999999999999999",
        "/api/metrics?points=1e3",
        "/api/lines?since=-1",
    ],
)
def test_a_query_that_makes_no_sense_gets_a_word(here: TestClient, path: str) -> None:
    answer = here.get(path)
    assert answer.status_code == 400 and "must be a whole number" in answer.json()["error"]


def test_what_is_not_there_gets_a_word(here: TestClient) -> None:
    for path in ("/api/nothing", "/static/../guard.py", "/static/%2e%2e/guard.py", "/etc/passwd"):
        answer = here.get(path)
        assert answer.status_code == 404 and answer.json()["error"]
    assert here.get("/api/do").status_code == 405


def test_messages_before_masking_are_for_this_device_alone(page: Page, here: TestClient, there: TestClient) -> None:
    kept = Path("data/.cache/masked.json")
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps([{"tag": "<NAME>", "before": "민지야", "after": "<NAME>야"}]))
    assert here.get("/api/text").json()["samples"] == [{"tag": "<NAME>", "before": "민지야", "after": "<NAME>야"}]
    assert there.get("/api/text").json()["samples"] is None
    for broken in ("[1", '{"a": 1}', '["x"]', "null"):
        kept.write_text(broken)
        assert here.get("/api/text").json()["samples"] == []


# ---------------------------------------------------------------------- the stream


def test_a_stream_begins_with_the_snapshot_and_ends_with_this_device(page: Page, here: TestClient) -> None:
    page.sources.stop()
    answer = here.get("/api/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    [(id, name, data)] = events_of(answer.text)
    assert (id, name, data["stopped"]) == (f"{RUN_ID}:3:2:3", "snapshot", True)


def test_a_browser_that_slept_gets_what_it_missed_once(page: Page, here: TestClient) -> None:
    page.sources.look()
    append(page.sources.checkpoints / "cellmind" / "metrics.jsonl", [row(4), row(5)])
    append(page.sources.checkpoints / "events.jsonl", [line(3, "phone left", kind="left", values={"name": "phone"})])
    page.sources.stop()
    told = events_of(here.get("/api/stream", headers={"last-event-id": f"{RUN_ID}:3:2:3"}).text)
    assert [name for _, name, _ in told] == ["metrics", "line", "snapshot"]
    assert told[0][2]["round"] == [4, 5] and not told[0][2]["reset"] and told[1][2]["kind"] == "left"
    assert told[-1][0] == f"{RUN_ID}:5:3:3"
    again = events_of(here.get(f"/api/stream?since={told[-1][0]}").text)
    assert [name for _, name, _ in again] == ["snapshot"]


@pytest.mark.parametrize("place", ["another-run:1:2:3", f"{RUN_ID}:999:2:3"])
def test_a_browser_that_knows_another_run_gets_all_anew(page: Page, here: TestClient, place: str) -> None:
    page.sources.stop()
    told = events_of(here.get("/api/stream", headers={"last-event-id": place}).text)
    [metrics] = [data for _, name, data in told if name == "metrics"]
    assert metrics["reset"] and metrics["round"] == [1, 2, 3]


@pytest.mark.parametrize("place", ["", "x", "1:2", f"{RUN_ID}:1:2:3:4", "a:1:2:99999999999999", "a b:1:2:3"])
def test_a_place_that_makes_no_sense_is_now(page: Page, here: TestClient, place: str) -> None:
    page.sources.stop()
    told = events_of(here.get("/api/stream", headers={"last-event-id": place}).text)
    assert [name for _, name, _ in told] == ["snapshot"]


def test_too_many_streams_are_refused(page: Page, here: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_STREAMS", 0)
    assert here.get("/api/stream").status_code == 429


# ---------------------------------------------------------------------- who may ask


@pytest.mark.parametrize("path", ["/", *GUARDED])
def test_another_host_is_refused(here: TestClient, there: TestClient, path: str) -> None:
    for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:23480", "", "a b", "10.0.0.1"):
        assert here.get(path, headers={"host": name}).status_code == 403, name
    for name in ("evil.example", "evil.example:23480", "10.0.0.1.evil.example"):
        assert there.get(path, headers={"host": name}).status_code == 403, name
    assert here.get("/", headers={"host": "localhost:23480"}).status_code == 200


@pytest.mark.parametrize("path", GUARDED)
def test_another_origin_is_refused(here: TestClient, there: TestClient, path: str) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:8000", "https://127.0.0.1:23480", ""):
        assert here.get(path, headers={"origin": origin}).status_code == 403, origin
        assert there.get(path, headers={"origin": origin}).status_code == 403, origin
    for site in ("cross-site", "same-site"):
        assert here.get(path, headers={"sec-fetch-site": site}).status_code == 403


@pytest.mark.parametrize("path", GUARDED)
def test_another_device_needs_the_token(page: Page, path: str) -> None:
    stranger = TestClient(Guard(page.application, Token(WORD)), base_url=LAN_HOST)
    for given in ("", "Bearer", f"Basic {WORD}", f"Bearer {WORD}b", f"Bearer {WORD[:-1]}", "Bearer ÿ"):
        answer = stranger.get(path, headers=[(b"authorization", given.encode("latin-1"))] if given else [])
        assert answer.status_code == 401 and "token" in answer.json()["error"]
    assert stranger.get(f"{path}?token={WORD}").status_code == 401
    assert stranger.get("/").status_code == 200, "the page's own files hold nothing of anybody"


def test_a_renewed_token_shuts_out_whoever_has_the_old_one(page: Page) -> None:
    token = Token(WORD)
    client = TestClient(Guard(page.application, token), base_url=LAN_HOST)
    assert client.get("/api/snapshot", headers={"authorization": f"Bearer {WORD}"}).status_code == 200
    token.renew()
    assert client.get("/api/snapshot", headers={"authorization": f"Bearer {WORD}"}).status_code == 401
    assert client.get("/api/snapshot", headers={"authorization": f"Bearer {token.word}"}).status_code == 200


@pytest.mark.parametrize("button", BUTTONS, ids=[button["what"] for button in BUTTONS])
def test_no_other_page_presses_a_button(here: TestClient, wishes: Wishes, button: dict[str, Any]) -> None:
    for headers in (
        {},
        {"origin": HOST},
        {"x-cellmind": "1"},
        {"origin": "http://evil.example", "x-cellmind": "1"},
        {"origin": "http://127.0.0.1:8000", "x-cellmind": "1"},
        {"origin": HOST, "x-cellmind": "0"},
        {"origin": HOST, "x-cellmind": "1", "sec-fetch-site": "cross-site"},
        {"origin": HOST, "x-cellmind": "1", "host": "evil.example"},
    ):
        assert here.post("/api/do", json=button, headers=headers).status_code == 403, headers
    for path in ("/api/snapshot", "/api/text"):
        assert here.post(path, json=button, headers=BUTTON).status_code == 405
    assert not wishes.is_paused and wishes.quiet_hours is None and not wishes.take("checkpoint")


# ---------------------------------------------------------------------- buttons


def test_a_button_is_done_and_says_so(here: TestClient, there: TestClient, wishes: Wishes) -> None:
    def press(client: TestClient = here, **button: Any) -> str:
        origin = HOST if client is here else LAN_HOST
        answer = client.post("/api/do", json=button, headers={**BUTTON, "origin": origin})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["said"])

    assert "rests" in press(what="pause") and wishes.is_paused
    assert "goes on" in press(there, what="go_on") and not wishes.is_paused
    assert "22:00 to 07:00" in press(what="quiet_hours", begins="22:00", ends="07:00")
    assert wishes.quiet_hours is not None and wishes.quiet_hours.ends == "07:00"
    press(what="quiet_hours")
    assert wishes.quiet_hours is None
    assert "50 %" in press(what="share_of_time", share=0.5) and wishes.share_of_time == 0.5
    press(what="sync")
    press(what="checkpoint")
    assert wishes.take("sync") and wishes.take("checkpoint") and not wishes.take("checkpoint")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"what": "fly"}', 400),
        (b'{"what": "pause", "more": 1}', 400),
        (b'{"what": "share_of_time", "share": 0}', 400),
        (b'{"what": "share_of_time", "share": NaN}', 400),
        (b'{"what": "share_of_time"}', 409),
        (b'{"what": "quiet_hours", "begins": "25:00", "ends": "07:00"}', 400),
        (b'{"what": "quiet_hours", "begins": "22:00"}', 400),
        (b'{"what": "eject", "name": "' + b"x" * 5000 + b'"}', 413),
        (b'{"what": "lock"}', 409),
        (b"\xff" * 10, 400),
        (b"[" * 4000, 400),
    ],
)
def test_a_button_that_makes_no_sense_gets_a_word(here: TestClient, wishes: Wishes, body: bytes, status: int) -> None:
    answer = here.post("/api/do", content=body, headers=BUTTON)
    assert answer.status_code == status and answer.json()["error"]
    assert not wishes.is_paused


def test_an_invite_is_a_line_to_paste(here: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told_by(deeds: Deeds, option: str, seconds: float) -> str:
        return f"on the other devices:\n\n    /somewhere/python -m peer --join {INVITE}\n"

    monkeypatch.setattr(Deeds, "_told_by", told_by)
    answer = here.post("/api/do", json={"what": "invite"}, headers={**BUTTON, "origin": HOST}).json()
    assert answer["link"] == f".venv/bin/python -m peer --join {INVITE}" and answer["qr"].startswith("data:image/svg")


def test_a_lock_names_who_gets_the_key_and_gives_it_to_nobody_else(here: TestClient, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def lock(peers: Sequence[str]) -> dict[str, Any]:
        asked.append(list(peers))
        return {}

    phone = {"peer": "P" * 12, "name": "phone", "host": "10.0.0.3"}
    away = {"peer": "A" * 12, "name": "tablet", "host": ""}
    control = Control(tmp_path / "checkpoints", {"household": lambda _: {"others": [phone, away]}, "lock": lock})
    try:
        shown = here.post("/api/do", json={"what": "who_gets_the_key"}, headers=BUTTON).json()
        assert shown["said"] == "phone (10.0.0.3), tablet" and not asked
        assert here.post("/api/do", json={"what": "lock", "peers": shown["peers"]}, headers=BUTTON).status_code == 200
        assert asked == [["P" * 12, "A" * 12]]
    finally:
        control.stop()


def test_a_peer_that_does_not_answer_is_said(here: TestClient) -> None:
    answer = here.post("/api/do", json={"what": "pause"}, headers=BUTTON)
    assert answer.status_code == 409 and "does not answer" in answer.json()["error"]


def test_who_sees_the_page_is_not_decided_elsewhere(there: TestClient) -> None:
    answer = there.post("/api/do", json={"what": "page"}, headers={"origin": LAN_HOST, "x-cellmind": "1"})
    assert answer.status_code == 409 and "on the device itself" in answer.json()["error"]


# ---------------------------------------------------------------------- bad files


def test_a_snapshot_that_cannot_be_shown_is_a_word_on_the_page(page: Page, here: TestClient) -> None:
    path = page.sources.checkpoints / SNAPSHOT
    for content, problem in (
        ('{"format": 0}', "an older version"),
        ('{"format": 2}', "a newer version"),
        ('{"format": 1, "run": ', "not whole"),
        ('{"format": 1, "run": 5}', "not whole"),
        (None, "nothing is known yet"),
    ):
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        os.utime(path.parent)
        page.sources._looked_at = -1.0
        assert problem in here.get("/api/snapshot").json()["problem"]
    path.write_text('{"format": 1, "from_the_future": true, "device": {"more": 1, "name": "desk"}}')
    page.sources._looked_at = -1.0
    shown = here.get("/api/snapshot").json()
    assert shown["problem"] == "" and shown["device"]["name"] == "desk"


def test_broken_lines_of_metrics_are_said(page: Page, here: TestClient) -> None:
    with (page.sources.checkpoints / "cellmind" / "metrics.jsonl").open("a") as file:
        file.write('{"round": \n{"round": 4')
    assert here.get("/api/metrics").json()["problem"] == "1 lines of metrics.jsonl are broken, and left out"


def test_another_run_takes_the_place_of_the_one_before(page: Page, here: TestClient) -> None:
    page.sources.look()
    other = snapshot(run=snapshot().run.model_copy(update={"id": "cellmind-ffffffffffff"}))
    write_snapshot(page.sources.checkpoints, other)
    page.sources._looked_at = -1.0
    assert here.get("/api/metrics").json()["round"] == [], "rounds of the earlier run of that name are not this one's"


def test_the_page_has_no_torch_in_it() -> None:
    code = "import sys, peer.page.__main__; print(sorted({'torch', 'hivemind', 'numpy', 'segno'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout == "[]\n", found.stderr


def test_a_stream_that_is_left_is_counted_no_more(page: Page) -> None:
    async def listened() -> int:
        scope = {"type": "http", "headers": [], "query_string": b"", "state": {}}
        answer: Any = await page.stream(Request(scope))
        iterator = answer.body_iterator
        await anext(iterator)
        open_streams = page._streams
        await iterator.aclose()
        return open_streams - page._streams

    assert asyncio.run(listened()) == 1

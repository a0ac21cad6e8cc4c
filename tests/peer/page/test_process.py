"""The page's process: it answers at once, takes the next port, goes to the LAN and back, and ends with its peer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from minigpt.serving import connections
from peer.page import place, process
from peer.page.asking import ask_for_page
from peer.page.control import NotDone
from peer.page.lan import TOKEN, kept
from peer.page.place import listen, read_place
from peer.page.process import PageProcess, started_early
from tests.lan import is_running, wait_until
from tests.peer.page.folders import fill

SECONDS = 30.0
PORT = 24480  # for a peer may run beside the tests
PEER = """
import os, sys, time
from pathlib import Path
from peer.page.process import PageProcess
page = PageProcess(Path(sys.argv[1]))
print(page.port, page._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageProcess]:
    monkeypatch.setattr(place, "PORT", PORT)
    fill(tmp_path)
    page = PageProcess(tmp_path)
    yield page
    page.stop()


def get(url: str, path: str, token: str = "") -> tuple[int, bytes]:
    """Return status and content."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_it_answers_and_is_small_and_ends_with_a_word(page: PageProcess, tmp_path: Path) -> None:
    assert read_place(tmp_path) is None, "it is not said to be a peer's page yet"
    page.show(print)
    assert read_place(tmp_path) == page.url
    assert json.loads(get(page.url, "/api/snapshot")[1])["run"]["round"] == 3
    if sys.platform == "linux":
        status = Path(f"/proc/{page._process.pid}/status").read_text()
        assert int(status.partition("VmRSS:")[2].split()[0]) < 60_000, "kB"
    connection = HTTPConnection(urlsplit(page.url).netloc, timeout=SECONDS)
    connection.request("GET", "/api/stream")
    stream = connection.getresponse()
    assert b"snapshot" in stream.readline() + stream.readline()
    page.stop()
    last = stream.read().decode().strip().splitlines()[-1].removeprefix("data: ")
    assert json.loads(last)["stopped"]
    assert read_place(tmp_path) is None and page._process.returncode == 0


def test_one_that_dies_is_started_again_where_it_was_and_that_is_said_once(page: PageProcess, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / place.OPEN).write_text("24500")  # of a peer that was killed
    page.show(said.append)
    port, url = page.port, page.url
    lan = ask_for_page(url, "lan").link.replace("10.0.0.1", "127.0.0.1").partition("/#token=")
    for _ in range(2):
        dead = page._process
        os.kill(dead.pid, signal.SIGKILL)
        assert wait_until(lambda: page._process is not dead, SECONDS)  # noqa: B023 -- done before the next one
        assert page.port == port and read_place(tmp_path) == url
        assert get(url, "/api/snapshot")[0] == 200
        assert get(lan[0], "/api/snapshot", lan[2])[0] == 200, "the link of before is good"
    assert said == [f"the page had ended (killed by signal 9) and was started again: {url}"]
    ask_for_page(url, "alone")
    assert not (tmp_path / place.OPEN).exists()
    page.stop()
    assert page._process.returncode == 0 and read_place(tmp_path) is None


def test_one_that_dies_at_once_again_and_again_is_started_rarely(
    page: PageProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE", 0.01)
    starts: list[float] = []

    def start(*options: str, port: int | None = None) -> tuple[int, subprocess.Popen[bytes]]:
        starts.append(time.monotonic())
        return page.port, subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(page, "_start", start)
    page.show(print)
    page._process.kill()
    assert wait_until(lambda: len(starts) >= 5, SECONDS)
    assert starts[-1] - starts[0] >= 0.02 + 0.04 + 0.08 + 0.16
    page.stop()


def test_a_port_that_is_taken_is_passed_over(page: PageProcess, tmp_path: Path) -> None:
    other = PageProcess(tmp_path / "other")
    try:
        assert page.port < other.port < PORT + place.MOST_PORTS, "other tests may have some of those between"
        assert "nothing is known yet" in json.loads(get(other.url, "/api/snapshot")[1])["problem"]
    finally:
        other.stop()


def test_without_a_free_port_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "MOST_PORTS", 0)
    assert listen("127.0.0.1") is None
    with pytest.raises(OSError, match="no port is free"):
        PageProcess(tmp_path)


def test_a_command_line_that_wants_a_page_has_it_before_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "PORT", 24680)
    folder = str(tmp_path / "mine")
    for arguments in (
        *([], ["--status"], ["--join", "--no-page"], ["--join", "--help"], ["--sync"], ["--checkpoints"]),
        ["--join", "--checkpoints"],
    ):
        assert started_early(arguments) is None, arguments
    for arguments in (
        ["--join", "--checkpoints", folder],
        ["--join", "CM1-BJ", "--name", "x", f"--checkpoints={folder}"],
    ):
        early = started_early(arguments)
        assert early is not None and (tmp_path / "mine").is_dir()
        early.stop()
    (tmp_path / "file").touch()
    assert started_early(["--join", "--checkpoints", str(tmp_path / "file")]) is None


def test_it_goes_when_its_peer_is_killed(tmp_path: Path) -> None:
    peer = subprocess.Popen([sys.executable, "-c", PEER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert peer.stdout is not None
    port, pid = map(int, peer.stdout.readline().split())
    assert get(f"http://127.0.0.1:{port}", "/api/snapshot")[0] == 200
    peer.kill()
    peer.wait()
    peer.stdout.close()
    try:
        assert wait_until(lambda: not is_running(pid), SECONDS)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_page_on_the_lan_needs_the_token_and_another_one_when_it_is_renewed(
    page: PageProcess, tmp_path: Path
) -> None:
    open_page = HTTPConnection(urlsplit(page.url).netloc, timeout=SECONDS)
    open_page.request("GET", "/api/stream")
    heard = open_page.getresponse()
    said = ask_for_page(page.url, "lan")
    assert any(b'"is_lan":true' in line for line in iter(heard.readline, b"")), "an open page hears of it"
    open_page.close()
    url, _, token = said.link.partition("/#token=")
    url = url.replace("10.0.0.1", "127.0.0.1")  # where this device is, by its snapshot
    assert said.qr.startswith("data:image/svg+xml") and len(token) >= 32
    assert (tmp_path / TOKEN).stat().st_mode & 0o777 == 0o600
    assert get(url, "/api/snapshot")[0] == 401
    status, content = get(url, "/api/snapshot", token)
    assert status == 200 and not json.loads(content)["page"]["is_local"] and json.loads(content)["page"]["is_lan"]
    assert ask_for_page(page.url, "lan").link == said.link, "asked twice, it is the same"
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    connection.request("GET", "/api/stream", headers={"authorization": f"Bearer {token}"})
    stream = connection.getresponse()
    renewed = ask_for_page(page.url, "renew").link.partition("/#token=")[2]
    with pytest.raises(IncompleteRead):  # whoever was shut out hears nothing more
        stream.read()
    connection.close()
    assert get(url, "/api/snapshot", token)[0] == 401 and get(url, "/api/snapshot", renewed)[0] == 200
    assert "this device alone" in ask_for_page(page.url, "alone").said
    with pytest.raises(ConnectionRefusedError):
        get(url, "/api/snapshot", renewed)
    assert kept(tmp_path / TOKEN) == renewed, "the link is good after the next start"


def test_a_token_that_others_can_read_or_guess_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / TOKEN
    for content, mode in (("a" * 32, 0o644), ("short", 0o600), ("", 0o600)):
        path.write_text(content)
        path.chmod(mode)
        assert kept(path) != content and len(kept(path)) >= 32


def test_a_page_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotDone, match="does not answer"):
        ask_for_page("http://127.0.0.1:9", "lan")


@pytest.mark.lan
def test_half_open_requests_take_nobody_elses_place(page: PageProcess) -> None:
    waiting = []
    try:
        for _ in range(1000):
            waiting.append(half_open(page.port))
        started = time.monotonic()
        assert get(page.url, "/api/snapshot")[0] == 200
        assert time.monotonic() - started < SECONDS, "a busy machine takes more than a moment"
        assert connections.CONNECTIONS < 1000
    finally:
        for connection in waiting:
            connection.close()


def half_open(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), SECONDS)
    connection.sendall(b"GET /api/snapshot HTTP/1.1\r\nHost: 127")
    return connection

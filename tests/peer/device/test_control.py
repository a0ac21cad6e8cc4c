"""The control channel: requests and answers of one user on one device, and whatever else comes in at the socket."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from peer.device import control
from peer.device.control import PLACE, Control, ControlAnswer, ControlError, ControlRequest, ask
from peer.device.event_log import KnownLine
from peer.page.control import NotDone
from peer.page.control import ask as ask_of_the_page
from peer.wire import ProtocolViolation, parse

NOBODY = 65534
ASK_AS_NOBODY = """
import os, sys
from pathlib import Path
from peer.device.control import ControlError, ask
os.setuid(int(sys.argv[2]))
try:
    ask(Path(sys.argv[1]), "echo")
except ControlError as error:
    print(error)
"""


def echo(arguments: Sequence[str]) -> dict[str, Any]:
    return {"said": list(arguments)}


def refuse(arguments: Sequence[str]) -> dict[str, Any]:
    raise ControlError("nobody knocks with 4827")


def refuse_in_known_words(arguments: Sequence[str]) -> dict[str, Any]:
    raise ControlError(KnownLine("nobody knocks with 4827", "nobody_knocks", number="4827"))


def fail(arguments: Sequence[str]) -> dict[str, Any]:
    raise ZeroDivisionError("division by zero")


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    monkeypatch.setattr(control, "LINE_SECONDS", 2.0)
    started = Control(tmp_path, {"echo": echo, "refuse": refuse, "known": refuse_in_known_words, "fail": fail})
    yield started
    started.stop()


def place(folder: Path) -> Path:
    return Path(json.loads((folder / PLACE).read_text())["socket"])


def send(folder: Path, content: bytes) -> ControlAnswer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(60)
        connection.connect(str(place(folder)))
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return parse(ControlAnswer, connection.makefile("rb").readline())


def test_a_request_is_answered_and_a_refusal_comes_back_as_one(channel: Control, tmp_path: Path) -> None:
    assert ask(tmp_path, "echo", "4827", "몽이") == {"said": ["4827", "몽이"]}
    for action, problem in (("refuse", "nobody knocks with 4827"), ("fail", "that failed"), ("fly", "start it anew")):
        with pytest.raises(ControlError, match=problem):
            ask(tmp_path, action)
    assert ask(tmp_path, "echo") == {"said": []}, "it answers on"
    with pytest.raises(ControlError, match=r"^nobody knocks with 4827$"):
        ask(tmp_path, "known")
    with pytest.raises(NotDone) as refused:
        ask_of_the_page(tmp_path, "known")
    line = refused.value.args[0]
    assert (line, line.kind, line.values) == ("nobody knocks with 4827", "nobody_knocks", {"number": "4827"})


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"[]\n", b"\xff\n", b'{"action": "echo"', b'{"action": "echo", "more": 1}\n', b"x" * 2**16 + b"\n"],
)
def test_what_is_no_request_gets_a_word_and_nothing_else(channel: Control, tmp_path: Path, content: bytes) -> None:
    assert "no request" in send(tmp_path, content).problem
    assert ask(tmp_path, "echo") == {"said": []}


def test_who_connects_and_says_nothing_holds_up_nobody_for_long(channel: Control, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(str(place(tmp_path)))
        assert ask(tmp_path, "echo") == {"said": []}


def test_only_the_same_user_comes_in_and_nothing_is_left_at_the_end() -> None:
    with tempfile.TemporaryDirectory() as name:
        checkpoints = Path(name)
        checkpoints.chmod(0o755)  # all may look into it
        channel = Control(checkpoints, {"echo": echo})
        folder = place(checkpoints).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        if os.geteuid() == 0:
            program = [sys.executable, "-c", ASK_AS_NOBODY, name, str(NOBODY)]
            asked = subprocess.run(program, capture_output=True, text=True, timeout=180)
            assert "is another user's" in asked.stdout, asked.stderr
        channel.stop()
        assert not folder.exists() and not (checkpoints / PLACE).exists()
        with pytest.raises(ControlError, match="no peer answers"):
            ask(checkpoints, "echo")


def test_what_is_too_long_to_be_asked_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"cannot be asked for that: arguments.*131072"):
        ask(tmp_path, "eject", "x" * (2**17 + 1))


def test_what_a_killed_peer_left_is_no_peer_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    stale = tmp_path / "gone"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as killed:
        killed.bind(str(stale))
    for content in (json.dumps({"socket": str(stale)}), json.dumps({"socket": str(tmp_path / "x")}), "torn", "{}"):
        (tmp_path / PLACE).write_text(content)
        with pytest.raises(ControlError, match="no peer answers"):
            ask(tmp_path, "echo")
    channel = Control(tmp_path, {"echo": echo})
    try:
        assert ask(tmp_path, "echo") == {"said": []}
    finally:
        channel.stop()


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "a" * 33},
        {"action": "A"},
        {"action": 1},
        {"action": "a", "arguments": ["x" * (2**17 + 1)]},
        {"action": "a", "arguments": [""] * 513},
        {"action": "a", "arguments": "x"},
        {"action": "a", "more": 1},
    ],
)
def test_every_bound_of_a_request_holds(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        parse(ControlRequest, json.dumps(fields))

"""python -m minigpt.serve for other devices: who may ask, how much one of them gets, and how long it waits for one.

The other devices are further addresses of this one's loopback interface, of which Linux has 16 million.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from minigpt.serve import main, parse_arguments
from minigpt.serving.guards import KeyNeeded, OwnNamesOnly, RequestLimit
from tests.lan import wait_until
from tests.minigpt.server import REPOSITORY, Server, lean, serving
from tests.tiny import build_model, save_model

openai = pytest.importorskip("openai", reason="the client is not installed: pip install -e '.[dev]'")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tokenizer_model: Path, processor: Any) -> Iterator[Server]:
    """One that other devices may ask, and that never comes to an end of an answer."""
    folder = tmp_path_factory.mktemp("server")
    save_model(folder / "checkpoints", tokenizer_model, lean(build_model(processor.get_piece_size()), -5))
    with serving(folder, "--host", "0.0.0.0") as server:
        yield server
        assert server.process.poll() is None and "Traceback" not in server.said()


def connect(server: Server, device: int) -> socket.socket:
    """Open a connection from another device, by its number."""
    return socket.create_connection(("127.0.0.1", server.port), 30, source_address=(f"127.0.0.{device}", 0))


def send_request(server: Server, client: socket.socket, **body: Any) -> None:
    content = json.dumps({"model": "cellmind", "prompt": "안녕", **body}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.key}\r\n"
    client.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)


def answer(server: Server, device: int) -> str:
    """Return the status line with which a device is answered that asks for one token."""
    with connect(server, device) as client:
        send_request(server, client, max_tokens=1)
        return client.recv(12).decode()


def is_over(client: socket.socket) -> bool:
    """Return whether the server has ended a connection."""
    client.setblocking(False)
    try:
        return client.recv(1000) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


# -- the key


def test_others_need_the_key_that_it_shows(server: Server) -> None:
    assert len(server.key) == 32
    assert server.complete().choices[0].text
    for wrong in ("none", server.key[:-1], server.key + "x", server.key.swapcase()):
        with pytest.raises(openai.AuthenticationError, match="asks for its key") as caught:
            server.client_with(wrong).models.list()
        assert caught.value.code == "invalid_api_key"


def test_a_key_is_made_anew_or_given_and_this_device_alone_may_have_one(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as first:
        assert len(first.key) == 32
        with serving(tmp_path, "--api-key", "correct horse battery".replace(" ", "-")) as second:
            assert second.key == ""
            assert list(second.client_with("correct-horse-battery").models.list()) == []
            for wrong in ("none", first.key):
                with pytest.raises(openai.AuthenticationError):
                    second.client_with(wrong).models.list()


@pytest.mark.parametrize(
    "key",
    ["", "short", "fifteen-letters", "with a space in it", "열여섯글자가넘는한글로된열쇠입니다", "tab\tin the middle"],
)
def test_what_is_no_key(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--api-key", key])
    assert caught.value.code == 2 and "16 letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("Bearer the-key", 200),
        ("bearer  the-key ", 200),
        ("", 401),
        ("the-key", 401),
        ("Basic the-key", 401),
        ("Bearer", 401),
        ("Bearer the-kez", 401),
        ("Bearer the-key\xff", 401),
    ],
)
def test_only_the_key_is_the_key(sent: str, status: int) -> None:
    assert status_of(KeyNeeded(say_yes, "the-key"), authorization=sent) == status


# -- names


@pytest.mark.parametrize(
    ("host", "origin", "local", "status"),
    [
        ("127.0.0.1:8000", None, True, 200),
        ("LOCALHOST", None, True, 200),
        ("[::1]:8000", "http://[::1]:8000", True, 200),
        ("localhost:8000", "http://127.0.0.1:3000", True, 200),
        ("127.0.0.2", None, True, 200),
        ("192.168.0.10:8000", None, True, 403),
        ("laptop", None, True, 403),
        ("192.168.0.10:8000", None, False, 200),
        ("[fe80::1]:8000", None, False, 200),
        ("laptop", None, False, 200),
        ("Laptop.local:8000", "http://laptop.local:8000", False, 200),
        ("given.example", None, False, 200),
        ("localhost", None, False, 200),
        ("192.168.0.10", "http://192.168.0.10", False, 200),
        ("192.168.0.10", "http://203.0.113.5", False, 403),
        ("192.168.0.10", "http://localhost:3000", False, 403),
        ("192.168.0.10", "null", False, 403),
        ("192.168.0.10", "", False, 403),
        ("192.168.0.10", "file://", False, 403),
        ("192.168.0.10", "chrome-extension://192.168.0.10", False, 403),
        ("192.168.0.10", "http://192.168.0.10.evil.example", False, 403),
        ("192.168.0.10", "http://192.168.0.10@evil.example", False, 403),
        ("evil.example", "http://evil.example", False, 403),
        ("laptop.evil.example", None, False, 403),
        ("127.0.0.1.evil.example", None, False, 403),
        ("evil.example@192.168.0.10", None, False, 403),
        ("192.168.0.10/evil.example", None, False, 403),
        ("192.168.0.10:80:80", None, False, 403),
        ("[127.0.0.1", None, False, 403),
        ("", None, False, 403),
        (None, None, False, 403),
    ],
)
def test_a_page_on_the_web_learns_nothing(
    monkeypatch: pytest.MonkeyPatch, host: str | None, origin: str | None, local: bool, status: int
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    guard = OwnNamesOnly(say_yes, local, names=["given.example"])
    headers = {"host": host, "origin": origin}
    assert status_of(guard, **{name: value for name, value in headers.items() if value is not None}) == status


def test_names_are_asked_for_before_the_key(server: Server) -> None:
    with connect(server, 2) as client:
        client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 403"
    with connect(server, 2) as client:
        client.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 403"


# -- limits


@on_linux
def test_a_client_with_twenty_streams_leaves_room_for_others(server: Server) -> None:
    with ExitStack() as clients:
        greedy = [clients.enter_context(connect(server, 2)) for _ in range(20)]
        for client in greedy:
            send_request(server, client, max_tokens=1_000_000, stream=True)
        begun = sorted(client.recv(12).decode() for client in greedy)
        assert begun == ["HTTP/1.1 200"] * 4 + ["HTTP/1.1 429"] * 16
        assert answer(server, 2) == "HTTP/1.1 429"
        assert answer(server, 3) == "HTTP/1.1 200"
    assert wait_until(lambda: answer(server, 2) == "HTTP/1.1 200", 60), "its places are free again"


def test_a_place_is_free_again_whatever_happens_in_it() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    limit = RequestLimit(fail, of_client=1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            status_of(limit)


@on_linux
@pytest.mark.lan
def test_half_sent_headers_keep_nobody_out_and_do_not_stay(server: Server) -> None:
    """More than the server may have open, of one device and of all; its own programs are a device like any other."""
    for devices in ([2], [1], [4, 5, 6, 7, 8, 9]):
        with ExitStack() as clients:
            half = []
            for number in range(300):
                client = clients.enter_context(connect(server, devices[number % len(devices)]))
                client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half")
                half.append(client)
            assert answer(server, 3) == "HTTP/1.1 200"
            assert answer(server, devices[0]) == "HTTP/1.1 200"
            assert wait_until(lambda half=half: all(map(is_over, half)), 60)  # type: ignore[misc]
    assert "Too many open files" not in server.said() and "out of system resource" not in server.said()


@on_linux
@pytest.mark.lan
def test_who_goes_on_a_byte_at_a_time_is_late(server: Server) -> None:
    beginnings = [
        b"",
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000\r\n\r\n{",  # refused, and going on
        b"POST /v1/completions HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ]
    with ExitStack() as clients:
        slow = [clients.enter_context(connect(server, 2)) for _ in beginnings]
        for client, begun in zip(slow, beginnings):
            client.sendall(begun)

        def is_ended(client: socket.socket) -> bool:
            try:
                client.setblocking(True)
                client.sendall(b"1")
            except ConnectionError:
                return True
            return is_over(client)

        assert wait_until(lambda: all([is_ended(client) for client in slow]), 60)


@on_linux
@pytest.mark.lan
def test_who_takes_nothing_is_ended(server: Server) -> None:
    """Requests one after the other, whose answers nobody reads."""
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2000)
        deaf.connect(("127.0.0.1", server.port))
        deaf.setblocking(False)

        def is_ended() -> bool:
            try:
                while True:
                    deaf.send(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        assert not is_ended()
        assert answer(server, 2) == "HTTP/1.1 200"
        assert wait_until(is_ended, 60)


# -- its life


def test_ends_at_once_though_others_are_in_the_middle(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as server, ExitStack() as clients:
        for _ in range(40):
            client = clients.enter_context(connect(server, 1))
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.said()


def test_what_others_mount_brings_no_torch_before_somebody_asks() -> None:
    program = """
import sys
from minigpt.serving.api import Api
from minigpt.serving.connections import run
from minigpt.serving.guards import KeyNeeded, OwnNamesOnly, RequestLimit
Api().routes()
print({"torch", "numpy", "sentencepiece"} & set(sys.modules))
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=True
    )
    assert found.stdout == "set()\n"


@pytest.mark.parametrize("host", ["no.such.host.example.", "1.2.3.4.5", "256.0.0.1"])
def test_an_address_that_is_none(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", host]) == 2
    assert capsys.readouterr().err.startswith(f"cannot listen at {host}: ")


async def say_yes(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})


def status_of(app: Any, **headers: str) -> int:
    """Return the status with which an application answers a request with these headers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": encoded, "client": ("192.168.0.2", 1)}
    asyncio.run(app(scope, None, send))
    return int(sent[0]["status"])

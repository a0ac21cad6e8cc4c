"""Asking a running peer: `python -m minigpt.generate --from-peer`, against a real one on the loopback."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.p2p import P2P

from minigpt import checkpoint
from minigpt.model import MiniGPT
from minigpt.settings import run_id
from peer.state.serving import StateService
from tests.lan import wait_until
from tests.tiny import SETTINGS, save_model

pytestmark = pytest.mark.lan

REPOSITORY = Path(__file__).parents[3]
SECONDS = 120.0  # hivemind alone takes a few to import


class Donor:
    """A peer's state service, on a thread; it remembers who has been connected."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.asked_by: set[str] = set()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert wait_until(lambda: bool(self.address), 30)

    async def _serve(self) -> None:
        p2p = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
        try:
            await StateService(self.folder).add_p2p_handlers(p2p)
            self.address = str((await p2p.get_visible_maddrs())[0])
            while not self._leave.is_set():
                self.asked_by |= {info.peer_id.to_base58() for info in await p2p.list_peers()}
                await asyncio.sleep(0.05)
        finally:
            await p2p.shutdown()

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(30)


@contextmanager
def asking(folder: Path, address: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "minigpt.generate", "--prompt", "안녕", "--seed", "1", "--max-new-tokens", "4"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job hands on an ignored one
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        program = subprocess.Popen(
            [*command, "--from-peer", address, *more],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=err,
            preexec_fn=heeds,
        )
        try:
            yield program
        finally:
            program.kill()
            program.wait()


def test_who_follows_a_peer_asks_as_one_node_until_it_leaves(
    tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    run = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    save_model(tmp_path / "donor", tokenizer_model, model, run_id=run)
    asker = tmp_path / "asker"
    asker.mkdir()
    donor = Donor(tmp_path / "donor")
    try:
        with asking(asker, donor.address, "--follow") as program:
            for round in (1, 2, 3):
                if round > 1:
                    save_model(tmp_path / "donor", tokenizer_model, model, run_id=run, round=round, step=10 * round)
                answered = partial(lambda count: (asker / "out").read_bytes().count(b"\n") == count, round)
                assert wait_until(answered, SECONDS), (asker / "err").read_text()
            assert (asker / "err").read_text() == "round 2:\nround 3:\n"
            assert len(donor.asked_by) == 1
            donor.leave()
            assert program.wait(SECONDS) == 2
            said = (asker / "err").read_text().splitlines()
            assert re.search("nobody answers at|the donor does not answer", said[2]), "whether it left before or while"
            assert len(said) == 3
    finally:
        donor.leave()


def test_something_else_that_answers_is_no_peer(tmp_path: Path) -> None:
    """A web server, say, to which the address of a peer that had been there now leads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def answer() -> None:
            listener.settimeout(0.2)
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            identity = "QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"
            address = f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}/p2p/{identity}"
            with asking(tmp_path, address) as program:
                assert program.wait(SECONDS) == 2
            assert (tmp_path / "err").read_text() == (
                f"nobody answers at {address}; is the peer running, and its address up to date?\n"
            )
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("address", ["", "192.168.0.10:23457", "/ip4/192.168.0.10/udp/1/p2p/QmNo"])
def test_what_is_no_address_is_said_before_anything_is_started(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from minigpt.generate import main

    monkeypatch.chdir(tmp_path)
    assert main(["--prompt", "안녕", "--from-peer", address]) == 2
    assert capsys.readouterr().err.startswith(f"{address!r} is no peer address; it looks like /ip4/")


def test_two_who_ask_at_once_both_get_an_answer(tmp_path: Path, tokenizer_model: Path, model: MiniGPT) -> None:
    run = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    save_model(tmp_path / "donor", tokenizer_model, model, run_id=run)
    donor = Donor(tmp_path / "donor")
    asker = tmp_path / "asker"
    (asker / "checkpoints").mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "checkpoints").symlink_to(asker / "checkpoints")
    try:
        with asking(asker, donor.address) as first, asking(other, donor.address) as second:
            assert [first.wait(SECONDS), second.wait(SECONDS)] == [0, 0]
        assert (asker / "out").read_text() == (other / "out").read_text() != ""
    finally:
        donor.leave()

"""Taking the model of a running peer, a real one on the loopback: by `peer.joining.pull`, and by `minigpt.generate`."""

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
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.p2p import P2P

from minigpt import checkpoint
from minigpt.checkpoint.manifest import HeldOutLoss, Manifest
from minigpt.model import MiniGPT
from minigpt.settings import run_id
from peer.joining.pull import Puller, is_newer, parse_arguments
from peer.state.serving import StateService
from tests.lan import command_line, wait_until
from tests.tiny import SETTINGS, build_model, save_model

pytestmark = pytest.mark.lan

REPOSITORY = Path(__file__).parents[3]
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc that tells of processes")
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


def asking(folder: Path, address: str, *more: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A program that answers a prompt by the model of the peer at that address."""
    prompt = ("--prompt", "안녕", "--seed", "1", "--max-new-tokens", "4")
    return running(folder, "minigpt.generate", *prompt, "--from-peer", address, *more)


@contextmanager
def running(folder: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a folder, where its output goes to `out` and `err`."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job hands on an ignored one
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        program = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
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


def descendants(pid: int) -> dict[int, str]:
    """Living processes that a process has started, and those that these have: process id -> command line."""
    found: dict[int, str] = {}  # whoever started somebody comes before them
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child: command_line(child), **descendants(child)}
    return {child: line for child, line in found.items() if line}


@pytest.fixture
def donor(tmp_path: Path, tokenizer_model: Path, model: MiniGPT) -> Iterator[Donor]:
    run = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    save_model(tmp_path / "donor", tokenizer_model, model, run_id=run)
    donor = Donor(tmp_path / "donor")
    yield donor
    donor.leave()


@needs_proc
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl+C", "kill -9"])
def test_who_is_ended_while_it_follows_leaves_no_process(
    number: int, code: int, donor: Donor, tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    with asking(tmp_path, donor.address, "--follow") as program:
        assert wait_until(lambda: (tmp_path / "out").read_bytes().count(b"\n") == 1, SECONDS)
        started = descendants(program.pid)
        assert any("peer.joining.pull" in line for line in started.values())
        assert any("p2pd" in line for line in started.values())
        program.send_signal(number)
        assert program.wait(60) == code
        assert wait_until(lambda: not any(command_line(pid) == line for pid, line in started.items()), 30), started
    assert (tmp_path / "err").read_text() == ("\n" if number == signal.SIGINT else "")


@needs_proc
def test_a_generating_process_is_told_when_the_one_that_asks_is_killed(donor: Donor, tmp_path: Path) -> None:
    with asking(tmp_path, donor.address, "--follow") as program:
        assert wait_until(lambda: (tmp_path / "out").read_bytes().count(b"\n") == 1, SECONDS)
        started = descendants(program.pid)
        pull = next(pid for pid, line in started.items() if "peer.joining.pull" in line)
        os.kill(pull, signal.SIGKILL)
        assert program.wait(60) == 2
        assert wait_until(lambda: not any(command_line(pid) == line for pid, line in started.items()), 30), started
    assert (tmp_path / "err").read_text() == "the process that takes the model of a peer ended unexpectedly\n"


def test_a_folder_a_line_for_every_newer_model(
    donor: Donor, tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    run = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    here, into = tmp_path / "여기", Path("taken/한글")
    here.mkdir()
    with running(here, "peer.joining.pull", "--follow", "--into", str(into), "--", donor.address) as program:
        for round in (1, 2):
            if round > 1:
                save_model(tmp_path / "donor", tokenizer_model, model, run_id=run, round=round, step=10 * round)
            shown = partial(lambda count: (here / "out").read_bytes().count(b"\n") == count, round)
            assert wait_until(shown, SECONDS), (here / "err").read_text()
        folders = [Path(line) for line in (here / "out").read_text().splitlines()]
        assert [checkpoint.read(folder).progress.round for folder in folders] == [1, 2]
        assert all(folder.parent == here / into / "cellmind" for folder in folders)
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130
    assert (here / "err").read_text() == ""


def test_a_peer_s_best_state_answers_and_that_is_its_own_word(
    donor: Donor, tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    run = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    other = build_model(model.vocab_size, seed=4)
    save_model(tmp_path / "donor", tokenizer_model, other, run_id=run, held_out=HeldOutLoss(nats=5.174, bits=2.5))
    answers = []
    word = "the best state of 127.0.0.1, by its own word: round 1, held-out 5.17\n"
    for more, said in ((), word), (("--newest",), ""):
        with asking(tmp_path, donor.address, *more) as program:
            assert program.wait(SECONDS) == 0
        assert (tmp_path / "err").read_text() == said
        answers.append((tmp_path / "out").read_text())
    assert answers[0] != answers[1]
    taken = tmp_path / "checkpoints/from-peer/cellmind"
    assert checkpoint.read(next(taken.glob("best/round-*"))).held_out is not None
    assert checkpoint.read(next(taken.glob("round-*"))).held_out is None, "both of round 1, and each by itself"


def test_nothing_newer_is_shown_where_a_donor_is_behind() -> None:
    def at(round: int, samples: int, run_id: str = "cellmind-0123456789ab") -> Manifest:
        return cast(Manifest, SimpleNamespace(run_id=run_id, round=round, samples=samples))

    assert is_newer(at(3, 300), at(2, 200)) and is_newer(at(3, 300), at(2, 300))
    assert not is_newer(at(2, 200), at(2, 200)) and not is_newer(at(1, 100), at(2, 200))
    assert is_newer(at(1, 100, "cellmind-ba9876543210"), at(2, 200)), "another run"


def test_a_folder_that_was_shown_stays_while_donors_that_are_behind_answer(
    tmp_path: Path,
) -> None:
    """Whoever reads it may still be busy with the answer before."""
    at_hand = [tmp_path / "cellmind" / f"round-{round}" for round in (2, 1, 1)]
    shown = at_hand[0]

    def run_coroutine(task: object) -> Path:
        folder = at_hand.pop(0)
        folder.mkdir(parents=True, exist_ok=True)
        if shown.exists():
            os.utime(shown, (0, 0))
        return folder

    puller = Puller(tmp_path, tmp_path)
    vars(puller)["_dht"] = SimpleNamespace(run_coroutine=run_coroutine)  # to ask for the real one would start it
    address = "/ip4/127.0.0.1/tcp/1/p2p/QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"
    puller.keep(puller.pull(address))
    for _ in range(2):
        puller.pull(address)
        assert shown.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--into", "here"], "one of the arguments ADDRESS|INVITE --swarm is required"),
        (["--into", "here", "--swarm", "mine", "--", "/ip4/"], "not allowed with"),
        (["--", "/ip4/"], "arguments are required: --into"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_disk_that_does_not_take_it_is_said(donor: Donor, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("no folder")
    with asking(tmp_path, donor.address) as program:
        assert program.wait(SECONDS) == 2
    said = (tmp_path / "err").read_text()
    assert said.startswith("the model cannot be kept in checkpoints/from-peer: ") and said.count("\n") == 1


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

"""An invite: what it says comes out as it went in, and nothing else comes out of it."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import segno
from rich.console import Console

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from minigpt.generate import main
from minigpt.model import MiniGPT
from peer.command_line import parse_arguments
from peer.device.display import Display
from peer.device.processes import StopSignal
from peer.joining import find_run, outside
from peer.joining.errors import JoinError
from peer.joining.invite import HEAD, KEY, Invite, InviteError, _checksum, parse_invite
from peer.joining.join import join
from peer.joining.own_invite import invite_of_running_peer
from peer.joining.presence import Presence
from peer.joining.pull import Puller, _address_and_run
from peer.joining.wanted_run import Wanted
from peer.network.address import Address
from peer.network.folder import OWN_ADDRESS
from peer.network.handle import Network
from peer.network.household_file import household_path, keep_household, mark_path
from peer.network.node import View
from peer.state.fetching import TransferError
from peer.wire import Notice, Role
from tests.households import household
from tests.tiny import SETTINGS, save_model, stand_in

ADDRESS = "/ip4/192.168.0.10/tcp/23457/p2p/QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"
INVITE = Invite(ADDRESS, "cellmind", "cellmind-6f74de27adbc")
TEXT = str(INVITE)
LOCKED = Invite(ADDRESS, "cellmind", "cellmind-6f74de27adbc", "5a" * 32, 7)
HOLDER = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('locked', flush=True); input()"
)
GARBLED = {
    "cut short": lambda: [TEXT[:length] for length in range(4, len(TEXT))],
    "a letter changed": lambda: [TEXT[:i] + ("A" if TEXT[i] != "A" else "B") + TEXT[i + 1 :] for i in range(4, 90)],
    "a digit that no invite has": lambda: [TEXT[:20] + digit + TEXT[21:] for digit in "0189ㄱ"],
    "too long": lambda: [TEXT + "ABCDEFGH", TEXT + TEXT],
}


def invite_of(payload: bytes, version: int = 1) -> str:
    return f"CM{version}-" + base64.b32encode(payload + _checksum(payload)).decode().rstrip("=")


def test_it_says_what_was_put_in_however_it_is_typed() -> None:
    assert len(TEXT) < 100
    for typed in (TEXT, TEXT.lower(), f"  {TEXT[:30]} {TEXT[30:60]}-{TEXT[60:]}\n"):
        assert parse_invite(typed) == INVITE
    for other in (
        LOCKED,
        Invite(ADDRESS),
        Invite(ADDRESS, "a"),
        Invite(ADDRESS, "a-b" * 13, f"{'a-b' * 13}-{'0f' * 6}"),
    ):
        assert parse_invite(str(other)) == other


@pytest.mark.parametrize("texts", GARBLED.values(), ids=GARBLED)
def test_what_was_garbled_on_the_way_is_refused(texts: Callable[[], list[str]]) -> None:
    for text in texts():
        with pytest.raises(InviteError, match="cut short or has a wrong letter"):
            parse_invite(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("CM0" + TEXT[3:], "older version"),
        ("CM3" + TEXT[3:], "newer version"),
        ("CM2" + TEXT[3:], "no whole key"),
        ("CM1" + str(LOCKED)[3:], "no name of a run"),
        (invite_of(HEAD.pack(b"\1\2\3\4", 1, bytes(32), b"123456") + KEY.pack(bytes(32), 0) + b"a", 2), "no run that"),
        (invite_of(HEAD.pack(b"\1\2\3\4", 1, bytes(32), bytes(6)) + KEY.pack(bytes(32), 1) + b"a", 2), "no run that"),
        (ADDRESS, "is no invite.*--initial-peers"),
        ("", "is no invite"),
        (invite_of(HEAD.pack(b"\1\2\3\4", 0, bytes(32), bytes(6))), "no port"),
        (invite_of(HEAD.pack(b"\1\2\3\4", 1, bytes(32), bytes(6)) + b"../up"), "no name of a run"),
        (invite_of(HEAD.pack(b"\1\2\3\4", 1, bytes(32), bytes(6)) + b"\xff"), "no name of a run"),
    ],
)
def test_what_is_of_no_use_is_refused_with_a_reason(text: str, problem: str) -> None:
    with pytest.raises(InviteError, match=problem):
        parse_invite(text)


def test_an_invite_to_a_locked_run_carries_the_key_and_shows_it_to_nobody_who_prints_it() -> None:
    assert str(LOCKED).startswith("CM2-") and len(str(LOCKED)) < 160
    assert LOCKED.key not in repr(LOCKED)


def test_the_command_line_takes_it_for_the_run_that_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parse_arguments(["--join", TEXT, "--initial-peers", "/ip4/1.2.3.4/tcp/1/p2p/Qm"])
    assert (arguments.join, arguments.run) == (INVITE, "cellmind")
    assert arguments.initial_peers == [ADDRESS, "/ip4/1.2.3.4/tcp/1/p2p/Qm"]
    assert parse_arguments(["--join", str(Invite(ADDRESS)), "--run", "mine"]).run == "mine"
    assert parse_arguments(["--join", "--run", "mine"]).join is True
    for typed, problem in (
        (["--join", TEXT[:40]], "cut short"),
        (["--join", TEXT, "--run", "mine"], "the invite is for run 'cellmind', and --run says 'mine'"),
        (["--join", "--host", "192.0.2.77"], "192.0.2.77 is no address of this device.*127.0.0.1"),
        (["--join", "--host", "0.0.0.0"], "0.0.0.0 is no address of this device"),
        (["--join", "--host", "desk"], "'desk' is no IPv4 address"),
    ):
        with pytest.raises(SystemExit) as ended:
            parse_arguments(typed)
        assert ended.value.code == 2
        assert re.search(problem, capsys.readouterr().err)


def typed_in(text: str) -> io.TextIOWrapper:
    """Standard input with such a text."""
    return io.TextIOWrapper(io.BytesIO(text.encode()))


def test_an_invite_is_read_from_standard_input_where_ps_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("sys.stdin", typed_in(f"  {TEXT}\nmore\n"))
    assert parse_arguments(["--join", "-"]).join == INVITE
    monkeypatch.setattr("sys.stdin", typed_in(""))
    assert parse_arguments(["--join", "-"]).join == INVITE, "where the peer starts itself anew"


def test_an_invite_is_asked_for_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("sys.stdin", stand_in(isatty=lambda: True))
    monkeypatch.setattr("data.terminal.getpass", lambda question: str(LOCKED))
    assert parse_arguments(["--join", "-"]).join == LOCKED


@pytest.mark.parametrize(("typed", "said"), [("", "no invite on standard input"), ("CM1-A", "cut short")])
def test_what_is_no_invite_on_standard_input_is_said(
    typed: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("sys.stdin", typed_in(typed))
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--join", "-"])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_an_invite_that_was_asked_for_is_in_no_list_of_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    popen = subprocess.Popen

    def noted(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(command)
        return popen([sys.executable, "-c", "import os, sys; sys.exit(os.environ['CELLMIND_INVITE'])"], **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLMIND_INVITE", "")
    monkeypatch.delenv("CELLMIND_INVITE")  # and as it was, afterwards
    monkeypatch.setattr("subprocess.Popen", noted)
    monkeypatch.setattr("sys.stdin", typed_in(f"{LOCKED}\n안녕\n"))
    assert main(["--chat", "--from-peer", "-"]) == 2
    assert started[0][-2:] == ["--", "-"] and capsys.readouterr().err.strip() == str(LOCKED)
    assert sys.stdin.readline() == "안녕\n", "what is said after it is left"
    assert _address_and_run("-") == _address_and_run(str(LOCKED))


def test_no_invite_where_one_is_asked_for_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("sys.stdin", typed_in(""))
    assert main(["--prompt", "안녕", "--from-peer", "-"]) == 2
    assert "there is no invite on standard input, where --from-peer - has" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["--prompt-file", "-", "--from-peer", "-"])
    assert ended.value.code == 2 and "both read standard input" in capsys.readouterr().err


def test_a_running_peer_s_invite_has_its_address_and_its_run(
    tmp_path: Path, tokenizer_model: Path, model: MiniGPT, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path, tokenizer_model, model, run_id="cellmind-0123456789ab")
    own = tmp_path / OWN_ADDRESS
    own.write_text(json.dumps({"address": ADDRESS, "run": "cellmind"}))
    for _ in range(2):  # never started, and ended
        with pytest.raises(InviteError, match=r"no peer runs in .*start one with python -m peer --join"):
            invite_of_running_peer(tmp_path)
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None and running.stdout.readline() == b"locked\n"
            own.write_text(json.dumps({"address": ADDRESS, "run": "cellmind"}))
            invite = Invite(ADDRESS, "cellmind", "cellmind-0123456789ab")
            assert invite_of_running_peer(tmp_path) == invite_of_running_peer(tmp_path, "cellmind") == invite
            own.write_text(json.dumps({"address": ADDRESS, "run": "other"}))
            assert invite_of_running_peer(tmp_path) == Invite(ADDRESS, "other"), "it has no state yet"
            own.write_text(json.dumps({"address": ADDRESS, "run": ""}))
            assert invite_of_running_peer(tmp_path) == Invite(ADDRESS), "a bootstrap node's is for any run"
            own.write_text(json.dumps({"address": ADDRESS, "run": "other"}))
            with pytest.raises(InviteError, match="is in the run 'other', not in 'cellmind'"):
                invite_of_running_peer(tmp_path, "cellmind")
            with monkeypatch.context() as knocking:
                knocking.setattr(outside, "ask", lambda folder, action: {"knocks": True})
                with pytest.raises(InviteError, match="in no run yet, and asks to be let in"):
                    invite_of_running_peer(tmp_path)
            own.write_text(json.dumps({"address": ADDRESS, "run": "cellmind"}))
            peer_id = Address.parse(ADDRESS).peer
            keep_household(tmp_path, "cellmind", household("cellmind-0123456789ab", "Desk", ejected=(peer_id,)))
            with pytest.raises(InviteError, match="was ejected, and its key opens nothing"):
                invite_of_running_peer(tmp_path)
            household_path(tmp_path, "cellmind").unlink()
            mark_path(tmp_path, "cellmind").unlink()
            own.write_text("torn")
            with pytest.raises(InviteError, match="no address yet"):
                invite_of_running_peer(tmp_path)
            running.communicate(b"")


@pytest.mark.parametrize(
    ("encoding", "terminal", "width", "margin"),
    [
        ("utf-8", True, 80, 4),
        ("utf-8", True, 42, 4),
        ("utf-8", True, 40, 2),  # a phone held upright
        ("utf-8", True, 37, None),  # a line as wide as the terminal is would break where some terminals break it
        ("utf-8", False, 80, None),
        ("ascii", True, 80, None),
    ],
)
def test_a_qr_code_is_drawn_where_it_can_be_read(encoding: str, terminal: bool, width: int, margin: int | None) -> None:
    shown = io.BytesIO()
    display = Display()
    display._console = Console(
        file=io.TextIOWrapper(shown, encoding), force_terminal=terminal, width=width, soft_wrap=True
    )
    display.invite(TEXT)
    display._console.file.flush()
    text = shown.getvalue().decode(encoding)
    assert f"python -m peer --join {TEXT}\n" in text
    if margin is None:
        assert "█" not in text
    else:
        assert "\x1b[97;40m" in text, "light on dark, whatever the terminal's own colours are"
        rows = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines() if set(line) & set("█▀▄")]
        halves = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
        modules = [[halves[letter][half] for letter in row] for row in rows for half in (0, 1)]
        code = segno.make(TEXT, micro=False)
        assert modules[: 33 + 2 * margin] == [list(row) for row in code.matrix_iter(border=margin)]


def join_where(view: View | None, checkpoints: Path) -> None:
    """Join with the invite where that is what the notice board shows; there is nothing to take."""
    presence = Presence(
        network=cast(Network, SimpleNamespace(post=lambda notice: view, peer="M" * 12, household=None)),
        me=Notice(peer="M" * 12, name="phone", address="/ip4/10.0.0.9/tcp/23457/p2p/M", role=Role.LOOKING),
        display=Display(),
        stop=cast(StopSignal, SimpleNamespace(received=False)),
    )
    join(presence, Wanted(SETTINGS, checkpoints, given=(ADDRESS,), invite=INVITE))


@pytest.mark.parametrize(
    ("trained", "problem"),
    [
        ("cellmind-0123456789ab", "the invite is for run cellmind-6f74de27adbc, and desk trains cellmind-0123456789ab"),
        ("", "and nobody trains it on this network"),
    ],
)
def test_an_invite_to_a_run_that_is_not_there_takes_nothing_and_founds_nothing(
    trained: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_run, "UNANSWERED_SECONDS", 0.5)
    peer_id = Address.parse(ADDRESS).peer
    notice = Notice(peer=peer_id, name="desk", address=ADDRESS, role=Role.TRAINING, run_id=trained)
    view = View(notices=[notice] if trained else [], connected=[peer_id], searched=True)
    with pytest.raises(JoinError, match=problem):
        join_where(view, tmp_path)
    assert not list(tmp_path.glob("*/*"))


def test_a_firewall_before_an_invites_run_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_run, "UNANSWERED_SECONDS", 0.5)
    peer_id = Address.parse(ADDRESS).peer
    shut = Notice(peer=peer_id, name="desk", address=ADDRESS, role=Role.TRAINING, run_id=INVITE.run_id, reachable=False)
    other_run = {"name": "bystander", "run_id": "cellmind-0123456789ab", "reachable": True}
    notices = [shut, shut.model_copy(update={"peer": "B" * 46, **other_run})]
    view = View(notices=notices, connected=[peer_id], searched=True, reachable=False)
    with pytest.raises(JoinError, match="desk cannot be reached from this device"):
        join_where(view, tmp_path)


def test_a_run_that_is_here_is_not_mixed_with_that_of_an_invite(
    tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    save_model(tmp_path, tokenizer_model, model, run_id="cellmind-0123456789ab")
    with pytest.raises(JoinError, match=r"is of run cellmind-0123456789ab, which is not mixed with it"):
        join_where(None, tmp_path)


def test_who_is_asked_for_the_model_with_half_an_invite_is_told(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="cut short"):
        Puller(tmp_path, tmp_path).pull(TEXT[:40].lower())

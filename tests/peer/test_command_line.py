"""The options of the page, and which lines are kept and which are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from peer.command_line import parse_arguments
from peer.device.display import Display
from peer.device.event_log import EVENTS, EventLog, KnownLine

INVITE = "CM1-BJGQAC"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--json"], "add --status"),
        (["--join", "--watch"], "add --status"),
        (["--join", "--no-page", "--page", "lan"], "choose one"),
        (["--names", "--status"], "add --report"),
        (["--page", "everywhere"], "invalid choice"),
        (["--join", "--share-of-time", "0"], "is not from 0.01 to 1"),
        ([], "nothing to do"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)
    assert ended.value.code == 2 and problem in capsys.readouterr().err


def test_what_can_be_asked_of_the_page() -> None:
    assert parse_arguments(["--page"]).page == "here"
    assert parse_arguments(["--join", "--page", "lan"]).page == "lan"
    assert parse_arguments(["--report", "a.html", "b", "c"]).report == [Path("a.html"), Path("b"), Path("c")]
    assert parse_arguments(["--status", "--watch", "--json"]).status
    assert parse_arguments(["--join"]).share_of_time is None, "then it is what the page was told"


def test_what_lets_somebody_in_is_kept_in_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    display = Display()
    display.note("before")
    display.keep_lines(EventLog(tmp_path))
    display.note(KnownLine("phone is here", "joined", name="phone"))
    display.invite(INVITE)
    display.code("http://10.0.0.1/#token=secret")
    shown = capsys.readouterr().out
    assert INVITE in shown and "secret" in shown
    [kept] = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert (kept["text"], kept["kind"], kept["values"]) == ("phone is here", "joined", {"name": "phone"})


def test_an_invite_with_a_key_says_how_nobody_else_sees_it(capsys: pytest.CaptureFixture[str]) -> None:
    Display().invite(INVITE)
    assert "--join -" not in capsys.readouterr().out
    Display().invite("CM2" + INVITE[3:])
    assert "--join - there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "--admit NUMBER"),
        (["--status", "--json"], 2, "error: no peer runs in "),
        (["--admit", "４8 27 "], 2, "error: no peer runs in "),  # as a Korean keyboard may write it
        (["--admit", "48"], 2, "no number of a knock"),
    ],
)
def test_a_command_that_only_asks_loads_neither_pytorch_nor_hivemind(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    """Which take seconds."""
    line = [sys.executable, "-X", "importtime", "-m", "peer", *arguments, "--checkpoints", str(tmp_path / "none")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    loaded = {words[-1].strip() for words in (line.split("|") for line in done.stderr.splitlines()) if len(words) == 3}
    assert (done.returncode, loaded & {"torch", "hivemind", "sentencepiece", "numpy", "fastapi"}) == (code, set())
    assert "peer.joining.owner_commands" in loaded and said in done.stdout + done.stderr

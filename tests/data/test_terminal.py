"""Words for a terminal: what is to be typed can be copied."""

import re
import sys
from pathlib import Path

import pytest

from data.terminal import CommandParser, as_called


@pytest.mark.parametrize(
    ("called", "hint", "shown"),
    [
        (".venv/bin/python", "start python -m peer --join, python -m data", "start {0} -m peer --join, {0} -m data"),
        ("python", "(python -m tokenizer)", "({0} -m tokenizer)"),
        ("/home/my name/python", "run: python -m data", "run: '{0}' -m data"),
        ("python3", ".venv/bin/python -m peer", ".venv/bin/python -m peer"),
        ("python3", "cpython -m x, and python -m", "cpython -m x, and python -m"),
    ],
)
def test_python_is_called_in_hints_as_it_was(
    called: str, hint: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [called, "-m", "peer"])
    assert as_called(hint) == shown.format(called)


def test_a_mistake_is_said_in_two_lines_and_help_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "orig_argv", [".venv/bin/python", "-m", "peer"])
    parser = CommandParser(prog="python -m peer", description="Begin with python -m peer --join.")
    for number in range(30):
        parser.add_argument(f"--option-{number}", type=int)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--option-7"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["error: --option-7: expected one argument", "all options: .venv/bin/python -m peer --help"]
    assert ".venv/bin/python -m peer --join" in parser.format_help()


def test_all_commands_say_mistakes_so() -> None:
    """One that made its own parser would print all of its options above the useful line."""
    root = Path(__file__).parents[2]
    for package in ("bootstrap", "data", "minigpt", "peer", "tokenizer"):
        for path in (root / package).rglob("*.py"):
            made = re.findall(r"argparse\.ArgumentParser\((?!add_help=False)", path.read_text(encoding="utf-8"))
            assert not made, path

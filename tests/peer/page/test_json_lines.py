"""Files that somebody else is writing: whole lines once, broken ones counted, and a file that begins anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from peer.page import json_lines
from peer.page.json_lines import JsonLines


def test_each_line_comes_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path)
    assert list(lines.read()) == [] and lines.problem == ""
    with path.open("w") as file:
        for content, expected in (('{"a": 1}\n{"a"', [{"a": 1}]), (": 2}", []), ('\n{"a": 3}\n', [{"a": 2}, {"a": 3}])):
            file.write(content)
            file.flush()
            assert list(lines.read()) == expected
    assert not lines.has_begun_anew() and lines.broken == 0


def test_broken_lines_are_counted_and_what_follows_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MOST_BYTES", 1000)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"a": \n[1]\n\xff\xfe\n\n' + b"[" * 900 + b"\n" + b"x" * 1500 + b'\n{"a": 1}\n')
    lines = JsonLines(path)
    assert list(lines.read()) == [{"a": 1}]
    assert lines.broken == 6  # the longest of them is two


def test_a_file_that_is_shorter_or_another_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    lines = JsonLines(path)
    assert not lines.has_begun_anew() and len(list(lines.read())) == 2
    path.write_text('{"n": 3}\n')
    assert lines.has_begun_anew() and list(lines.read()) == [{"n": 3}]
    other = tmp_path / "other"
    other.write_text('{"n": 4}\n{"n": 5}\n')
    other.replace(path)
    assert lines.has_begun_anew() and len(list(lines.read())) == 2
    path.unlink()
    assert not lines.has_begun_anew() and list(lines.read()) == []


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path)
    assert list(lines.read()) == [] and "cannot be read" in lines.problem

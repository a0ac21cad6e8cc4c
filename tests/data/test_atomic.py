"""Files written beside and renamed: whole or as before, whatever fails."""

import ast
import errno
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from data import atomic

REPOSITORY = Path(__file__).parents[2]


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_whole(path, "하나")
    assert path.read_text(encoding="utf-8") == "하나"
    atomic.write_whole(path, b"\xff", synced=False)
    assert path.read_bytes() == b"\xff"
    with atomic.replacing(tmp_path / "latest") as part:
        part.symlink_to("a.json")
    assert (tmp_path / "latest").read_bytes() == b"\xff"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "latest"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with atomic.replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == tmp_path and part.name.startswith("."), "a listing of the folder would show it"
    assert path.read_text() == "new"


def test_what_a_killed_process_of_this_id_left_is_in_nobodys_way(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), atomic.replacing(tmp_path / "latest") as part:
        raise KeyboardInterrupt
    part.symlink_to("round-1")
    with atomic.replacing(tmp_path / "latest") as part:
        part.symlink_to(".")
    assert (tmp_path / "latest").samefile(tmp_path)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file(tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_whole(path, "new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a", "old")]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic.replacing(path) as part:
        part.write_text("half of the ne")
        raise KeyboardInterrupt
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a", "old")]


def test_several_files_are_replaced_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    with atomic.replacing_all(paths) as parts:
        for part in parts:
            part.write_text("old")
    synced: list[int] = []

    def full_at_the_second(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            full()

    monkeypatch.setattr(os, "fsync", full_at_the_second)
    with pytest.raises(OSError, match="No space left"), atomic.replacing_all(paths) as parts:
        for part in parts:
            part.write_text("new")
    assert sorted((entry.name, entry.read_text()) for entry in tmp_path.iterdir()) == [("a", "old"), ("b", "old")]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize("synced", [True, False])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, synced: bool) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], check=True)
    try:
        atomic.write_whole(tmp_path / "a", "old", synced=synced)
        with pytest.raises(OSError, match="No space left"):
            atomic.write_whole(tmp_path / "a", bytes(2**20), synced=synced)
        assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a", "old")]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def calls_in(path: Path, names: Callable[[ast.Call], bool]) -> bool:
    return any(isinstance(node, ast.Call) and names(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))))


def test_nobody_else_renames_into_place() -> None:
    def replaces(call: ast.Call) -> bool:
        function = call.func
        return isinstance(function, ast.Attribute) and (
            ast.unparse(function) in ("os.replace", "os.fsync") or (function.attr == "replace" and len(call.args) == 1)
        )

    packages = ("bootstrap", "data", "minigpt", "peer", "tokenizer")
    found = [path for package in packages for path in (REPOSITORY / package).rglob("*.py") if calls_in(path, replaces)]
    kept = {
        REPOSITORY / "data/atomic.py",
        # what arrives or is computed over hours, which is gone on with after an interruption
        REPOSITORY / "minigpt/encoding.py",
        REPOSITORY / "peer/state/fetching.py",
        REPOSITORY / "peer/state/shards.py",
    }
    assert set(found) == kept

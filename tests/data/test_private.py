"""What is private stays so, whoever else uses the device; what was open before is closed, and that is said."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from data.private import close_to_others

REPOSITORY = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of somebody else need root")


def tree(root: Path, *names: str) -> Path:
    """Make files in a folder, all for everybody to read."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return root


def modes(root: Path) -> set[int]:
    """Return the modes of a folder and all that is in it."""
    return {stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}


def closed(*places: Path) -> list[str]:
    """Close places to others, and return what is said of that."""
    said: list[str] = []
    close_to_others(places, said.append)
    return said


def test_what_was_open_is_closed_and_that_is_said_once(tmp_path: Path) -> None:
    folder, file = tree(tmp_path / "checkpoints", "cellmind/a", "b"), tree(tmp_path / "other", "names") / "names"
    (folder / "key").write_text("")
    (folder / "key").chmod(0o400)
    (folder / "script").write_text("")
    (folder / "script").chmod(0o755)
    assert closed(folder, file, tmp_path / "none") == [
        f"other users of this device could read {folder}, {file}: they cannot any more"
    ]
    assert modes(folder) == {0o700, 0o600, 0o400} and modes(file) == {0o600}
    assert closed(folder, file) == []


def test_of_a_fresh_clone_nothing_is_said(tmp_path: Path) -> None:
    raw = tree(tmp_path / "raw", "group_chat_001.csv", "README.md")
    assert closed(raw) == [] and modes(raw) == {0o700, 0o600}
    raw = tree(tmp_path / "raw", "family.txt")
    assert len(closed(raw)) == 1 and modes(raw) == {0o700, 0o600}
    (raw / "new.txt").write_text("secret")  # nobody could read it: the folder is closed
    assert closed(raw) == [] and modes(raw) == {0o700, 0o600}


def test_a_link_to_the_place_is_followed_and_one_in_it_is_not(tmp_path: Path) -> None:
    disk, elsewhere = tree(tmp_path / "disk", "a"), tree(tmp_path / "elsewhere", "b")
    (disk / "link").symlink_to(elsewhere)
    (disk / "nowhere").symlink_to("none")
    (tmp_path / "checkpoints").symlink_to(disk)
    assert len(closed(tmp_path / "checkpoints")) == 1
    assert modes(elsewhere) == {0o755, 0o644} and stat.S_IMODE((disk / "a").stat().st_mode) == 0o600


def test_a_folder_that_holds_more_than_ours_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tree(tmp_path / "home", "a", "clone/b")
    monkeypatch.chdir(home / "clone")
    monkeypatch.setenv("HOME", str(home))
    assert closed(home, home / "clone", Path(), Path("/")) == []
    assert modes(home) == {0o755, 0o644}


@as_root
def test_what_is_somebody_elses_is_named(tmp_path: Path) -> None:
    folder = tree(tmp_path / "checkpoints", "a", "theirs")
    os.chown(folder / "theirs", 65534, 65534)
    assert closed(folder) == [f"other users of this device may read {folder}/theirs: that cannot be changed here"]
    assert stat.S_IMODE((folder / "theirs").stat().st_mode) == 0o644 and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_system_that_knows_no_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(tmp_path / "checkpoints", "a")
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)
    assert closed(folder) == [f"other users of this device may read {folder}: that cannot be changed here"]


def test_the_commands_write_for_the_owner_alone_and_close_what_was_open(tmp_path: Path) -> None:
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    rows = (f"2024-03-{day:02} 12:00:00,{who},우리 {day}번째 날 이야기" for day in range(1, 29) for who in ("가", "나"))
    (raw / "family.csv").write_text("\n".join(["Date,User,Message", *rows]) + "\n")
    tree(tmp_path / "data" / "for-model-training", "train.ids-0.npy")

    def run(*arguments: str) -> str:
        shell = ["sh", "-c", 'umask 022; exec "$@"', "sh", sys.executable, "-m", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}
        done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run("data")
    assert "could read data/raw, data/for-model-training: they cannot any more" in said
    run("tokenizer", "--vocab-size", "330")
    made = [tmp_path / name for name in ("data/raw", "data/.cache", "data/for-tokenizer-training", "tokenizer")]
    for folder in (*made, tmp_path / "data/for-model-training"):
        assert modes(folder) <= {0o700, 0o600}, folder
    assert "could read" not in run("data")

"""What another user of a device can read of a peer that runs there: nothing but what is in every clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devices import GENTLE, Device
from tests.lan import Lan, requirements_missing

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into, as tmp_path is not."""
    folder = Path(tempfile.mkdtemp(prefix="cellmind-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def readable(folder: Path, *tests: str) -> set[str]:
    """Return what somebody else finds in a folder, by its path in there."""
    find = ["find", str(folder), "-mindepth", "1", *tests, "-printf", r"%P\0"]
    found = subprocess.run(find, user="nobody", group="nogroup", extra_groups=[], capture_output=True, timeout=180)
    return set(found.stdout.decode().split("\0")) - {""}


def test_another_user_reads_nothing_of_what_is_private(open_folder: Path) -> None:
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], open_folder / "clone", GENTLE)
        old = [device.folder / name for name in ("checkpoints/cellmind/samples.jsonl", "data/aliases.txt")]
        for path in old:
            path.parent.mkdir(exist_ok=True)
            path.write_text("엄마\n")
        of_a_clone = readable(device.folder)
        assert {str(path.relative_to(device.folder)) for path in old} <= of_a_clone
        process = device.join("--rounds", "1")
        assert process.wait(240) == 0, process.output()
        assert "could read checkpoints, data/aliases.txt: they cannot any more" in process.output()

    private = {"checkpoints", "data/raw"}
    for path in (device.folder / "checkpoints").rglob("*"):
        assert not path.lstat().st_mode & 0o077 or path.is_symlink(), path
    assert (device.folder / "checkpoints" / "identity.key").stat().st_mode & 0o777 == 0o400
    seen = readable(device.folder, "-readable")
    news = {path for path in seen - of_a_clone if path != "peer.log"}
    assert not news, "which somebody else can read and was not there before"
    assert not {path for path in seen if path.startswith(tuple(private))}

    export = ["sh", "-c", 'umask 022; exec "$@"', "sh", sys.executable, "-m", "minigpt.export"]
    subprocess.run([*export, "--to", "gguf", "model.gguf"], cwd=device.folder, check=True, timeout=180)
    assert "model.gguf" in readable(device.folder, "-readable"), "which is there to be handed on"

"""A phone in the swarm: Debian for 64-bit Arm, README's lines in it, and a peer on this machine that it trains with.

    nice -n 19 python -m pytest tests/phone --phone /var/tmp/phone

Everything is emulated and takes many minutes the first time; the Debian in that folder is kept for the next one.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.devices import REPOSITORY, TINY, Device, clone
from tests.lan import Lan, requirements_missing, wait_until
from tests.phone import emulation

START = 120.0  # seconds for the peer of this machine
PHONE = 1800.0  # seconds for the emulated one
INSTALLED_BYTES = 1_000_000_000  # at most


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--phone", default=None)
    if given is None:
        pytest.skip("an emulated phone takes many minutes: python -m pytest tests/phone --phone FOLDER")
    reason = requirements_missing() or emulation.missing()
    if reason is not None:
        pytest.skip(f"no phone can be emulated here: {reason}")
    Path(given).mkdir(parents=True, exist_ok=True)
    return Path(given)


def readme_lines() -> tuple[str, str]:
    """Return README's line that installs on a phone, and the one that joins."""
    section = re.search(r"^## On a phone$(.*?)^## ", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    line = re.search(r"^(python3 -m venv .*)\n(\S+python -m peer --join.*)$", section[1], re.MULTILINE)
    assert line is not None
    return line[1], line[2]


def size(folder: Path) -> int:
    """Bytes on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def test_an_emulated_phone_installs_joins_and_contributes(folder: Path, tmp_path: Path) -> None:
    root, log = folder / "root", folder / "phone.log"
    emulation.build(root, log)
    home = clone(root / "root" / "cellmind")
    install, join = readme_lines()
    emulation.run(root, "/bin/sh", "-c", f"cd /root/cellmind && {install}", log=log)
    installed = size(home / ".venv")
    print(f"installed: {installed / 1e6:.0f} MB")
    assert installed < INSTALLED_BYTES

    with Lan(hosts=2) as lan:
        desk = Device(lan.hosts[0], tmp_path / "desk", TINY)
        trains = desk.join("--name", "desk")
        trains.wait_for("^round 1", START)
        phone = lan.hosts[1].start(
            *emulation.inside(root, "/bin/sh", "-c", f"cd /root/cellmind && exec {join} --name phone"),
            cwd=tmp_path,
            log=tmp_path / "phone.log",
        )
        try:
            trains.wait_for("^phone is here", PHONE)
            both = wait_until(lambda: common(desk.folder, home), PHONE)
            assert both, "no round that both closed with the phone's part in it"
            assert all(here == there for here, there in both.values()), "anchors differ between processors"
            os.killpg(phone.pid, signal.SIGINT)
            assert phone.wait(120) == 0
            assert "Traceback" not in trains.output() + phone.output()
            print(f"anchors equal in rounds {sorted(both)}")
        finally:
            print(trains.output(), phone.output(), sep="\n--- phone ---\n")


def anchors(folder: Path) -> dict[int, str]:
    """Round -> anchor, of rounds to which the phone and the other one contributed."""
    metrics = folder / "checkpoints" / "cellmind" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    return {line["round"]: line["anchor"] for line in lines if "phone" in line["peers"] and 0 < line["share"] < 1}


def common(first: Path, second: Path) -> dict[int, tuple[str, str]]:
    """Round -> anchor here and there."""
    here, there = anchors(first), anchors(second)
    return {round: (here[round], there[round]) for round in here.keys() & there.keys()}

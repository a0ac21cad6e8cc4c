"""Real peers on a test LAN, one of which shares its text with those that have none."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minigpt import checkpoint
from minigpt.settings import Settings
from peer.joining import shared_text
from peer.joining.prepare_text import has_text
from peer.joining.presence import Presence
from peer.wire import Notice, Role
from tests.devices import REPOSITORY, GentleDevice, clone
from tests.host_process import HostProcess
from tests.lan import Lan, requirements_missing, wait_until

START = 180.0  # seconds, on a machine that runs other things as well
needs_lan = pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")


def test_the_samples_of_a_clone_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(REPOSITORY)
    samples = sorted((REPOSITORY / "data/raw").glob("group_chat_00[123].csv"))
    assert len(samples) == 3
    assert {checkpoint.file_sha256(sample) for sample in samples} == shared_text.SAMPLES
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)
    assert not shared_text.only_samples()
    (tmp_path / "data/raw/one.csv").write_bytes(samples[0].read_bytes())
    assert shared_text.only_samples()
    (tmp_path / "data/raw/own.txt").write_text("안녕")
    assert not shared_text.only_samples()


def test_a_clone_prefers_what_others_share_to_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    sharer = Notice(peer="Q" * 12, name="desk", address="", role=Role.TRAINING, gives_text=True)

    def finds_text(*notices: Notice) -> bool:
        network: Any = SimpleNamespace(view=SimpleNamespace(notices=notices))
        display: Any = SimpleNamespace(note=said.append)
        stop: Any = None
        return has_text(Presence(network, sharer, display, stop), Settings(), Path("checkpoints/cellmind"))

    assert not finds_text(sharer)
    assert said == ["only the sample chats are in data/raw: text that others share is trained on instead"]
    assert not list(tmp_path.glob("data/**/*.jsonl"))
    assert finds_text(sharer.model_copy(update={"gives_text": False}))
    assert finds_text(sharer), "what it has begun with stays its text"


@pytest.mark.lan
@needs_lan
def test_a_device_without_text_relays_and_then_trains_on_what_is_shared(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=3) as lan:
        founder, bare, sharer = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        founder.prepare(round_zero)
        sharer.prepare(round_zero, with_run=False)
        for sample in (bare.folder / "data/raw").iterdir():
            sample.unlink()
        alone = founder.join()
        alone.wait_for("^host1 trains", START)
        process = bare.join()
        process.wait_for("nothing to train on: this device keeps the newest state for others", START)
        assert interrupt(alone) == 0
        relayed = checkpoint.newest(bare.folder / "checkpoints")
        assert relayed is not None

        sharing = sharer.join("--share-data")  # nobody but the relay is there
        sharing.wait_for(f"joined run {relayed.progress.run_id} at round .* through host2", START)
        sharing.wait_for("--share-data: whoever is on this network can take the text in .*, and read it", START)
        shared = time.monotonic()
        process.wait_for("^taking text that host3 shares", START)
        process.wait_for(r"^host2 trains .* sequences of 32 tokens", START)
        assert time.monotonic() - shared < 180, "60 where nothing else runs"
        in_company = lambda: any(line["share"] > 0 and len(line["peers"]) > 1 for line in bare.metrics())  # noqa: E731
        assert wait_until(in_company, START), process.output()
        process.wait_for("the text of host3 is here: [0-9,]+ tokens in all", START)
        assert not list((bare.folder / "data").glob("**/*.jsonl"))
        assert (interrupt(process), interrupt(sharing)) == (0, 0)

        again = bare.join("--rounds", "1")  # nobody is there, but the text that was taken is
        assert again.wait(START) == 0, again.output()
        assert re.search(r"^host2 trains .* sequences", again.output(), re.MULTILINE)
        assert "Traceback" not in process.output() + sharing.output() + again.output()


def interrupt(process: HostProcess) -> int:
    """Ctrl+C; the exit code."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(60)

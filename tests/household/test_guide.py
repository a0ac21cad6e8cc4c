"""The original guide as it stands: its config.json, its chat, its commands, and the settings that only it had."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import peer.command_line
from data.terminal import as_called
from minigpt import checkpoint, generate
from minigpt.checkpoint import Checkpoint
from tests.devices import REPOSITORY, TINY, Device, GentleDevice
from tests.host_process import HostProcess
from tests.lan import Lan, requirements_missing, wait_until

pytestmark = pytest.mark.lan

GUIDE = REPOSITORY.parent / "shared" / "guide"
TOKENIZER = (  # the command that it shows, to the letter
    "--input data/for-tokenizer-training/textonly.txt --model-prefix minigpt --model-type bpe "
    "--vocab-size 8000 --character-coverage 0.9995 --output-dir tokenizer"
)
START = 180.0  # seconds
SECONDS = 240.0  # of a whole run, on a machine that does other things as well
on_a_lan = pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")


def newest(device: Device, run: str = "cellmind") -> Checkpoint:
    found = checkpoint.newest(device.folder / "checkpoints", run)
    assert found is not None
    return found


def ended(process: HostProcess) -> str:
    """Wait for the process to end well, and return what it has said."""
    assert process.wait(SECONDS) == 0, process.output()
    assert "Traceback" not in process.output()
    return process.output()


def sequences(said: str) -> int:
    """The sequences of a device's text."""
    found = re.search(r" ([\d,]+) sequences of \d+ tokens", said)
    assert found is not None, said
    return int(found[1].replace(",", ""))


@on_a_lan
@pytest.mark.skipif(not GUIDE.is_dir(), reason="the original guide's files are not in ../shared/guide")
@pytest.mark.parametrize("trains_tokenizer", [True, False], ids=["all its commands", "the one line alone"])
def test_the_guides_config_and_chat_work_in_a_fresh_clone(tmp_path: Path, trains_tokenizer: bool) -> None:
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], tmp_path / "clone")
        device.forks = False  # whole programs, as a newcomer types them
        for sample in (device.folder / "data" / "raw").iterdir():
            sample.unlink()
        shutil.copy(GUIDE / "config.json", device.folder)
        shutil.copy(GUIDE / "group_chat_001.csv", device.folder / "data" / "raw")
        if trains_tokenizer:
            assert "group_chat_001.csv" in ended(device.start("data"))
            trained = ended(device.start("tokenizer", *TOKENIZER.split()))
            assert re.search(
                r"textonly\.txt is too small for 8,000 pieces: the vocabulary has \d+, all that fit", trained
            )
            assert "wrote tokenizer/minigpt.model and .vocab" in trained

        said = ended(device.join())
        for line in (
            '"distributed" is no longer needed and is ignored',
            "model.checkpoint is checkpoints/latest.pt, which is passed over (it does not exist)",
            "the swarm has trained on its text 3 times: done",
        ):
            assert said.count(line) == 1, said
        assert newest(device).progress.samples == 3 * sequences(said), "batches of 32, and so few sequences"
        assert len(device.metrics()) == newest(device).progress.round == 1

        again = ended(device.join())
        assert "the swarm has trained on its text 3 times already: done" in again
        assert newest(device).progress.samples == 3 * sequences(said)
        answer = ended(device.start("minigpt.generate", "--prompt", "이태원", "--max-new-tokens", "5", "--seed", "1"))
        assert answer.strip()


def epochs(count: int, **model: object) -> str:
    training = {**TINY["training"], "batch_size": 3, "epochs": count}
    return json.dumps({**TINY, "model": {**TINY["model"], **model}, "training": training})


@on_a_lan
def test_a_lonely_device_stops_after_so_many_passes_and_goes_on_when_asked_for_more(
    tmp_path: Path, round_zero: Path
) -> None:
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], tmp_path / "device")
        device.prepare(round_zero, with_run=False)
        config = device.folder / "config.json"
        config.write_text(epochs(1))
        said = ended(device.join())
        assert "the swarm has trained on its text once: done" in said
        count = sequences(said)
        first = newest(device)
        assert (first.progress.samples, first.progress.step) == (count, -(-count // 3))
        assert first.local() is None, "all that was trained is in the model that others see"
        assert [line["tokens"] for line in device.metrics()][-1] == count * 32

        config.write_text(epochs(2))
        assert "the swarm has trained on its text twice: done" in ended(device.join())
        assert newest(device).progress.samples == 2 * count

        config.write_text(epochs(2, checkpoint=str(first.folder)))
        said = ended(device.join("--run", "second", "--rounds", "0"))
        assert f"the run begins with the model in {first.folder}" in said
        assert newest(device, "second").progress.version == first.progress.version


@on_a_lan
def test_devices_with_one_chat_share_the_passes_and_who_comes_later_is_done_at_once(
    tmp_path: Path, round_zero: Path
) -> None:
    with Lan(hosts=3) as lan:
        devices = [GentleDevice(host, tmp_path / host.name) for host in lan.hosts]
        for device in devices:
            device.prepare(round_zero, with_run=False)
            (device.folder / "config.json").write_text(epochs(3))
        said = [ended(process) for process in [device.join() for device in devices[:2]]]
        count = sequences(said[0])
        assert all("the swarm has trained on its text 3 times: done" in one for one in said), said
        assert sequences(said[1]) == count, "the same text"
        trained = max(newest(device).progress.samples for device in devices[:2])
        assert 0.9 * 3 * count <= trained <= 1.2 * 3 * count
        own = [newest(device).progress.step * 3 for device in devices[:2]]
        assert max(own) < 3 * count, "each has trained a part of it"

        (devices[0].folder / "config.json").write_text(epochs(50))
        devices[0].join().wait_for("going on with run", START)
        # the last steps of the other one may have been in its own state alone
        assert wait_until(lambda: newest(devices[0]).progress.samples >= 3 * count, START)
        donor = newest(devices[0]).progress.samples
        late = ended(devices[2].join())
        assert "joined run" in late and "the swarm has trained on its text 3 times already: done" in late
        assert newest(devices[2]).progress.samples >= donor


@pytest.mark.parametrize(
    "parse", [peer.command_line.parse_arguments, generate.parse_arguments], ids=["peer", "generate"]
)
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--mode train", "error: --mode train is python -m peer --join now"),
        ("--mode sync", "error: --mode sync is python -m peer --sync now"),
        ("--mode inference", 'error: --mode inference is python -m minigpt.generate --prompt "…" now'),
        ("--mode=master", "error: there is no --mode any more, each is a command now: train is python -m peer --join"),
        ("--mode", "error: there is no --mode any more, each is a command now"),
    ],
)
def test_the_guides_modes_are_told_by_the_commands_of_now(
    parse: Callable[[list[str]], object], typed: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(typed.split())
    assert ended.value.code == 2
    assert as_called(said) in capsys.readouterr().err

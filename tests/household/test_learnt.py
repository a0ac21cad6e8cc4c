"""Devices that have learnt their chats rest, say so, and go on when somebody comes with a text that is new."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from minigpt import checkpoint
from peer.training import new_exports
from tests.devices import TINY, Device
from tests.host_process import HostProcess
from tests.lan import Lan, requirements_missing, wait_until
from tests.tiny import write_jsonl

pytestmark = [
    pytest.mark.lan,
    pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}"),
]

START = 180.0  # seconds
LEARNT = 300.0
SLOWLY = "0.1"  # of the time: none is done before the others have come
SETTINGS: dict[str, Any] = {
    **TINY,
    "model": {"d_model": 64, "nhead": 2, "num_layers": 1, "dropout": 0.0},
    "tokenizer": {"vocab_size": 360},
    "training": {**TINY["training"], "lr": 3e-3},
    "swarm": {"samples_per_round": 100},
}


def write_texts(device: Device, train: int, seed: int) -> None:
    """Give a device texts of its own, so few that they are learnt by heart in no time, and others to judge by."""
    dice = random.Random(seed)
    folder = device.folder / "data" / "for-model-training"
    folder.mkdir(parents=True)
    texts = [words(dice, 8) for _ in range(train)]
    write_jsonl(folder / "train.jsonl", texts)
    write_jsonl(folder / "valid.jsonl", [words(dice, 8) for _ in range(60)])
    tokenizer_text = device.folder / "data" / "for-tokenizer-training" / "textonly.txt"
    tokenizer_text.parent.mkdir()
    tokenizer_text.write_text("\n".join(texts), encoding="utf-8")


def write_export(path: Path, seed: int) -> None:
    """Write an export of a chat, in many conversations."""
    dice = random.Random(seed)
    lines = ["Date,User,Message"]
    for talk in range(80):
        day = f"2024-{talk // 28 + 1:02}-{talk % 28 + 1:02}"
        lines += [f"{day} 15:{minute:02},Minji,{words(dice, 5)}" for minute in range(6)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def words(dice: random.Random, count: int) -> str:
    return " ".join(
        dice.choices([f"{first}{second}" for first in "가나다라마바사" for second in "고노도로모보소"], k=count)
    )


def join(device: Device, share: str) -> HostProcess:
    """Let a device take part, as its owner does who has read no further than the README."""
    return device.start("peer", "--join", "--no-page", "--name", device.host.name, "--share-of-time", share)


def test_two_devices_rest_when_their_chats_are_learnt_and_a_third_with_new_text_wakes_them(tmp_path: Path) -> None:
    with Lan(hosts=3) as lan:
        first, second, third = devices = [Device(host, tmp_path / host.name, SETTINGS) for host in lan.hosts]
        for number, device in enumerate(devices):
            write_texts(device, 120 + 30 * number, number)
        founder, joiner = join(first, SLOWLY), join(second, SLOWLY)
        for process in (founder, joiner):
            process.wait_for(r"your chats are learnt: nothing was gained since round \d+ \(held-out \d", LEARNT)
            process.wait_for("training rests: its chats are learnt", START)
            process.wait_for("host[12] rests: its chats are learnt", START)
        before = checkpoint.read(first.folder / "checkpoints" / "best").progress.round
        asked = first.start("minigpt.generate", "--prompt", "가고", "--max-new-tokens", "5")
        assert asked.wait(START) == 0
        said = re.search(r"round (\d+), held-out (\d+\.\d\d)(; the newest is round (\d+): --newest)?", asked.output())
        best = checkpoint.read(first.folder / "checkpoints" / "best")  # the last state may have been judged meanwhile
        assert said is not None and int(said[1]) in (before, best.progress.round), asked.output()
        assert said[4] is None or int(said[4]) > int(said[1])
        assert best.held_out is not None
        judged = [line["valid_loss"] for line in first.metrics() if "valid_loss" in line]
        assert best.held_out.nats <= min(judged) + 1e-6, "none was better"

        rounds = len(first.metrics())
        woken = "(?s)there is a text that was not here before: something to learn.*training goes on"
        asleep = {process: len(process.output()) for process in (founder, joiner)}
        newcomer = join(third, SLOWLY)
        for process, said_before in asleep.items():
            assert wait_until(lambda: re.search(woken, process.output()[said_before:]), LEARNT), process.output()  # noqa: B023
        newcomer.wait_for("training rests: its chats are learnt", LEARNT)
        assert wait_until(lambda: len(first.metrics()) > rounds, LEARNT), "it has trained"
        founder.wait_for(r"(?s)training goes on.*training rests: its chats are learnt", LEARNT)
        for process in (founder, joiner, newcomer):
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(60) == 0 and "Traceback" not in process.output(), process.output()


def test_new_exports_wake_a_device_that_rests(tmp_path: Path) -> None:
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], tmp_path / "device", SETTINGS)
        raw = device.folder / "data" / "raw"
        for sample in raw.iterdir():
            sample.unlink()
        device.change(Path(new_exports.__file__), "LOOK_SECONDS = 20.0", "LOOK_SECONDS = 1.0")
        write_export(raw / "first.csv", 1)
        process = join(device, "0.5")
        process.wait_for("training rests: its chats are learnt", START + LEARNT)
        write_export(raw / "second.csv", 2)
        process.wait_for("there are new chats in data/raw: starting anew with them", START)
        process.wait_for(r"(?s)starting anew.*going on with run.* trains .* sequences of", START)
        process.wait_for("the texts are others than before: judging the best state, of round", START)
        before, now = re.findall(r" ([\d,]+) sequences of", process.output())
        assert int(now.replace(",", "")) > 1.5 * int(before.replace(",", ""))
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == max(10, os.nice(0)), "no nicer than before"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0 and "Traceback" not in process.output(), process.output()
        assert wait_until(lambda: not lan.hosts[0].pids(), 30)

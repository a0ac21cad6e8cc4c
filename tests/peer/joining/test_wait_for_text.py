"""A device with nothing to train on: what it waits for, and what it keeps for others meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.model import MiniGPT
from minigpt.settings import Settings, run_id
from peer.joining import presence, relay
from peer.joining.presence import Presence
from peer.joining.run import Run
from peer.joining.wait_for_text import wait_for_text
from peer.joining.wanted_run import Wanted
from peer.network.node import View
from peer.state.fetching import TransferError
from peer.state.shards import Stock
from peer.wire import Notice, Role
from tests.tiny import LINES, SETTINGS, save_model, write_jsonl

NOTHING_YET = Stock(ids=0, shards=0, missing=0)
NOTHING_SAID = (
    "nothing to train on: this device keeps the newest state for others, and trains as soon as there "
    "are chats in data/raw, or a device that has some is started with --share-data"
)


class Phone:
    """A device that has joined at round 1 and has no text, in a current folder of its own; its network is made up."""

    def __init__(self, folder: Path, tokenizer_model: Path, model: MiniGPT) -> None:
        self.folder, self.tokenizer_model, self.model = folder, tokenizer_model, model
        self.run_id = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
        self.said: list[str] = []
        self.announced: list[Notice] = []
        self.notices: list[Notice] = []
        self.network: Any = SimpleNamespace(
            post=self._post, peer="P" * 12, view=View(), take_shard=lambda *_: pending(NOTHING_YET)
        )
        self.step: Callable[[int], None] = lambda number: None  # before every look at the notice board, the first is 1
        document = SETTINGS.model_dump()
        document["training"]["dataset"]["path"] = folder / "train.jsonl"
        self.settings = Settings.model_validate(document)

    def save(self, root: str, round: int) -> Checkpoint:
        folder = save_model(
            self.folder / root, self.tokenizer_model, self.model, run_id=self.run_id, round=round, step=10 * round
        )
        return checkpoint.read(folder)

    def wait(self) -> Run:
        start = self.save("checkpoints", 1)
        display: Any = SimpleNamespace(note=self.said.append)
        stop: Any = SimpleNamespace(received=False)
        me = Notice(peer="P" * 12, name="phone", address="", role=Role.JOINING, run_id=self.run_id)
        run = Run(self.settings, self.tokenizer_model, start, "joined", has_text=False)
        wanted = Wanted(self.settings, self.folder / "checkpoints")
        return wait_for_text(Presence(self.network, me, display, stop), wanted, run)

    def _post(self, notice: Notice) -> View:
        assert len(self.announced) < 1000, self.said
        self.announced.append(notice)
        self.step(len(self.announced))
        self.network.view = view = View(notices=self.notices)
        return view


def pending(answer: Any) -> Any:
    """Return what the network gives for what has begun: here it is done at once."""

    def poll() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(poll=poll)


@pytest.fixture
def phone(tmp_path: Path, tokenizer_model: Path, model: MiniGPT, monkeypatch: pytest.MonkeyPatch) -> Phone:
    monkeypatch.setattr(presence, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(relay, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(relay, "TIME_SHARE", math.inf)  # however slow the machine is
    monkeypatch.chdir(tmp_path)
    Path("data/raw").mkdir(parents=True)
    return Phone(tmp_path, tokenizer_model, model)


def test_it_keeps_the_newest_state_for_others_until_chats_are_put_there(phone: Phone) -> None:
    newer = phone.save("elsewhere", 2)
    desk = Notice(
        peer="D" * 12, name="desk", address="", role=Role.TRAINING, run_id=phone.run_id, trained=newer.progress.samples
    )
    taken: list[str] = []

    def fetch(peer: str, run: str, root: Path, **_: object) -> Any:
        taken.append(peer)
        if len(taken) == 1:
            return pending(TransferError("the donor stopped sending"))
        return pending(phone.save("checkpoints", 2).folder)

    def step(number: int) -> None:
        phone.notices = [desk]
        if number == 50:
            write_jsonl(phone.settings.training.dataset.path, LINES)
            Path("data/raw/chat.txt").write_text("안녕")

    phone.network.fetch, phone.step = fetch, step
    run = phone.wait()
    assert (run.how, run.start.progress.round, run.shared) == ("joined", 2, None)
    assert len(taken) == 2, "what it has is as new as what there is"
    first, last = phone.announced[0], phone.announced[-1]
    assert (first.role, first.round, first.sharing) == (Role.RELAYING, 1, True)
    assert (last.role, last.round, last.trained) == (Role.RELAYING, 2, newer.progress.samples)
    assert phone.said == [
        NOTHING_SAID,
        "the state of desk was not taken: the donor stopped sending; it is tried again",
        "keeps the state of desk for others: round 2",
    ]


def test_it_trains_on_what_somebody_shares(phone: Phone) -> None:
    sharer = Notice(peer="S" * 12, name="tower", address="", role=Role.TRAINING, run_id=phone.run_id, gives_text=True)
    stranger = sharer.model_copy(update={"peer": "X" * 12, "name": "other", "run_id": "cellmind-0123456789ab"})
    ids = np.arange(4, 104, dtype=np.uint16)
    asked: list[str | None] = []

    def take_shard(peer: str | None, folder: Path, run: str, *_: object) -> Any:
        asked.append(peer)
        if peer is None:
            return pending(NOTHING_YET)
        folder.mkdir(exist_ok=True)
        ids.tofile(folder / f"{run}.ids")
        return pending(Stock(ids=len(ids), shards=1, missing=0))

    def step(number: int) -> None:
        phone.notices = [stranger, sharer] if number > 5 else [stranger]

    phone.network.take_shard, phone.step = take_shard, step
    run = phone.wait()
    assert run.shared is not None and run.shared.dataset.count == len(ids)
    assert asked == [None, sharer.peer], "what is here already, and who is in the run"
    assert (run.how, run.start.progress.round) == ("joined", 1)
    assert phone.said == [
        NOTHING_SAID,
        "taking text that tower shares …",
        f"the text of tower is here: {len(ids)} tokens in all",
    ]

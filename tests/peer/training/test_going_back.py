"""Going back: our own state is kept when one of others is taken, and returned to when its owner says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tokenizer
from minigpt import checkpoint
from minigpt.checkpoint.manifest import MODEL, Position, Progress, Standing
from peer.device.control import ControlError
from peer.device.wishes import GO_BACK, Wishes
from peer.inner.loop import InnerLoop
from peer.joining.going_back import GoBackRequest
from peer.outer.events import CaughtUp
from peer.state.earlier import EarlierStates, WentBack
from peer.training.going_back import GoingBack
from tests.tiny import build_model, save_model, stand_in, train_tokenizer

RUN_ID = "cellmind-0123456789ab"
TAKEN = CaughtUp("phone", 0, 0, before=512)


class Device:
    """A device whose checkpoints are real; its outer loop keeps what it is told to return to."""

    def __init__(self, folder: Path):
        self.folder, self.run_folder = folder, folder / "cellmind"
        self.tokenizer_model = train_tokenizer(folder)
        self.model = build_model(tokenizer.load(self.tokenizer_model).get_piece_size())
        self.inner = InnerLoop(self.model, iter(()), torch.device("cpu"), None)
        self.wishes, self.said, self.saved = Wishes(folder), list[str](), list[str]()
        self.returned: list[tuple[Sequence[Tensor], Progress, Standing, WentBack]] = []
        self.is_in_an_exchange = False
        outer = stand_in(progress=Progress("cellmind", RUN_ID, 9, 9 * 256, 90, "aa"), return_to=self.return_to)
        saver: Any = stand_in(
            finish=lambda: self.saved.append("finished"), save=lambda wait: self.saved.append("saved")
        )
        self.states = EarlierStates(self.run_folder)
        display: Any = stand_in(note=self.said.append)
        self.going_back = GoingBack(self.inner, outer, saver, self.states, self.wishes, display)
        self.request = GoBackRequest(self.wishes, self.run_folder)

    def return_to(self, *earlier: Any) -> bool:
        if not self.is_in_an_exchange:
            self.returned.append(earlier)
        return not self.is_in_an_exchange

    def save(self, round: int) -> Path:
        position = Position(dataset="d", sequence=1, standing=Standing(own=7))
        return save_model(
            self.folder, self.tokenizer_model, self.model, round=round, step=round, run_id=RUN_ID, position=position
        )


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_there_is_nothing_to_go_back_to_before_a_state_was_taken(device: Device) -> None:
    device.save(1)
    with pytest.raises(ControlError, match="there is nothing to go back to: this device has taken no newer state"):
        device.request.go_back([])
    assert not device.going_back.poll() and device.said == []


def test_it_returns_to_its_own_state_of_before_as_soon_as_no_exchange_has_part_of_it(device: Device) -> None:
    device.save(2)
    device.going_back.keep(TAKEN)
    newer = device.save(9)
    assert device.request.go_back([]) | {"since": ""} == {"round": 2, "donor": "phone", "since": ""}
    device.is_in_an_exchange = True
    assert not device.going_back.poll() and not device.returned and newer.exists()
    device.is_in_an_exchange = False
    assert device.going_back.poll()
    ((parameters, progress, standing, went_back),) = device.returned
    assert all(map(torch.equal, parameters, device.model.parameters()))
    assert (progress.round, standing.own) == (2, 7) and 0 < went_back.taken <= went_back.time
    assert WentBack.read(device.run_folder) == went_back
    assert device.saved == ["finished", "finished", "saved"]
    newest = checkpoint.newest(device.folder, "cellmind")
    assert newest is not None and newest.progress.round == 2, "a start goes on from there"
    assert device.said[-1].startswith("went back to round 2, from before the state of phone was taken (")
    assert not device.going_back.poll()


def test_a_damaged_state_is_passed_over_for_the_one_before(device: Device) -> None:
    device.save(1)
    device.going_back.keep(replace(TAKEN, before=256))
    device.save(2)
    device.going_back.keep(TAKEN)
    (device.states.all()[0][0] / MODEL).write_bytes(b"")
    device.wishes.ask_once(GO_BACK)
    assert device.going_back.poll()
    assert device.returned[0][1].round == 1
    assert "an earlier state cannot be gone back to" in device.said[0]

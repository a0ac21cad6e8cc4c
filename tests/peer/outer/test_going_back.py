"""A device that goes back: to the anchor, and to a state of its own from before it took one of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import torch
from hivemind import DHT

from minigpt.checkpoint.manifest import Standing
from peer.network.node import View
from peer.outer.exchanging import Flight
from peer.state.anchor import COARSE, snapshot
from peer.state.earlier import WentBack
from peer.wire import Notice
from tests.peer.outer.test_outer import running


def test_who_goes_back_to_the_anchor_waits_for_an_exchange_that_has_part_of_what_it_gives_up(
    nodes: list[DHT], tmp_path: Path
) -> None:
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        outer.inner.step(1e-3)
        outer.trained(2)
        cancelled: list[bool] = []
        control: Any = SimpleNamespace(done=lambda: False, began_allreduce=True, cancel=lambda: cancelled.append(True))
        outer.state.pseudo_gradient.give(lambda seconds: COARSE)
        outer._exchanging._flight = Flight(control, outer.progress.lineage, [], 0.0, 0, 0.0, 0.0)
        assert not outer.go_back() and not cancelled, "the others count on it"
        control.began_allreduce = False  # nobody has it yet
        assert not outer.go_back() and cancelled
        outer._exchanging.forget()
        assert outer.go_back()
        assert all(torch.equal(*pair) for pair in zip(outer.inner.parameters, outer.anchor_model.parameters()))
        assert (outer.standing.offered, outer.state.pseudo_gradient.given) == (0, None)


def test_who_went_back_takes_no_newer_state_of_those_that_have_not(nodes: list[DHT], tmp_path: Path) -> None:
    """It had taken a bad one at 100 seconds, as the phone has, and goes back at 200."""
    said: dict[str, Any] = {"peer": "P" * 12, "name": "phone", "trained": 900, "lineage": "b", "went_back": 0.0}
    said["sharing"] = True
    asked: list[str] = []

    def post(notice: Notice) -> View:
        return View(notices=[notice.model_copy(update=said)])

    def fetch(donor: str, *rest: object, **more: object) -> Any:
        asked.append(donor)
        return SimpleNamespace(poll=lambda: None)

    with running(nodes[0], tmp_path, post=post, fetch=fetch) as outer:
        outer._doubts.moved(["P" * 12])
        earlier = [parameter + 1.0 for parameter in snapshot(outer.state.anchor.parameters)]
        progress = replace(outer.progress, round=2, samples=200, lineage="c")
        before = Standing(own=50, moved_with={"P" * 12: 50.0})
        assert outer.return_to(earlier, progress, before, WentBack(time=200.0, taken=100.0, donor="X" * 12))
        assert (outer.progress.round, outer.progress.samples, outer.progress.lineage) == (2, 200, "c")
        for parameters in (outer.inner.parameters, outer.state.anchor.parameters):
            assert all(torch.equal(*pair) for pair in zip(parameters, earlier))
        assert outer.standing.own == 50 and outer.needs_checkpoint
        assert [*outer.tick(1.0), *outer.tick(1.0)] == [] and not asked and outer.others == []
        assert outer._notice().went_back == 200.0
        said |= {"went_back": 150.0, "peer": "X" * 12}  # so says whom it was taken of
        assert [*outer.tick(1.0)] == [] and outer.others == []
        said |= {"peer": "S" * 12}  # or one that has not been there before
        assert [*outer.tick(1.0)] == [] and outer.others == []
        said |= {"peer": "P" * 12}  # it has gone back as well, from what it had taken then
        assert [*outer.tick(1.0)] == [] and outer.others and asked == ["P" * 12]


def test_who_has_moved_the_anchor_with_us_since_is_believed_again(nodes: list[DHT], tmp_path: Path) -> None:
    said: dict[str, Any] = {"peer": "P" * 12, "name": "phone", "trained": 900, "lineage": "b", "went_back": 0.0}

    def post(notice: Notice) -> View:
        return View(notices=[notice.model_copy(update=said)])

    never = SimpleNamespace(poll=lambda: None)
    with running(nodes[0], tmp_path, post=post, fetch_means=lambda *asked: never) as outer:
        outer._scrutiny.go_back(WentBack(time=200.0, taken=100.0))
        assert not list(outer.tick(1.0)) and outer.others == []
        outer._doubts.moved(["P" * 12])
        assert not list(outer.tick(1.0)) and len(outer.others) == 1

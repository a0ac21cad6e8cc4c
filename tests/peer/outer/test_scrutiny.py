"""The outer loop and newer states: those that were made up are refused in a sentence, and others are taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT

from minigpt.checkpoint import parameter_hash
from minigpt.checkpoint.manifest import Progress
from minigpt.held_out import HeldOut
from peer.network.node import View
from peer.outer import catching_up
from peer.outer.catching_up import NEWER
from peer.outer.events import CaughtUp, Setback
from peer.outer.loop import BackgroundOuterLoop
from peer.state.anchor import COARSE, MEAN_BITS
from peer.state.means import Mean, path_of
from peer.wire import Notice
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND, encoded
from tests.peer.outer.test_outer import running
from tests.tiny import build_model

STRANGER = "S" * 12
AHEAD = {"peer": STRANGER, "name": "stranger", "trained": 900, "lineage": "b", "sharing": True}


def post(notice: Notice) -> View:
    return View(notices=[notice.model_copy(update=AHEAD)])


def teach(outer: BackgroundOuterLoop) -> None:
    """Have the device learn its only text by heart, which is held out here as well."""
    ids = torch.arange(40).roll(7)[:32].view(2, 16)
    for _ in range(25):
        outer.inner.step(5e-3)
    outer.state.anchor.begin(outer.inner.parameters)
    outer.inner.reset(outer.inner.parameters)
    held_out = HeldOut(ids.repeat(20, 1), ids.repeat(20, 1), 1)
    outer._scrutiny.judge = type(outer._scrutiny.judge)(outer.inner, held_out)
    outer.state.contributions.together([outer._me.peer, "F" * 12], with_us=True)


def first_event(outer: BackgroundOuterLoop) -> Any:
    events: list[Any] = []

    def something_happens() -> bool:
        events.extend(outer.tick(1.0))
        return bool(events)

    assert wait_until(something_happens, BOUND)
    return events[0]


@pytest.fixture
def no_means() -> Callable[..., Any]:
    return lambda *asked: SimpleNamespace(poll=lambda: [])


def test_a_made_up_state_is_refused_once_and_its_donor_is_nobody(
    nodes: list[DHT], tmp_path: Path, no_means: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(40, seed=9)
    parameters = dict(model.named_parameters())
    version = parameter_hash(parameters)
    progress = Progress("cellmind", "run", 9, 900, 50, version)
    monkeypatch.setattr(catching_up, "verified", lambda folder: (SimpleNamespace(progress=progress), parameters))
    places: list[Path] = []

    def fetch(donor: str, run_id: str, root: Path, **more: Any) -> Any:
        places.append(root)
        return SimpleNamespace(poll=lambda: root)

    with running(nodes[0], tmp_path, post=post, fetch_means=no_means, fetch=fetch) as outer:
        teach(outer)
        before = parameter_hash(dict(outer.anchor_model.named_parameters()))
        said = first_event(outer)
        assert isinstance(said, Setback), said
        assert said.reason.startswith(
            "the newer state of stranger is not taken: on this device's held-out text it has "
        )
        assert said.reason.endswith("; training goes on without stranger")
        assert [list(outer.tick(1.0)) for _ in range(20)] == [[]] * 20
        assert outer.others == [] and outer._notice().refuses == (STRANGER,)
        assert parameter_hash(dict(outer.anchor_model.named_parameters())) == before
        assert places == [tmp_path / "cellmind" / NEWER], "it never lay beside our own checkpoints"


def test_a_newer_state_that_knows_as_much_is_taken(
    nodes: list[DHT], tmp_path: Path, no_means: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*asked: object, **more: object) -> Any:
        return SimpleNamespace(poll=lambda: tmp_path)

    with running(nodes[0], tmp_path, post=post, fetch_means=no_means, fetch=fetch) as outer:
        teach(outer)
        parameters = {name: one.detach() * 1.001 for name, one in outer.anchor_model.named_parameters()}
        progress = Progress("cellmind", "run", 9, 900, 50, parameter_hash(parameters))
        monkeypatch.setattr(catching_up, "verified", lambda folder: (SimpleNamespace(progress=progress), parameters))
        said = first_event(outer)
        assert isinstance(said, CaughtUp) and said.donor == "stranger" and said.before == 300
        assert outer.progress.samples == 900


def test_forged_means_are_refused_and_do_not_stay(nodes: list[DHT], tmp_path: Path) -> None:
    """They lead on from our anchor, as an exchange of others would that we have missed, but to nowhere."""

    def fetch_means(donor: str, run_folder: Path, lineage: str, size: int) -> Any:
        numbers = 20 * torch.randn(size, generator=torch.Generator().manual_seed(1))
        Mean(lineage, {"Q" * 12: 500}, 30, encoded(numbers, MEAN_BITS[COARSE])).save(run_folder)
        return SimpleNamespace(poll=lambda: [path_of(run_folder, lineage)])

    with running(nodes[0], tmp_path, post=post, fetch_means=fetch_means) as outer:
        teach(outer)
        before, lineage = parameter_hash(dict(outer.anchor_model.named_parameters())), outer.progress.lineage
        said = first_event(outer)
        assert isinstance(said, Setback) and "on this device's held-out text it has" in said.reason, said
        assert parameter_hash(dict(outer.anchor_model.named_parameters())) == before
        assert outer.progress.lineage == lineage
        assert not path_of(tmp_path / "cellmind", lineage).exists(), "a start would go on with it"


def test_a_mean_that_was_missed_is_taken_and_kept_for_others(nodes: list[DHT], tmp_path: Path) -> None:
    taken: list[Mean] = []

    def fetch_means(donor: str, run_folder: Path, lineage: str, size: int) -> Any:
        if taken:
            return SimpleNamespace(poll=lambda: None)
        numbers = 0.1 * torch.randn(size, generator=torch.Generator().manual_seed(1))
        taken.append(Mean(lineage, {"Q" * 12: 5}, 1, encoded(numbers, MEAN_BITS[COARSE])))
        taken[0].save(run_folder)
        return SimpleNamespace(poll=lambda: [path_of(run_folder, lineage)])

    with running(nodes[0], tmp_path, post=post, fetch_means=fetch_means) as outer:
        teach(outer)
        lineage = outer.progress.lineage
        assert wait_until(lambda: not list(outer.tick(1.0)) and outer.progress.samples == 305, BOUND)
        assert outer.progress.lineage == taken[0].lineage
        assert path_of(tmp_path / "cellmind", lineage).exists()

"""A device that goes back to the anchor, while an exchange has part of what it gives up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import torch
from hivemind import DHT

from peer.network.node import View
from peer.outer.exchanging import Flight
from peer.state.anchor import COARSE
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
        outer._exchanging._flight = Flight(control, outer.progress.lineage, [], 0.0, 0, 0.0)
        assert not outer.go_back() and not cancelled, "the others count on it"
        control.began_allreduce = False  # nobody has it yet
        assert not outer.go_back() and cancelled
        outer._exchanging.forget()
        assert outer.go_back()
        assert all(torch.equal(*pair) for pair in zip(outer.inner.parameters, outer.anchor_model.parameters()))
        assert (outer.standing.offered, outer.state.pseudo_gradient.given) == (0, None)

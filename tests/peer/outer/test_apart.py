"""What a device learnt apart from the others: it takes the means that it missed, and nothing that fits is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch
from hivemind.dht import DHT

from peer.network.node import View
from peer.outer.catching_up import NewerAnchor
from peer.outer.events import RoundClosed
from peer.state.anchor import COARSE, MEAN_BITS
from peer.state.means import Mean, path_of
from peer.wire import Notice
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND, encoded
from tests.peer.outer.test_outer import running, start_outer
from tests.tiny import build_model


def test_who_was_alone_for_less_than_a_round_takes_the_means_and_keeps_what_it_trained(
    nodes: list[DHT], tmp_path: Path
) -> None:
    others: list[Notice] = []
    came: list[Path] = []
    network = {
        "post": lambda notice: View(notices=others),
        "fetch_means": lambda *_: SimpleNamespace(poll=lambda: came),
    }
    with running(nodes[0], tmp_path, **network) as outer:
        numbers = torch.randn(outer.state.anchor.size)
        mean = Mean(outer.progress.lineage, {"D" * 12: 4}, 3, encoded(numbers, MEAN_BITS[COARSE]))
        mean.save(tmp_path / outer.progress.run)
        came.append(path_of(tmp_path / outer.progress.run, outer.progress.lineage))
        outer._shared_from = None  # out of reach for a while
        outer.inner.steps += 3
        outer.trained(12)
        newer = {"peer": "D" * 12, "name": "donor", "lineage": mean.lineage, "trained": outer.progress.samples + 4}
        others[:] = [outer._notice().model_copy(update=newer)]
        assert wait_until(lambda: not list(outer.tick(1.0)) and outer.progress.lineage == mean.lineage, BOUND)
        assert outer.state.pseudo_gradient.samples == 12


def test_what_was_trained_apart_counts_and_weighs_no_more_than_an_exchange(nodes: list[DHT], tmp_path: Path) -> None:
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
        before = outer.progress
        outer._peers.update([donor])
        outer.state.contributions.update(outer.others)
        for _ in range(2):  # rounds that we close alone, of 50 steps with 4 sequences each
            outer.inner.steps += 50
            outer.trained(200)
            assert isinstance(outer._close_round_alone(), RoundClosed)
        outer.inner.steps += 10
        outer.trained(40)
        assert (outer.standing.steps, outer.standing.offered) == (10, 40), "the rest is in our own anchor"
        with torch.no_grad():
            outer.inner.parameters[0].add_(1e-4)
        trained = [parameter.detach().clone() for parameter in outer.inner.parameters]
        state = replace(before, round=before.round + 3, samples=before.samples + 400, lineage="bb")
        outer.inner.step_seconds = outer._schedule.pause / 10
        caught_up = outer._take(NewerAnchor(donor, state, dict(build_model(40).named_parameters())))
        assert (caught_up.apart, caught_up.given_up) == (400, 0)
        again = replace(state, samples=state.samples + 8, lineage="bbb")
        outer.state.contributions.update([donor.model_copy(update={"lineage": outer.progress.lineage})])
        assert outer._take(NewerAnchor(donor, again, dict(build_model(40).named_parameters()))).apart == 0
        assert all(torch.equal(*pair) for pair in zip(trained, outer.inner.parameters)), "the donor trained as much"
        outer._give([donor])
        given = outer.state.pseudo_gradient.given
        assert given is not None
        assert (given.samples, given.steps, given.weight) == (440, 10, 40)
        standing = outer.standing
        assert (standing.offered, standing.steps) == (440, 10), "it has been given, and is in no anchor yet"

    # it was ended, and goes on from its checkpoint
    with running(nodes[0], tmp_path, standing=standing, post=lambda notice: View()) as outer:
        assert outer.standing == standing
        outer.inner.step_seconds = 1.0
        outer._peers.update([donor])
        later = replace(state, samples=state.samples + 400, lineage="cc")
        caught_up = outer._take(NewerAnchor(donor, later, dict(build_model(40).named_parameters())))
        assert caught_up.apart == 0, "it has been said"
        assert outer.state.pseudo_gradient.samples == 440


def test_what_was_learnt_apart_and_fits_nothing_is_given_up(nodes: list[DHT], tmp_path: Path) -> None:
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
        newer: dict[str, torch.Tensor] = dict(build_model(40).named_parameters())
        outer._peers.update([donor])
        outer.state.contributions.update(outer.others)
        outer.inner.steps += 50
        outer.trained(200)
        outer._close_round_alone()
        outer.trained(40)
        for _ in range(100):  # of the same batch, which no mean of these two knows half as well
            outer.inner.step(1e-2)
        half_way, there = outer.inner.losses_towards(list(newer.values()), (0.5, 1.0))
        assert half_way < there, "to begin with it is worth a lot"
        with torch.no_grad():
            for parameter in outer.inner.parameters:
                parameter.copy_(torch.randn_like(parameter))
        state = replace(outer.progress, samples=outer.progress.samples + 400, lineage="bb")
        caught_up = outer._take(NewerAnchor(donor, state, newer))
        assert (caught_up.apart, caught_up.given_up) == (0, 240)
        assert all(torch.equal(*pair) for pair in zip(newer.values(), outer.inner.parameters))
        assert outer.inner.updates == 100, "its moments stay"
        assert (outer.state.pseudo_gradient.samples, outer.standing.offered, outer.standing.own) == (0, 0, 0)
        outer._give([donor])
        assert outer.state.pseudo_gradient.given is None, "there is nothing to say"


def test_what_a_device_learnt_apart_is_known_after_it_was_ended_as_well(nodes: list[DHT], tmp_path: Path) -> None:
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
    outer._peers.update([donor])
    outer.state.contributions.update(outer.others)
    outer.inner.steps += 50
    outer.trained(200)
    outer._close_round_alone()
    outer.stop()
    samples = outer.progress.samples
    again = start_outer(nodes[0], tmp_path, standing=outer.standing, post=lambda notice: View())
    try:
        state = replace(outer.progress, samples=samples + 400, lineage="bb")
        assert again._take(NewerAnchor(donor, state, dict(build_model(40).named_parameters()))).apart == 200
    finally:
        again.stop()

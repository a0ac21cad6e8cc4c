"""The outer loop with a real DHT on the loopback: rounds, means that were missed, peers that lie, sleep and die."""

from __future__ import annotations

import asyncio
import copy
import errno
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT
from hivemind.averaging.control import StepControl
from hivemind.utils.mpfuture import MPFuture

from minigpt.checkpoint import parameter_hash
from minigpt.checkpoint.manifest import Progress, Standing
from peer.inner.loop import InnerLoop
from peer.network.address import Address
from peer.network.handle import Network
from peer.network.node import View
from peer.outer import peers as peers_module
from peer.outer.averager import PseudoGradientAverager
from peer.outer.catching_up import NewerAnchor
from peer.outer.events import Reconnected, RoundClosed, Setback
from peer.outer.exchanging import Flight
from peer.outer.loop import BackgroundOuterLoop
from peer.outer.outer_state import StartingPoint
from peer.outer.peers import REUNION_SECONDS
from peer.state.anchor import COARSE, MEAN_BITS, padded
from peer.state.fetching import TransferError
from peer.state.means import Mean, following, path_of
from peer.wire import Notice, Role
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND, encoded, runs, send
from tests.tiny import SETTINGS, build_model


def start_outer(
    node: DHT, folder: Path, standing: Standing | None = None, run_id: str = "", **network: Any
) -> BackgroundOuterLoop:
    """An outer loop with a real averager, and of the network only what a test gives it."""
    network = {"know": lambda peers: None, **network}
    model = build_model(40)
    ids = torch.arange(40).roll(7)[:32].view(2, 16)
    progress = Progress("cellmind", run_id or next(runs), 3, 300, 10, "aa", "aa")
    me = Notice(peer=node.peer_id.to_base58(), name="me", address="", role=Role.TRAINING, run_id=progress.run_id)
    missed = following(folder / progress.run, progress.lineage, padded(model.parameter_count()))
    return BackgroundOuterLoop(
        InnerLoop(model, repeat((ids, ids)), torch.device("cpu"), None),
        StartingPoint(copy.deepcopy(model), progress, standing or Standing(), missed),
        PseudoGradientAverager(padded(model.parameter_count()), node, progress.run_id),
        me=me,
        network=cast(Network, SimpleNamespace(dht=node, view=View(), starts=1, **network)),
        settings=SETTINGS,
        checkpoints=folder,
    )


@contextmanager
def running(node: DHT, folder: Path, **more: Any) -> Iterator[BackgroundOuterLoop]:
    """Give the block what `start_outer` starts, and stop it."""
    outer = start_outer(node, folder, **more)
    try:
        yield outer
    finally:
        outer.stop()


def test_two_devices_close_rounds_together_and_have_the_same_anchor(nodes: list[DHT], tmp_path: Path) -> None:
    said: dict[str, Notice] = {}
    run_id = next(runs)

    def post(notice: Notice) -> View:
        said[notice.peer] = notice
        return View(notices=[other for other in said.values() if other.peer != notice.peer])

    devices = [
        start_outer(node, tmp_path / str(number), run_id=run_id, post=post) for number, node in enumerate(nodes[:2])
    ]
    closed: list[list[RoundClosed]] = [[], []]
    lineages: list[list[str]] = [[], []]

    def rounds_closed() -> bool:
        for device, events, seen in zip(devices, closed, lineages):
            if device.progress.round < 5:  # two rounds
                with torch.no_grad():
                    for parameter in device.inner.parameters:
                        parameter.add_(torch.randn_like(parameter), alpha=1e-3)
                device.inner.steps += 1
                device.trained(SETTINGS.swarm.samples_per_round // 4)
            for event in device.tick(1e6):
                assert isinstance(event, RoundClosed)
                events.append(event)
            seen.append(device.progress.lineage)
        return all(device.progress.round >= 5 for device in devices)

    try:
        assert wait_until(rounds_closed, 4 * BOUND)
        assert wait_until(lambda: rounds_closed() and len({device.progress.lineage for device in devices}) == 1, BOUND)
        assert len({parameter_hash(dict(device.anchor_model.named_parameters())) for device in devices}) == 1
        assert all(event.peers == ["me", "me"] and 0 < event.share < 1 for events in closed for event in events)
        assert set(lineages[0]) == set(lineages[1]), "the whole way was the same"
        assert wait_until(lambda: rounds_closed() and len(devices[0].exchange_report.group) == 2, BOUND)
        assert devices[0].exchange_report.seconds > 0 and devices[0].traffic.sent > 0
    finally:
        for device in devices:
            device.stop()


def test_the_outer_loop_replaces_an_averager_that_has_died(nodes: list[DHT], tmp_path: Path) -> None:
    def start_again() -> None:
        network.dht, network.starts = nodes[1], network.starts + 1

    with running(nodes[0], tmp_path, post=lambda notice: View(), start_again=start_again) as outer:
        network = cast(Any, outer.network)
        network.peer, network.address = nodes[1].peer_id.to_base58(), Address("127.0.0.1", 1, "Qm")
        dead = outer._process.averager
        assert not list(outer.tick(1.0))
        send(dead, signal.SIGKILL)
        dead.join(BOUND)
        assert list(outer.tick(1.0)) == [Reconnected("127.0.0.1")]
        assert outer._process.averager.is_alive()
        assert not list(outer.tick(1.0))


def test_who_sent_nonsense_is_named_and_nobody_to_us_for_a_while(nodes: list[DHT], tmp_path: Path) -> None:
    def post(notice: Notice) -> View:
        mate = notice.model_copy(update={"peer": nodes[1].peer_id.to_base58(), "name": "mate", "trained": 300})
        return View(notices=[mate])

    with running(nodes[0], tmp_path, post=post) as outer:
        list(outer.tick(1.0))
        assert [other.name for other in outer.others] == ["mate"]
        outer._process.averager._complain(nodes[1].peer_id, "nothing but noise")
        said = (event for _ in count() for event in [*outer.tick(1.0), None])
        assert wait_until(lambda: "mate sent nothing but noise" in getattr(next(said), "reason", ""), BOUND)
        assert not list(outer.tick(1.0))
        assert not outer.others


def test_who_sends_nonsense_as_soon_as_it_is_here_is_named_as_well(nodes: list[DHT], tmp_path: Path) -> None:
    def post(notice: Notice) -> View:
        return View(notices=[notice.model_copy(update={"peer": nodes[1].peer_id.to_base58(), "name": "mate"})])

    outer = start_outer(nodes[0], tmp_path, post=post)
    try:
        outer._process.averager._complain(nodes[1].peer_id, "nothing but noise")
        assert [getattr(event, "reason", "")[:28] for event in outer.tick(1.0)] == ["mate sent nothing but noise:"]
        assert not outer.others
    finally:
        outer.stop()


def test_an_exchange_that_hivemind_gives_up_is_a_setback(nodes: list[DHT], tmp_path: Path) -> None:
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        control: MPFuture[Any] = MPFuture()
        control.set_exception(asyncio.CancelledError())
        outer._exchanging._flight = Flight(cast(StepControl, control), "aa", [], 0.0, 0, 0.0, 0.0)
        assert list(outer.tick(1.0)) == [
            Setback("an exchange did not come together (CancelledError); it is tried again")
        ]


def test_every_round_that_missed_means_close_is_an_event_of_its_own(nodes: list[DHT], tmp_path: Path) -> None:
    """Whoever saves a checkpoint at the end of a round saves that round's anchor, and not a later one."""
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        per_round = SETTINGS.swarm.samples_per_round
        lineage, first = outer.progress.lineage, outer.progress.round
        for number in range(4):  # half a round each
            numbers = torch.randn(outer.state.anchor.size, generator=torch.Generator().manual_seed(number))
            mean = Mean(lineage, {"somebody": per_round // 2}, 3, encoded(numbers, MEAN_BITS[COARSE]))
            mean.save(tmp_path / outer.progress.run)
            outer._catching_up._missed.append(path_of(tmp_path / outer.progress.run, lineage))
            lineage = mean.lineage
        for closed, event in enumerate(outer.tick(1.0), start=1):
            assert isinstance(event, RoundClosed)
            assert outer.progress.round == first + closed
            assert outer.progress.version == parameter_hash(dict(outer.anchor_model.named_parameters()))
        assert (outer.progress.lineage, outer.progress.round) == (lineage, first + 2)


def test_who_has_left_is_named_in_the_round_that_it_was_in(nodes: list[DHT], tmp_path: Path) -> None:
    present: list[Notice] = []
    with running(nodes[0], tmp_path, post=lambda notice: View(notices=list(present))) as outer:
        present.append(outer._notice().model_copy(update={"peer": "D" * 12, "name": "mate"}))
        list(outer.tick(1.0))
        present.clear()
        list(outer.tick(1.0))
        assert not outer.others
        outer.state.tally.add({"D" * 12: 4})
        assert outer._round_closed(outer.state.close_round()).peers == ["me", "mate"]


def test_who_was_ended_without_warning_goes_on_from_its_last_exchange(nodes: list[DHT], tmp_path: Path) -> None:
    def end(outer: BackgroundOuterLoop) -> tuple[str, str]:
        outer.stop()
        return outer.progress.lineage, parameter_hash(dict(outer.anchor_model.named_parameters()))

    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    for _ in range(3):
        with torch.no_grad():
            for parameter in outer.inner.parameters:
                parameter.add_(torch.randn_like(parameter), alpha=1e-3)
        outer.inner.steps += 1
        outer.trained(4)
        outer._give([])
    given = end(outer)
    lineages = [path.stem for path in following(tmp_path / "cellmind", "aa", outer.state.anchor.size)]
    again = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    assert not list(again.tick(1.0))
    assert again.progress.samples == 300 + 3 * 4
    assert end(again) == given

    last = path_of(tmp_path / "cellmind", lineages[-1])
    last.write_bytes(last.read_bytes()[:-1])  # it was being written
    again = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    assert not list(again.tick(1.0))
    assert end(again)[0] == lineages[-1], "the one before it"


def test_a_device_that_slept_keeps_its_anchor_until_the_others_had_time_to_be_heard(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    now = time.monotonic()
    monkeypatch.setattr(peers_module, "time", SimpleNamespace(monotonic=lambda: now))
    try:
        now += 600  # its lid was shut
        list(outer.tick(1.0))
        assert outer.is_shared
        for _ in range(int(REUNION_SECONDS)):
            now += 1
            list(outer.tick(1.0))
        assert not outer.is_shared, "now it is alone"
    finally:
        monkeypatch.undo()
        outer.stop()


def test_who_comes_and_stands_where_we_stand_has_nothing_to_take(nodes: list[DHT], tmp_path: Path) -> None:
    others: list[Notice] = []
    with running(nodes[0], tmp_path, post=lambda notice: View(notices=others)) as outer:
        for anchor, closes in ((outer.progress.lineage, 0), ("cc", 1)):
            outer._shared_from = None  # alone for a while
            outer.inner.steps += 3
            outer.trained(12)
            mate = {"peer": "D" * 12, "name": "mate", "lineage": anchor, "trained": 0, "round": 0}
            others[:] = [outer._notice().model_copy(update=mate)]
            events = list(outer.tick(1.0))
            assert [type(event) for event in events] == [RoundClosed] * closes
            assert outer.is_shared
            assert outer.state.pseudo_gradient.samples == (0 if closes else 12)


def test_what_a_peer_has_seen_of_us_is_told_by_where_it_stands(nodes: list[DHT], tmp_path: Path) -> None:
    """A peer that comes back takes the means that it missed, what we gave in them as well: that is not said again."""
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        for number in range(3):
            outer.inner.steps += 1
            outer.trained(4)
            outer._give([])
            if number < 2:
                donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
                outer._peers.update([donor])
                outer.state.contributions.update(outer.others)
        state = replace(outer.progress, samples=outer.progress.samples + 400, lineage="bb")
        newer = NewerAnchor(donor, state, dict(build_model(40).named_parameters()))
        assert outer._take(newer).apart == 4
        assert outer._take(newer).apart == 0, "it has been counted"
        assert outer.state.pseudo_gradient.samples == 4


def test_a_peer_that_claims_to_be_far_ahead_keeps_nobody_from_going_on(nodes: list[DHT], tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch_means(donor: str, *rest: object) -> SimpleNamespace:
        asked.append(donor)
        return SimpleNamespace(poll=lambda: [])

    def fetch(donor: str, *rest: object, **more: object) -> SimpleNamespace:
        def poll() -> Path:
            raise TransferError("the donor has no checkpoint yet")

        return SimpleNamespace(poll=poll)

    def post(notice: Notice) -> View:
        claims = {"peer": "L" * 12, "name": "liar", "trained": 1000, "lineage": "b", "sharing": True}
        return View(notices=[notice.model_copy(update=claims)])

    with running(nodes[0], tmp_path, post=post, fetch_means=fetch_means, fetch=fetch) as outer:
        said = (event for _ in count() for event in [*outer.tick(1.0), None])
        assert wait_until(lambda: isinstance(next(said), Setback), BOUND)
        ticks = len(asked)
        outer._not_before = 0.0  # its pause after a setback is over
        assert not list(outer.tick(1.0))
        assert len(asked) == ticks == 1, "it is not asked again at once"
        assert not outer._catching_up.under_way
        assert all(torch.equal(*pair) for pair in zip(outer.anchor_model.parameters(), build_model(40).parameters()))


def test_a_claim_of_impossibly_much_training_is_said_once_and_its_peer_is_nobody(
    nodes: list[DHT], tmp_path: Path
) -> None:
    """Nothing is taken of it, and no `fetch` is there to be called."""

    def post(notice: Notice) -> View:
        claims = {"peer": "L" * 12, "name": "liar", "trained": 10**9, "lineage": "b", "sharing": True}
        return View(notices=[notice.model_copy(update=claims)])

    with running(nodes[0], tmp_path, post=post) as outer:
        (event,) = [*outer.tick(1.0), *outer.tick(1.0), *outer.tick(1.0)]
        assert isinstance(event, Setback) and "liar is not taken: it claims 1,000,000,000 sequences" in event.reason
        assert outer.others == [] and outer._notice().refuses == ("L" * 12,)
        assert outer.trained_by_all == 300


def test_a_state_that_its_donor_is_still_writing_is_asked_for_when_it_is_written(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    writes = True

    def fetch(donor: str, *rest: object, **more: object) -> SimpleNamespace:
        asked.append(donor)
        return SimpleNamespace(poll=lambda: None)

    def post(notice: Notice) -> View:
        newer = {"peer": "D" * 12, "name": "donor", "trained": 1000, "lineage": "b", "sharing": not writes}
        return View(notices=[notice.model_copy(update=newer)])

    no_means = SimpleNamespace(poll=lambda: [])
    with running(nodes[0], tmp_path, post=post, fetch_means=lambda *rest: no_means, fetch=fetch) as outer:
        for _ in range(3):
            assert not list(outer.tick(1.0)), "nobody is told of a moment's wait"
        assert not asked
        writes = False
        assert wait_until(lambda: not list(outer.tick(1.0)) and asked, BOUND)
        assert asked == ["D" * 12]


def test_who_cannot_keep_a_mean_sends_nobody_to_a_checkpoint_that_leads_nowhere(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(mean: Mean, folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Mean, "save", full)
    with running(nodes[0], tmp_path, post=lambda notice: View()) as outer:
        assert outer._notice().sharing
        outer.inner.steps += 1
        outer.trained(4)
        event = outer._give([])
        assert isinstance(event, Setback) and "No space left" in event.reason
        assert not outer._notice().sharing
        outer.checkpoint_saved(outer.progress.samples)
        assert outer._notice().sharing, "a newer checkpoint is on the disk"


def test_what_others_have_trained_counts_while_one_has_moved_and_the_other_has_not(
    nodes: list[DHT], tmp_path: Path
) -> None:
    present: list[Notice] = []
    with running(nodes[0], tmp_path, post=lambda notice: View(notices=list(present))) as outer:
        outer._not_before = math.inf  # nothing is begun
        mate = outer._notice().model_copy(update={"peer": "D" * 12, "name": "mate", "offered": 40})
        present[:] = [mate]
        outer.inner.steps += 2
        outer.trained(8)
        list(outer.tick(1.0))
        assert outer.trained_by_all == 300 + 8 + 40
        given = outer.state.pseudo_gradient.give(lambda seconds: COARSE)
        assert given is not None
        outer.trained(4)
        present[:] = [mate.model_copy(update={"lineage": "bb", "trained": 300 + 8 + 40, "offered": 6})]
        list(outer.tick(1.0))
        assert outer.trained_by_all == 300 + 8 + 40 + 4 + 6, "it is ahead by a mean that ours is in"
        present[:] = [mate.model_copy(update={"offered": 50})]
        numbers = torch.zeros(outer.state.anchor.size)
        samples = {outer._me.peer: 8, mate.peer: 40}
        outer._advance(Mean(outer.progress.lineage, samples, 2, encoded(numbers, MEAN_BITS[COARSE])))
        list(outer.tick(1.0))
        assert outer.trained_by_all == 300 + 8 + 40 + 4 + 10, "we are ahead"


def test_who_is_done_alone_closes_a_round_that_is_not_full(nodes: list[DHT], tmp_path: Path) -> None:
    present: list[Notice] = []
    with running(nodes[0], tmp_path, post=lambda notice: View(notices=list(present))) as outer:
        assert outer.finish() is None, "nothing was trained"
        outer.trained(outer.inner.step(1e-3)[1])
        present.append(outer._notice().model_copy(update={"peer": nodes[1].peer_id.to_base58(), "name": "mate"}))
        list(outer.tick(1.0))
        assert outer.finish() is None, "somebody is here to exchange with"
        present.clear()
        list(outer.tick(1.0))
        assert outer.finish() == RoundClosed(["me"], 1.0)
        assert (outer.progress.round, outer.progress.samples, outer.standing.offered) == (4, 302, 0)
        assert parameter_hash(dict(outer.inner.model.named_parameters())) == outer.progress.version

"""The exchange on the wire, with hivemind's own DHT and all-reduce on the loopback: who is in a group, what all end
with, and what happens when somebody sends nonsense or dies.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
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
from hivemind.dht import DHTID, DHTNode
from hivemind.dht.protocol import DHTProtocol
from hivemind.proto import dht_pb2
from hivemind.proto.averaging_pb2 import AveragingData
from hivemind.utils.mpfuture import MPFuture
from pydantic import ValidationError
from torch import Tensor

from minigpt.checkpoint import parameter_hash
from minigpt.checkpoint.manifest import Progress, Standing
from peer.inner.loop import InnerLoop
from peer.network.handle import Network
from peer.network.hivemind_patches import start_dht
from peer.network.node import View
from peer.outer import averager as averager_module
from peer.outer import loop as outer_module
from peer.outer.all_reduce import WINDOW_BYTES, AgreeingRunner, Declared
from peer.outer.averager import GradientAverager
from peer.outer.catching_up import State
from peer.outer.events import Reconnected, RoundClosed, Setback
from peer.outer.loop import REUNION_SECONDS, OuterLoop
from peer.state.anchor import COARSE, FINE, MEAN_BITS, padded
from peer.state.codec import BLOCK, PART, bits_of, code_bytes, decode, encode
from peer.state.fetching import TransferError
from peer.state.means import Mean, following, path_of
from peer.swarm.notice import Notice, Role
from tests.dht import acquainted_nodes
from tests.lan import wait_until
from tests.tiny import SETTINGS, build_model

BOUND = 15.0  # seconds; what is measured takes a fraction of one
PATIENCE = 4.0

Start = Callable[..., list[GradientAverager]]
runs = (f"run-{number}" for number in count())
to_give: dict[GradientAverager, Tensor] = {}  # the code that each of them gives


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DHT]]:
    with acquainted_nodes(tmp_path_factory.mktemp("nodes"), 3) as started:
        yield started


@pytest.fixture
def start(nodes: list[DHT]) -> Iterator[Start]:
    """Begins an averager on each of the first nodes, with numbers to average, for a run of their own."""
    started: list[GradientAverager] = []

    def start(peers: int = 3, parts: int = 3) -> Any:
        run = next(runs)
        for number, node in enumerate(nodes[:peers]):
            numbers = torch.randn(parts * PART, generator=torch.Generator().manual_seed(number))
            averager = GradientAverager(len(numbers), node, run)
            to_give[averager] = encoded(numbers, COARSE)
            started.append(averager)
        return started

    yield start
    for averager in started:
        if averager.is_alive():
            send(averager, signal.SIGCONT)
            averager.shutdown()
    to_give.clear()
    assert wait_until(lambda: not any(averager.is_alive() for averager in started), BOUND)


def encoded(numbers: Tensor, bits: int) -> Tensor:
    code = torch.zeros(code_bytes(len(numbers), bits), dtype=torch.uint8)
    encode(numbers, bits, code)
    return code


def exchange(
    averager: GradientAverager,
    group_size: int,
    *,
    samples: int = 1,
    weight: int | None = None,
    steps: int = 1,
    lineage: str = "aa",
    patience: float = PATIENCE,
    reachable: bool = True,
) -> StepControl:
    return averager.exchange(
        to_give[averager],
        lineage=lineage,
        samples=samples,
        weight=samples if weight is None else weight,
        steps=steps,
        group_size=group_size,
        patience=patience,
        reachable=reachable,
    )


def outcome(control: StepControl) -> dict[str, int] | None:
    """Samples by peer id; None where the exchange failed."""
    try:
        return {peer.to_base58(): given["samples"] for peer, given in control.result(BOUND).items()}
    except TimeoutError:
        raise
    except Exception:
        return None


def mean_code(averager: GradientAverager) -> Tensor:
    bits = min(bits_of(len(code), averager._size) or 0 for code in to_give.values())
    return averager.mean([{"bits": bits}]).clone()


def numbers_of(code: Tensor, averager: GradientAverager) -> Tensor:
    numbers, bits = torch.empty(averager._size), bits_of(len(code), averager._size)
    assert bits is not None
    decode(code, bits, numbers)
    return numbers


def given(averager: GradientAverager) -> Tensor:
    return numbers_of(to_give[averager], averager)


def assert_mean(averager: GradientAverager, expected: Tensor, lost: float = 0.04) -> None:
    """The mean, but for what four bits lose."""
    error = (numbers_of(mean_code(averager), averager) - expected).square().mean() / expected.square().mean()
    assert float(error) < lost


def untouched(averager: GradientAverager) -> bool:
    with averager.get_tensors() as (mean,):
        return not bool(mean.any())


def send(averager: GradientAverager, number: signal.Signals) -> None:
    assert averager.pid is not None
    os.kill(averager.pid, number)


# -- what all end with


def test_three_peers_end_with_the_same_bytes_of_the_weighted_mean(start: Start) -> None:
    averagers = start()
    weights = [10, 0, 30]
    controls = [exchange(averager, 3, samples=samples) for averager, samples in zip(averagers, weights)]
    declared = {averager.peer_id.to_base58(): samples for averager, samples in zip(averagers, weights)}
    assert [outcome(control) for control in controls] == [declared] * 3
    after = [mean_code(averager) for averager in averagers]
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])
    assert_mean(averagers[0], (10 * given(averagers[0]) + 30 * given(averagers[2])) / 40)
    sent, received = (sum(getattr(one, name) for one in averagers) for name in ("bytes_sent", "bytes_received"))
    to_and_fro = 2 * (len(to_give[averagers[0]]) + len(after[0]))  # everybody's share to two others, and its mean back
    assert sent == received == to_and_fro

    controls = [exchange(averager, 3, lineage="bb") for averager in averagers]  # the same processes, once more
    assert all(outcome(control) for control in controls)
    assert_mean(averagers[0], torch.stack([given(averager) for averager in averagers]).mean(0))
    assert all(averager.processor_seconds > 0 for averager in averagers)


def test_many_steps_are_said_in_eight_bits_unless_somebody_has_only_two(start: Start) -> None:
    averagers = start()
    numbers = [given(averager) for averager in averagers]
    for averager, own in zip(averagers, numbers):
        to_give[averager] = encoded(own, FINE)
    controls = [exchange(averager, 3) for averager in averagers]
    assert all(outcome(control) for control in controls)
    assert_mean(averagers[0], torch.stack(numbers).mean(0), lost=0.0004)
    assert torch.equal(mean_code(averagers[0]), mean_code(averagers[2]))

    to_give[averagers[1]] = encoded(numbers[1], COARSE)
    controls = [exchange(averager, 3, lineage="bb") for averager in averagers]
    assert all(outcome(control) for control in controls)
    assert_mean(averagers[0], torch.stack([given(averager) for averager in averagers]).mean(0))
    assert torch.equal(mean_code(averagers[0]), mean_code(averagers[2]))


def test_a_group_is_as_large_as_the_best_informed_of_its_members_expects(start: Start) -> None:
    averagers = start()
    sizes = [2, 3, 2]  # two of them have not heard of the third yet, or not that it is ready
    informed = exchange(averagers[1], sizes[1])
    key = f"{averagers[1].prefix}.0b"
    assert wait_until(partial(averagers[0].dht.get, key, latest=True), BOUND), "it is the first that others will ask"
    controls = [exchange(averagers[0], sizes[0]), informed, exchange(averagers[2], sizes[2])]
    everybody = {averager.peer_id.to_base58(): 1 for averager in averagers}
    assert [outcome(control) for control in controls] == [everybody] * 3


def test_a_process_killed_with_hivemind_s_lock_in_its_hands_stops_nobody(start: Start) -> None:
    def hold() -> None:
        MPFuture._update_lock.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)

    start(1)
    holder = multiprocessing.get_context("fork").Process(target=hold)
    holder.start()
    holder.join(BOUND)
    assert holder.exitcode == -signal.SIGKILL
    began = time.monotonic()
    start(1)
    assert time.monotonic() - began < 15


def test_peers_that_nobody_can_call_leave_the_parts_to_one_that_can_be_called(start: Start) -> None:
    averagers = start(parts=24)  # more than a window
    for called in (averagers[0], averagers[1]):  # a device may come out of its firewall, or behind it
        before = [averager.bytes_received for averager in averagers]
        controls = [exchange(averager, 3, reachable=averager is called) for averager in averagers]
        assert [len(outcome(control) or {}) for control in controls] == [3] * 3
        assert len({bytes(mean_code(averager).numpy()) for averager in averagers}) == 1
        assert_mean(called, torch.stack([given(averager) for averager in averagers]).mean(0))
        received = {averager: averager.bytes_received - had for averager, had in zip(averagers, before)}
        given_by_others = sum(len(to_give[averager]) for averager in averagers if averager is not called)
        assert received.pop(called) == given_by_others, "all that the others gave came to it, and nothing else"
        assert set(received.values()) == {len(mean_code(called))}

    controls = [exchange(averager, 2, reachable=False, patience=1.0) for averager in averagers[:2]]
    assert [outcome(control) for control in controls] == [None, None], "nobody there puts the parts together"


def test_a_full_group_starts_at_once(start: Start) -> None:
    averagers = start(2)
    patience = 3 * BOUND
    controls = [exchange(averager, 2, patience=patience) for averager in averagers]
    assert all(outcome(control) for control in controls), "not within a third of the time a group may wait"


def test_a_group_waits_for_a_peer_that_does_not_come_as_long_as_it_was_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averager_module, "MATCHMAKING_SECONDS", 1.0)
    averagers = start(2)
    controls = [exchange(averager, 3, patience=1.0) for averager in averagers]
    together = {averager.peer_id.to_base58(): 1 for averager in averagers}
    assert [outcome(control) for control in controls] == [together] * 2
    assert torch.equal(*map(mean_code, averagers))


# -- who is in a group


def test_a_peer_at_another_anchor_is_in_no_group_of_ours(start: Start) -> None:
    averagers = start()
    stranger = exchange(averagers[2], 2, lineage="bb")
    key = f"{averagers[2].prefix}.0b"
    looking = partial(averagers[0].dht.get, key, latest=True)
    assert wait_until(looking, BOUND), "the stranger is the first that the others will ask"
    controls = [exchange(averager, 2) for averager in averagers[:2]]
    together = {averager.peer_id.to_base58(): 1 for averager in averagers[:2]}
    assert [outcome(control) for control in controls] == [together] * 2
    assert not stranger.done()
    assert untouched(averagers[2])
    mate = exchange(averagers[0], 2, lineage="bb")
    assert outcome(stranger) == outcome(mate) is not None, "it only waited for somebody at the same place"


# -- those who send nonsense, or nothing


@pytest.mark.parametrize(("samples", "weight"), [(0, 0), (4, 5), (-1, 1), (2**40, 1)])
def test_sequences_and_weights_that_cannot_be_are_no_mean(start: Start, samples: int, weight: int) -> None:
    averagers = start(2)
    controls = [exchange(averager, 2, samples=samples, weight=weight) for averager in averagers]
    assert [outcome(control) for control in controls] == [None, None]
    assert all(untouched(averager) for averager in averagers)


@pytest.mark.parametrize("factor", [math.nan, math.inf, 1000.0])
def test_a_peer_that_sends_impossible_numbers_changes_nothing(start: Start, factor: float) -> None:
    averagers = start()
    for part in to_give[averagers[1]].split(code_bytes(PART, COARSE)):
        part[: 2 * PART // BLOCK].view(torch.float16).mul_(factor)
    controls = [exchange(averager, 3) for averager in averagers]
    outcomes = [outcome(control) for control in controls]
    assert outcomes[1] is None, "it is told"
    assert all(untouched(averager) for averager, outcome in zip(averagers, outcomes) if outcome is None)
    left = [numbers_of(mean_code(averager), averager) for averager in averagers[::2]]
    assert all(float(numbers.abs().max()) < 10 for numbers in left), "nor does it reach those who went on without it"
    named = [averager.complaints() for averager in averagers]
    blamed = (averagers[1].peer_id.to_base58(), "numbers that are not finite, or impossibly large")
    assert set(named[0]) == set(named[2]) == {blamed}, "the others name it"
    again = exchange(averagers[1], 2, lineage="bb")
    controls = [exchange(averager, 2, lineage="bb") for averager in averagers[::2]]
    assert all(outcome(control) for control in controls), "the others exchange as ever, though it tries again"
    assert not again.done() or outcome(again) is None
    assert_mean(averagers[0], (given(averagers[0]) + given(averagers[2])) / 2)


@pytest.mark.parametrize("peers", [3, 2])
def test_a_peer_that_falls_silent_is_left_out_where_enough_are_left(
    nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch, peers: int
) -> None:
    silent, speak = nodes[peers - 1].peer_id, AgreeingRunner._generate_input_for_peer

    async def say_nothing(
        self: AgreeingRunner, peer_index: int, window: asyncio.Semaphore
    ) -> AsyncIterator[AveragingData]:
        if self.peer_id == silent:
            await asyncio.Event().wait()
        async for message in speak(self, peer_index, window):
            yield message

    monkeypatch.setattr(AgreeingRunner, "_generate_input_for_peer", say_nothing)
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 1.0)
    averagers = start(peers, parts=peers)
    controls = [exchange(averager, peers) for averager in averagers]
    enough = peers == 3
    assert [outcome(control) is not None for control in controls] == [enough] * (peers - 1) + [False]
    if enough:
        assert torch.equal(*map(mean_code, averagers[:2]))
    assert untouched(averagers[-1])


def test_who_is_not_answered_sends_no_more_than_a_window(
    nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, answer = nodes[1].peer_id, AgreeingRunner._encode

    async def never(self: AgreeingRunner, part_index: int, average: Tensor) -> Tensor:
        if self.peer_id == silent:
            await asyncio.Event().wait()
        return await answer(self, part_index, average)

    monkeypatch.setattr(AgreeingRunner, "_encode", never)
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 1.0)
    parts = 40
    averagers = start(2, parts=parts)
    controls = [exchange(averager, 2) for averager in averagers]
    assert [outcome(control) for control in controls] == [None, None]
    part, average = code_bytes(PART, COARSE), code_bytes(PART, MEAN_BITS[COARSE])
    unanswered = (averagers[0].bytes_sent - parts // 2 * average) / part
    assert 2 <= unanswered <= WINDOW_BYTES / (part + average)
    assert averagers[1].bytes_sent == parts // 2 * part, "which was answered, gave all it had"


def test_a_peer_killed_while_its_numbers_wait_for_a_slower_one_leaves_nobody_with_a_part_of_the_mean(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 3.0)
    averagers = start(parts=60)
    prompt, slow, victim = averagers
    controls = [exchange(averager, 3) for averager in averagers]
    assert wait_until(lambda: controls[1].began_allreduce, BOUND)
    send(slow, signal.SIGSTOP)
    traffic: list[int] = []

    def stalled() -> bool:
        traffic.append(prompt.bytes_received + victim.bytes_received)
        return traffic[-5:] == [traffic[-1]] * 5 and traffic[-1] > 0

    assert wait_until(stalled, BOUND)
    send(victim, signal.SIGKILL)
    send(slow, signal.SIGCONT)
    assert not any(control.done() for control in controls), "it was over too soon for this test"
    assert [outcome(control) for control in controls[:2]] == [None, None]
    assert untouched(prompt)
    assert untouched(slow)
    controls = [exchange(averager, 2, lineage="bb") for averager in averagers[:2]]
    assert all(outcome(control) for control in controls), "those who are left go on"
    assert torch.equal(*map(mean_code, averagers[:2]))


# -- manners


def test_an_exchange_that_is_given_up_prints_nothing(nodes: list[DHT]) -> None:
    """asyncio prints what ended a future that nobody asked, with a traceback."""
    peers = [node.peer_id for node in nodes[:2]]

    async def work() -> list[str]:
        printed: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: printed.append(context["message"]))
        runner = AgreeingRunner(
            p2p=SimpleNamespace(peer_id=peers[0]),
            servicer_type=GradientAverager,
            prefix="",
            group_id=b"",
            tensors=[torch.zeros(code_bytes(2 * PART, 4), dtype=torch.uint8)],
            part_size_bytes=code_bytes(PART, 4),
            ordered_peer_ids=peers,
            peer_fractions=(0.5, 0.5),
            given=torch.zeros(code_bytes(2 * PART, 2), dtype=torch.uint8),
            bits=[2, 2],
            weights=[1.0, 1.0],
            traffic=(None, None),
            complain=lambda *what: None,
        )
        runner.finalize(exception=asyncio.CancelledError())
        del runner
        gc.collect()
        return printed

    assert asyncio.run(work()) == []


def test_a_peer_that_is_ended_in_the_middle_of_an_exchange_prints_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def say_nothing(self: AgreeingRunner, peer_index: int) -> AsyncIterator[AveragingData]:
        await asyncio.Event().wait()
        yield AveragingData()

    monkeypatch.setattr(AgreeingRunner, "_generate_input_for_peer", say_nothing)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest has its own
    averagers = start(2)
    controls = [exchange(averager, 2) for averager in averagers]
    assert wait_until(lambda: all(control.began_allreduce for control in controls), BOUND)
    for averager in averagers:
        averager.shutdown()
    assert wait_until(lambda: not any(averager.is_alive() for averager in averagers), BOUND)
    assert "Traceback" not in capfd.readouterr().err


class Collecting(GradientAverager):
    """One whose process collects garbage all the time."""

    async def _step(self, **given: Any) -> None:
        gc.freeze()  # so that each time takes a moment
        self._collect()
        await super()._step(**given)

    def _collect(self) -> None:
        gc.collect()
        asyncio.get_running_loop().call_later(0.001, self._collect)


def test_a_search_that_is_cancelled_ends_before_the_garbage_collector_comes(
    nodes: list[DHT], capfd: pytest.CaptureFixture[str]
) -> None:
    numbers = torch.randn(PART, generator=torch.Generator().manual_seed(1))
    averager = Collecting(PART, nodes[0], next(runs))
    to_give[averager] = encoded(numbers, COARSE)
    try:
        for _ in range(4):
            control = exchange(averager, 2)
            with pytest.raises(TimeoutError):
                control.result(0.5)  # it waits for somebody else
            control.cancel()
    finally:
        to_give.clear()
        averager.shutdown()
    assert "destroyed" not in capfd.readouterr().err


def test_ctrl_c_does_what_it_did_before(nodes: list[DHT], start: Start) -> None:
    def handler(number: int, frame: Any) -> None: ...

    previous = signal.signal(signal.SIGINT, handler)
    try:
        start(1)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


class HalfSent:
    """What a pipe holds of a future whose process has ended: memory that nobody hands over any more."""

    def __init__(self, error: type[Exception]):
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, (self._error,)


def fail(error: type[Exception]) -> None:
    raise error


async def wait_long(dht: DHT, node: DHTNode) -> None:
    """What hivemind waits after a request that it cannot read."""
    node.protocol.wait_timeout = 4 * BOUND


@pytest.mark.parametrize("error", [EOFError, ConnectionRefusedError])
def test_a_dht_asked_by_a_process_that_has_ended_meanwhile_goes_on_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], error: type[Exception]
) -> None:
    dht = start_dht("127.0.0.1", 0, tmp_path / "identity.key", "cellmind")
    try:
        dht.run_coroutine(wait_long)
        dht._outer_pipe.send(HalfSent(error))
        assert dht.get("a key", return_future=True).result(BOUND) is None
    finally:
        dht.shutdown()
    assert "Traceback" not in capfd.readouterr().err


def test_a_dht_that_is_asked_while_it_starts_says_who_it_is(nodes: list[DHT]) -> None:
    protocol = DHTProtocol(_initialized_with_create=True)
    protocol.node_id = DHTID.generate()  # its handlers are registered now, and it knows no more of itself
    answer = asyncio.run(protocol.rpc_ping(dht_pb2.PingRequest(), cast(Any, None)))
    assert answer.peer.node_id == protocol.node_id.to_bytes()


def start_outer(node: DHT, folder: Path, standing: Standing | None = None, **network: Any) -> OuterLoop:
    """An outer loop with a real averager, and of the network only what a test gives it."""
    model = build_model(40)
    ids = torch.arange(40).roll(7)[:32].view(2, 16)
    progress = Progress("cellmind", next(runs), 3, 300, 10, "aa", "aa")
    me = Notice(peer=node.peer_id.to_base58(), name="me", address="", role=Role.TRAINING, run_id=progress.run_id)
    return OuterLoop(
        inner=InnerLoop(model, repeat((ids, ids)), torch.device("cpu"), None),
        anchor=copy.deepcopy(model),
        averager=GradientAverager(padded(model.parameter_count()), node, progress.run_id),
        progress=progress,
        me=me,
        network=cast(Network, SimpleNamespace(dht=node, view=View(), starts=1, **network)),
        settings=SETTINGS,
        checkpoints=folder,
        standing=standing or Standing(),
        missed=following(folder / progress.run, progress.lineage, padded(model.parameter_count())),
    )


def test_the_outer_loop_replaces_an_averager_that_has_died(nodes: list[DHT], tmp_path: Path) -> None:
    def start_again() -> None:
        network.dht, network.starts = nodes[1], network.starts + 1

    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View(), start_again=start_again)
    network = cast(Any, outer.network)
    network.peer, network.address = nodes[1].peer_id.to_base58(), "/ip4/127.0.0.1/tcp/1/p2p/Qm"
    dead = outer._averager
    try:
        assert not list(outer.tick(1.0))
        send(dead, signal.SIGKILL)
        dead.join(BOUND)
        assert list(outer.tick(1.0)) == [Reconnected("127.0.0.1")]
        assert outer._averager.is_alive()
        assert not list(outer.tick(1.0))
    finally:
        outer.stop()


def test_who_sent_nonsense_is_named_and_nobody_to_us_for_a_while(nodes: list[DHT], tmp_path: Path) -> None:
    def post(notice: Notice) -> View:
        mate = notice.model_copy(update={"peer": nodes[1].peer_id.to_base58(), "name": "mate", "trained": 300})
        return View(notices=[mate])

    outer = start_outer(nodes[0], tmp_path, post=post)
    try:
        list(outer.tick(1.0))
        assert [other.name for other in outer.others] == ["mate"]
        outer._averager._complain(nodes[1].peer_id, "nothing but noise")
        said = (event for _ in count() for event in list(outer.tick(1.0)) or [None])
        assert wait_until(lambda: "mate sent nothing but noise" in getattr(next(said), "reason", ""), BOUND)
        assert not list(outer.tick(1.0))
        assert not outer.others
    finally:
        outer.stop()


def test_an_exchange_that_hivemind_gives_up_is_a_setback(nodes: list[DHT], tmp_path: Path) -> None:
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    try:
        control: MPFuture[Any] = MPFuture()
        control.set_exception(asyncio.CancelledError())
        outer._exchange = outer_module._Exchange(cast(StepControl, control), 0, 0.0)
        assert list(outer.tick(1.0)) == [
            Setback("an exchange did not come together (CancelledError); it is tried again")
        ]
    finally:
        outer.stop()


def test_every_round_that_missed_means_close_is_an_event_of_its_own(nodes: list[DHT], tmp_path: Path) -> None:
    """Whoever saves a checkpoint at the end of a round saves that round's anchor, and not a later one."""
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    per_round = outer.settings.swarm.samples_per_round
    lineage, first = outer.progress.lineage, outer.progress.round
    try:
        for number in range(4):  # half a round each
            numbers = torch.randn(outer.swarm.size, generator=torch.Generator().manual_seed(number))
            mean = Mean(lineage, {"somebody": per_round // 2}, 3, encoded(numbers, MEAN_BITS[COARSE]))
            mean.save(tmp_path / outer.progress.run)
            outer._missed.append(path_of(tmp_path / outer.progress.run, lineage))
            lineage = mean.lineage
        for closed, event in enumerate(outer.tick(1.0), start=1):
            assert isinstance(event, RoundClosed)
            assert outer.progress.round == first + closed
            assert outer.progress.anchor == parameter_hash(dict(outer.anchor.named_parameters()))
        assert (outer.progress.lineage, outer.progress.round) == (lineage, first + 2)
    finally:
        outer.stop()


def test_who_has_left_is_named_in_the_round_that_it_was_in(nodes: list[DHT], tmp_path: Path) -> None:
    present: list[Notice] = []
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View(notices=list(present)))
    try:
        present.append(outer._notice().model_copy(update={"peer": "D" * 12, "name": "mate"}))
        list(outer.tick(1.0))
        present.clear()
        list(outer.tick(1.0))
        assert not outer.others
        outer._round = {"D" * 12: 4}
        assert outer._close().peers == ["me", "mate"]
    finally:
        outer.stop()


def test_who_was_ended_without_warning_goes_on_from_its_last_exchange(nodes: list[DHT], tmp_path: Path) -> None:
    def end(outer: OuterLoop) -> tuple[str, str]:
        outer.stop()
        return outer.progress.lineage, parameter_hash(dict(outer.anchor.named_parameters()))

    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    for _ in range(3):
        with torch.no_grad():
            for parameter in outer.inner.parameters:
                parameter.add_(torch.randn_like(parameter), alpha=1e-3)
        outer.inner.steps += 1
        outer.trained(4)
        outer._give([])
    given, lineages = end(outer), [path.stem for path in following(tmp_path / "cellmind", "aa", outer.swarm.size)]
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
    monkeypatch.setattr(outer_module, "time", SimpleNamespace(monotonic=lambda: now))
    try:
        now += 600  # its lid was shut
        list(outer.tick(1.0))
        assert outer.shared
        for _ in range(int(REUNION_SECONDS)):
            now += 1
            list(outer.tick(1.0))
        assert not outer.shared, "now it is alone"
    finally:
        monkeypatch.undo()
        outer.stop()


def test_who_comes_and_stands_where_we_stand_has_nothing_to_take(nodes: list[DHT], tmp_path: Path) -> None:
    others: list[Notice] = []
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View(notices=others))
    try:
        for anchor, closes in ((outer.progress.lineage, 0), ("cc", 1)):
            outer._shared_from = None  # alone for a while
            outer.inner.steps += 3
            outer.trained(12)
            mate = {"peer": "D" * 12, "name": "mate", "anchor": anchor, "trained": 0, "round": 0}
            others[:] = [outer._notice().model_copy(update=mate)]
            events = list(outer.tick(1.0))
            assert [type(event) for event in events] == [RoundClosed] * closes
            assert outer.shared
            assert outer.pseudo_gradient.samples == (0 if closes else 12)
    finally:
        outer.stop()


def test_what_was_trained_apart_counts_and_weighs_no_more_than_an_exchange(nodes: list[DHT], tmp_path: Path) -> None:
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
    before = outer.progress
    try:
        outer.others = [donor]
        outer.ledger.look(outer.others)
        for _ in range(2):  # rounds that we close alone, of 50 steps with 4 sequences each
            outer.inner.steps += 50
            outer.trained(200)
            assert isinstance(outer._close_alone(), RoundClosed)
        outer.inner.steps += 10
        outer.trained(40)
        assert (outer.standing.steps, outer.standing.offered) == (10, 40), "the rest is in our own anchor"
        with torch.no_grad():
            outer.inner.parameters[0].add_(1e-4)
        stood = [parameter.detach().clone() for parameter in outer.inner.parameters]
        state = replace(before, round=before.round + 3, samples=before.samples + 400, lineage="bb")
        outer.inner.step_seconds = outer._pace.pause / 10
        caught_up = outer._take_state(State(donor, state, dict(build_model(40).named_parameters())))
        assert (caught_up.apart, caught_up.given_up) == (400, 0)
        again = replace(state, samples=state.samples + 8, lineage="bbb")
        outer.ledger.look([donor.model_copy(update={"anchor": outer.progress.lineage})])
        assert outer._take_state(State(donor, again, dict(build_model(40).named_parameters()))).apart == 0
        assert all(torch.equal(*pair) for pair in zip(stood, outer.inner.parameters)), "the donor trained as much"
        outer._give([donor])
        given = outer.pseudo_gradient.given
        assert given is not None
        assert (given.samples, given.steps, given.weight) == (440, 10, 40)
        standing = outer.standing
        assert (standing.offered, standing.steps) == (440, 10), "it has been given, and is in no anchor yet"
    finally:
        outer.stop()

    outer = start_outer(nodes[0], tmp_path, standing=standing, post=lambda notice: View())
    try:  # it was ended, and goes on from its checkpoint
        assert outer.standing == standing
        outer.inner.step_seconds = 1.0
        outer.others = [donor]
        later = replace(state, samples=state.samples + 400, lineage="cc")
        again = outer._take_state(State(donor, later, dict(build_model(40).named_parameters())))
        assert again.apart == 0, "it has been said"
        assert outer.pseudo_gradient.samples == 440
    finally:
        outer.stop()


def test_what_was_learnt_apart_and_fits_nothing_is_given_up(nodes: list[DHT], tmp_path: Path) -> None:
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
    newer = dict(build_model(40).named_parameters())
    try:
        outer.others = [donor]
        outer.ledger.look(outer.others)
        outer.inner.steps += 50
        outer.trained(200)
        outer._close_alone()
        outer.trained(40)
        for _ in range(100):  # of the same batch, which no mean of these two knows half as well
            outer.inner.step(1e-2)
        half_way, there = outer.inner.losses_towards(list(newer.values()), (0.5, 1.0))
        assert half_way < there, "to begin with it is worth a lot"
        with torch.no_grad():
            for parameter in outer.inner.parameters:
                parameter.copy_(torch.randn_like(parameter))
        state = replace(outer.progress, samples=outer.progress.samples + 400, lineage="bb")
        caught_up = outer._take_state(State(donor, state, newer))
        assert (caught_up.apart, caught_up.given_up) == (0, 240)
        assert all(torch.equal(*pair) for pair in zip(newer.values(), outer.inner.parameters))
        assert outer.inner.updates == 100, "its moments stay"
        assert (outer.pseudo_gradient.samples, outer.standing.offered, outer.standing.own) == (0, 0, 0)
        outer._give([donor])
        assert outer.pseudo_gradient.given is None, "there is nothing to say"
    finally:
        outer.stop()


def test_what_a_device_learnt_apart_is_known_after_it_was_ended_as_well(nodes: list[DHT], tmp_path: Path) -> None:
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
    outer.others = [donor]
    outer.ledger.look(outer.others)
    outer.inner.steps += 50
    outer.trained(200)
    outer._close_alone()
    outer.stop()
    samples = outer.progress.samples
    again = start_outer(nodes[0], tmp_path, standing=outer.standing, post=lambda notice: View())
    try:
        state = replace(outer.progress, samples=samples + 400, lineage="bb")
        assert again._take_state(State(donor, state, dict(build_model(40).named_parameters()))).apart == 200
    finally:
        again.stop()


def test_what_a_peer_has_seen_of_us_is_told_by_where_it_stands(nodes: list[DHT], tmp_path: Path) -> None:
    """Who comes back takes the means that it missed, what we gave in them as well: that is not said again."""
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    try:
        for number in range(3):
            outer.inner.steps += 1
            outer.trained(4)
            outer._give([])
            if number < 2:
                donor = outer._notice().model_copy(update={"peer": "D" * 12, "name": "donor"})
                outer.others = [donor]
                outer.ledger.look(outer.others)
        state = replace(outer.progress, samples=outer.progress.samples + 400, lineage="bb")
        newer = State(donor, state, dict(build_model(40).named_parameters()))
        assert outer._take_state(newer).apart == 4
        assert outer._take_state(newer).apart == 0, "it has been counted"
        assert outer.pseudo_gradient.samples == 4
    finally:
        outer.stop()


def test_a_peer_that_claims_to_be_far_ahead_keeps_nobody_from_going_on(nodes: list[DHT], tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch_means(donor: str, *rest: object) -> Callable[[], list[Path]]:
        asked.append(donor)
        return lambda: []

    def fetch(donor: str, *rest: object, **more: object) -> Callable[[], Path]:
        def poll() -> Path:
            raise TransferError("the donor has no checkpoint yet")

        return poll

    def post(notice: Notice) -> View:
        claims = {"peer": "L" * 12, "name": "liar", "trained": 2**50, "anchor": "b", "sharing": True}
        return View(notices=[notice.model_copy(update=claims)])

    outer = start_outer(nodes[0], tmp_path, post=post, fetch_means=fetch_means, fetch=fetch)
    try:
        said = (event for _ in count() for event in list(outer.tick(1.0)) or [None])
        assert wait_until(lambda: isinstance(next(said), Setback), BOUND)
        ticks = len(asked)
        outer._not_before = 0.0  # its pause after a setback is over
        assert not list(outer.tick(1.0))
        assert len(asked) == ticks == 1, "it is not asked again at once"
        assert not outer._catching_up.under_way
        assert all(torch.equal(*pair) for pair in zip(outer.anchor.parameters(), build_model(40).parameters()))
    finally:
        outer.stop()


def test_a_state_that_its_donor_is_still_writing_is_asked_for_when_it_is_written(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    writes = True

    def fetch(donor: str, *rest: object, **more: object) -> Callable[[], None]:
        asked.append(donor)
        return lambda: None

    def post(notice: Notice) -> View:
        newer = {"peer": "D" * 12, "name": "donor", "trained": 2**20, "anchor": "b", "sharing": not writes}
        return View(notices=[notice.model_copy(update=newer)])

    outer = start_outer(nodes[0], tmp_path, post=post, fetch_means=lambda *rest: lambda: [], fetch=fetch)
    try:
        for _ in range(3):
            assert not list(outer.tick(1.0)), "nobody is told of a moment's wait"
        assert not asked
        writes = False
        assert wait_until(lambda: not list(outer.tick(1.0)) and asked, BOUND)
        assert asked == ["D" * 12]
    finally:
        outer.stop()


def test_who_cannot_keep_a_mean_sends_nobody_to_a_checkpoint_that_leads_nowhere(
    nodes: list[DHT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(mean: Mean, folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Mean, "save", full)
    outer = start_outer(nodes[0], tmp_path, post=lambda notice: View())
    try:
        assert outer._notice().sharing
        outer.inner.steps += 1
        outer.trained(4)
        event = outer._give([])
        assert isinstance(event, Setback) and "No space left" in event.reason
        assert not outer._notice().sharing
        outer.saved_samples = outer.progress.samples
        assert outer._notice().sharing, "a newer checkpoint is on the disk"
    finally:
        outer.stop()


@pytest.mark.parametrize(
    "lie",
    [
        {"steps": math.nan},
        {"steps": "x"},
        {"samples": 2**33},
        {"weight": 9},
        {"weight": -1},
        {"bits": 3},
        {"group_size": 0},
        {"samples": True},
    ],
)
def test_what_cannot_be_given_is_no_description_of_it(lie: dict[str, Any]) -> None:
    honest = {"bits": COARSE, "samples": 8, "weight": 8, "steps": 2, "group_size": 2, "lineage": "aa", "patience": 4.0}
    Declared.model_validate(honest)
    with pytest.raises(ValidationError):
        Declared.model_validate({**honest, **lie})

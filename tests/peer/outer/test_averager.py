"""The exchange on the wire, with hivemind's own DHT and all-reduce on the loopback: what all end with, and
what happens when somebody sends nonsense or dies.
"""

from __future__ import annotations

import asyncio
import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT
from hivemind.proto.averaging_pb2 import AveragingData
from hivemind.utils.mpfuture import MPFuture
from torch import Tensor

from peer.network import clock
from peer.outer import averager as averager_module
from peer.outer.all_reduce import WINDOW_BYTES, AgreeingRunner
from peer.outer.averager import PseudoGradientAverager
from peer.outer.traffic import Traffic
from peer.state.agreement import Agreement
from peer.state.anchor import COARSE, FINE, MEAN_BITS
from peer.state.answers import Answers
from peer.state.codec import BLOCK, PART, bits_of, decode, payload_bytes
from peer.wire import Declared, ProtocolViolation, parse_value
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND, NOBODY, PATIENCE, Start, encoded, exchange, outcome, runs, send, to_give


def mean_payload(averager: PseudoGradientAverager) -> Tensor:
    bits = min(bits_of(len(payload), averager.size) or 0 for payload in to_give.values())
    return averager.mean([{"bits": bits}]).clone()


def numbers_of(payload: Tensor, averager: PseudoGradientAverager) -> Tensor:
    numbers, bits = torch.empty(averager.size), bits_of(len(payload), averager.size)
    assert bits is not None
    decode(payload, bits, numbers)
    return numbers


def given(averager: PseudoGradientAverager) -> Tensor:
    return numbers_of(to_give[averager], averager)


def assert_mean(averager: PseudoGradientAverager, expected: Tensor, lost: float = 0.04) -> None:
    """The mean, but for what four bits lose."""
    error = (numbers_of(mean_payload(averager), averager) - expected).square().mean() / expected.square().mean()
    assert float(error) < lost


def untouched(averager: PseudoGradientAverager) -> bool:
    with averager.get_tensors() as (mean,):
        return not bool(mean.any())


def test_three_peers_end_with_the_same_bytes_of_the_weighted_mean(start: Start) -> None:
    averagers = start()
    weights = [10, 0, 30]
    controls = [exchange(averager, 3, samples=samples) for averager, samples in zip(averagers, weights)]
    declared = {averager.peer_id.to_base58(): samples for averager, samples in zip(averagers, weights)}
    assert [outcome(control) for control in controls] == [declared] * 3
    after = [mean_payload(averager) for averager in averagers]
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])
    assert_mean(averagers[0], (10 * given(averagers[0]) + 30 * given(averagers[2])) / 40)
    moved = sum((averager.traffic for averager in averagers), Traffic())
    to_and_fro = 2 * (len(to_give[averagers[0]]) + len(after[0]))  # everybody's share to two others, and its mean back
    assert moved == Traffic(to_and_fro, to_and_fro)

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
    assert torch.equal(mean_payload(averagers[0]), mean_payload(averagers[2]))

    to_give[averagers[1]] = encoded(numbers[1], COARSE)
    controls = [exchange(averager, 3, lineage="bb") for averager in averagers]
    assert all(outcome(control) for control in controls)
    assert_mean(averagers[0], torch.stack([given(averager) for averager in averagers]).mean(0))
    assert torch.equal(mean_payload(averagers[0]), mean_payload(averagers[2]))


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
    assert time.monotonic() - began < BOUND


def test_peers_that_nobody_can_call_leave_the_parts_to_one_that_can_be_called(start: Start) -> None:
    averagers = start(parts=24)  # more than a window
    for called in (averagers[0], averagers[1]):  # a device may come out of its firewall, or behind it
        before = [averager.traffic.received for averager in averagers]
        controls = [exchange(averager, 3, reachable=averager is called) for averager in averagers]
        assert [len(outcome(control) or {}) for control in controls] == [3] * 3
        assert len({bytes(mean_payload(averager).numpy()) for averager in averagers}) == 1
        assert_mean(called, torch.stack([given(averager) for averager in averagers]).mean(0))
        received = {averager: averager.traffic.received - had for averager, had in zip(averagers, before)}
        given_by_others = sum(len(to_give[averager]) for averager in averagers if averager is not called)
        assert received.pop(called) == given_by_others, "all that the others gave came to it, and nothing else"
        assert set(received.values()) == {len(mean_payload(called))}

    controls = [exchange(averager, 2, reachable=False, patience=1.0) for averager in averagers[:2]]
    assert [outcome(control) for control in controls] == [None, None], "nobody there puts the parts together"


def test_an_exchange_is_begun_by_the_swarm_s_time(nodes: list[DHT], monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose own clock is hours behind found no group: its exchanges were over before they began."""
    averager = PseudoGradientAverager(PART, nodes[0], next(runs))
    try:
        monkeypatch.setattr(clock._shift, "value", 3 * 3600.0)
        given = encoded(torch.ones(PART), FINE)
        options: dict[str, Any] = {"lineage": "aa", "samples": 1, "weight": 1, "steps": 1, "group_size": 2}
        control = averager.exchange(given, **options, patience=PATIENCE, company=NOBODY)
        assert control.deadline > clock.now()
        control.cancel()
    finally:
        averager.shutdown()


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
    for part in to_give[averagers[1]].split(payload_bytes(PART, COARSE)):
        part[: 2 * PART // BLOCK].view(torch.float16).mul_(factor)
    controls = [exchange(averager, 3) for averager in averagers]
    outcomes = [outcome(control) for control in controls]
    assert outcomes[1] is None, "it is told"
    assert all(untouched(averager) for averager, outcome in zip(averagers, outcomes) if outcome is None)
    left = [numbers_of(mean_payload(averager), averager) for averager in averagers[::2]]
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
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 2.0)
    averagers = start(peers, parts=peers)
    controls = [exchange(averager, peers) for averager in averagers]
    enough = peers == 3
    assert [outcome(control) is not None for control in controls] == [enough] * (peers - 1) + [False]
    if enough:
        assert torch.equal(*map(mean_payload, averagers[:2]))
    assert untouched(averagers[-1])


def test_who_is_shunned_is_in_no_group_of_ours(start: Start) -> None:
    averagers = start(3)
    for averager in averagers[:2]:
        averager.shun(averagers[2].peer_id.to_base58(), 600.0)
    controls = [exchange(averager, 2, patience=4.0) for averager in averagers]
    came = [outcome(control) for control in controls]
    assert came[0] is not None and came[0] == came[1] and came[2] is None
    assert averagers[2].peer_id.to_base58() not in came[0]


def test_who_is_not_answered_sends_no_more_than_a_window(
    nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, answer = nodes[1].peer_id, AgreeingRunner._encode

    async def never(self: AgreeingRunner, part_index: int, came: Mapping[int, Tensor]) -> Tensor:
        if self.peer_id == silent:
            await asyncio.Event().wait()
        return await answer(self, part_index, came)

    monkeypatch.setattr(AgreeingRunner, "_encode", never)
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 2.0)
    parts = 40
    averagers = start(2, parts=parts)
    controls = [exchange(averager, 2) for averager in averagers]
    assert [outcome(control) for control in controls] == [None, None]
    part, average = payload_bytes(PART, COARSE), payload_bytes(PART, MEAN_BITS[COARSE])
    unanswered = (averagers[0].traffic.sent - parts // 2 * average) / part
    assert 2 <= unanswered <= WINDOW_BYTES / (part + average)
    assert averagers[1].traffic.sent == parts // 2 * part, "which was answered, gave all it had"


def test_a_peer_killed_while_its_numbers_wait_for_a_slower_one_leaves_nobody_with_a_part_of_the_mean(
    nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late, goes_on, speak = nodes[1].peer_id, tmp_path / "goes on", AgreeingRunner._generate_input_for_peer

    async def speak_late(
        self: AgreeingRunner, peer_index: int, window: asyncio.Semaphore
    ) -> AsyncIterator[AveragingData]:
        async for message in speak(self, peer_index, window):
            yield message
            while self.peer_id == late and not goes_on.exists():
                await asyncio.sleep(0.05)

    monkeypatch.setattr(AgreeingRunner, "_generate_input_for_peer", speak_late)
    # all has to stall before it is over, on a loaded machine as well, and two have to exchange within it
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 8.0)
    averagers = start(parts=60)
    prompt, slow, victim = averagers
    controls = [exchange(averager, 3) for averager in averagers]
    traffic: list[int] = []

    def stalled() -> bool:
        traffic.append(prompt.traffic.received + victim.traffic.received)
        return traffic[-5:] == [traffic[-1]] * 5 and traffic[-1] > 0

    assert wait_until(stalled, BOUND)
    assert not any(control.done() for control in controls)
    send(victim, signal.SIGKILL)
    goes_on.touch()
    assert [outcome(control) for control in controls[:2]] == [None, None]
    assert untouched(prompt)
    assert untouched(slow)
    controls = [exchange(averager, 2, lineage="bb") for averager in averagers[:2]]
    assert all(outcome(control) for control in controls), "those who are left go on"
    assert torch.equal(*map(mean_payload, averagers[:2]))


# -- manners


def test_an_exchange_that_is_given_up_prints_nothing(nodes: list[DHT]) -> None:
    """asyncio prints what ended a future that nobody asked, with a traceback."""
    peers = [node.peer_id for node in nodes[:2]]

    async def work() -> list[str]:
        printed: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: printed.append(context["message"]))
        runner = AgreeingRunner(
            p2p=SimpleNamespace(peer_id=peers[0]),
            servicer_type=PseudoGradientAverager,
            prefix="",
            group_id=b"",
            tensors=[torch.zeros(payload_bytes(2 * PART, 4), dtype=torch.uint8)],
            part_size_bytes=payload_bytes(PART, 4),
            ordered_peer_ids=peers,
            peer_fractions=(0.5, 0.5),
            given=torch.zeros(payload_bytes(2 * PART, 2), dtype=torch.uint8),
            bits=[2, 2],
            weights=[1.0, 1.0],
            steps=[1, 1],
            agreement=Agreement(),
            answers=Answers(),
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


class Collecting(PseudoGradientAverager):
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
    parse_value(Declared, honest)
    with pytest.raises(ProtocolViolation):
        parse_value(Declared, {**honest, **lie})

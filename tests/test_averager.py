"""The exchange on the wire, with hivemind's own DHT and all-reduce on the loopback: who is in a group, what all end
with, and what happens when somebody sends nonsense or dies.
"""

from __future__ import annotations

import asyncio
import copy
import math
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT
from hivemind.averaging.control import StepControl
from hivemind.dht import DHTNode
from hivemind.proto.averaging_pb2 import AveragingData
from torch import Tensor

from minigpt.manifest import Progress
from peer import averager as averager_module
from peer.averager import AgreeingRunner, RoundAverager
from peer.membership import Notice, Role
from peer.network import Network, NetworkError, start_dht
from peer.node import View, parse_address
from peer.outer import OuterLoop
from tests.lan import wait_until
from tests.tiny import build_model

BOUND = 15.0  # seconds; what is measured takes a fraction of one
PATIENCE = 4.0
# fp16 on the way to the reducer and back: half a step of 2**-10 each, of the largest number
CODEC = 2**-10

Start = Callable[..., list[RoundAverager]]
runs = (f"run-{number}" for number in count())


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DHT]]:
    """Three DHT nodes that know each other, each with a process of its own."""
    folder = tmp_path_factory.mktemp("nodes")
    started: list[DHT] = []
    try:
        for number in range(3):
            started.append(start_dht("127.0.0.1", 0, folder / str(number) / "identity.key"))
        first = str(started[0].get_visible_maddrs()[0])
        for node in started[1:]:
            node.run_coroutine(partial(meet, address=first))
        yield started
    finally:
        for node in started:
            node.shutdown()
        assert wait_until(lambda: not any(node.is_alive() for node in started), BOUND)


async def meet(dht: DHT, node: DHTNode, *, address: str) -> None:
    other, dialable = parse_address(address)
    await node.p2p._client.connect(other, [dialable])
    await node.protocol.call_ping(other)


@pytest.fixture
def start(nodes: list[DHT]) -> Iterator[Start]:
    """Begins an averager on each of the first nodes, with numbers to average, for a run of their own."""
    started: list[RoundAverager] = []

    def start(peers: int = 3, shapes: tuple[tuple[int, ...], ...] = ((300, 50), (15_000,), (15_000,), (7,))) -> Any:
        run = next(runs)
        for number, node in enumerate(nodes[:peers]):
            generator = torch.Generator().manual_seed(number)
            buffers = [torch.randn(shape, generator=generator) * 0.01 for shape in shapes]
            started.append(RoundAverager(buffers, node, run))
        return started

    yield start
    for averager in started:
        if averager.is_alive():
            send(averager, signal.SIGCONT)
            averager.shutdown()
    assert wait_until(lambda: not any(averager.is_alive() for averager in started), BOUND)


def exchange(
    averager: RoundAverager,
    group_size: int,
    *,
    samples: int = 1,
    round: int = 3,
    anchor: str = "aa",
    patience: float = PATIENCE,
) -> StepControl:
    return averager.exchange(round=round, anchor=anchor, samples=samples, group_size=group_size, patience=patience)


def outcome(control: StepControl) -> dict[str, int] | None:
    """Samples by peer id; None where the exchange failed."""
    try:
        return {peer.to_base58(): given["samples"] for peer, given in control.result(BOUND).items()}
    except TimeoutError:
        raise
    except Exception:
        return None


def buffers(averager: RoundAverager) -> list[Tensor]:
    with averager.get_tensors() as tensors:
        return [tensor.clone() for tensor in tensors]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second))


def weighted_mean(tensors: list[list[Tensor]], weights: list[float]) -> list[Tensor]:
    return [sum(weight * part for weight, part in zip(weights, parts)) / sum(weights) for parts in zip(*tensors)]


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected):
        assert (one - other).abs().max() <= CODEC * 0.06  # no number of `start` is larger


def send(averager: RoundAverager, number: signal.Signals) -> None:
    assert averager.pid is not None
    os.kill(averager.pid, number)


# -- what all end with


def test_three_peers_end_with_the_same_bits_of_the_weighted_mean(start: Start) -> None:
    averagers = start()
    before = [buffers(averager) for averager in averagers]
    weights = [10, 0, 30]
    controls = [exchange(averager, 3, samples=samples) for averager, samples in zip(averagers, weights)]
    declared = {averager.peer_id.to_base58(): samples for averager, samples in zip(averagers, weights)}
    assert [outcome(control) for control in controls] == [declared] * 3
    after = [buffers(averager) for averager in averagers]
    assert equal(after[0], after[1])
    assert equal(after[0], after[2])
    assert_close(after[0], weighted_mean(before, [10, 0, 30]))
    sent, received = (sum(getattr(one, name) for one in averagers) for name in ("bytes_sent", "bytes_received"))
    numbers = sum(tensor.numel() for tensor in before[0])
    assert sent == received == pytest.approx(2 * 2 * 2 * numbers, rel=0.05), "two bytes a number, to and fro, 2 peers"

    with averagers[0].get_tensors() as tensors:
        for tensor in tensors:
            tensor.zero_()
    controls = [exchange(averager, 3, round=4) for averager in averagers]  # the same processes, once more
    assert all(outcome(control) for control in controls)
    assert_close(buffers(averagers[0]), [2 / 3 * tensor for tensor in after[0]])


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
    assert equal(*map(buffers, averagers))


# -- who is in a group


@pytest.mark.parametrize("other", [{"round": 4}, {"anchor": "bb"}])
def test_a_peer_at_another_round_or_anchor_is_in_no_group_of_ours(start: Start, other: dict[str, Any]) -> None:
    averagers = start()
    before = buffers(averagers[2])
    stranger = exchange(averagers[2], 2, **other)
    key = f"{averagers[2].prefix}.0b"
    looking = partial(averagers[0].dht.get, key, latest=True)
    assert wait_until(looking, BOUND), "the stranger is the first that the others will ask"
    controls = [exchange(averager, 2) for averager in averagers[:2]]
    together = {averager.peer_id.to_base58(): 1 for averager in averagers[:2]}
    assert [outcome(control) for control in controls] == [together] * 2
    assert not stranger.done()
    assert equal(buffers(averagers[2]), before)
    mate = exchange(averagers[0], 2, **other)
    assert outcome(stranger) == outcome(mate) is not None, "it only waited for somebody at the same place"


# -- those who send nonsense, or nothing


def test_nobody_s_sequences_are_no_mean(start: Start) -> None:
    averagers = start(2)
    before = [buffers(averager) for averager in averagers]
    controls = [exchange(averager, 2, samples=0) for averager in averagers]
    assert [outcome(control) for control in controls] == [None, None]
    assert equal(buffers(averagers[0]), before[0])
    assert equal(buffers(averagers[1]), before[1])


def test_a_peer_that_sends_no_numbers_fails_the_exchange_and_changes_nothing(start: Start) -> None:
    averagers = start()
    with averagers[1].get_tensors() as tensors:
        for tensor in tensors:
            tensor.fill_(math.nan)
    before = [buffers(averager) for averager in averagers]
    controls = [exchange(averager, 3) for averager in averagers]
    assert [outcome(control) for control in controls] == [None] * 3
    for averager, own in ((averagers[0], before[0]), (averagers[2], before[2])):
        assert equal(buffers(averager), own)
    controls = [exchange(averager, 2) for averager in averagers[::2]]
    assert all(outcome(control) for control in controls), "without it, the others exchange as ever"
    assert_close(buffers(averagers[0]), weighted_mean([before[0], before[2]], [1, 1]))


def test_a_peer_that_falls_silent_is_left_out(nodes: list[DHT], start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    silent, speak = nodes[2].peer_id, AgreeingRunner._generate_input_for_peer

    async def say_nothing(self: AgreeingRunner, peer_index: int) -> AsyncIterator[AveragingData]:
        if self.peer_id == silent:
            await asyncio.Event().wait()
        async for message in speak(self, peer_index):
            yield message

    monkeypatch.setattr(AgreeingRunner, "_generate_input_for_peer", say_nothing)
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 1.0)
    averagers = start()
    before = buffers(averagers[2])
    controls = [exchange(averager, 3) for averager in averagers]
    assert [outcome(control) is not None for control in controls] == [True, True, False]
    assert equal(*map(buffers, averagers[:2]))
    assert equal(buffers(averagers[2]), before)


def test_a_peer_killed_while_its_numbers_wait_for_a_slower_one_leaves_nobody_with_a_part_of_the_mean(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(averager_module, "CHUNK_TIMEOUT", 3.0)
    averagers = start(shapes=((3_000_000,),) * 3)
    prompt, slow, victim = averagers
    before = [buffers(averager) for averager in averagers]
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
    assert equal(buffers(prompt), before[0])
    assert equal(buffers(slow), before[1])
    controls = [exchange(averager, 2, round=4) for averager in averagers[:2]]
    assert all(outcome(control) for control in controls), "those who are left go on"
    assert equal(*map(buffers, averagers[:2]))


# -- manners


def test_ctrl_c_does_what_it_did_before(nodes: list[DHT], start: Start) -> None:
    def handler(number: int, frame: Any) -> None: ...

    previous = signal.signal(signal.SIGINT, handler)
    try:
        start(1)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


def test_the_outer_loop_says_that_its_averager_has_died(nodes: list[DHT], tmp_path: Path) -> None:
    network = SimpleNamespace(dht=nodes[0], view=View(), post=lambda notice: View())
    model = build_model(40)
    progress = Progress("cellmind", next(runs), 3, 300, 10, "aa")
    me = Notice(peer=nodes[0].peer_id.to_base58(), name="me", address="", role=Role.TRAINING, run_id=progress.run_id)
    outer = OuterLoop(
        model=model,
        anchor=copy.deepcopy(model),
        progress=progress,
        me=me,
        network=cast(Network, network),
        samples_per_round=100,
        checkpoints=tmp_path,
    )
    try:
        assert outer.tick(1.0, 0.1) is None
        send(outer._averager, signal.SIGKILL)
        outer._averager.join(BOUND)
        with pytest.raises(NetworkError, match="start it again"):
            outer.tick(1.0, 0.1)
    finally:
        outer.stop()

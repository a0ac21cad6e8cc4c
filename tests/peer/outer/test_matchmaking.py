"""Matchmaking between two real DHT nodes on the loopback: those who look for a group, and those who do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind import DHT
from hivemind.dht import DHTNode

from peer.network import clock
from peer.network.dht_board import board_at
from peer.outer import matchmaking
from peer.outer.matchmaking import KeptGroups
from tests.dht import acquainted_nodes

KEY = "a run.0b"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[DHT]]:
    with acquainted_nodes(tmp_path_factory.mktemp("nodes"), 2) as started:
        yield started


def test_who_looks_for_a_group_is_found_and_who_has_one_no_longer(nodes: list[DHT]) -> None:
    async def work() -> None:
        first, second = (KeptGroups(node, "a run") for node in nodes)
        until = clock.now() + 10
        await first.declare_averager(KEY, first.peer_id, until)
        assert await second.get_averagers(KEY, only_active=True) == [(first.peer_id, until)]
        await first.declare_averager(KEY, first.peer_id, until, looking_for_group=False)
        assert await second.get_averagers(KEY, only_active=True) == []
        assert [found for found, _ in await second.get_averagers(KEY, only_active=False)] == [first.peer_id]

    asyncio.run(work())


def test_whoever_waits_asks_at_once_and_then_now_and_again(nodes: list[DHT], monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        waiting = KeptGroups(nodes[0], "a run")
        moments = [time.monotonic()]
        for _ in range(2):
            await waiting.get_averagers(KEY, only_active=True)
            moments.append(time.monotonic())
        first, later = (after - before for before, after in pairwise(moments))
        assert first < 3.0 <= later

    monkeypatch.setattr(matchmaking, "PAUSE_SECONDS", 3.0)
    asyncio.run(work())


def test_a_network_part_that_cannot_be_asked_knows_of_nobody(
    nodes: list[DHT], capfd: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        waiting = KeptGroups(nodes[0], "a run")
        assert await waiting.get_averagers(KEY, only_active=True) == []

    nodes[0].run_coroutine(break_boards)
    try:
        asyncio.run(work())
    finally:
        nodes[0].run_coroutine(mend_boards)
    assert "Traceback" not in "".join(capfd.readouterr())


async def break_boards(dht: DHT, node: DHTNode) -> None:
    setattr(matchmaking, "board_at", lambda node, key: None)  # noqa: B010 -- it is imported there


async def mend_boards(dht: DHT, node: DHTNode) -> None:
    setattr(matchmaking, "board_at", board_at)  # noqa: B010

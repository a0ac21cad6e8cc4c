"""Averagers on real DHT nodes, for tests of exchanges on the wire."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT

from peer.outer.averager import PseudoGradientAverager
from peer.state.anchor import COARSE
from peer.state.codec import PART
from tests.lan import wait_until
from tests.peer.outer.exchanges import BOUND, Start, encoded, runs, send, to_give


@pytest.fixture
def start(nodes: list[DHT]) -> Iterator[Start]:
    """Begins an averager on each of the first nodes, with numbers to average, for a run of their own."""
    started: list[PseudoGradientAverager] = []

    def start(peers: int = 3, parts: int = 3) -> Any:
        run = next(runs)
        for number, node in enumerate(nodes[:peers]):
            numbers = torch.randn(parts * PART, generator=torch.Generator().manual_seed(number))
            averager = PseudoGradientAverager(len(numbers), node, run)
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

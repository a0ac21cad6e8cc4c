"""An averager's process that is killed while somebody waits for it."""

from __future__ import annotations

import signal
import threading
import time

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT
from hivemind.averaging.control import StepControl

from peer.outer.averager import PseudoGradientAverager
from peer.state.anchor import FINE
from peer.state.codec import PART
from tests.peer.outer.exchanges import BOUND, encoded, runs, send


def test_an_averager_that_dies_before_it_has_taken_an_exchange_on_holds_nobody_up(
    nodes: list[DHT], capfd: pytest.CaptureFixture[str]
) -> None:
    """Training waited for its answer for ever, and so never saw that it was dead."""
    averager = PseudoGradientAverager(PART, nodes[0], next(runs))
    begun: list[StepControl] = []

    def exchange() -> None:
        given = encoded(torch.ones(PART), FINE)
        begun.append(averager.exchange(given, lineage="aa", samples=1, weight=1, steps=1, group_size=2, patience=4.0))

    send(averager, signal.SIGSTOP)  # as on a machine that is busy with something else
    training = threading.Thread(target=exchange, daemon=True)
    training.start()
    time.sleep(1.5)
    assert training.is_alive() and not begun
    send(averager, signal.SIGKILL)
    training.join(BOUND)
    assert not training.is_alive() and not averager.is_alive()
    assert begun[0].cancelled()
    begun.clear()
    averager.join(BOUND)
    assert "Traceback" not in capfd.readouterr().err

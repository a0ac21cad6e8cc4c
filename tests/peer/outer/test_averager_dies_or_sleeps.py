"""An averager's process that is killed while somebody waits for it, or sleeps through an exchange."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind import DHT
from hivemind.averaging.control import StepControl
from hivemind.averaging.partition import AllreduceException
from torch import Tensor

from peer.network import clock
from peer.outer import averager as averager_module
from peer.outer.averager import PseudoGradientAverager
from peer.outer.traffic import Traffic
from peer.state.anchor import FINE
from peer.state.codec import PART
from tests.peer.outer.exchanges import BOUND, NOBODY, encoded, runs, send


def test_an_averager_that_dies_before_it_has_taken_an_exchange_on_holds_nobody_up(
    nodes: list[DHT], capfd: pytest.CaptureFixture[str]
) -> None:
    """Training waited for its answer for ever, and so never saw that it was dead."""
    averager = PseudoGradientAverager(PART, nodes[0], next(runs))
    begun: list[StepControl] = []

    def exchange() -> None:
        given = encoded(torch.ones(PART), FINE)
        declared: dict[str, Any] = {"lineage": "aa", "samples": 1, "weight": 1, "steps": 1, "group_size": 2}
        begun.append(averager.exchange(given, **declared, patience=4.0, company=NOBODY))

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


@pytest.mark.parametrize("asleep", [0.0, 2.0, 9.0])
def test_who_has_slept_for_longer_than_others_wait_does_not_take_a_mean_that_they_may_have_given_up(
    asleep: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([100.0, 100.0 + asleep, 100.0 + asleep])
    monkeypatch.setattr(clock, "now", lambda: next(times))

    async def mean() -> list[Tensor]:
        return [torch.ones(1)]

    waiting = PseudoGradientAverager._unless_it_stalls(
        SimpleNamespace(traffic=Traffic(0, 0)),  # type: ignore[arg-type]
        mean(),
        averager_module.TIMEOUTS * 3.0,
    )
    if asleep > 3.0:
        with pytest.raises(AllreduceException, match="asleep"):
            asyncio.run(waiting)
    else:
        assert asyncio.run(waiting) == [torch.ones(1)]

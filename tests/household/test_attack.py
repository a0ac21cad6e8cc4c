"""A peer that trains, and a stranger who sends odd messages to everything it answers (benchmarks/odd_messages.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.odd_messages import MAX_GROWTH_MB, attacked
from tests.lan import requirements_missing


@pytest.mark.lan
@pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")
def test_hundreds_of_odd_messages_to_every_handler_harm_nothing(tmp_path: Path) -> None:
    outcome = attacked(tmp_path / "peer", count=200, seed=1)
    assert outcome.problems == []
    assert outcome.growth_mb < MAX_GROWTH_MB
    assert outcome.rounds > 0, "it trains on meanwhile"
    for handler in ("ping", "store", "find", "manifest", "pieces", "file", "mean", "join_group", "aggregate_part"):
        assert f"rpc_{handler}: answered" in outcome.answers or f"rpc_{handler}: P2PHandlerError" in outcome.answers

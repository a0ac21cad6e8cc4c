"""The handle on the network part, with a real one on the loopback."""

from __future__ import annotations

from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.utils import MPFuture

from peer import network as network_module
from peer.network import Network, free_port
from tests.lan import wait_until


def test_a_view_that_does_not_come_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "ANSWER_SECONDS", 0.5)
    port = free_port("127.0.0.1", 0)
    network = Network(run="a run", name="", host="127.0.0.1", port=port, checkpoints=tmp_path, report=print)
    try:
        network.post(None)
        network._asked = MPFuture()  # which nobody answers
        before = network.view
        assert wait_until(lambda: network.post(None) is not before, 15.0)
    finally:
        network.stop()

"""The handle on the network part, with a real one on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.utils import MPFuture

from peer.network import handle as network_module
from peer.network.address import free_port
from peer.network.handle import Network
from peer.state.fetching import TransferError
from tests.lan import wait_until


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    port = free_port("127.0.0.1", 0)
    network = Network(run="a run", name="", host="127.0.0.1", port=port, checkpoints=tmp_path, report=print)
    yield network
    network.stop()


def test_a_view_that_does_not_come_is_asked_for_again(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "ANSWER_SECONDS", 0.5)
    network.post(None)
    network._asked = MPFuture()  # which nobody answers
    before = network.view
    assert wait_until(lambda: network.post(None) is not before, 15.0)


def test_whatever_a_donor_makes_a_task_raise_is_a_failed_transfer(network: Network) -> None:
    nobody = "0" * 46  # not even a peer id
    with pytest.raises(TransferError, match="Invalid character"):
        network.fetch_manifest(nobody, "a run")
    poll = network.fetch_settings(nobody, "a run")
    with pytest.raises(TransferError, match="Invalid character"):
        wait_until(lambda: poll() is not None, 15.0)

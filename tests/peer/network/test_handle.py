"""The handle on the network part, with a real one on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTNode
from hivemind.utils import MPFuture
from zeroconf import ServiceInfo

from peer.network import clock
from peer.network import handle as network_module
from peer.network.address import Address, free_port
from peer.network.child_calls import Pending
from peer.network.dht_records import board_of
from peer.network.discovery import SERVICE_TYPE, tell
from peer.network.handle import Network
from peer.network.node import Node
from peer.network.other_versions import what_to_update
from peer.state.fetching import TransferError
from peer.wire import PROTOCOL_VERSION
from tests.dht import node_in
from tests.lan import wait_until


@pytest.fixture
def said() -> list[str]:
    """Return the list of what the user is told."""
    return []


@pytest.fixture
def network(tmp_path: Path, said: list[str]) -> Iterator[Network]:
    port = free_port("127.0.0.1", 0)
    network = Network(run="a run", name="", host="127.0.0.1", port=port, checkpoints=tmp_path, report=said.append)
    yield network
    network.stop()


def test_a_view_that_does_not_come_is_asked_for_again(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "ANSWER_SECONDS", 0.5)
    network.post(None)
    network._asked = Pending(MPFuture(), lambda: True)  # which nobody answers
    before = network.view
    assert wait_until(lambda: network.post(None) is not before, 60.0)


def test_a_network_part_that_the_disk_keeps_from_starting_is_started_later(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as on_a_full_disk:
        on_a_full_disk.setattr(network, "_start", full)
        network.start_again()
        assert not network.is_alive and network.post(None) == network.view
    monkeypatch.setattr(network, "_not_before", 0.0)
    network.post(None)
    assert network.is_alive


def test_whatever_a_donor_makes_a_task_raise_is_a_failed_transfer(network: Network) -> None:
    nobody = "0" * 46  # not even a peer id
    with pytest.raises(TransferError, match="Invalid character"):
        network.fetch_manifest(nobody, "a run")
    settings = network.fetch_settings(nobody, "a run")
    with pytest.raises(TransferError, match="Invalid character"):
        wait_until(lambda: settings.poll() is not None, 60.0)


@pytest.mark.lan
def test_of_a_device_with_an_older_version_the_user_hears_once_and_nothing_else(
    network: Network, said: list[str]
) -> None:
    """It says what devices said before there was a version, on the notice board that all versions share."""

    known = network.dht.get_visible_maddrs()

    async def old_device() -> None:
        node = await DHTNode.create(initial_peers=known, use_relay=False, auto_nat=False)
        own = node.peer_id.to_base58()
        notice = {"peer": own, "name": "desk", "address": f"/ip4/10.0.0.9/tcp/1/p2p/{own}", "role": "training"}
        notice.update({"run_id": "a run-0123456789ab", "anchor": "ab" * 32, "trained": 2**20, "sharing": True})
        try:
            for _ in range(240):
                await node.store(board_of("a run"), notice, clock.now() + 8, subkey=notice["address"])
                network.post(None)
                await asyncio.sleep(0.25)
                if len(said) > 0 and network.view.connected:
                    break
            for _ in range(8):  # and after that nothing more
                network.post(None)
                await asyncio.sleep(0.25)
        finally:
            await node.shutdown()

    asyncio.run(old_device())
    line = "desk (10.0.0.9) runs an older version of CellMind and does not train with this one: update it (git pull)"
    assert said == [line]
    assert network.view.notices == [], "there is nobody to train with"


def test_an_announcement_of_another_version_is_told_of_and_not_dialled(tmp_path: Path) -> None:
    async def work() -> tuple[list[str], list[str]]:
        dht = await node_in(tmp_path)
        try:
            node = Node(dht, "cellmind", Address("10.0.0.8", 1, dht.peer_id.to_base58()), tmp_path)
            newer, same = {"version": str(PROTOCOL_VERSION + 1)}, {"version": str(PROTOCOL_VERSION)}
            for letter, more in (("A", {}), ("B", newer), ("C", same), ("D", {"run": "club"})):
                address = f"/ip4/10.0.0.9/tcp/1/p2p/{dht.peer_id.to_base58()[:-1]}{letter}"
                said = {"address": address, "name": f"device {letter}", "run": "cellmind", "started": "1.0", **more}
                properties = {key.encode(): value.encode() for key, value in said.items()}
                for _ in range(2):
                    tell(ServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", properties=properties), node.search.on_found)
            told = [what_to_update(other)[:40] for other in node.view().other_versions]
            return told, [address[-1] for address in node.meetings.addresses]
        finally:
            await dht.shutdown()

    told, dialled = asyncio.run(work())
    assert told == ["device A (10.0.0.9) runs an older versio", "device B (10.0.0.9) runs a newer version"]
    assert dialled == ["C"]

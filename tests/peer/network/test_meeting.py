"""Meeting others: whoever is back is met at once, whoever is not makes room, and a live connection is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTNode
from hivemind.p2p import P2P, PeerID

from peer.network import meeting
from peer.network.address import Address
from peer.network.door import Door
from peer.network.hivemind_patches import daemon_of
from peer.network.meeting import RETRY_SECONDS, Meetings
from tests.lan import wait_until

pytestmark = pytest.mark.lan

ALONE: dict[str, Any] = {"use_relay": False, "use_auto_relay": False, "nat_port_map": False, "auto_nat": False}


def test_a_device_that_is_back_is_met_at_once_however_often_it_did_not_answer(tmp_path: Path) -> None:
    """p2pd would not call an address for 5 + n² seconds that has failed n times, however often it is asked to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    identity = str(tmp_path / "identity.key")

    async def work() -> list[str]:
        P2P.generate_identity(identity)
        peer_id = PeerID.from_identity(Path(identity).read_bytes())
        address = str(Address("127.0.0.1", port, peer_id.to_base58()))
        dht, other, said = await DHTNode.create(**ALONE), None, []
        try:
            meetings = Meetings(dht, Door())
            meetings.remember(address)
            for _ in range(3):
                await meetings.meet(address, meetings.addresses[address])
                said.append(meetings.refused[address])
            listening = [f"/ip4/127.0.0.1/tcp/{port}"]
            other = await DHTNode.create(identity_path=identity, host_maddrs=listening, **ALONE)
            await meetings.meet(address, meetings.addresses[address])
            return [*said, meetings.refused.get(address, "met")]
        finally:
            for started in (dht, other):
                if started is not None:
                    await started.shutdown()

    assert asyncio.run(work()) == [*["connection refused"] * 3, "met"]


def test_addresses_that_fail_make_room_and_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "MAX_ADDRESSES", 2)
    first, second, third, fourth = (str(Address("127.0.0.1", 1, letter * 46)) for letter in "ABCD")

    async def work() -> None:
        dht = await DHTNode.create(**ALONE)
        try:
            meetings = Meetings(dht, Door())
            for address in (first, second, third):
                meetings.remember(address)
            assert list(meetings.addresses) == [first, second], "which may be good ones: they have not been tried"
            while meetings.addresses[first].pause < RETRY_SECONDS[2]:
                meetings.remember(third)
                assert list(meetings.addresses) == [first, second]
                await meetings.meet(first, meetings.addresses[first])
            meetings.addresses[second].pause = RETRY_SECONDS[2]
            assert first in meetings.refused
            for address in (third, fourth):
                meetings.remember(address)
            assert list(meetings.addresses) == [second, third], "one at a time"
            assert first not in meetings.refused
        finally:
            await dht.shutdown()

    asyncio.run(work())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="whether a process stands still is asked of Linux")
def test_a_live_connection_is_kept_whatever_is_said_of_its_device(tmp_path: Path) -> None:
    async def work() -> None:
        dht, other = await DHTNode.create(**ALONE), await DHTNode.create(**ALONE)
        try:
            meetings = Meetings(dht, Door())
            address = str((await other.get_visible_maddrs())[0])
            meetings.remember(address)
            await meetings.meet(address, meetings.addresses[address])
            await meetings.let_go(other.peer_id)
            assert [info.peer_id for info in await dht.p2p.list_peers()] == [other.peer_id]
            daemon = daemon_of(other.p2p)
            assert daemon is not None
            pid = daemon.pid
            os.kill(pid, signal.SIGSTOP)  # as a phone that has left the house is silent
            assert wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "T", 30)
            try:
                await asyncio.wait_for(meetings.let_go(other.peer_id), 15)
                assert not await dht.p2p.list_peers()
            finally:
                os.kill(pid, signal.SIGCONT)
        finally:
            await asyncio.gather(dht.shutdown(), other.shutdown())

    asyncio.run(work())

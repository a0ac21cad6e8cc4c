"""Two devices that were made one: a folder copied with all that is in it, and a name given twice."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from peer.network import clock
from peer.network.address import Address
from peer.network.folder import IDENTITY
from peer.network.node import Node
from peer.network.signatures import Signer
from peer.swarm.membership import SILENCE_SECONDS
from peer.wire import Notice, Role
from tests.devices import GentleDevice
from tests.dht import node_in
from tests.lan import Lan, requirements_missing

pytestmark = pytest.mark.lan

START = 180.0  # seconds; a machine that runs other things as well starts three peers in half of it


@pytest.mark.skipif(requirements_missing() is not None, reason=f"no test LAN: {requirements_missing()}")
def test_of_two_with_one_identity_the_later_one_takes_another(tmp_path: Path, round_zero: Path) -> None:
    with Lan(hosts=2) as lan:
        first, second = (GentleDevice(host, tmp_path / host.name) for host in lan.hosts)
        first.prepare(round_zero)
        second.prepare(round_zero, with_run=False)
        earlier = first.join("--name", "desk")
        earlier.wait_for("^desk trains", START)
        with suppress(shutil.Error):  # of what is written and removed just then
            shutil.copytree(first.folder / "checkpoints", second.folder / "checkpoints", dirs_exist_ok=True)
        later = second.join("--name", "desk")
        later.wait_for(
            r"the device at 10\.77\.0\.11 has the same identity, from a copied identity\.key: "
            "this one goes on with a new one",
            START,
        )
        earlier.wait_for(r"^round .* with desk \(2\)$", START)
        later.wait_for("^round .* with desk$", START)
        assert "has the same identity" not in earlier.output()
        assert "going on with run" in later.output(), "its checkpoints are kept"
        keys = [(device.folder / "checkpoints" / "identity.key").read_bytes() for device in (first, second)]
        assert keys[0] != keys[1]
        assert "Traceback" not in earlier.output() + later.output()


@pytest.mark.parametrize(
    ("ago", "started", "twin"),
    [(0.0, 5.0, True), (0.0, -5.0, False), (5.0, 5.0, False)],
    ids=["earlier", "later", "our own from before we started"],
)
def test_where_multicast_does_not_reach_the_notice_board_tells_whom_to_ask(
    tmp_path: Path, ago: float, started: float, twin: bool
) -> None:
    """`ago`: seconds since the notice was left; `started`: seconds that its peer began before us."""

    async def work() -> str | None:
        dht = await node_in(tmp_path)
        try:
            own = dht.peer_id.to_base58()
            node = Node(dht, "cellmind", Address("10.77.0.98", 23457, own), tmp_path)
            node.identity._began -= 3.0  # we started so long ago
            other = Notice(
                peer=own,
                name="desk",
                address=str(Address("10.77.0.99", 23457, own)),
                role=Role.TRAINING,
                started=node.identity.started - started,
            )
            expiration = clock.now() + SILENCE_SECONDS - ago
            board = node.notices.board
            signed = Signer(tmp_path / IDENTITY).signed(board.key, other.model_dump(mode="json"), expiration)
            await board.post(other.address, signed, expiration)
            await node.notices.read()
            assert node.notices.members.here == [], "it is nobody else"
            assert node.identity.twin is None, "nothing is proved yet"
            return node.identity._suspected
        finally:
            await dht.shutdown()

    assert (asyncio.run(work()) is not None) == twin

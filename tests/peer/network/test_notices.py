"""Our own notice on the board: repeated while training lives, and silent about being ready while it stands still."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTNode

from peer.network import clock
from peer.network.address import Address
from peer.network.dht_board import Board
from peer.network.identity import Identity
from peer.network.node import Node
from peer.network.notices import Notices
from peer.network.other_versions import OtherVersions
from peer.wire import Notice, Role, parse_notice

QUIET = {"use_relay": False, "use_auto_relay": False, "nat_port_map": False, "auto_nat": False}


@pytest.mark.parametrize(("silent_seconds", "said"), [(60.0, True), (5.0, False)])
def test_a_notice_is_repeated_for_as_long_as_training_may_wait_for_others(
    tmp_path: Path, silent_seconds: float, said: bool
) -> None:
    async def work() -> None:
        dht = await DHTNode.create(**QUIET)
        try:
            notices = Node(dht, "cellmind", Address("10.77.0.99", 23457, dht.peer_id.to_base58()), tmp_path).notices
            address = f"/ip4/10.77.0.99/tcp/23457/p2p/{dht.peer_id.to_base58()}"
            said_last = Notice(
                peer=dht.peer_id.to_base58(), name="desk", address=address, role=Role.TRAINING, ready=True
            )
            notices.say(said_last, silent_seconds)
            notices._said_at -= 30.0
            await notices.post()
            assert (address in await notices.board.read()) == said
            notices.expect_silence(60.0)
            await notices.post()
            notice = parse_notice(address, (await notices.board.read())[address][0])
            assert notice is not None and not notice.ready, "training stands still, and has said so"
        finally:
            await dht.shutdown()

    asyncio.run(work())


def test_our_own_words_from_before_an_update_are_no_device_to_update() -> None:
    """They stay on the board for some seconds after the older version has ended, and an update may take less."""
    ours = Address("10.0.0.8", 23457, "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    theirs = Address("10.0.0.9", 23457, "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5P")
    entries = {
        str(address): ({"peer": address.peer, "name": "desk", "address": str(address)}, clock.now() + 5)
        for address in (ours, theirs)
    }

    async def read() -> dict[str, tuple[dict[str, str], float]]:
        return entries

    async def moved(whom: object) -> None:
        raise AssertionError("nobody has")

    other_versions = OtherVersions()
    board = cast(Board, SimpleNamespace(read=read))
    asyncio.run(Notices(board, Identity(ours), other_versions, moved).read())
    assert [other.peer for other in other_versions.heard] == [theirs.peer]

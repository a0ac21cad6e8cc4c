"""Our own notice on the board: repeated while training lives, and silent about being ready while it stands still."""

from __future__ import annotations

import asyncio
from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTNode

from peer.network.address import Address
from peer.network.node import Node
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

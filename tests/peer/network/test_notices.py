"""Our own notice on the board: repeated while training lives, and silent about being ready while it stands still."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTID
from hivemind.p2p import P2P

from peer.network import clock
from peer.network.address import Address
from peer.network.dht_board import Board
from peer.network.identity import Identity
from peer.network.node import Node
from peer.network.notices import Notices
from peer.network.other_versions import OtherVersions
from peer.network.signatures import Signer
from peer.wire import Notice, Role, parse_notice
from tests.dht import node_in


@pytest.mark.parametrize(("silent_seconds", "said"), [(60.0, True), (5.0, False)])
def test_a_notice_is_repeated_for_as_long_as_training_may_wait_for_others(
    tmp_path: Path, silent_seconds: float, said: bool
) -> None:
    async def work() -> None:
        dht = await node_in(tmp_path)
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


def test_our_own_words_from_before_an_update_are_no_device_to_update(tmp_path: Path) -> None:
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
    board = cast(Board, SimpleNamespace(read=read, key=DHTID.generate(source="board").to_bytes()))
    P2P.generate_identity(str(tmp_path / "identity.key"))
    signer = Signer(tmp_path / "identity.key")
    asyncio.run(Notices(board, Identity(ours), signer, frozenset, other_versions, moved, lambda: "").read())
    assert [other.peer for other in other_versions.heard] == [theirs.peer]


def test_whoever_says_to_have_moved_and_does_not_answer_keeps_nobody_from_reading(tmp_path: Path) -> None:
    P2P.generate_identity(str(tmp_path / "identity.key"))
    signer, key = Signer(tmp_path / "identity.key"), DHTID.generate(source="board").to_bytes()
    ours = Address("10.0.0.8", 23457, "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    entries: dict[str, object] = {}

    async def read() -> dict[str, object]:
        return entries

    async def silent(whom: object) -> None:
        await asyncio.sleep(60)

    async def work() -> None:
        board = cast(Board, SimpleNamespace(read=read, key=key))
        notices = Notices(board, Identity(ours), signer, frozenset, OtherVersions(), silent, lambda: "")
        for number in (1, 2):
            address, expiration = f"/ip4/10.0.0.{number}/tcp/1/p2p/{signer.peer}", clock.now() + 7 + number / 10
            said = Notice(peer=signer.peer, name="desk", address=address, role=Role.TRAINING).model_dump(mode="json")
            entries[address] = (signer.signed(key, said, expiration), expiration)
            await asyncio.wait_for(notices.read(), 5)
        assert [notice.address for notice in notices.members.here] == [address]

    asyncio.run(work())

"""Records that no honest peer makes never come onto the notice board, nor in the way of those who look at it."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage
from hivemind.dht.validation import DHTRecord
from hivemind.proto import dht_pb2
from hivemind.utils import MSGPackSerializer

from peer.network import clock, dht_records
from peer.network.address import Address
from peer.network.dht_records import MAX_LIFE_SECONDS, MAX_RECORD_BYTES, SoundRecords, board_of, forget_if_too_much
from peer.network.folder import IDENTITY
from peer.network.node import Node
from peer.network.signatures import Signer
from peer.swarm.membership import SILENCE_SECONDS
from peer.wire import PROTOCOL_VERSION, Notice, Role
from tests.dht import node_in

pytestmark = pytest.mark.lan

BOARD = DHTID.generate(source=board_of("cellmind")).to_bytes()
ELSEWHERE = DHTID.generate(source="averager.all_averagers").to_bytes()
ADDRESS = MSGPackSerializer.dumps("/ip4/10.0.0.1/tcp/1/p2p/QmA")
NOTICE = MSGPackSerializer.dumps({"peer": "QmA"})  # of the first version, which did not sign
UNSIGNED = MSGPackSerializer.dumps({"version": PROTOCOL_VERSION, "peer": "QmA"})
NOT_MSGPACK = MSGPackSerializer.dumps({1: "a key that is no text"})

REFUSED = {
    "not msgpack": (BOARD, ADDRESS, NOT_MSGPACK, 5.0),
    "unsigned": (BOARD, ADDRESS, UNSIGNED, 5.0),
    "unsigned, on the board of another run": (ELSEWHERE, ADDRESS, UNSIGNED, 5.0),
    "not msgpack, elsewhere": (ELSEWHERE, ADDRESS, b"\xc1", 5.0),
    "a plain value in the board's place": (BOARD, DHTProtocol.IS_REGULAR_VALUE, NOTICE, 5.0),
    "under no text": (BOARD, MSGPackSerializer.dumps(7), NOTICE, 5.0),
    "under a list": (ELSEWHERE, MSGPackSerializer.dumps([1]), NOTICE, 5.0),
    "too large": (ELSEWHERE, ADDRESS, MSGPackSerializer.dumps("x" * MAX_RECORD_BYTES), 5.0),
    "under too much": (ELSEWHERE, MSGPackSerializer.dumps("x" * MAX_RECORD_BYTES), NOTICE, 5.0),
    "a notice for ever": (BOARD, ADDRESS, NOTICE, 60.0),
    "for ever": (ELSEWHERE, ADDRESS, NOTICE, 2 * MAX_LIFE_SECONDS),
    "until never": (ELSEWHERE, ADDRESS, NOTICE, math.nan),
}


@pytest.mark.parametrize(("key", "subkey", "value", "life"), REFUSED.values(), ids=REFUSED)
def test_what_no_honest_peer_stores_is_refused(key: bytes, subkey: bytes, value: bytes, life: float) -> None:
    sound = SoundRecords(board_of("cellmind"))
    assert not sound.validate(DHTRecord(key, subkey, value, clock.now() + life))


def test_notices_and_what_hivemind_stores_are_taken() -> None:
    sound = SoundRecords(board_of("cellmind"))
    assert sound.validate(DHTRecord(BOARD, ADDRESS, NOTICE, clock.now() + SILENCE_SECONDS))
    for subkey in (DHTProtocol.IS_REGULAR_VALUE, MSGPackSerializer.dumps(b"peer id")):
        assert sound.validate(DHTRecord(ELSEWHERE, subkey, MSGPackSerializer.dumps((1, 2.0)), clock.now() + 60))


def test_odd_records_hide_no_notice(tmp_path: Path) -> None:
    async def work() -> list[str]:
        (tmp_path / "stranger").mkdir()
        dht = await node_in(tmp_path, record_validator=SoundRecords(board_of("cellmind")))
        stranger = await node_in(tmp_path / "stranger", initial_peers=await dht.get_visible_maddrs())
        signer = Signer(tmp_path / "stranger" / IDENTITY)
        try:
            node = Node(dht, "cellmind", Address("10.0.0.1", 1, dht.peer_id.to_base58()), tmp_path)
            other = stranger.peer_id.to_base58()
            honest = Notice(peer=other, name="desk", address=f"/ip4/10.0.0.2/tcp/1/p2p/{other}", role=Role.TRAINING)
            for key, subkey, value, life in REFUSED.values():
                request = dht_pb2.StoreRequest(
                    keys=[key], subkeys=[subkey], values=[value], expiration_time=[clock.now() + life], in_cache=[False]
                )
                answer = await stranger.protocol.get_stub(dht.peer_id).rpc_store(request)
                assert list(answer.store_ok) == [False]
            expiration = clock.now() + SILENCE_SECONDS
            signed = signer.signed(BOARD, honest.model_dump(mode="json"), expiration)
            await stranger.store(board_of("cellmind"), signed, expiration, subkey=honest.address)
            await node.notices.read()
            return [notice.name for notice in node.notices.members.here]
        finally:
            await stranger.shutdown()
            await dht.shutdown()

    assert asyncio.run(work()) == ["desk"]


def test_a_storage_that_somebody_fills_up_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_records, "MAX_STORED_BYTES", 10_000)
    storage = DHTLocalStorage()
    for _ in range(40):
        storage.store(DHTID.generate(), b"x" * 100, clock.now() + 60)
    forget_if_too_much(storage)
    assert len(storage) == 40
    board = DHTID.generate()
    for number in range(40):
        storage.store(board, b"x" * 100, clock.now() + 60, subkey=str(number))
    forget_if_too_much(storage)
    assert len(storage) == 0

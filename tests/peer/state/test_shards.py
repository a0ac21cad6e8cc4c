"""Token shards between two real nodes on the loopback: taken, resumed, refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import numpy as np
import pytest
from hivemind.p2p import P2P, P2PContext
from hivemind.proto import runtime_pb2

from minigpt.dataset import Batches, GrowingDataset
from peer import wire
from peer.network.address import Address
from peer.network.hivemind_patches import connect
from peer.state import shards
from peer.state.fetching import TransferError
from peer.state.serving import StateService
from peer.state.shards import Gathering, KeptShards, ShardService, Stock
from peer.wire import ProtocolViolation, ShardList, hash_of, parse

pytestmark = pytest.mark.lan

TOKENIZER, RUN_ID = "a" * 64, "cellmind-0123456789ab"
VOCABULARY = 300
SHARD = 2000  # bytes


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shards, wire):
        monkeypatch.setattr(module, "SHARD_BYTES", SHARD)
    monkeypatch.setattr(shards, "CHUNK_BYTES", 300)


def write_ids(folder: Path, count: int = 5500, largest: int = VOCABULARY - 1, dtype: str = "<u2") -> Path:
    ids = np.random.default_rng(count).integers(0, largest + 1, count).astype(dtype)
    ids[-1] = largest
    np.save(folder / "train.ids-1.npy", ids)
    return folder / "train.ids-1.npy"


def beside(
    service: Callable[[], ShardService], folder: Path, work: Callable[[Gathering, Any], Awaitable[Any]], **more: Any
) -> Any:
    """Return what `work` gives for a joiner that gathers into `folder`, and a donor with what `service` makes."""

    async def run() -> Any:
        donor, joiner = [await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False) for _ in range(2)]
        try:
            await service().add_p2p_handlers(donor)
            await connect(joiner, Address.parse(str((await donor.get_visible_maddrs())[0])))
            kept = KeptShards(folder / "shards", RUN_ID, VOCABULARY)
            gathering = Gathering(joiner, kept, more.get("tokenizer", TOKENIZER), StateService(folder))
            return await asyncio.wait_for(work(gathering, donor.peer_id), 120)
        finally:
            await joiner.shutdown()
            await donor.shutdown()

    return asyncio.run(run())


def giving(ids: Path) -> Callable[[], ShardService]:
    return lambda: ShardService(ids, TOKENIZER, StateService(ids.parent))


async def take_all(gathering: Gathering, donor: Any) -> Stock:
    while (stock := await gathering.take(donor)).missing:
        pass
    return stock


def kept_ids(folder: Path) -> list[np.ndarray]:
    """The shards that are kept, in the order in which they came."""
    content = (folder / f"shards/{RUN_ID}.ids").read_bytes()
    sizes = [int(line.split()[1]) for line in (folder / f"shards/{RUN_ID}.index").read_text().splitlines()]
    ends = np.cumsum(sizes)
    return [np.frombuffer(content[end - size : end], "<u2") for size, end in zip(sizes, ends)]


def test_all_shards_come_in_a_random_order_and_are_trained_on(tmp_path: Path) -> None:
    source = write_ids(tmp_path)
    orders = []
    for folder in (tmp_path / "one", tmp_path / "another"):
        stock = beside(giving(source), folder, take_all)
        assert stock == Stock(ids=5500, shards=6, missing=0)
        ids = np.load(source)
        pieces = [tuple(ids[start : start + 1000]) for start in range(0, 5500, 1000)]
        here = [tuple(shard) for shard in kept_ids(folder)]
        assert sorted(here) == sorted(pieces)
        orders.append([pieces.index(piece) for piece in here])
    assert orders[0] != orders[1] or orders[0] != sorted(orders[0])

    dataset = GrowingDataset(folder / f"shards/{RUN_ID}.ids", np.dtype("<u2"), 16, seed=0)
    batches = Batches(dataset, 4)
    dataset.grow(len(here[0]))  # the first shard is enough to begin with
    ring = [*map(int, here[0]), *map(int, here[0][:16])]
    windows = {tuple(ring[start : start + 16]) for start in range(len(here[0]))}
    assert {tuple(row.tolist()) for _ in range(10) for row in next(batches)[0]} <= windows
    dataset.grow(stock.ids)
    assert len(dataset) == 5500 // 16
    assert next(batches)[0].shape == (4, 16)


def test_a_shard_that_was_cut_off_goes_on_and_what_is_here_is_not_taken_again(tmp_path: Path) -> None:
    source = write_ids(tmp_path)
    sent: list[int] = []

    class BreaksOff(ShardService):
        async def rpc_shard(
            self, request: runtime_pb2.ExpertUID, context: P2PContext
        ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
            """As the real one, but the fourth shard breaks off after 900 bytes."""
            offset = json.loads(request.uid)["offset"]
            sent.append(offset)
            left = 900 if len(sent) == 4 else SHARD
            async for message in super().rpc_shard(request, context):
                if left <= 0:
                    return
                left -= len(message.serialized_info)
                yield message

    BreaksOff.__name__ = ShardService.__name__  # hivemind names handlers after the class

    async def work(gathering: Gathering, donor: Any) -> int:
        for _ in range(3):
            await gathering.take(donor)
        with pytest.raises(TransferError, match="less than a shard"):
            await gathering.take(donor)
        return gathering._traffic.bytes_received

    before = beside(lambda: BreaksOff(source, TOKENIZER, StateService(tmp_path)), tmp_path, work)
    assert before >= 2 * SHARD + 900

    async def go_on(gathering: Gathering, donor: Any) -> int:
        assert len(gathering.kept.shards) == 3
        assert await take_all(gathering, donor) == Stock(5500, 6, 0)
        return gathering._traffic.bytes_received

    assert beside(giving(source), tmp_path, go_on) == 2 * 5500 - before
    assert sorted(id for shard in kept_ids(tmp_path) for id in shard) == sorted(np.load(source))
    assert not list((tmp_path / "shards").glob(".fetch-*"))


def test_torn_and_foreign_bytes_on_the_disk_are_taken_again(tmp_path: Path) -> None:
    source = write_ids(tmp_path)
    beside(giving(source), tmp_path, take_all)
    path, index = tmp_path / f"shards/{RUN_ID}.ids", tmp_path / f"shards/{RUN_ID}.index"
    content = bytearray(path.read_bytes())
    first, second = (len(shard) for shard in kept_ids(tmp_path)[:2])
    content[2 * (first + second) + 5] ^= 1
    path.write_bytes(content)
    kept = KeptShards(tmp_path / "shards", RUN_ID, VOCABULARY)
    assert (len(kept.shards), kept.count) == (2, first + second)
    assert len(index.read_text().splitlines()) == 2
    index.write_text(index.read_text() + "nonsense\n")
    assert len(KeptShards(tmp_path / "shards", RUN_ID, VOCABULARY).shards) == 2
    assert beside(giving(source), tmp_path, take_all) == Stock(5500, 6, 0)


class Wrong(ShardService):
    """Sends something else than what the hash says, of the same size."""

    async def rpc_shard(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        async for message in super().rpc_shard(request, context):
            yield runtime_pb2.ExpertInfo(serialized_info=bytes(len(message.serialized_info)))


class Endless(ShardService):
    """Sends more than there is."""

    async def rpc_shard(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        while True:
            yield runtime_pb2.ExpertInfo(serialized_info=bytes(700))


class Longer(ShardService):
    """Sends a byte more than it says that there are, with a hash that is right for them."""

    def _shard(self, index: int) -> bytes:
        return super()._shard(index) + b"x"


for kind in (Wrong, Endless, Longer):
    kind.__name__ = ShardService.__name__


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [(Wrong, "wrong hash"), (Endless, "more than"), (Longer, "more than")],
    ids=["wrong", "endless", "longer"],
)
def test_a_wrong_shard_is_refused_and_leaves_nothing(tmp_path: Path, kind: type[ShardService], complaint: str) -> None:
    source = write_ids(tmp_path)

    async def work(gathering: Gathering, donor: Any) -> None:
        for _ in range(2):
            with pytest.raises(TransferError, match=complaint):
                await gathering.take(donor)

    beside(lambda: kind(source, TOKENIZER, StateService(tmp_path)), tmp_path, work)
    assert kept_ids(tmp_path) == []
    assert not list((tmp_path / "shards").glob(".fetch-*"))


def test_tokens_that_the_tokenizer_does_not_have_are_refused(tmp_path: Path) -> None:
    source = write_ids(tmp_path, count=900, largest=VOCABULARY)

    async def work(gathering: Gathering, donor: Any) -> None:
        with pytest.raises(TransferError, match="holds the token 300, and the tokenizer has 300"):
            await gathering.take(donor)

    beside(giving(source), tmp_path, work)
    assert kept_ids(tmp_path) == []


@pytest.mark.parametrize(("dtype", "tokenizer"), [("<u2", "b" * 64), ("<u4", TOKENIZER)])
def test_text_in_other_tokens_is_not_taken(tmp_path: Path, dtype: str, tokenizer: str) -> None:
    async def work(gathering: Gathering, donor: Any) -> None:
        with pytest.raises(TransferError, match="in the tokens of another run"):
            await gathering.take(donor)

    beside(giving(write_ids(tmp_path, dtype=dtype)), tmp_path, work, tokenizer=tokenizer)


def test_who_gives_nothing_is_no_danger(tmp_path: Path) -> None:
    async def work(gathering: Gathering, donor: Any) -> None:
        with pytest.raises(TransferError, match="does not say what it gives"):
            await gathering.take(donor)

    beside(lambda: StateService(tmp_path), tmp_path, work)


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MOST_KEPT", 4)
    assert beside(giving(write_ids(tmp_path)), tmp_path, take_all)[1:] == (4, 0)
    assert len(kept_ids(tmp_path)) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"type": "<f4"},
        {"type": ">u2"},
        {"bytes": 5},
        {"bytes": 10 * SHARD},
        {"bytes": 2**60},
        {"bytes": -1},
        {"shards": ["b" * 64]},
        {"shards": ["b" * 64, "c" * 64, "../../etc/passwd"]},
        {"tokenizer": "../.."},
        {"sha256": "d" * 64},
        {"more": 1},
    ],
)
def test_lists_that_do_not_fit_together_are_none(change: dict[str, Any]) -> None:
    hashes = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
    good = {
        "format": 1,
        "tokenizer": TOKENIZER,
        "type": "<u2",
        "bytes": 2 * SHARD + 10,
        "shards": hashes,
        "sha256": hash_of(hashes),
    }
    assert [parse(ShardList, json.dumps(good)).size(index) for index in range(3)] == [SHARD, SHARD, 10]
    with pytest.raises(ProtocolViolation):
        parse(ShardList, json.dumps({**good, **change}))


def test_odd_requests_get_nothing_and_harm_nothing(tmp_path: Path) -> None:
    async def work(gathering: Gathering, donor: Any) -> Stock:
        stub = ShardService.get_stub(gathering._p2p, donor)
        for odd in ("", "[]", "{}", '{"sha256": "x", "offset": 0}', '{"sha256": 5, "offset": -9}', "\0" * 1000):
            with pytest.raises(Exception):  # noqa: B017 -- hivemind's own
                stream = await stub.rpc_shard(runtime_pb2.ExpertUID(uid=odd))
                assert not [message async for message in stream]
                raise StopAsyncIteration
        return await take_all(gathering, donor)

    assert beside(giving(write_ids(tmp_path)), tmp_path, work).shards == 6

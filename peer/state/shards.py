"""Token shards: what a peer that was started with --share-data gives of its chats, and how others take it.

A shard is 1 MiB of the row of token ids that the peer trains on; its SHA-256 is its name. Who has no text takes shards
in a random order into `checkpoints/RUN/shards/`, whole and checked or not at all, and trains on those that are here.
The ids can be turned back into text by anybody in the run: giving them is giving the (cleaned) chats.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from pathlib import Path
from typing import Any, AsyncIterator, NamedTuple  # noqa: UP035 -- see peer/state/fetching.py

import numpy as np
from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import runtime_pb2
from hivemind.utils.asyncio import aiter_with_timeout

from data.atomic import write_whole
from minigpt.encoding import id_type, open_ids
from peer.state.fetching import ANSWER_SECONDS, PARTIAL, SLOWEST, TransferError, begun, envelope, reason
from peer.state.serving import CHUNK_BYTES, StateService
from peer.wire import MOST_LISTED, SHARD_BYTES, ProtocolViolation, ShardList, ShardRequest, hash_of, parse

LIST_SECONDS = 120.0  # for the list; it takes a while to hash 10 GB
MOST_KEPT = 1024  # shards: 500 million tokens, on which a laptop trains for days


class ShardService(ServicerBase):
    """Gives shards of the ids in a file to whoever asks.

    :param traffic: counts the bytes
    """

    def __init__(self, ids_path: Path, tokenizer_sha256: str, traffic: StateService):
        self._ids, self._traffic = open_ids(ids_path), traffic
        self._per_shard = SHARD_BYTES // self._ids.dtype.itemsize
        self._list = asyncio.get_running_loop().run_in_executor(None, self._listed, tokenizer_sha256)

    def _listed(self, tokenizer_sha256: str) -> ShardList:
        count = min(MOST_LISTED, -(-len(self._ids) // self._per_shard))
        shards = [hashlib.sha256(self._shard(index)).hexdigest() for index in range(count)]
        size = min(self._ids.nbytes, count * SHARD_BYTES)
        kind: Any = self._ids.dtype.str
        return ShardList(tokenizer=tokenizer_sha256, type=kind, bytes=size, shards=shards, sha256=hash_of(shards))

    def _shard(self, index: int) -> bytes:
        return self._ids[index * self._per_shard : (index + 1) * self._per_shard].tobytes()

    async def rpc_shards(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Return the list of what there is."""
        return runtime_pb2.ExpertInfo(serialized_info=(await self._list).model_dump_json().encode())

    async def rpc_shard(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        """Give chunks of one shard, from an offset on."""
        wanted = parse(ShardRequest, request.uid)
        shard = self._shard((await self._list).shards.index(wanted.sha256))
        for offset in range(wanted.offset, len(shard), CHUNK_BYTES):
            chunk = shard[offset : offset + CHUNK_BYTES]
            self._traffic.bytes_sent += len(chunk)
            yield runtime_pb2.ExpertInfo(serialized_info=chunk)


class KeptShards:
    """The shards that are here, one after another in `RUN_ID.ids`; `RUN_ID.index` has a line for each: hash and bytes.

    A shard is kept once its line is written; what else the file holds is overwritten. Opening checks every hash.
    """

    def __init__(self, folder: Path, run_id: str, vocab_size: int):
        self.path, self._index = folder / f"{run_id}.ids", folder / f"{run_id}.index"
        self.type = np.dtype(id_type(vocab_size))
        self._vocab_size = vocab_size
        self.shards: list[str] = []
        self._bytes = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        for cut_off in sorted(folder.glob(f"{PARTIAL}*"), key=lambda path: path.stat().st_mtime)[:-1]:
            cut_off.unlink()  # one is gone on with
        whole: list[str] = []
        with self.path.open("rb") as file:
            for line in self._index.read_text().splitlines() if self._index.exists() else []:
                sha256, _, size = line.partition(" ")
                if not size.isdecimal() or hashlib.sha256(file.read(int(size))).hexdigest() != sha256:
                    break  # torn: it and what follows is taken again
                whole.append(f"{line}\n")
                self.shards.append(sha256)
                self._bytes += int(size)
        write_whole(self._index, "".join(whole), synced=False)

    @property
    def count(self) -> int:
        """The ids that are here."""
        return self._bytes // self.type.itemsize

    def partial(self, sha256: str) -> Path:
        """Return where a shard is put together."""
        return self.path.with_name(f"{PARTIAL}{sha256}")

    def add(self, sha256: str) -> None:
        """Keep the shard that has been put together. Raises TransferError, without it, if it is another or no text."""
        partial = self.partial(sha256)
        content = partial.read_bytes()
        try:
            if hashlib.sha256(content).hexdigest() != sha256:
                raise TransferError("a shard arrived with a wrong hash")
            ids = np.frombuffer(content, self.type)
            if ids.max() >= self._vocab_size:
                raise TransferError(f"a shard holds the token {ids.max()}, and the tokenizer has {self._vocab_size:,}")
        finally:
            partial.unlink()
        with self.path.open("r+b") as file:
            file.seek(self._bytes)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with self._index.open("a") as index:
            index.write(f"{sha256} {len(content)}\n")
        self.shards.append(sha256)
        self._bytes += len(content)


class Stock(NamedTuple):
    """The text that is here after a shard was taken, and how much the peer that gave it has besides."""

    ids: int
    shards: int
    missing: int  # shards


class Gathering:
    """Takes one shard after another, from whoever gives some; what was cut off is gone on with.

    :param tokenizer_sha256: of the run's tokenizer: ids of another one mean nothing to us
    :param traffic: counts the bytes
    """

    def __init__(self, p2p: P2P, kept: KeptShards, tokenizer_sha256: str, traffic: StateService):
        self.kept, self._p2p, self._tokenizer, self._traffic = kept, p2p, tokenizer_sha256, traffic
        self._lists: dict[PeerID, ShardList] = {}

    async def take(self, donor: PeerID | None) -> Stock:
        """Take one more shard of the donor's, any of those that are missing. Raises TransferError and OSError."""
        if donor is None:
            return Stock(self.kept.count, len(self.kept.shards), 0)
        listed = self._lists.get(donor) or await self._ask_for_list(donor)
        self._lists[donor] = listed
        kept = set(self.kept.shards)
        missing = [index for index, sha256 in enumerate(listed.shards) if sha256 not in kept]
        if missing and len(kept) < MOST_KEPT:
            begun_before = [index for index in missing if self.kept.partial(listed.shards[index]).exists()]
            index = random.choice(begun_before or missing)
            try:
                await self._take(donor, listed.shards[index], listed.size(index))
            except (TransferError, OSError):
                del self._lists[donor]  # it may have other text by the next time
                raise
            missing.remove(index)
        room = MOST_KEPT - len(self.kept.shards)
        return Stock(self.kept.count, len(self.kept.shards), min(len(missing), room))

    async def _ask_for_list(self, donor: PeerID) -> ShardList:
        try:
            stub = ShardService.get_stub(self._p2p, donor)
            answer = await stub.rpc_shards(runtime_pb2.ExpertUID(), timeout=LIST_SECONDS)
            listed = parse(ShardList, answer.serialized_info)
        except ProtocolViolation as error:
            raise TransferError(f"its list of shards is not one: {error}") from error
        except Exception as error:
            raise TransferError(f"it does not say what it gives ({reason(error)})") from error
        if (listed.tokenizer, listed.type) != (self._tokenizer, self.kept.type.str):
            raise TransferError("its text is in the tokens of another run")
        return listed

    async def _take(self, donor: PeerID, sha256: str, size: int) -> None:
        with self.kept.partial(sha256).open("ab") as file:
            if file.tell() < size:
                async for chunk in self._chunks(donor, sha256, file.tell()):
                    file.write(chunk)
                    self._traffic.bytes_received += len(chunk)
                    if file.tell() >= size:
                        break
            sent = file.tell()
        if sent < size:
            raise TransferError("it sent less than a shard")
        if sent > size:
            self.kept.partial(sha256).unlink()
            raise TransferError("it sent more than a shard")
        await asyncio.get_running_loop().run_in_executor(None, self.kept.add, sha256)

    async def _chunks(self, donor: PeerID, sha256: str, offset: int) -> AsyncIterator[bytes]:
        request = envelope(ShardRequest(sha256=sha256, offset=offset))
        deadline = time.monotonic() + ANSWER_SECONDS + SHARD_BYTES / SLOWEST
        try:
            stream = await begun(ShardService.get_stub(self._p2p, donor).rpc_shard(request))
            async for message in aiter_with_timeout(stream, ANSWER_SECONDS):
                if time.monotonic() > deadline:
                    raise TimeoutError("too slowly")
                yield message.serialized_info
        except Exception as error:
            raise TransferError(f"it stopped sending ({reason(error)})") from error

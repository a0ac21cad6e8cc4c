"""State for others: the newest and the best checkpoint, file by file, and the means that followed, from the disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import AsyncIterator, BinaryIO  # noqa: UP035 -- hivemind tells streams by typing's name

from hivemind.p2p import P2PContext, ServicerBase
from hivemind.proto import runtime_pb2

from minigpt import checkpoint
from minigpt.checkpoint.manifest import AVERAGE, LOCAL, POSITION, CheckpointError, Manifest
from peer.state import means
from peer.swarm.membership import MAX_MEMBERS
from peer.wire import FileRequest, ManifestRequest, MeanRequest, PiecesRequest, ProtocolViolation, is_run_name, parse

CHUNK_BYTES = 256 * 1024  # far below the 4 MiB that hivemind allows a message
# Of a file, with a hash of its own. What is asked for at once waits in the donor's p2pd where the link is slow, and its
# words on the notice board wait behind it.
PIECE_BYTES = 1024 * 1024
OPEN_SECONDS, MAX_OPEN = 600.0, 16  # files that a donor keeps open for a slow joiner, pruned or not
# never shipped: what the donor itself has trained since the anchor, and on what
OWN_BUSINESS = (LOCAL, AVERAGE, POSITION)


class StateService(ServicerBase):
    """Serves the newest and the best checkpoint of the runs under `root` to whoever asks; holds nothing in memory."""

    def __init__(self, root: Path):
        self.root = root
        self._opened: dict[str, BinaryIO] = {}  # by hash
        self._closing: dict[str, asyncio.TimerHandle] = {}
        # When a peer last took something of a state or of means, by peer id: of `time.monotonic`, which is the same in
        # all processes of a device.
        self.took: dict[str, float] = {}
        self.bytes_sent = 0
        self.bytes_received = 0  # counted here by `fetch`, so that one place knows the traffic

    async def rpc_manifest(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Return the training.json of the folder that is asked for, without what is our own business.

        It is the newest one's where no best state is kept, and empty where there is none at all.
        """
        if request.uid == "" or is_run_name(request.uid):  # as version 1 asks, whose user sees what is raised
            raise ProtocolViolation("it runs a newer version of CellMind: update this device (git pull)")
        wanted = parse(ManifestRequest, request.uid)
        kept = kept_checkpoints(self.root, wanted.run or "*")
        if kept and wanted.state == "best":
            kept = [*kept_best(self.root, kept[0][1]), *kept]
        content = b"" if not kept else kept[0][1].dump()
        return runtime_pb2.ExpertInfo(serialized_info=content)

    async def rpc_pieces(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Return the hashes of a file's pieces, one after the other."""
        file = self._open(parse(PiecesRequest, request.uid))
        digests = await asyncio.get_running_loop().run_in_executor(None, lambda: list(piece_digests(file)))
        return runtime_pb2.ExpertInfo(serialized_info=b"".join(digests))

    async def rpc_file(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        """Give chunks of one file, from an offset on."""
        wanted = parse(FileRequest, request.uid)
        async for chunk in self._read(self._open(wanted), wanted):
            self._take_in(context)
            yield chunk

    async def rpc_mean(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        """Give chunks of the mean that moved an anchor, from an offset on.

        None come if that mean is not kept, or ends there. The last message is empty and says that this is the end:
        hivemind takes a stream that was cut for one that is over.
        """
        wanted = parse(MeanRequest, request.uid)
        path = means.path_of(self.root / wanted.run, wanted.previous)
        if path.exists():
            with path.open("rb") as file:
                async for chunk in self._read(file, wanted):
                    self._take_in(context)
                    yield chunk
        yield runtime_pb2.ExpertInfo()

    def _take_in(self, context: P2PContext) -> None:
        """Take in that the peer that asks takes something now."""
        if len(self.took) > MAX_MEMBERS:
            self.took = {}  # somebody plays tricks
        self.took[context.remote_id.to_base58()] = time.monotonic()

    async def _read(self, file: BinaryIO, wanted: FileRequest | MeanRequest) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        start, size = wanted.offset, wanted.size
        for offset in range(start, start + size, CHUNK_BYTES):
            chunk = os.pread(file.fileno(), min(CHUNK_BYTES, start + size - offset), offset)
            if not chunk:
                return
            self.bytes_sent += len(chunk)
            yield runtime_pb2.ExpertInfo(serialized_info=chunk)

    def _open(self, wanted: PiecesRequest) -> BinaryIO:
        """Return the file that a request names; readable for a while though it is pruned: transfers outlast rounds."""
        sha256 = wanted.sha256
        file = self._opened.pop(sha256, None) or self._find(wanted).open("rb")
        self._opened[sha256] = file  # the one used last is last
        if len(self._opened) > MAX_OPEN:
            del self._opened[next(iter(self._opened))]  # whoever reads it still has it
        if (closing := self._closing.pop(sha256, None)) is not None:
            closing.cancel()
        loop = asyncio.get_running_loop()
        self._closing[sha256] = loop.call_later(OPEN_SECONDS, self._opened.pop, sha256, None)
        return file

    def _find(self, wanted: PiecesRequest) -> Path:
        """Return the file of that hash in any kept folder of the run. Raises FileNotFoundError."""
        places = (wanted.run, f"{wanted.run}/{checkpoint.BEST}")
        for folder, manifest in chain.from_iterable(kept_checkpoints(self.root, place) for place in places):
            entry = manifest.files.get(wanted.file)
            if entry is not None and entry.sha256 == wanted.sha256:
                return folder / wanted.file
        raise FileNotFoundError(f"{wanted.file} with that hash is not kept here")


def kept_checkpoints(root: Path, place: str) -> list[tuple[Path, Manifest]]:
    """Return the folders in a run's ("*" for any run's) with what may be given away of them, the newest first."""
    kept = []
    for folder in root.glob(f"{place}/round-*"):
        try:
            kept.append((folder, without(checkpoint.read_manifest(folder), OWN_BUSINESS)))
        except CheckpointError:
            continue  # not whole, or pruned a moment ago
    return sorted(kept, key=lambda item: (item[1].samples, item[1].round, item[1].step), reverse=True)


def kept_best(root: Path, newest: Manifest) -> list[tuple[Path, Manifest]]:
    """Return the best states of the run of the newest one, as `kept_checkpoints` does: the first is what is asked."""
    kept = kept_checkpoints(root, f"{newest.run}/{checkpoint.BEST}")
    return [(folder, best) for folder, best in kept if best.run_id == newest.run_id and best.held_out is not None]


def without(manifest: Manifest, names: tuple[str, ...]) -> Manifest:
    """Return the manifest without those of its files."""
    files = {name: entry for name, entry in manifest.files.items() if name not in names}
    return manifest.model_copy(update={"files": files})


def piece_digests(file: BinaryIO) -> Iterator[bytes]:
    """Give the SHA-256 of piece after piece of a file; leaves its position alone, for many may read it."""
    offset = 0
    while piece := os.pread(file.fileno(), PIECE_BYTES, offset):
        yield hashlib.sha256(piece).digest()
        offset += len(piece)

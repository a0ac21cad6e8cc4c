"""State for others: the newest checkpoint folder, file by file, and the means that followed it, read from the disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import AsyncIterator, BinaryIO  # noqa: UP035 -- hivemind tells streams by typing's name

from hivemind.p2p import P2PContext, ServicerBase
from hivemind.proto import runtime_pb2

from minigpt import checkpoint
from minigpt.checkpoint.manifest import LOCAL, POSITION, CheckpointError, Manifest
from peer.state import means
from peer.wire import FileRequest, ManifestRequest, MeanRequest, PiecesRequest, ProtocolViolation, is_run_name, parse

CHUNK_BYTES = 256 * 1024  # far below the 4 MiB that hivemind allows a message
# Of a file, with a hash of its own. What is asked for at once waits in the donor's p2pd where the link is slow, and its
# words on the notice board wait behind it.
PIECE_BYTES = 1024 * 1024
OPEN_SECONDS, MAX_OPEN = 600.0, 16  # files that a donor keeps open for a slow joiner, pruned or not
OWN_BUSINESS = (LOCAL, POSITION)  # never shipped: what the donor itself has trained since the anchor, and on what


class StateService(ServicerBase):
    """Serves the newest checkpoint of the runs under `root` to whoever asks; holds nothing in memory."""

    def __init__(self, root: Path):
        self.root = root
        self._opened: dict[str, BinaryIO] = {}  # by hash
        self._closing: dict[str, asyncio.TimerHandle] = {}
        self.bytes_sent = 0
        self.bytes_received = 0  # counted here by `fetch`, so that one place knows the traffic

    async def rpc_manifest(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Return the newest folder's training.json without what is our own business; empty if there is none."""
        if request.uid == "" or is_run_name(request.uid):  # as version 1 asks, whose user sees what is raised
            raise ProtocolViolation("it runs a newer version of CellMind: update this device (git pull)")
        kept = kept_checkpoints(self.root, parse(ManifestRequest, request.uid).run or "*")
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
                    yield chunk
        yield runtime_pb2.ExpertInfo()

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
        for folder, manifest in kept_checkpoints(self.root, wanted.run):
            entry = manifest.files.get(wanted.file)
            if entry is not None and entry.sha256 == wanted.sha256:
                return folder / wanted.file
        raise FileNotFoundError(f"{wanted.file} with that hash is not kept here")


def kept_checkpoints(root: Path, run: str) -> list[tuple[Path, Manifest]]:
    """Return the folders of a run ("*" for any) with what may be given away of them, the newest first."""
    kept = []
    for folder in root.glob(f"{run}/round-*"):
        try:
            kept.append((folder, without(checkpoint.read_manifest(folder), OWN_BUSINESS)))
        except CheckpointError:
            continue  # not whole, or pruned a moment ago
    return sorted(kept, key=lambda item: (item[1].samples, item[1].round, item[1].step), reverse=True)


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

"""Giving and taking state: a peer's newest checkpoint folder, file by file, and the means that followed it.

The donor reads from its disk, so giving never touches its training; the joiner checks every name, size and hash before
a folder takes its place under `checkpoints/`. hivemind's protobuf envelopes carry JSON requests and raw chunks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import runtime_pb2
from hivemind.utils.asyncio import aiter_with_timeout
from torch import Tensor

from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.manifest import LOCAL, MANIFEST, TOKENIZER, CheckpointError, Manifest, parse_manifest
from minigpt.settings import run_id
from peer import history
from peer.codec import code_bytes
from peer.swarm_state import FINE

CHUNK_BYTES = 256 * 1024  # far below the 4 MiB that hivemind allows a message
ANSWER_SECONDS = 20.0  # a donor that sends nothing for so long has left
RUN_NAME = re.compile("[a-z0-9-]{1,40}")
LINEAGE = re.compile("[0-9a-f]{64}")
PARTIAL = ".fetch-"  # begins the name of what is on its way
MAX_MEANS = 16  # taken in one go
MEAN_HEADER_LIMIT = 2**16
OWN_BUSINESS = (LOCAL,)  # never shipped: what the donor itself has trained since the anchor


class TransferError(Exception):
    """State could not be taken from this donor; the message says why."""


class StateService(ServicerBase):
    """Serves the newest checkpoint of the runs under `root` to whoever asks; holds nothing in memory."""

    def __init__(self, root: Path):
        self.root = root
        self.bytes_sent = 0
        self.bytes_received = 0  # counted here by `fetch`, so that one place knows the traffic

    async def rpc_manifest(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """The newest folder's training.json without what is the donor's own business; empty if there is none."""
        kept = kept_checkpoints(self.root, request.uid or "*")
        content = b"" if not kept else dump_manifest(kept[0][1])
        return runtime_pb2.ExpertInfo(serialized_info=content)

    async def rpc_file(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        """Chunks of one file from an offset: {"run": …, "file": …, "sha256": …, "offset": …}."""
        wanted = json.loads(request.uid)
        path = self._find(str(wanted["run"]), str(wanted["file"]), str(wanted["sha256"]))
        for message in self._read(path, int(wanted["offset"])):
            yield message

    async def rpc_mean(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        """Chunks of the mean that moved an anchor: {"run": …, "previous": its lineage}; none if it is not kept."""
        wanted = json.loads(request.uid)
        run, previous = str(wanted["run"]), str(wanted["previous"])
        if not RUN_NAME.fullmatch(run) or not LINEAGE.fullmatch(previous):
            raise ValueError("no name of a run, or no lineage")
        path = history.path_of(self.root / run, previous)
        if path.exists():
            for message in self._read(path, 0):
                yield message

    def _read(self, path: Path, offset: int) -> Iterator[runtime_pb2.ExpertInfo]:
        """A file from an offset on, in messages; it stays readable if it is pruned meanwhile."""
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                self.bytes_sent += len(chunk)
                yield runtime_pb2.ExpertInfo(serialized_info=chunk)

    def _find(self, run: str, name: str, sha256: str) -> Path:
        """The file of that hash in any kept folder of the run: a transfer may outlast a round."""
        for folder, manifest in kept_checkpoints(self.root, run):
            entry = manifest.files.get(name)
            if entry is not None and entry.sha256 == sha256:
                return folder / name
        raise FileNotFoundError(f"{name} with that hash is not kept here")


def kept_checkpoints(root: Path, run: str) -> list[tuple[Path, Manifest]]:
    """Folders of a run ("*" for any) with what may be given away of them, the newest first."""
    if run != "*" and not RUN_NAME.fullmatch(run):
        raise ValueError(f"{run!r} is no name of a run")
    kept = []
    for folder in root.glob(f"{run}/round-*"):
        try:
            kept.append((folder, without(checkpoint.read_manifest(folder), OWN_BUSINESS)))
        except CheckpointError:
            continue  # not whole, or pruned a moment ago
    return sorted(kept, key=lambda item: (item[1].samples, item[1].round, item[1].step), reverse=True)


def without(manifest: Manifest, names: tuple[str, ...]) -> Manifest:
    files = {name: entry for name, entry in manifest.files.items() if name not in names}
    return manifest.model_copy(update={"files": files})


def dump_manifest(manifest: Manifest) -> bytes:
    return manifest.model_dump_json(indent=2).encode()


async def fetch_manifest(p2p: P2P, donor: PeerID, run: str) -> Manifest:
    """What the donor's newest checkpoint of `run` ("" for whatever it trains) holds."""
    try:
        stub = StateService.get_stub(p2p, donor)
        answer = await stub.rpc_manifest(runtime_pb2.ExpertUID(uid=run), timeout=ANSWER_SECONDS)
    except Exception as error:
        raise TransferError(f"the donor does not answer ({_reason(error)})") from error
    if not answer.serialized_info:
        raise TransferError("the donor has no checkpoint yet")
    try:
        manifest = without(parse_manifest(answer.serialized_info), OWN_BUSINESS)
    except CheckpointError as error:
        raise TransferError(f"the donor's manifest is not one: {error}") from error
    if run and manifest.run != run:
        raise TransferError(f"the donor answers for run {manifest.run!r} instead of {run!r}")
    return manifest


async def fetch_bytes(p2p: P2P, donor: PeerID, manifest: Manifest, name: str) -> bytes:
    """One small file of the manifest, checked, into memory."""
    content = b"".join([chunk async for chunk in _chunks(p2p, donor, manifest, name, 0)])
    if hashlib.sha256(content).hexdigest() != manifest.files[name].sha256:
        raise TransferError(f"{name} arrived with a wrong hash")
    return content


async def fetch(
    p2p: P2P,
    donor: PeerID,
    manifest: Manifest,
    root: Path,
    service: StateService,
    skip: tuple[str, ...] = (),
) -> Path:
    """Take the manifest's files, checked, into `root/run/round-…-step-…`; returns that folder.

    A broken transfer leaves its partial files, and the next one for the same anchor goes on from there.
    Raises TransferError, and OSError where the disk does not take it.
    """
    manifest = without(manifest, skip)
    run = root / manifest.run
    target = run / checkpoint.folder_name(manifest.progress)
    if is_kept(target, manifest):
        return target
    partial = run / f"{PARTIAL}{manifest.anchor[:16]}"
    for old in run.glob(f"{PARTIAL}*"):
        if old != partial:
            shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        await _fetch_file(p2p, donor, manifest, name, partial / name, service)
    (partial / MANIFEST).write_bytes(dump_manifest(manifest))
    checkpoint.sync(partial / MANIFEST)
    if target.exists():
        checkpoint.discard(target)  # torn, or of a state that lost against this one
    partial.rename(target)
    checkpoint.sync(run)
    return target


def verified(folder: Path) -> tuple[Checkpoint, dict[str, Tensor]]:
    """The state that was taken, and its parameters, after every check there is; if it fails one, the folder goes.

    Raises CheckpointError: shapes, finiteness, the anchor's hash, and that settings and tokenizer are those of the run.
    """
    try:
        state = checkpoint.read(folder)
        expected = run_id(state.settings, state.files[TOKENIZER].sha256)
        if state.progress.run_id != expected:
            raise CheckpointError(f"it claims to be of run {state.progress.run_id}, and is of {expected}")
        return state, state.parameters()
    except CheckpointError:
        checkpoint.discard(folder)
        raise


def is_kept(folder: Path, manifest: Manifest) -> bool:
    """Whether that very state is in `folder` already, ours or taken before."""
    try:
        return checkpoint.read_manifest(folder).progress == manifest.progress
    except CheckpointError:
        return False


async def fetch_means(
    p2p: P2P, donor: PeerID, run_folder: Path, lineage: str, size: int, service: StateService
) -> list[Path]:
    """Take the means that followed the anchor `lineage`, one after the other, into our own history.

    :param size: numbers in a mean
    :returns: their files, none where the donor does not keep what followed. Raises TransferError, OSError, and
        HistoryError for what cannot be a mean.
    """
    taken: list[Path] = []
    while len(taken) < MAX_MEANS:
        path = history.path_of(run_folder, lineage)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{PARTIAL}{path.name}")
        try:
            with partial.open("wb") as file:
                async for chunk in _mean_chunks(p2p, donor, run_folder.name, lineage):
                    service.bytes_received += len(chunk)
                    file.write(chunk)
                    if file.tell() > code_bytes(size, FINE) + MEAN_HEADER_LIMIT:
                        raise TransferError("more bytes arrive than a mean has")
                if not file.tell():
                    return taken
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        try:
            lineage = history.load(path, size).lineage
        except history.HistoryError:
            path.unlink(missing_ok=True)
            raise
        taken.append(path)
    return taken


async def _mean_chunks(p2p: P2P, donor: PeerID, run: str, previous: str) -> AsyncIterator[bytes]:
    request = runtime_pb2.ExpertUID(uid=json.dumps({"run": run, "previous": previous}))
    try:
        stream = await StateService.get_stub(p2p, donor).rpc_mean(request)
        async for message in aiter_with_timeout(stream, ANSWER_SECONDS):
            yield message.serialized_info
    except Exception as error:
        raise TransferError(f"the donor stopped sending ({_reason(error)})") from error


async def _fetch_file(
    p2p: P2P, donor: PeerID, manifest: Manifest, name: str, path: Path, service: StateService
) -> None:
    size = manifest.files[name].size
    with path.open("ab") as file:
        async for chunk in _chunks(p2p, donor, manifest, name, file.tell()):
            service.bytes_received += len(chunk)
            file.write(chunk)
        arrived = file.tell()
    checkpoint.sync(path)
    if arrived < size:
        raise TransferError(f"{name}: {arrived} of {size} bytes arrived")
    digest = await asyncio.get_running_loop().run_in_executor(None, checkpoint.file_sha256, path)
    if digest != manifest.files[name].sha256:
        path.unlink()
        raise TransferError(f"{name} arrived with a wrong hash")


async def _chunks(p2p: P2P, donor: PeerID, manifest: Manifest, name: str, offset: int) -> AsyncIterator[bytes]:
    entry = manifest.files[name]
    request = {"run": manifest.run, "file": name, "sha256": entry.sha256, "offset": offset}
    try:
        stream = await StateService.get_stub(p2p, donor).rpc_file(runtime_pb2.ExpertUID(uid=json.dumps(request)))
        async for message in aiter_with_timeout(stream, ANSWER_SECONDS):
            offset += len(message.serialized_info)
            if offset > entry.size:
                raise TransferError(f"{name}: more bytes arrive than the manifest says")
            yield message.serialized_info
    except TransferError:
        raise
    except Exception as error:
        raise TransferError(f"{name}: the donor stopped sending ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip()
    return text[:120] or type(error).__name__

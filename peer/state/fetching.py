"""Taking state: a peer's newest or best checkpoint folder, file by file, and the means that followed it.

The donor reads from its disk (`peer/state/serving.py`), so this never touches its training. A file comes in pieces from
all who have the same one, and whoever breaks off is done without; the joiner checks every name, size and hash before a
folder takes its place under `checkpoints/`. hivemind's protobuf envelopes carry JSON requests and raw chunks.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import AsyncIterator, BinaryIO  # noqa: UP035 -- hivemind tells streams by typing's name

from hivemind.p2p import P2P, P2PHandlerError, PeerID
from hivemind.proto import runtime_pb2
from hivemind.utils.asyncio import aiter_with_timeout

from data.atomic import sync
from data.terminal import printable
from minigpt import checkpoint
from minigpt.checkpoint.manifest import (
    AVERAGE,
    LOCAL,
    MANIFEST,
    MODEL,
    MODEL_CONFIG,
    OPTIMIZER,
    SETTINGS,
    TOKENIZER,
    CheckpointError,
    Manifest,
    parse_manifest,
)
from minigpt.settings import SettingsError, parse_settings, run_id
from peer.state import means
from peer.state.anchor import FINE
from peer.state.codec import payload_bytes
from peer.state.serving import OWN_BUSINESS, PIECE_BYTES, StateService, piece_digests, without
from peer.state.verifying import is_kept, is_whole
from peer.wire import MAX_PROGRESS, FileRequest, ManifestRequest, MeanRequest, Message, PiecesRequest, WhichState

REQUESTS_AT_ONCE = 2  # to a donor, so that its link is not idle between two pieces
ANSWER_SECONDS = 20.0  # a donor that sends nothing for so long has left
PARTIAL = ".fetch-"  # begins the name of what is on its way
MAX_MEANS = 16  # taken in one go
HEADER_BYTES = 2**20  # of a safetensors file, at most
NOT_UNDERSTOOD = ("ValueError(", "ProtocolViolation(")  # begins what a donor says to a request that it cannot read
SLOWEST = 10_000  # bytes a second of one request; who gives less has as good as left
HURRIED_SECONDS, HURRIED_SLOWEST = 4.0, 100_000  # the same for a donor beside which there are others
# of a tokenizer: what it takes whatever its size, and for each of its pieces
TOKENIZER_BYTES, PIECE_OF_TOKENIZER_BYTES = 2**21, 512
MEAN_HEADER_LIMIT = 2**16
DESCRIBING = (SETTINGS, MODEL_CONFIG)  # the files that tell how large a model is; of 64 kB each at most


class TransferError(Exception):
    """State could not be taken from this donor; the message says why."""


async def fetch_manifest(p2p: P2P, donor: PeerID, run: str, state: WhichState = "newest") -> Manifest:
    """Return what the donor's newest checkpoint of `run` ("" for whatever it trains) holds. Raises TransferError.

    Asked for its best one, it gives that where it keeps one. Its held-out loss, by which it can be told from the
    newest, is no more than what the donor says.
    """
    try:
        stub = StateService.get_stub(p2p, donor)
        answer = await stub.rpc_manifest(envelope(ManifestRequest(run=run, state=state)), timeout=ANSWER_SECONDS)
    except Exception as error:
        if isinstance(error, P2PHandlerError) and str(error).startswith(NOT_UNDERSTOOD):
            raise TransferError(
                "the donor and this device do not understand each other, of which one may run an older version of "
                "CellMind: bring both up to date (git pull)"
            ) from error
        raise TransferError(f"the donor does not answer ({reason(error)})") from error
    if not answer.serialized_info:
        raise TransferError("the donor has no checkpoint yet")
    try:
        manifest = without(parse_manifest(answer.serialized_info), OWN_BUSINESS)
    except CheckpointError as error:
        raise TransferError(f"the donor's manifest is not one: {error}") from error
    progress = manifest.progress
    if max(progress.round, progress.samples, progress.step, progress.updates) > MAX_PROGRESS:
        raise TransferError("the donor's manifest speaks of impossibly much training")
    if run and manifest.run != run:
        raise TransferError(f"the donor answers for run {manifest.run!r} instead of {run!r}")
    if state == "newest" and manifest.held_out is not None:
        raise TransferError("the donor answers with its best state, and was asked for its newest")
    return manifest


async def fetch_bytes(p2p: P2P, donor: PeerID, manifest: Manifest, name: str) -> bytes:
    """Take one small file of the manifest, checked, into memory. Raises TransferError."""
    entry = manifest.files[name]
    content = b"".join([chunk async for chunk in _chunks(p2p, donor, manifest, name, 0, entry.size)])
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise TransferError(f"{name} arrived with a wrong hash")
    return content


async def fetch(
    p2p: P2P,
    donors: Sequence[PeerID],
    manifest: Manifest,
    root: Path,
    service: StateService,
    skip: tuple[str, ...] = (),
    hurried: bool = False,
) -> Path:
    """Take the files of the first donor's manifest, checked, into `root/run/round-…-step-…`; returns that folder.

    A best state goes into `root/run/best/`, for it is not where training goes on. No byte of a file is taken that is
    larger than the run's model needs.

    The other donors give what they have of the same. The optimizer's moments are the first one's alone: where it leaves
    before they are here, the state comes without them. A broken transfer leaves what has arrived, and the next one for
    the same anchor goes on from there. Raises TransferError, and OSError where the disk does not take it.

    :param hurried: give up a donor that sends slowly, for there are others
    """
    manifest = without(manifest, skip)
    place = root / manifest.run if manifest.held_out is None else root / manifest.run / checkpoint.BEST
    target = place / checkpoint.folder_name(manifest.progress)
    if is_kept(target, manifest):
        return target
    partial = place / f"{PARTIAL}{manifest.version[:16]}"
    for old in place.glob(f"{PARTIAL}*"):
        if old != partial:
            shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    files = [_File(p2p, manifest, name, partial / name, service, hurried) for name in manifest.files]
    for file in files:
        await file.ask_for_hashes(donors)  # of all first: from now on the donors keep them
    # the two that tell how large a model is come first, and moments, which are of no use without it, last
    for file in sorted(files, key=lambda file: (file.name not in DESCRIBING, file.name == OPTIMIZER)):
        try:
            if file.name not in DESCRIBING:
                check_size(file.name, manifest, partial)
            await file.fetch()
        except TransferError:
            if file.name != OPTIMIZER:
                raise
            file.path.unlink(missing_ok=True)
            manifest = without(manifest, (OPTIMIZER,))
    (partial / MANIFEST).write_bytes(manifest.dump())
    sync(partial / MANIFEST)
    if target.exists():
        if is_whole(target):  # ours may be all that we have, and what has come is yet to be looked at
            raise TransferError("its state goes by the name of one that is here; the next one will not")
        checkpoint.discard(target)
    partial.rename(target)
    sync(place)
    return target


class _File:
    """A file of the manifest on its way to `path`, in pieces, from everybody who has it."""

    def __init__(self, p2p: P2P, manifest: Manifest, name: str, path: Path, service: StateService, hurried: bool):
        self.name, self.path, self._hurried = name, path, hurried
        self._p2p, self._manifest, self._service = p2p, manifest, service
        self._entry = manifest.files[name]
        self._donors: list[PeerID] = []
        self._digests: list[bytes] = []  # of the pieces
        self._missing: deque[int] = deque()
        self._problem = TransferError(f"{name}: nobody has it")

    async def ask_for_hashes(self, donors: Sequence[PeerID]) -> None:
        """Learn who has the file, and its pieces. If a list of hashes is a lie, the hash of the whole tells."""
        answers = await asyncio.gather(*(self._ask(donor) for donor in donors))
        for donor, digests in zip(donors, answers):
            if digests:
                self._digests = self._digests or digests
                if digests == self._digests:
                    self._donors.append(donor)

    async def _ask(self, donor: PeerID) -> list[bytes] | None:
        request = PiecesRequest(run=self._manifest.run, file=self.name, sha256=self._entry.sha256)
        stub = StateService.get_stub(self._p2p, donor)
        try:
            answer = await stub.rpc_pieces(envelope(request), timeout=ANSWER_SECONDS)
        except Exception as error:
            self._problem = TransferError(f"{self.name}: the donor does not give it ({reason(error)})")
            return None
        size, content = hashlib.sha256().digest_size, answer.serialized_info
        digests = [content[at : at + size] for at in range(0, len(content), size)]
        return digests if len(digests) == -(-self._entry.size // PIECE_BYTES) else None

    async def fetch(self) -> None:
        """Take what is not here yet. Raises TransferError when there is nobody left to take it from."""
        loop = asyncio.get_running_loop()
        self.path.touch()
        with self.path.open("r+b") as file:
            here = await loop.run_in_executor(None, lambda: list(piece_digests(file)))
            have = dict(enumerate(here))
            self._missing.extend(index for index, digest in enumerate(self._digests) if have.get(index) != digest)
            while self._missing or not self._digests:
                if not self._donors:
                    raise self._problem
                await asyncio.gather(*(self._take(donor, file) for donor in self._donors * REQUESTS_AT_ONCE))
            file.truncate(self._entry.size)
        sync(self.path)
        if await loop.run_in_executor(None, checkpoint.file_sha256, self.path) != self._entry.sha256:
            self.path.unlink()
            raise TransferError(f"{self.name} arrived with a wrong hash")

    async def _take(self, donor: PeerID, file: BinaryIO) -> None:
        """Take piece after piece from one donor, until there are no more or it fails."""
        while self._missing and donor in self._donors:
            index = self._missing.popleft()
            start = index * PIECE_BYTES
            size = min(PIECE_BYTES, self._entry.size - start)
            piece = bytearray()
            try:
                async for chunk in _chunks(self._p2p, donor, self._manifest, self.name, start, size, self._hurried):
                    self._service.bytes_received += len(chunk)
                    piece += chunk
                if hashlib.sha256(piece).digest() != self._digests[index]:
                    raise TransferError(f"{self.name} arrived with a wrong hash")
            except TransferError as error:
                self._missing.appendleft(index)
                self._problem = error
                if donor in self._donors:
                    self._donors.remove(donor)
                return
            file.seek(start)
            file.write(piece)


def check_size(name: str, manifest: Manifest, folder: Path) -> None:
    """Raise TransferError for a file that is larger than a model with the settings in an unfinished folder needs.

    Also where these are not of the manifest's run: its id is a hash of settings and tokenizer.
    """
    try:
        settings = parse_settings((folder / SETTINGS).read_bytes(), SETTINGS)
        vocab_size = checkpoint.read_vocab_size(folder)
        numbers = [shape.numel() for shape in checkpoint.expected_shapes(settings, vocab_size).values()]
    except (CheckpointError, SettingsError, OSError) as error:
        raise TransferError(f"its settings say nothing of its model: {error}") from error
    if run_id(settings, manifest.files[TOKENIZER].sha256) != manifest.run_id:
        raise TransferError(f"its settings and its tokenizer are not those of run {manifest.run_id}")
    most = most_bytes(sum(numbers), vocab_size)
    size = manifest.files[name].size
    if size > most.get(name, size):
        what = "its model" if name == MODEL else name
        raise TransferError(f"{what} has {size:,} bytes, and at most {most[name]:,} fit its settings")


def most_bytes(numbers: int, vocab_size: int) -> dict[str, int]:
    """Return how many bytes each large file of a checkpoint has at most.

    :param numbers: parameters of its model
    :param vocab_size: pieces of its tokenizer
    """
    return {
        MODEL: 4 * numbers + HEADER_BYTES,  # float32; all others are bfloat16
        OPTIMIZER: 2 * len(checkpoint.MOMENTS) * numbers + HEADER_BYTES,
        LOCAL: 2 * numbers + HEADER_BYTES,
        AVERAGE: 2 * numbers + HEADER_BYTES,
        TOKENIZER: TOKENIZER_BYTES + PIECE_OF_TOKENIZER_BYTES * vocab_size,
    }


async def fetch_means(
    p2p: P2P, donor: PeerID, run_folder: Path, lineage: str, size: int, service: StateService
) -> list[Path]:
    """Take the means that followed the anchor `lineage`, one after the other, into our own history.

    :param size: numbers in a mean
    :returns: their files, none where the donor does not keep what followed. Raises TransferError, OSError, and
        MeanError for what cannot be a mean.
    """
    taken: list[Path] = []
    while len(taken) < MAX_MEANS:
        path = means.path_of(run_folder, lineage)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{PARTIAL}{path.name}")
        try:
            with partial.open("wb") as file:
                while piece := await _part_of_mean(p2p, donor, run_folder.name, lineage, file.tell(), PIECE_BYTES):
                    service.bytes_received += len(piece)
                    file.write(piece)
                    if file.tell() > payload_bytes(size, FINE) + MEAN_HEADER_LIMIT:
                        raise TransferError("more bytes arrive than a mean has")
                if not file.tell():
                    return taken
            partial.replace(path)
            means.prune(path.parent)
        finally:
            partial.unlink(missing_ok=True)
        try:
            lineage = means.load(path, size).lineage
        except means.MeanError:
            path.unlink(missing_ok=True)
            raise
        taken.append(path)
    return taken


async def is_followed(p2p: P2P, donor: PeerID, run: str, lineage: str) -> bool:
    """Return whether the donor keeps the mean that followed the anchor `lineage`. Raises TransferError."""
    return bool(await _part_of_mean(p2p, donor, run, lineage, 0, 1))


async def _part_of_mean(p2p: P2P, donor: PeerID, run: str, previous: str, offset: int, size: int) -> bytes:
    request = MeanRequest(run=run, previous=previous, offset=offset, size=size)
    stream = StateService.get_stub(p2p, donor).rpc_mean(envelope(request))
    chunks = [chunk async for chunk in _received(stream, size)]
    if not chunks or chunks.pop():
        raise TransferError("the donor stopped sending in the middle of a mean")
    return b"".join(chunks)


async def _chunks(
    p2p: P2P, donor: PeerID, manifest: Manifest, name: str, offset: int, size: int, hurried: bool = False
) -> AsyncIterator[bytes]:
    """Give so many bytes of a file, from an offset on. Raises TransferError, also where fewer come.

    hivemind takes a stream that was cut for one that is over, so the rest of such a one is asked for, once.
    """
    end, stub = offset + size, StateService.get_stub(p2p, donor)
    sha256 = manifest.files[name].sha256
    for _ in range(2):
        request = FileRequest(run=manifest.run, file=name, sha256=sha256, offset=offset, size=end - offset)
        stream = stub.rpc_file(envelope(request))
        async for chunk in _received(stream, end - offset, f"{name}: ", hurried):
            offset += len(chunk)
            yield chunk
        if offset == end:
            return
    raise TransferError(f"{name}: the donor stopped sending, {end - offset:,} bytes too early")


async def _received(
    stream: Awaitable[AsyncIterator[runtime_pb2.ExpertInfo]], size: int, of: str = "", hurried: bool = False
) -> AsyncIterator[bytes]:
    """Give so many bytes at most, as they come. Raises TransferError, whose message begins with `of`."""
    patience, slowest = (HURRIED_SECONDS, HURRIED_SLOWEST) if hurried else (ANSWER_SECONDS, SLOWEST)
    deadline = time.monotonic() + patience + size / slowest
    try:
        async for message in aiter_with_timeout(await begun(stream), patience):
            size -= len(message.serialized_info)
            if size < 0:
                raise TransferError(f"{of}more bytes arrive than were asked for")
            if time.monotonic() > deadline:
                raise TransferError(f"{of}the donor sends too slowly")
            yield message.serialized_info
    except TransferError:
        raise
    except Exception as error:
        raise TransferError(f"{of}the donor stopped sending ({reason(error)})") from error


def envelope(request: Message) -> runtime_pb2.ExpertUID:
    """Return a request in the protobuf message of hivemind's that carries a text."""
    return runtime_pb2.ExpertUID(uid=request.model_dump_json())


async def begun(stream: Awaitable[AsyncIterator[runtime_pb2.ExpertInfo]]) -> AsyncIterator[runtime_pb2.ExpertInfo]:
    """Open a stream; hivemind alone would wait for ever for it where the connection has just been cut."""
    return await asyncio.wait_for(stream, ANSWER_SECONDS)


def reason(error: Exception) -> str:
    """Return the beginning of what an error says, in one line."""
    text = printable(re.sub(r"\s+", " ", str(error)).strip())
    return text[:120] or type(error).__name__

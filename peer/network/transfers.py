"""State and text between this device and others, as the DHT's process gives and takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from hivemind.p2p import P2P, PeerID

from minigpt.checkpoint.manifest import SETTINGS, Manifest
from peer.state.fetching import TransferError, fetch, fetch_bytes, fetch_manifest, fetch_means, is_followed
from peer.state.serving import StateService
from peer.state.shards import Gathering, KeptShards, ShardService, Stock
from peer.wire import State, WhichState

MAX_DONORS = 4  # that state is taken from at once


class Transfers:
    """The transfers of one node.

    :param checkpoints: the folder whose newest and best checkpoint others may take
    :param others_of: tells of a run and a donor who else may have what the donor has
    """

    def __init__(self, p2p: P2P, checkpoints: Path, others_of: Callable[[str, PeerID], list[PeerID]]):
        self.service = StateService(checkpoints)
        self._p2p, self._others_of = p2p, others_of
        self._gathering: Gathering | None = None

    async def start(self) -> None:
        """Begin to give our state to whoever asks."""
        await self.service.add_p2p_handlers(self._p2p)

    async def fetch_manifest(self, peer: str, run: str, state: WhichState = "newest") -> Manifest:
        """Take the manifest of the donor's newest or best checkpoint."""
        return await fetch_manifest(self._p2p, PeerID.from_base58(peer), run, state)

    async def fetch_bytes(self, peer: str, manifest: Manifest, name: str) -> bytes:
        """Take one small file of it."""
        return await fetch_bytes(self._p2p, PeerID.from_base58(peer), manifest, name)

    async def fetch_settings(self, peer: str, run: str) -> bytes:
        """Take the settings.json of the donor's run."""
        return await self.fetch_bytes(peer, await self.fetch_manifest(peer, run), SETTINGS)

    async def fetch_means(self, peer: str, run_folder: Path, lineage: str, size: int) -> list[Path]:
        """Take the means that followed an anchor."""
        return await fetch_means(self._p2p, PeerID.from_base58(peer), run_folder, lineage, size, self.service)

    async def fetch(
        self,
        peer: str,
        run_id: str,
        root: Path,
        *,
        skip: tuple[str, ...],
        newer_than: State | None,
        or_followed: bool,
        state: WhichState = "newest",
        hurried: bool = False,
    ) -> Path:
        """Take the donor's newest or best checkpoint of that run, with the help of others; see `Network.fetch`."""
        donor, run = PeerID.from_base58(peer), run_id.rpartition("-")[0]
        manifest = await fetch_manifest(self._p2p, donor, run, state)
        if manifest.run_id != run_id:
            raise TransferError(f"it has a state of run {manifest.run_id}, and this is {run_id}")
        progress = manifest.progress
        old = newer_than is not None and (progress.samples, progress.round, progress.lineage) <= newer_than
        if old and not (or_followed and await is_followed(self._p2p, donor, run, progress.lineage_or_version)):
            raise TransferError("the donor has not written its newest state yet")
        donors = [donor, *self._others_of(manifest.run_id, donor)][:MAX_DONORS]
        return await fetch(self._p2p, donors, manifest, root, self.service, skip, hurried)

    async def share(self, ids_path: Path, tokenizer_sha256: str) -> None:
        """From now on give the ids in that file to whoever asks."""
        await ShardService(ids_path, tokenizer_sha256, self.service).add_p2p_handlers(self._p2p)

    async def take_shard(self, peer: str | None, kept: Callable[[], KeptShards], tokenizer_sha256: str) -> Stock:
        """Take one more shard of the peer's text, or of nobody's: then only look at what is here."""
        if self._gathering is None:
            opened = await asyncio.get_running_loop().run_in_executor(None, kept)  # which hashes all that is here
            self._gathering = Gathering(self._p2p, opened, tokenizer_sha256, self.service)
        return await self._gathering.take(None if peer is None else PeerID.from_base58(peer))

"""A donor of state and a joiner that has met it, two real nodes on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from hivemind.p2p import P2P

from peer.network.address import Address
from peer.network.hivemind_patches import connect
from peer.state.fetching import fetch, fetch_manifest
from peer.state.serving import StateService

RUN = "cellmind"
PIECE = 20_000  # bytes; the model has some of them


@asynccontextmanager
async def another_donor(
    folder: Path, joiner: P2P, kind: type[StateService] = StateService
) -> AsyncIterator[tuple[P2P, StateService]]:
    """A donor that serves its folder, and that the joiner has met."""
    donor = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    try:
        service = kind(folder)
        await service.add_p2p_handlers(donor)
        await connect(joiner, Address.parse(str((await donor.get_visible_maddrs())[0])))
        yield donor, service
    finally:
        await donor.shutdown()


def between_nodes(
    donor_folder: Path,
    work: Callable[[P2P, P2P, Any], Awaitable[Any]],
    kind: type[StateService] = StateService,
) -> Any:
    """Return what `work` gives for a donor, a joiner that has met it, and the donor's service."""

    async def run() -> Any:
        joiner = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
        try:
            async with another_donor(donor_folder, joiner, kind) as (donor, service):
                return await asyncio.wait_for(work(donor, joiner, service), 120)
        finally:
            await joiner.shutdown()

    return asyncio.run(run())


async def take(donor: P2P, joiner: P2P, root: Path, **more: Any) -> tuple[Path, StateService]:
    service = StateService(root)
    manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
    return await fetch(joiner, [donor.peer_id], manifest, root, service, **more), service

"""Take the newest model from a running peer without being a member.

For `python -m minigpt.generate --from-peer`, and `--from-swarm`, which finds one.
"""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path

from hivemind import DHT
from hivemind.dht import DHTNode

from minigpt.manifest import OPTIMIZER
from peer.discovery import who_trains
from peer.network import Failure, unwrap
from peer.node import CONNECT_SECONDS, parse_address
from peer.processes import keep_sockets_together, leave_nothing_behind
from peer.transfer import StateService, TransferError, fetch, fetch_manifest


def fetch_from_peer(address: str, root: Path) -> Path:
    """The peer's newest checkpoint in a folder under `root`, which keeps nothing older of that run.

    Its training goes on meanwhile: it only reads from its disk. Raises TransferError, and OSError for our disk.
    """
    try:
        parse_address(address)
    except ValueError as error:
        raise TransferError(str(error)) from error
    leave_nothing_behind()
    keep_sockets_together()
    dht = DHT(start=True, client_mode=True, nat_port_map=False, auto_nat=False, use_relay=False)
    try:
        folder: Path = unwrap(dht.run_coroutine(partial(_fetch, address=address, root=root.resolve())))
    finally:
        dht.shutdown()
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def fetch_from_swarm(run: str, root: Path) -> Path:
    """The newest checkpoint of a peer that zeroconf finds, as `fetch_from_peer` gives it. `run` may be "" for any.

    Raises TransferError, and OSError for our disk.
    """
    try:
        addresses = asyncio.run(who_trains(run))
    except OSError as error:
        raise TransferError(f"this network cannot be searched ({error}); name a peer with --from-peer") from error
    what = f"'{run}'" if run else "a run"
    problem = TransferError(f"nobody who trains {what} was found on this network; name a peer with --from-peer")
    for address in addresses:
        try:
            return fetch_from_peer(address, root)
        except TransferError as error:
            problem = error
    raise problem


async def _fetch(dht: DHT, node: DHTNode, *, address: str, root: Path) -> Path | Failure:
    peer, dialable = parse_address(address)
    try:
        await asyncio.wait_for(node.p2p._client.connect(peer, [dialable]), CONNECT_SECONDS)
    except Exception:
        return Failure(TransferError, f"nobody answers at {address}; is the peer running, and its address up to date?")
    try:
        manifest = await fetch_manifest(node.p2p, peer, "")
        return await fetch(node.p2p, [peer], manifest, root, StateService(root), skip=(OPTIMIZER,))
    except TransferError as error:
        return Failure(TransferError, str(error))
    except OSError as error:
        return Failure(OSError, str(error))

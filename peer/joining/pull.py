"""Take the newest model from a running peer without being a member.

For `python -m minigpt.generate --from-peer`, and `--from-swarm`, which finds one.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import os
import shutil
import time
from functools import cache, partial
from pathlib import Path

from hivemind import DHT
from hivemind.dht import DHTNode

from minigpt.checkpoint.manifest import OPTIMIZER
from peer.device.processes import leave_nothing_behind
from peer.joining.invite import InviteError, parse_invite
from peer.network.address import Address, lan_address
from peer.network.child_calls import fails_softly, unwrap
from peer.network.discovery import Listener
from peer.network.hivemind_patches import connect, keep_sockets_together
from peer.network.meeting import CONNECT_SECONDS
from peer.network.other_versions import what_to_update
from peer.network.subnet_scan import probe
from peer.state.fetching import TransferError, fetch, fetch_manifest
from peer.state.serving import StateService
from peer.wire import Announcement, OtherVersion

LISTEN_SECONDS = 5.0  # for somebody who trains
READING_SECONDS = 60.0  # for which a folder stays, though another program has taken a newer one
OTHERS_SECONDS = 1.0  # for others, once somebody was heard: the first one may have gone


@cache
def _node() -> DHT:
    """The node that asks, for as long as the program runs: with --follow that is every few seconds."""
    leave_nothing_behind()
    keep_sockets_together()
    dht = DHT(start=True, client_mode=True, nat_port_map=False, auto_nat=False, use_relay=False)
    atexit.register(dht.shutdown)
    return dht


def fetch_from_peer(address: str, root: Path) -> Path:
    """The newest checkpoint of the peer at an address, or of an invite; in a folder under `root`.

    Its training goes on meanwhile: it only reads from its disk. Raises TransferError, and OSError for our disk.
    """
    run_id = ""
    try:
        if address[:2].upper() == "CM":
            invite = parse_invite(address)
            address, run_id = invite.address, invite.run_id
        place = Address.parse(address)
        place.peer_id  # noqa: B018 -- which checks it
    except (ValueError, InviteError) as error:
        raise TransferError(str(error)) from error
    task = partial(_fetch, address=place, run_id=run_id, root=root.resolve())
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # others who ask wait, and find what is here then; children do not inherit it
        folder: Path = unwrap(_node().run_coroutine(task))
        os.utime(folder)  # it is about to be read
        for other in folder.parent.iterdir():
            if other != folder and other.stat().st_mtime < time.time() - READING_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def fetch_from_swarm(run: str, root: Path) -> Path:
    """The newest checkpoint of a peer that zeroconf finds, as `fetch_from_peer` gives it. `run` may be "" for any.

    Raises TransferError, and OSError for our disk.
    """
    try:
        addresses, others = asyncio.run(_who_trains(run))
    except OSError as error:
        raise TransferError(f"this network cannot be searched ({error}); name a peer with --from-peer") from error
    what = f"'{run}'" if run else "a run"
    problem = TransferError(f"nobody who trains {what} was found on this network; name a peer with --from-peer")
    if others:
        problem = TransferError(what_to_update(others[0]))
    for address in addresses:
        try:
            return fetch_from_peer(address, root)
        except TransferError as error:
            problem = error
    raise problem


async def _who_trains(run: str) -> tuple[list[str], list[OtherVersion]]:
    """Return the addresses of the devices here that train `run`, or any run if it is ""; and who is of another version.

    Raises OSError where multicast DNS cannot be used at all.
    """
    addresses: list[str] = []
    others: list[OtherVersion] = []
    heard = asyncio.Event()

    def found(announced: Announcement) -> None:
        if not announced.run or run not in ("", announced.run):
            return
        if announced.other_version is not None:
            others.append(announced.other_version)
        elif announced.address not in addresses:
            addresses.append(announced.address)
            heard.set()

    host = lan_address()
    listener = Listener(host, found)
    await listener.start()
    try:
        await asyncio.wait_for(heard.wait(), LISTEN_SECONDS)
        await asyncio.sleep(OTHERS_SECONDS)
    except TimeoutError:
        await probe(host, found)
    finally:
        await listener.stop()
    return addresses, others


@fails_softly
async def _fetch(dht: DHT, node: DHTNode, *, address: Address, run_id: str, root: Path) -> Path:
    try:
        await asyncio.wait_for(connect(node.p2p, address), CONNECT_SECONDS)
    except Exception as error:
        raise TransferError(f"nobody answers at {address}; is the peer running, and its address up to date?") from error
    try:
        manifest = await fetch_manifest(node.p2p, address.peer_id, "")
        if run_id not in ("", manifest.run_id):
            raise TransferError(f"the invite is for run {run_id}, and its peer trains {manifest.run_id}")
        return await fetch(node.p2p, [address.peer_id], manifest, root, StateService(root), skip=(OPTIMIZER,))
    except TransferError as error:
        raise TransferError(f"{address}: {error}") from error

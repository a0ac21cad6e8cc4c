"""Take the newest model of a running peer:  python -m peer.joining.pull ADDRESS --into FOLDER

Without being a member, and while its training goes on: the peer only reads from its disk. Prints the folder that was
taken. `python -m minigpt.generate --from-peer` and `--from-swarm` run it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import shutil
import sys
import time
from functools import cached_property, partial
from pathlib import Path

from hivemind import DHT
from hivemind.dht import DHTNode

from minigpt.checkpoint.manifest import MANIFEST, OPTIMIZER, Manifest, parse_manifest
from minigpt.cli import exit_code
from peer.device.processes import Stopped, StopSignal, leave, leave_nothing_behind, stop_when_unread
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

FOLLOW_SECONDS = 2.0  # between two questions for a newer model
LISTEN_SECONDS = 5.0  # for somebody who trains
READING_SECONDS = 60.0  # for which a folder stays, though another program has taken a newer one
OTHERS_SECONDS = 1.0  # for others, once somebody was heard: the first one may have gone


class Puller:
    """A node that takes models of running peers and gives nothing.

    It is one node from its first question to its last, and starts with the first.

    :param into: the folder for what is taken
    """

    def __init__(self, into: Path) -> None:
        self._into = into
        self._kept: Path | None = None

    def keep(self, folder: Path) -> None:
        """Keep that folder while others are taken: whoever was told of it may read it later."""
        self._kept = folder

    def pull(self, address: str) -> Path:
        """Take the newest checkpoint of the peer at an address, or of an invite, and return its folder.

        Raises TransferError.
        """
        place, run_id = _address_and_run(address)
        try:
            return self._pull(place, run_id)
        except OSError as error:
            raise TransferError(f"the model cannot be kept in {self._into}: {error}") from error

    def pull_from_swarm(self, run: str) -> Path:
        """Take the newest checkpoint of a peer that zeroconf finds, and return its folder. Raises TransferError.

        :param run: a name, or "" for any run
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
                return self.pull(address)
            except TransferError as error:
                problem = error
        raise problem

    def _pull(self, address: Address, run_id: str) -> Path:
        task = partial(_fetch, address=address, run_id=run_id, root=self._into.resolve())
        self._into.mkdir(parents=True, exist_ok=True)
        with (self._into / ".lock").open("w") as lock:
            # others who ask wait, and find what is here then; children do not inherit it
            fcntl.lockf(lock, fcntl.LOCK_EX)
            folder: Path = unwrap(self._dht.run_coroutine(task))
            os.utime(folder)  # it is about to be read
            for other in folder.parent.iterdir():
                if other not in (folder, self._kept) and other.stat().st_mtime < time.time() - READING_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
        return folder

    @cached_property
    def _dht(self) -> DHT:
        keep_sockets_together()
        return DHT(start=True, client_mode=True, nat_port_map=False, auto_nat=False, use_relay=False)


def _address_and_run(text: str) -> tuple[Address, str]:
    """Return the address, and the id of the run ("" for any), of an address or an invite. Raises TransferError."""
    run_id = ""
    try:
        if text[:2].upper() == "CM":
            invite = parse_invite(text)
            text, run_id = invite.address, invite.run_id
        address = Address.parse(text)
        address.peer_id  # noqa: B018 -- which checks it
    except (ValueError, InviteError) as error:
        raise TransferError(str(error)) from error
    return address, run_id


async def _who_trains(run: str) -> tuple[list[str], list[OtherVersion]]:
    """Return the addresses of the devices here that train `run`, or any run if it is "", and those of other versions.

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


def is_newer(state: Manifest, than: Manifest) -> bool:
    """Return whether a state is another run's, or has more training behind it: of several donors one may be behind."""
    return state.run_id != than.run_id or (state.samples, state.round) > (than.samples, than.round)


def pull(arguments: argparse.Namespace) -> None:
    """Take what the command line asks for, and print its folder, a line each. Raises TransferError and OSError."""
    puller = Puller(arguments.into)
    shown: Manifest | None = None
    while True:
        by_search = arguments.swarm is not None
        folder = puller.pull_from_swarm(arguments.swarm) if by_search else puller.pull(arguments.address)
        state = parse_manifest((folder / MANIFEST).read_bytes())
        if shown is None or is_newer(state, shown):
            sys.stdout.buffer.write(os.fsencode(folder) + b"\n")
            sys.stdout.buffer.flush()
            shown = state
            puller.keep(folder)
        if not arguments.follow:
            return
        time.sleep(FOLLOW_SECONDS)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m peer.joining.pull",
        description="Take the newest model of a device that trains, without joining it, and print the folder that it "
        "is in, ready for python -m minigpt.generate --checkpoint. The device trains on meanwhile.",
        epilog="What cannot be done is said on standard error, in a line, and the exit code is 2.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "address",
        nargs="?",
        metavar="ADDRESS|INVITE",
        help="the device: as in the first line that it prints, /ip4/192.168.0.10/tcp/23457/p2p/Qm…, or its invite",
    )
    source.add_argument(
        "--swarm", metavar="RUN", nargs="?", const="", help="a device on this network, which trains that run, or any"
    )
    parser.add_argument("--into", metavar="FOLDER", type=Path, required=True, help="where what is taken is kept")
    parser.add_argument(
        "--follow", action="store_true", help="print another folder for every newer model, until Ctrl+C ends it"
    )
    return parser.parse_args(arguments)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    leave_nothing_behind()
    stop = StopSignal()
    stop_when_unread()

    def work() -> None:
        with stop.interrupts():
            pull(arguments)

    try:
        return exit_code(work, (TransferError,))
    except Stopped:
        return 130


if __name__ == "__main__":
    leave(main())

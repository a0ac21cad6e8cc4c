"""Take the best model of a running peer, or its newest:  python -m peer.joining.pull ADDRESS --into FOLDER

Without being a member, and while its training goes on: the peer only reads from its disk. Prints the folder that was
taken. Which one is best is the peer's own word: that is said on standard error, with its round and whose word it is.
`python -m minigpt.generate --from-peer` and `--from-swarm` run it.
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

from data.private import keep_private
from data.terminal import ASKED_FOR, CommandParser
from minigpt.checkpoint import BEST
from minigpt.checkpoint.manifest import MANIFEST, OPTIMIZER, Manifest, parse_manifest
from minigpt.cli import exit_code, say
from peer.device.processes import Stopped, StopSignal, leave, leave_nothing_behind, stop_when_unread
from peer.joining.invite import InviteError, read_invite
from peer.network.address import Address, lan_address
from peer.network.child_calls import fails_softly, unwrap
from peer.network.discovery import Listener
from peer.network.door import REFUSED, Door
from peer.network.folder import last_address
from peer.network.hivemind_patches import connect, keep_sockets_together, pass_the_door
from peer.network.household_file import kept_household
from peer.network.meeting import CONNECT_SECONDS
from peer.network.other_versions import what_to_update
from peer.network.subnet_scan import probe
from peer.state.fetching import TransferError, fetch, fetch_manifest
from peer.state.serving import StateService
from peer.swarm.household import HouseholdError, tag
from peer.wire import NAMELESS, Announcement, OtherVersion, WhichState
from peer.wire_household import Household

LOCKED_HERE = (
    "its run is locked, and its key is not here: in place of the address give the invite that python -m peer --invite "
    "shows on a device that is in, or join the run first (python -m peer --join)"
)
FOLLOW_SECONDS = 2.0  # between two questions for a newer model
LISTEN_SECONDS = 5.0  # for somebody who trains
READING_SECONDS = 60.0  # for which a folder stays, though another program has taken a newer one
INSTEAD = "give the address of a peer instead, as in the first line that it prints"
OTHERS_SECONDS = 1.0  # for others, once somebody was heard: the first one may have gone


class Puller:
    """A node that takes models of running peers and gives nothing.

    It is one node from its first question to its last, and starts with the first.

    :param into: the folder for what is taken
    :param checkpoints: the folder of a peer of this device, with the key of its run where that is locked
    :param state: of a peer that keeps no best one, the newest is taken all the same
    """

    def __init__(self, into: Path, checkpoints: Path, state: WhichState = "newest") -> None:
        self._into, self._checkpoints, self._state = into, checkpoints, state
        self._kept: Path | None = None
        self._door = Door()
        self.donor = ""  # of the last one that was taken, as people call it

    def keep(self, folder: Path) -> None:
        """Keep that folder while others are taken: whoever was told of it may read it later."""
        self._kept = folder

    def pull(self, address: str) -> Path:
        """Take the model of the peer at an address, or of an invite, and return its folder. Raises TransferError."""
        place, run_id, household = _address_and_run(address)
        self._door.set(household or self._household_of(run_id.rpartition("-")[0]))
        self.donor = place.host
        try:
            return self._pull(place, run_id)
        except OSError as error:
            raise TransferError(f"the model cannot be kept in {self._into}: {error}") from error

    def pull_from_swarm(self, run: str) -> Path:
        """Take the model of a peer that zeroconf finds, and return its folder. Raises TransferError.

        :param run: a name, or "" for any run
        """
        try:
            found, others, shut = asyncio.run(_who_trains(run, tag(self._household_of(run))))
        except OSError as error:
            raise TransferError(f"this network cannot be searched ({error}); {INSTEAD}") from error
        what = f"'{run}'" if run else "a run"
        last = last_address(self._checkpoints)
        problem = TransferError(f"nobody who trains {what} was found on this network; {INSTEAD}")
        if shut:
            problem = TransferError(f"{shut[0]}: {LOCKED_HERE}")
        if others:
            problem = TransferError(what_to_update(others[0]))
        for address, name in found.items():
            try:
                folder = self.pull(address)
                self.donor = f"{name} ({self.donor})"
                return folder
            except TransferError as error:
                is_own = last is not None and address == last[0]
                if not (shut and is_own):  # which knocks there, and has nothing yet
                    problem = error
        raise problem

    def _pull(self, address: Address, run_id: str) -> Path:
        task = partial(_fetch, address=address, run_id=run_id, root=self._into.resolve(), state=self._state)
        self._into.mkdir(parents=True, exist_ok=True)
        with (self._into / ".lock").open("w") as lock:
            # others who ask wait, and find what is here then; children do not inherit it
            fcntl.lockf(lock, fcntl.LOCK_EX)
            folder: Path = unwrap(self._dht.run_coroutine(task))
            os.utime(folder)  # it is about to be read
            run = folder.parent.parent if folder.parent.name == BEST else folder.parent
            for other in (*run.glob("*"), *run.glob(f"{BEST}/*")):
                is_old = other.stat().st_mtime < time.time() - READING_SECONDS
                if is_old and other.name != BEST and other not in (folder, self._kept):
                    shutil.rmtree(other, ignore_errors=True)
        return folder

    def _household_of(self, run: str) -> Household | None:
        """Return the household of this device in that run, or in the one that it was in last. Raises TransferError."""
        last = last_address(self._checkpoints)
        try:
            return kept_household(self._checkpoints, run or (last[1] if last else ""), report=lambda line: None)
        except HouseholdError as error:
            raise TransferError(str(error)) from error

    @cached_property
    def _dht(self) -> DHT:
        keep_sockets_together()
        pass_the_door(self._door)
        return DHT(start=True, client_mode=True, nat_port_map=False, auto_nat=False, use_relay=False)


def _address_and_run(text: str) -> tuple[Address, str, Household | None]:
    """Return the address, the id of the run ("" for any), and its household if it is locked, of an address or invite.

    Raises TransferError.
    """
    run_id, household = "", None
    try:
        if text == ASKED_FOR or text[:2].upper() == "CM":
            invite = read_invite(text)
            text, run_id, household = invite.address, invite.run_id, invite.household
        address = Address.parse(text)
        address.peer_id  # noqa: B018 -- which checks it
    except (ValueError, InviteError) as error:
        raise TransferError(str(error)) from error
    return address, run_id, household


async def _who_trains(run: str, our_tag: str) -> tuple[dict[str, str], list[OtherVersion], list[str]]:
    """Return address -> name of the devices here that train `run`, or any run if it is "".

    And those of other versions, and the addresses of those whose run is locked, and not ours. Raises OSError where
    multicast DNS cannot be used at all.

    :param our_tag: what devices of our run announce where it is locked, else ""
    """
    names: dict[str, str] = {}
    others: list[OtherVersion] = []
    shut: list[str] = []
    heard = asyncio.Event()

    def found(announced: Announcement) -> None:
        is_ours = announced.tag != "" and announced.tag == our_tag
        if announced.tag and not is_ours:
            shut.append(announced.address)
        elif not is_ours and (not announced.run or run not in ("", announced.run)):
            return
        elif announced.other_version is not None:
            others.append(announced.other_version)
        elif announced.address not in names:
            names[announced.address] = announced.name or NAMELESS
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
    return names, others, shut


@fails_softly
async def _fetch(dht: DHT, node: DHTNode, *, address: Address, run_id: str, root: Path, state: WhichState) -> Path:
    try:
        await asyncio.wait_for(connect(node.p2p, address), CONNECT_SECONDS)
    except Exception as error:
        raise TransferError(f"nobody answers at {address}; is the peer running, and its address up to date?") from error
    try:
        manifest = await fetch_manifest(node.p2p, address.peer_id, "", state)
        if run_id not in ("", manifest.run_id):
            raise TransferError(f"the invite is for run {run_id}, and its peer trains {manifest.run_id}")
        return await fetch(node.p2p, [address.peer_id], manifest, root, StateService(root), skip=(OPTIMIZER,))
    except TransferError as error:
        if REFUSED in str(error):
            raise TransferError(f"{address}: {LOCKED_HERE}") from error
        raise TransferError(f"{address}: {error}") from error


def is_newer(state: Manifest, than: Manifest) -> bool:
    """Return whether a state is another run's, or has more training behind it: of several donors one may be behind."""
    return state.run_id != than.run_id or (state.samples, state.round) > (than.samples, than.round)


def pull(arguments: argparse.Namespace) -> None:
    """Take what the command line asks for, and print its folder, a line each. Raises TransferError and OSError."""
    # the best one may be the last for hours
    wanted: WhichState = "newest" if arguments.newest or arguments.follow else "best"
    puller = Puller(arguments.into, arguments.checkpoints, wanted)
    shown: Manifest | None = None
    while True:
        by_search = arguments.swarm is not None
        folder = puller.pull_from_swarm(arguments.swarm) if by_search else puller.pull(arguments.address)
        state = parse_manifest((folder / MANIFEST).read_bytes())
        if state.held_out is not None:
            loss = f"held-out {state.held_out.nats:.2f}"
            say(f"the best state of {puller.donor}, by its own word: round {state.round}, {loss}")
        if shown is None or is_newer(state, shown):
            sys.stdout.buffer.write(os.fsencode(folder) + b"\n")
            sys.stdout.buffer.flush()
            shown = state
            puller.keep(folder)
        if not arguments.follow:
            return
        time.sleep(FOLLOW_SECONDS)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m peer.joining.pull",
        description="Take the best model of a device that trains, by its own word, without joining it, and print the "
        "folder that it is in, ready for python -m minigpt.generate --checkpoint. The device trains on meanwhile.",
        epilog="What cannot be done is said on standard error, in a line, and the exit code is 2.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "address",
        nargs="?",
        metavar="ADDRESS|INVITE",
        help="the device: as in the first line that it prints, /ip4/192.168.0.10/tcp/23457/p2p/Qm…, or its invite; "
        "- asks for that",
    )
    source.add_argument(
        "--swarm", metavar="RUN", nargs="?", const="", help="a device on this network, which trains that run, or any"
    )
    parser.add_argument("--into", metavar="FOLDER", type=Path, required=True, help="where what is taken is kept")
    parser.add_argument("--newest", action="store_true", help="take its newest model, though an earlier one was better")
    parser.add_argument(
        "--checkpoints",
        metavar="FOLDER",
        type=Path,
        default=Path("checkpoints"),
        help="of a peer of this device, which may be in a locked run (default: %(default)s)",
    )
    parser.add_argument(
        "--follow", action="store_true", help="print another folder for every newer model, until Ctrl+C ends it"
    )
    return parser.parse_args(arguments)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    keep_private()
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

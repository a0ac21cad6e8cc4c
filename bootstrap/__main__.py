"""Run a bootstrap node:  python -m bootstrap

For networks where devices do not find each other by themselves. Its identity is kept, so the address stays the same
after a restart. A stock `hivemind-dht` does as well in its place, and this one serves stock hivemind peers.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from data.private import close_to_others, keep_private
from data.terminal import CommandParser, as_called
from minigpt import heed_interrupts
from peer.device.control import Control
from peer.device.display import Display
from peer.device.processes import StopSignal, leave, leave_nothing_behind
from peer.joining.invite import Invite, invite_argument
from peer.joining.outside import lines_outside
from peer.joining.owner_requests import OwnerRequests
from peer.network.address import Address, NetworkError, check_addresses, check_port, host, lan_address, port
from peer.network.handle import Network
from peer.network.node import View
from peer.swarm.household import HouseholdError

DEFAULT_PORT = 23456
NAME = "bootstrap"
LOCKED = (
    "it belongs to a locked run; an invite, which has the key in it: "
    "python -m peer --invite --checkpoints FOLDER, with the folder of --state"
)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = CommandParser(
        prog="python -m bootstrap",
        description="A node that trains nothing and gives other devices a first address; prints what to type on them.",
    )
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help=f"TCP port to listen on (default: {DEFAULT_PORT})"
    )
    parser.add_argument(
        "--host", type=host, default=None, help="this device's address on the LAN (default: found by itself)"
    )
    parser.add_argument(
        "--initial-peers", nargs="+", default=[], metavar="ADDRESS", help="other bootstrap nodes or peers to connect to"
    )
    parser.add_argument(
        "--join",
        type=invite_argument,
        metavar="INVITE",
        help="the invite of a locked run, - to be asked for it (without one, it knocks at one)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("checkpoints/bootstrap"),
        help="where identity and known addresses are kept (default: checkpoints/bootstrap)",
    )
    return parser.parse_args(arguments)


def serve(arguments: argparse.Namespace, display: Display) -> int:
    """Run the node until it is told to stop; return the exit code. Raises NetworkError and HouseholdError."""
    own = arguments.host or lan_address()
    check_port(own, arguments.port)
    check_addresses(arguments.initial_peers)
    leave_nothing_behind()
    addresses = [arguments.join.address] if arguments.join else []
    network = Network(
        run="",
        name=NAME,
        host=own,
        port=arguments.port,
        checkpoints=arguments.state,
        report=display.note,
        addresses=[*addresses, *arguments.initial_peers],
        own_address=None if arguments.host else lan_address,
        invited=arguments.join.household if arguments.join else None,
    )
    stop = StopSignal()
    close_to_others([arguments.state], display.note)
    control = Control(arguments.state, OwnerRequests(network, NAME).actions)
    try:
        look_on(network, display, stop, [*addresses, *arguments.initial_peers])
    finally:
        control.stop()
        network.stop()
    display.note("goodbye")
    return 0


def look_on(network: Network, display: Display, stop: StopSignal, given: list[str]) -> None:
    """Say where the node is, who comes and goes, and who knocks; knock where it has nobody to serve but a locked run.

    :param given: addresses that the user has named
    """
    announced: tuple[Address, bool] | None = None
    connected: list[str] = []
    said: set[str] = set()
    while not stop.received:
        view = network.post(None)
        if (network.address, view.locked) != announced:
            announced = network.address, view.locked
            display.note(f"bootstrap node at {network.address}")
            if view.locked:
                display.note(LOCKED)
            else:
                display.invite(str(Invite(str(network.address))))
        here = connected_to(view)
        if len(here) != len(connected):
            connected = here
            display.note(f"{len(connected)} device(s) connected")
        if knocks(view, given):
            network.ask_in(True)
        elif view.household is not None:  # it is in: also where the run is opened later, and others still have the key
            network.ask_in(False)
        for line in lines_outside(view.outside):
            if line not in said:
                said.add(line)
                display.note(line)
        time.sleep(0.2)


def connected_to(view: View) -> list[str]:
    """Return the peer ids of those that the node is connected to, but for the locked devices that are shut for it."""
    shut = {Address.parse(door).peer for door in view.outside.doors}
    return [peer for peer in view.connected if peer not in shut]


def knocks(view: View, given: list[str]) -> bool:
    """Return whether the node asks to be let in: where all that the user has named is locked, or nobody else is here.

    Other bootstrap nodes are nobody: they may stand before the same door. And it asks where it was ejected.

    :param given: addresses that the user has named
    """
    doors = view.outside.doors
    if view.household is not None or not doors:
        return view.ejected
    nodes = {Address.parse(address).peer for address in view.heard}  # of no run, as we are
    return (bool(given) and set(given) <= set(doors)) or not {*connected_to(view)} - nodes


def main() -> int:
    """Return the exit code of the command."""
    heed_interrupts()
    keep_private()
    arguments = parse_arguments()
    try:
        return serve(arguments, Display())
    except (NetworkError, HouseholdError) as error:
        print(as_called(f"error: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    leave(main())

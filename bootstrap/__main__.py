"""Run a bootstrap node:  python -m bootstrap

For networks where devices do not find each other by themselves. Its identity is kept, so the address stays the same
after a restart. A stock `hivemind-dht` does as well in its place, and this one serves stock hivemind peers.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from minigpt import heed_interrupts
from peer.device.display import Display
from peer.device.processes import StopSignal, leave, leave_nothing_behind
from peer.joining.invite import Invite
from peer.network.address import Address, NetworkError, check_addresses, check_port, host, lan_address, port
from peer.network.handle import Network

DEFAULT_PORT = 23456


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
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
        "--state",
        type=Path,
        default=Path("checkpoints/bootstrap"),
        help="where identity and known addresses are kept (default: checkpoints/bootstrap)",
    )
    return parser.parse_args(arguments)


def serve(arguments: argparse.Namespace, display: Display) -> int:
    """Run the node until it is told to stop; return the exit code. Raises NetworkError."""
    own = arguments.host or lan_address()
    check_port(own, arguments.port)
    check_addresses(arguments.initial_peers)
    leave_nothing_behind()
    network = Network(
        run="",
        name="bootstrap",
        host=own,
        port=arguments.port,
        checkpoints=arguments.state,
        report=display.note,
        addresses=arguments.initial_peers,
        own_address=None if arguments.host else lan_address,
    )
    stop = StopSignal()
    try:
        announced: Address | None = None
        connected: list[str] = []
        while not stop.received:
            if network.address != announced:
                announced = network.address
                display.note(f"bootstrap node at {announced}")
                display.invite(str(Invite(str(announced))))
            view = network.post(None)
            if len(view.connected) != len(connected):
                connected = view.connected
                display.note(f"{len(connected)} device(s) connected")
            time.sleep(0.2)
    finally:
        network.stop()
    display.note("goodbye")
    return 0


def main() -> int:
    """Return the exit code of the command."""
    heed_interrupts()
    arguments = parse_arguments()
    try:
        return serve(arguments, Display())
    except NetworkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    leave(main())

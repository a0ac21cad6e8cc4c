"""Random bytes to a peer's ports:  python -m benchmarks.garbage ADDRESS --seconds 10 --seed 1

TCP (where peers listen) and UDP 5353 (zeroconf), some of it begun as the real protocols begin.
"""

from __future__ import annotations

import argparse
import random
import socket
import time
from contextlib import suppress

from peer.command_line import DEFAULT_PORT

MDNS_PORT = 5353
PAUSE_SECONDS = 0.05
BEGINNINGS = (
    b"",
    b"\x13/multistream/1.0.0\n",  # how libp2p begins
    b"\x13/multistream/1.0.0\n\x07/noise\n",
    b"\0\0\x84\0\0\0\0\1\0\0\0\0",  # an mDNS answer with one record, which follows
    b"\0\0\0\0\0\1\0\0\0\0\0\0",  # a question
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.garbage", description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    dice, deadline, count = random.Random(arguments.seed), time.monotonic() + arguments.seconds, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        while time.monotonic() < deadline:
            udp.sendto(odd_bytes(dice, 1400), (arguments.address, MDNS_PORT))
            shout(arguments.address, DEFAULT_PORT, odd_bytes(dice, 65536))
            count += 2
            time.sleep(PAUSE_SECONDS)
    print(f"{count} messages sent")


def odd_bytes(dice: random.Random, limit: int) -> bytes:
    beginning = dice.choice(BEGINNINGS)
    return beginning + dice.randbytes(dice.randrange(limit - len(beginning)))


def shout(host: str, port: int, content: bytes) -> None:
    """Connect, send, and go without a word; nothing where nobody listens."""
    with suppress(OSError), socket.create_connection((host, port), timeout=1) as connection:
        connection.sendall(content)


if __name__ == "__main__":
    main()

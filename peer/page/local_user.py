"""Which user of this device is at the other end of a connection over loopback: a run is for its owner's eyes alone.

Linux tells in `/proc/net/tcp` whose each socket is. Where nothing is told, as on Android and macOS, whoever can log in
is taken for the owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
STATUS = Path("/proc/self/status")
ESTABLISHED = "01"  # the socket of a program that has gone is nobody's, and told to be root's
MAPPED = "0000000000000000FFFF0000"  # before an IPv4 address in the table of IPv6
ROOT = 0


def is_owner(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Return whether the client of a connection is our own user, or root; True where that is not told.

    :param client: its end of the connection, address and port, and our end
    """
    try:
        ends = tuple(f"{_little_endian(address)}:{port:04X}" for address, port in (client, server))
        me = uid_in(STATUS.read_text())
        users = [user for table in TABLES if table.exists() for user in users_of(table.read_text().splitlines(), ends)]
    except (OSError, ValueError):
        return True
    return any(user in (me, ROOT) for user in users)


def users_of(lines: Iterable[str], ends: tuple[str, ...]) -> Iterator[int]:
    """Yield the user of each established socket with these two ends, in the lines of a table."""
    for line in lines:
        _, here, there, state, _, _, _, user, *_ = (*line.split(), *[""] * 8)
        if (here.removeprefix(MAPPED), there.removeprefix(MAPPED)) == ends and state == ESTABLISHED:
            yield int(user)


def uid_in(status: str) -> int:
    """Return the effective user id in `/proc/self/status`; proot lets a program believe that it is another one."""
    return int(status.partition("\nUid:")[2].split()[1])


def _little_endian(address: str) -> str:
    return IPv4Address(address).packed[::-1].hex().upper()

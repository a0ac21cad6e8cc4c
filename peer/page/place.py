"""Where the page of the peer in a checkpoints folder is: a port on loopback, written down for other commands."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path

from data.atomic import write_whole
from peer.page.models import PORT

PLACE = "page.json"  # in the checkpoints folder
OPEN = "page.lan"  # there as well, while the page is on the LAN: its port, for the process after one that has died
MOST_PORTS = 50  # that are tried, from PORT on


def listen(host: str, first: int | None = None) -> socket.socket | None:
    """Return a listening socket on the page's port or the next one that is free; None where there is none.

    :param first: a port to try before these
    """
    for port in (*([first] if first else []), *range(PORT, PORT + MOST_PORTS)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    return None


def write_place(checkpoints: Path, port: int) -> None:
    """Write down where the page is. What the disk does not take is no reason to stop."""
    with suppress(OSError):
        write_whole(checkpoints / PLACE, json.dumps({"port": port}), synced=False)


def read_place(checkpoints: Path) -> str | None:
    """Return the page's address, such as http://127.0.0.1:23480; None where none was written down."""
    try:
        port = int(json.loads((checkpoints / PLACE).read_text())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return f"http://127.0.0.1:{port}" if 0 < port < 65536 else None


def forget_place(checkpoints: Path) -> None:
    """Write down that there is no page any more."""
    with suppress(OSError):
        (checkpoints / PLACE).unlink()

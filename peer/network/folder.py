"""The files about the network in a peer's checkpoints folder: a lock, its own address, and those it has met."""

from __future__ import annotations

import fcntl
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from data.atomic import write_whole
from peer.network.address import NetworkError

MAX_REMEMBERED = 50
PEERS, OWN_ADDRESS = "peers.json", "address.json"  # addresses of others, and ours, beside the runs
NAMES = "names.json"  # of the members of a locked run
IDENTITY = "identity.key"  # the device's own


def lock_folder(folder: Path) -> TextIO:
    """Lock a folder: two peers in one would be one identity twice. Raises NetworkError; lasts as long as the file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise NetworkError(
            f"nothing can be kept in {folder}: {error.strerror}. Give this peer another folder with --checkpoints"
        ) from error
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, children do not inherit it
    except OSError as error:
        raise NetworkError(
            f"another peer runs in {folder} already; end it, or give this one a folder with --checkpoints"
        ) from error
    return file


def runs_in(folder: Path) -> bool:
    """Return whether a peer runs in that folder."""
    try:
        with (folder / ".lock").open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def known_addresses(folder: Path) -> list[str]:
    """Return the addresses of those whom the peer in that folder has met."""
    try:
        addresses = json.loads((folder / PEERS).read_text())["addresses"]
        return [address for address in addresses if isinstance(address, str)][:MAX_REMEMBERED]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep_addresses(folder: Path, addresses: list[str]) -> None:
    """Keep the addresses of those whom the peer in that folder has met."""
    _write_json(folder / PEERS, {"addresses": addresses})


def known_names(folder: Path) -> dict[str, str]:
    """Return peer id -> name of the members that the peer in that folder has met in a locked run."""
    try:
        names = json.loads((folder / NAMES).read_text())
        return {peer: name for peer, name in names.items() if isinstance(name, str)}
    except (OSError, ValueError, AttributeError):
        return {}


def keep_names(folder: Path, names: dict[str, str]) -> None:
    """Keep the names of members: one that is away can be ejected by its name."""
    _write_json(folder / NAMES, names)


def keep_own_address(folder: Path, address: str, run: str) -> None:
    """Keep the address of the peer in that folder, and its run."""
    _write_json(folder / OWN_ADDRESS, {"address": address, "run": run})


def last_address(folder: Path) -> tuple[str, str] | None:
    """Return the address of the peer that runs in that folder, or ran there last, and its run."""
    try:
        kept = json.loads((folder / OWN_ADDRESS).read_text())
        return str(kept["address"]), str(kept["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with suppress(OSError):  # a convenience, no reason to stop
        write_whole(path, json.dumps(content, indent=2), synced=False)

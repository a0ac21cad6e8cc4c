"""An invite: where a peer is, who it is and what it trains, in one short word for a camera, a message or a keyboard.

    python -m peer --invite              # on a device that trains: shows it, with a QR code
    python -m peer --join CM1-BJGQ…      # on another one

CM, the version of the format, and in base32 (no character of which is taken for another, in any case): IPv4 address,
port, the SHA-256 of the public key that the peer proves to have when it is connected to, the hash in the run's id
(zeros while there is none), the run's name (none for a bootstrap node), and a checksum. It is no key: it lets nobody in
who could not come without it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from hivemind.p2p import PeerID

from peer.network.address import Address
from peer.network.folder import last_address, runs_in
from peer.state.serving import kept_checkpoints
from peer.wire import is_run_name

VERSION = 1
HEAD = struct.Struct(">4sH32s6s")  # address, port, fingerprint, hash of the run
CHECKSUM = 4  # bytes
SHA256 = b"\x12\x20"  # begins a peer id that is the SHA-256 of a public key (multihash)


class InviteError(Exception):
    """An invite that cannot be used, or cannot be made; the message is for the user."""


@dataclass(frozen=True)
class Invite:
    """The content of an invite, which is shown to people as one word: `str(invite)`.

    :param address: multiaddr of the peer, /ip4/ADDRESS/tcp/PORT/p2p/PEER
    :param run: name of the run, "" where any will do
    :param run_id: the run itself, "" while there is none yet
    """

    address: str
    run: str = ""
    run_id: str = ""

    def __str__(self) -> str:
        address = Address.parse(self.address)
        run_hash = bytes.fromhex(self.run_id.rpartition("-")[2]).ljust(6, b"\0")
        fingerprint = address.peer_id.to_bytes().removeprefix(SHA256)
        assert len(fingerprint) == 32, "hivemind's identities are RSA keys, and their ids hashes"
        payload = HEAD.pack(IPv4Address(address.host).packed, address.port, fingerprint, run_hash) + self.run.encode()
        word = base64.b32encode(payload + _checksum(payload)).decode().rstrip("=")
        return f"CM{VERSION}-{word}"


def parse_invite(text: str) -> Invite:
    """Return the content of an invite, however it was typed. Raises InviteError, which says what is wrong with it."""
    match = re.fullmatch(r"CM([0-9])(.*)", re.sub(r"[\s-]", "", text).upper())
    if match is None:
        raise InviteError(
            f"{text[:40]!r} is no invite: one begins with CM{VERSION}- and is shown by python -m peer --invite "
            "(the address of a peer goes behind --initial-peers)"
        )
    version = int(match[1])
    if version != VERSION:
        which = "an older version of CellMind; bring the device that showed it up to date"
        if version > VERSION:
            which = "a newer version of CellMind; bring this device up to date"
        raise InviteError(f"this invite is of {which} (git pull) and ask for a new one")
    payload = _payload(match[2])
    if payload is None:
        raise InviteError("this invite is cut short or has a wrong letter: its checksum is wrong; copy it once more")
    host, port, fingerprint, run_hash = HEAD.unpack(payload[: HEAD.size])
    run = payload[HEAD.size :].decode("ascii", errors="replace")
    if port == 0 or not (run == "" or is_run_name(run)):
        raise InviteError("this invite names no port, or no name of a run; ask for a new one")
    peer = PeerID(SHA256 + fingerprint).to_base58()
    run_id = f"{run}-{run_hash.hex()}" if run and any(run_hash) else ""
    return Invite(str(Address(str(IPv4Address(host)), port, peer)), run, run_id)


def _payload(word: str) -> bytes | None:
    """Return the bytes that the word carries, or None if it is not whole."""
    try:
        content = base64.b32decode(word + "=" * (-len(word) % 8))
    except (binascii.Error, ValueError):  # ValueError: a letter of another alphabet
        return None
    payload, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
    return payload if len(payload) >= HEAD.size and checksum == _checksum(payload) else None


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:CHECKSUM]


def invite_of_running_peer(checkpoints: Path, run: str | None = None) -> Invite:
    """Return the invite of the peer that runs in a folder. Raises InviteError if none does, or in another run."""
    if not runs_in(checkpoints):
        raise InviteError(
            f"no peer runs in {checkpoints}; start one with python -m peer --join, and ask again while it runs"
        )
    known = last_address(checkpoints)
    if known is None:
        raise InviteError("the peer here has no address yet; try again in a moment")
    address, trained = known
    if run not in (None, trained):
        raise InviteError(f"the peer that runs in {checkpoints} is in the run '{trained}', not in '{run}'")
    kept = kept_checkpoints(checkpoints, trained) if is_run_name(trained) else []  # a bootstrap node trains none
    return Invite(address, trained, kept[0][1].run_id if kept else "")

"""An invite: where a peer is, who it is and what it trains, in one short word for a camera, a message or a keyboard.

    python -m peer --invite              # on a device that trains: shows it, with a QR code
    python -m peer --join CM1-BJGQ…      # on another one
    python -m peer --join -              # the same, asked for: it is seen in no list of programs, and in no history

CM, the version of the format, and in base32 (no character of which is taken for another, in any case): IPv4 address,
port, the SHA-256 of the public key that the peer proves to have when it is connected to, the hash in the run's id
(zeros while there is none), the run's name (none for a bootstrap node), and a checksum.

CM1 is for an open run, and no key: it lets nobody in who could not come without it. CM2 is for a locked one, and has
the household's key and its epoch before the name: whoever has it can join.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from data.terminal import ASKED_FOR, asked_for_invite
from peer.network.address import Address, base58_of
from peer.wire import is_run_name
from peer.wire_household import Household

OPEN, LOCKED = 1, 2  # versions: of an invite to an open run, and to a locked one
HEAD = struct.Struct(">4sH32s6s")  # address, port, fingerprint, hash of the run
KEY = struct.Struct(">32sQ")  # key of the household, and its epoch
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
    :param key: of the household whose run is locked, in hexadecimal; "" for an open run
    :param epoch: of the key; 0 for an open run
    """

    address: str
    run: str = ""
    run_id: str = ""
    key: str = field(default="", repr=False)
    epoch: int = 0

    @property
    def household(self) -> Household | None:
        """The household that it lets into, which knows nobody yet; None where the run is open."""
        return Household(run_id=self.run_id, epoch=self.epoch, key=self.key) if self.key else None

    def __str__(self) -> str:
        address = Address.parse(self.address)
        run_hash = bytes.fromhex(self.run_id.rpartition("-")[2]).ljust(6, b"\0")
        fingerprint = address.peer_id.to_bytes().removeprefix(SHA256)
        assert len(fingerprint) == 32, "hivemind's identities are RSA keys, and their ids hashes"
        payload = HEAD.pack(IPv4Address(address.host).packed, address.port, fingerprint, run_hash)
        if self.key:
            payload += KEY.pack(bytes.fromhex(self.key), self.epoch)
        payload += self.run.encode()
        word = base64.b32encode(payload + _checksum(payload)).decode().rstrip("=")
        return f"CM{LOCKED if self.key else OPEN}-{word}"


def parse_invite(text: str) -> Invite:
    """Return the content of an invite, however it was typed. Raises InviteError, which says what is wrong with it."""
    match = re.fullmatch(r"CM([0-9])(.*)", re.sub(r"[\s-]", "", text).upper())
    if match is None:
        raise InviteError(
            f"{text[:40]!r} is no invite: one begins with CM{OPEN}- or CM{LOCKED}- and is shown by "
            "python -m peer --invite (the address of a peer goes behind --initial-peers)"
        )
    version = int(match[1])
    if version not in (OPEN, LOCKED):
        which = "an older version of CellMind; bring the device that showed it up to date"
        if version > LOCKED:
            which = "a newer version of CellMind; bring this device up to date"
        raise InviteError(f"this invite is of {which} (git pull) and ask for a new one")
    payload = _payload(match[2])
    if payload is None:
        raise InviteError("this invite is cut short or has a wrong letter: its checksum is wrong; copy it once more")
    host, port, fingerprint, run_hash = HEAD.unpack(payload[: HEAD.size])
    key, epoch, name = "", 0, payload[HEAD.size :]
    if version == LOCKED:
        if len(name) < KEY.size:
            raise InviteError("this invite has no whole key in it; ask for a new one")
        secret, epoch = KEY.unpack(name[: KEY.size])
        key, name = secret.hex(), name[KEY.size :]
    run = name.decode("ascii", errors="replace")
    if port == 0 or not (run == "" or is_run_name(run)):
        raise InviteError("this invite names no port, or no name of a run; ask for a new one")
    run_id = f"{run}-{run_hash.hex()}" if run and any(run_hash) else ""
    if version == LOCKED and not (run_id and epoch):
        raise InviteError("this invite has a key, and no run that it is for; ask for a new one")
    address = Address(str(IPv4Address(host)), port, base58_of(SHA256 + fingerprint))
    return Invite(str(address), run, run_id, key, epoch)


def read_invite(text: str) -> Invite:
    """Return the content of an invite; "-" has it asked for. Raises InviteError."""
    if text != ASKED_FOR:
        return parse_invite(text)
    if not (typed := asked_for_invite()):
        raise InviteError("there is no invite on standard input, where - has it looked for")
    return parse_invite(typed)


def invite_argument(text: str) -> Invite:
    """Return the invite in an argument of a command line; "-" has it asked for. Raises ArgumentTypeError."""
    try:
        return read_invite(text)
    except InviteError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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

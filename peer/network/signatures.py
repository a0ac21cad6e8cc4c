"""Signatures on what devices say on the notice board, and on what they change in their household.

Nobody speaks, leaves or renames in another's place.

A notice is signed with the key of its device's identity, of whose public half the peer id is the hash; so the key that
travels along needs no authority. The signature covers the board, the notice and its time: nothing can be said again
later, or elsewhere. RSA of 2,048 bits with exponent 65537, as hivemind makes identities; PSS with SHA-256 (RFC 8017).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from hivemind.p2p import PeerID
from hivemind.proto import crypto_pb2
from hivemind.utils import MSGPackSerializer

from peer.network import clock
from peer.network.address import NetworkError
from peer.wire import FIRST_SIGNED_VERSION, KEY_BYTES, Signature, parse_signature, unsigned
from peer.wire_household import Household

EXPONENT = 65537  # with any other one, whoever makes up a key could make checking it slow
PADDING = PSS(mgf=MGF1(SHA256()), salt_length=SHA256.digest_size)
SHA256_MULTIHASH = b"\x12\x20"  # begins a peer id that is the SHA-256 of a public key
MAX_CHECKED = 2048  # signatures whose check is remembered: of each notice, several keepers tell, again and again
MAX_SIGNERS = 4096  # kept in mind at once; more is somebody playing tricks


class Signer:
    """Signs what this device says. Raises NetworkError where the file holds no key that can.

    :param identity: the file of the device's key, as p2pd reads it
    """

    def __init__(self, identity: Path):
        try:
            content = identity.read_bytes()
        except OSError as error:
            raise NetworkError(f"{identity} cannot be read: {error.strerror}") from error
        try:
            key = load_der_private_key(crypto_pb2.PrivateKey.FromString(content).data, password=None)
        except Exception as error:  # protobuf and cryptography fail in many ways
            raise NetworkError(f"{identity} holds no key: delete it, and a new one is made") from error
        if not isinstance(key, RSAPrivateKey) or key.key_size != 8 * KEY_BYTES:
            raise NetworkError(f"{identity} holds a key of another kind: delete it, and a new one is made")
        self._private = key
        self._modulus = key.public_key().public_numbers().n.to_bytes(KEY_BYTES, "big")

    @property
    def peer(self) -> str:
        """The peer id of who signs here."""
        return peer_of(self._modulus)

    def sign(self, said: bytes) -> tuple[str, str]:
        """Return our public key and our signature, in hexadecimal, as a `Change` of a household has them."""
        return self._modulus.hex(), self._private.sign(said, PADDING, SHA256()).hex()

    def signed(self, board: bytes, said: Mapping[str, object], expiration: float) -> dict[str, object]:
        """Return what is said with our signature, to be left on the board until then and at no other time.

        :param board: the DHT's key of it
        """
        signature = self._private.sign(_covered(board, said, expiration), PADDING, SHA256())
        return {**said, **Signature(key=self._modulus, signature=signature).model_dump()}


class Signers:
    """Those who have signed lately: what is left in their place without a signature is not theirs.

    Devices of a version before FIRST_SIGNED_VERSION do not sign, and are heard of all the same.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # peer id -> when the last thing that it has signed expires

    def admit(self, board: bytes, address: str, said: object, expiration: float) -> bool:
        """Return whether the device at that address can have left this on the board.

        :param said: what is left there, read, but not checked for anything yet
        """
        peer = address.rpartition("/p2p/")[2]
        if not isinstance(said, dict):
            return False
        signature = parse_signature(said)
        if signature is None:
            version = said.get("version", 1)
            is_old = isinstance(version, int) and version < FIRST_SIGNED_VERSION
            return is_old and clock.now() > self._until.get(peer, 0.0)
        try:
            is_its_own = peer_of(signature.key) == peer
            covered = _covered(board, unsigned(said), expiration)
        except Exception:  # no key at all, names that are no text: cryptography and msgpack fail in many ways
            return False
        if not (is_its_own and _is_right(signature.key, signature.signature, covered)):
            return False
        self._remember(peer, expiration)
        return True

    def _remember(self, peer: str, expiration: float) -> None:
        if len(self._until) >= MAX_SIGNERS and peer not in self._until:
            self._until = {known: until for known, until in self._until.items() if until > clock.now()}
            if len(self._until) >= MAX_SIGNERS:
                return
        self._until[peer] = max(expiration, self._until.get(peer, 0.0))


def have_signed(household: Household) -> bool:
    """Return whether those who say to have changed a household have."""
    try:
        return all(
            change.run_id == household.run_id
            and peer_of(bytes.fromhex(change.identity)) == change.author
            and _is_right(bytes.fromhex(change.identity), bytes.fromhex(change.signature), change.said)
            for change in household.changes
        )
    except ValueError:  # no key at all
        return False


@lru_cache(MAX_SIGNERS)
def peer_of(modulus: bytes) -> str:
    """Return the peer id that belongs to a public key (github.com/libp2p/specs, peer-ids)."""
    der = _public_key(modulus).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = crypto_pb2.PublicKey(key_type=crypto_pb2.RSA, data=der).SerializeToString()
    return str(PeerID(SHA256_MULTIHASH + hashlib.sha256(public).digest()).to_base58())


def _public_key(modulus: bytes) -> RSAPublicKey:
    """Return the key with that modulus, which may be none that anybody has. Raises ValueError where it is too small."""
    return RSAPublicNumbers(EXPONENT, int.from_bytes(modulus, "big")).public_key()


@lru_cache(MAX_CHECKED)
def _is_right(modulus: bytes, signature: bytes, covered: bytes) -> bool:
    try:
        _public_key(modulus).verify(signature, covered, PADDING, SHA256())
    except InvalidSignature:
        return False
    return True


def _covered(board: bytes, said: Mapping[str, object], expiration: float) -> bytes:
    """Return the bytes that a signature is of."""
    covered: bytes = MSGPackSerializer.dumps(["cellmind notice", board, expiration, sorted(said.items())])
    return covered

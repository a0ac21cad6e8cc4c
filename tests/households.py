"""Households as tests need them: changed by devices that are only named, whose signatures nobody checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hivemind.p2p import P2P

from peer.network.signatures import Signer
from peer.swarm.household import UNSIGNED, admitting, ejecting, locked
from peer.wire_household import Household


@dataclass(frozen=True)
class Named:
    """A device that signs whatever it is given with nothing."""

    peer: str

    def sign(self, said: bytes) -> tuple[str, str]:
        return UNSIGNED, UNSIGNED


def signer() -> Signer:
    """A device with an identity of its own."""
    with TemporaryDirectory() as folder:
        identity = Path(folder) / "identity.key"
        P2P.generate_identity(str(identity))
        return Signer(identity)


def household(
    run_id: str, *peers: str, ejected: tuple[str, ...] = (), again: tuple[str, ...] = (), key: str = "ab" * 32
) -> Household:
    """The household that the first of some devices has locked, ejected others from, and let others in again."""
    me = Named(peers[0])
    it = locked(None, run_id, [*peers, *ejected, *again], key, me)
    for peer in (*ejected, *again):
        it = ejecting(it, peer, key, me)
    for peer in again:
        it = admitting(it, peer, me)
    return it

"""The household of a locked run, as it crosses the network and as it is kept; see `peer/swarm/household.py`."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from minigpt.checkpoint.manifest import Sha256
from peer.wire import KEY_BYTES, Base58, Message, RunId

MAX_EPOCH = 2**53  # of a household's key
MAX_CHANGES = 256  # of a household's membership
MAX_KNOWN = 16  # changes that nobody knew of each other, before another one
MAX_DEVICES = 512  # that one change is about: a lock is about all that are there

Key = Annotated[str, Field(pattern="^([0-9a-f]{64})?$", repr=False)]  # of a locked run: 32 random bytes
KeyHash = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
OfIdentity = Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * KEY_BYTES}}}$", repr=False)]
Count = Annotated[int, Field(ge=1, lt=2**31)]

# who belongs to it and the key; one more member, by the word of a person; one more, by an invite; one less, and a new
# key; a new key; no key any more
ChangeKind = Literal["lock", "admit", "welcome", "eject", "rekey", "open"]
ADMITTING = ("lock", "admit", "welcome")


class Change(Message):
    """A change of who belongs to a household, or of its key, signed by the member that made it."""

    kind: ChangeKind
    run_id: RunId
    author: Base58
    known: Annotated[tuple[Sha256, ...], Field(strict=False, max_length=MAX_KNOWN)]  # the newest changes it knew of
    # (peer id, how often the device was let in and ejected since: odd for a member)
    counts: Annotated[
        tuple[Annotated[tuple[Base58, Count], Field(strict=False)], ...], Field(strict=False, max_length=MAX_DEVICES)
    ]
    epoch: int = Field(ge=0, le=MAX_EPOCH)  # of the key that it brings; 0 for none
    key_hash: KeyHash  # SHA-256 of that key; "" for none
    identity: OfIdentity  # the author's public key: the modulus, in hexadecimal
    signature: OfIdentity

    @model_validator(mode="after")
    def check(self) -> Self:
        """Refuse what no change of that kind says."""
        odd = [count % 2 for _, count in self.counts]
        peers = [peer for peer, _ in self.counts]
        is_right = {
            "lock": all(odd) and self.author in peers and len(set(peers)) == len(peers),
            "admit": odd == [1],
            "welcome": odd == [1],
            "eject": odd == [0] and peers != [self.author],
            "rekey": not odd,
            "open": not odd,
        }[self.kind]
        has_key = self.kind in ("lock", "eject", "rekey")
        has_epoch = has_key or self.kind == "open"
        if not is_right or bool(self.key_hash) != has_key or bool(self.epoch) != has_epoch:
            raise ValueError("no change of its kind says so")
        return self

    @cached_property
    def said(self) -> bytes:
        """The bytes that the signature is of."""
        return b"cellmind change " + self.model_dump_json(exclude={"identity", "signature"}).encode()

    @cached_property
    def id(self) -> str:
        """What others name it by: a hash of all that it says."""
        return hashlib.sha256(self.said).hexdigest()


class Household(Message):
    """The household of a run: its key, and who belongs to it. It is kept as a file too, `checkpoints/RUN.household`.

    Whoever has it may come in: it is given to members alone, or without the key.
    """

    MAX_BYTES: ClassVar[int] = 2**20

    run_id: RunId
    epoch: int = Field(ge=1, le=MAX_EPOCH)  # grows with every change of the key
    key: Key  # "" where the run is open again
    first: Sha256 | Literal[""] = ""  # the lock that the changes go back to; "" for none: an invite has but the key
    changes: Annotated[tuple[Change, ...], Field(strict=False, max_length=MAX_CHANGES)] = ()

    @property
    def is_locked(self) -> bool:
        """Whether only members come in."""
        return bool(self.key)


class RenewalRequest(Message):
    """A request for the household as somebody else knows it."""

    run_id: RunId
    comes_in: bool  # by the key that it has: an invite


class Renewal(Message):
    """The answer to a request for the household, and to a household that was handed over."""

    MAX_BYTES: ClassVar[int] = 2**20 + 2**10

    household: Household | None  # none for whoever is not in it; for whoever was ejected, what proves that, and no key

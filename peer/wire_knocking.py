"""The messages by which a device without a key knocks at a locked run; see `peer/swarm/knocking.py`, and `wire.py`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from minigpt.checkpoint.manifest import Sha256
from peer.wire import Base58, Message, RunName, Shown
from peer.wire_household import Household

MOST_KNOCKS = 8  # that a member tells of

Nonce = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Digits = Annotated[str, Field(pattern="^[0-9]{4}$")]  # the number that is shown on both sides
IPv4 = Annotated[str, Field(max_length=15, pattern=r"^[0-9]+(\.[0-9]+){3}$")]


def _like_no_number(name: str) -> str:
    if not name.isprintable() or re.search(r"\d{4}", name):
        raise ValueError("it could be taken for the number of a knock, or cannot be printed")
    return name


# of a device that knocks: beside the number that people compare nothing is shown that could be taken for one
KnockName = Annotated[str, Field(pattern=r"^[\w .'-]{1,32}$"), AfterValidator(_like_no_number)]


class KnockRequest(Message):
    """The knock of a device without a key: who it says it is, and the hash of the nonce that it will show."""

    name: KnockName
    run: RunName | Literal[""]  # that it wants to come into; "" for whatever is trained here
    commitment: Sha256


class KnockAnswer(Message):
    """The answer to a knock, and to the nonce that is shown: a nonce of the member's, or why it is not heard."""

    nonce: Nonce | Literal[""]
    problem: Shown
    other_run: bool  # this is none of the run that is wanted


class KnockNonce(Message):
    """The nonce that a device has committed to."""

    nonce: Nonce


class KnockState(Message):
    """The answer to a device that asks whether it is let in."""

    MAX_BYTES: ClassVar[int] = 2**20 + 2**10

    household: Household | None  # none until it is let in
    waiting: bool  # its knock is still heard


class HeardKnock(Message):
    """A knock as one member tells the others of it."""

    peer: Base58
    name: KnockName
    host: IPv4 | Literal[""]
    number: Digits
    age: float = Field(ge=0, lt=1e4, allow_inf_nan=False)  # seconds


class HeardKnocks(Message):
    """All knocks that wait at a member, as it tells the other members."""

    knocks: list[HeardKnock] = Field(max_length=MOST_KNOCKS)


class KnockDecision(Message):
    """The word of a person at one member, to the member at whom a device knocks."""

    peer: Base58
    number: Digits
    let_in: bool

"""Knocking: who stands before a locked run, the number by which people know the device, and how many may stand there.

The number is agreed on by commitment. Who knocks says the hash of a nonce, is told the nonce of the member, and then
shows its own: neither could choose a nonce by what the number would be, so whoever sits between a device and a member
has the number of the one on the screen of the other with a probability of 1 in 10,000 a knock (the short authentication
string of RFC 6189, 4.4.1.1, on two connections that are encrypted and whose ends are proved already).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from peer.wire import NAMELESS

NONCE_BYTES = 32
NUMBERS = 10_000
LIFE_SECONDS = 120.0  # of a knock; its number is good for nothing afterwards
SHOW_SECONDS = 10.0  # in which a nonce has to be shown that was committed to
MOST = 8  # knocks that a member hears within LIFE_SECONDS: each is a guess for whoever sits between two devices
MOST_OF_ONE = 3  # of them by one device, or from one address


class KnockRefused(Exception):
    """A knock that is not heard; the message is for whoever knocks."""


def commitment(nonce: str) -> str:
    """Return the hash that commits a device to a nonce; both in hexadecimal."""
    return hashlib.sha256(bytes.fromhex(nonce)).hexdigest()


def knock_name(name: str) -> str:
    """Return what is left of a device's name for its knock: beside the number there is nothing that looks like one."""
    kept = re.sub(r"(\d{3})\d+", r"\1", re.sub(r"[^\w .'-]", "", name))[:32]
    return kept if kept.isprintable() and kept.strip() else NAMELESS


def number_of(outside_nonce: str, inside_nonce: str, outside: str, inside: str) -> str:
    """Return the four digits that both sides show.

    :param outside_nonce: of the device that knocks, in hexadecimal, as is the member's
    :param outside: peer id of the device that knocks
    :param inside: peer id of the member
    """
    ids = f"|{outside}|{inside}".encode()
    digest = hashlib.sha256(bytes.fromhex(outside_nonce) + bytes.fromhex(inside_nonce) + ids).digest()
    return f"{int.from_bytes(digest, 'big') % NUMBERS:04}"


@dataclass(frozen=True)
class Knock:
    """A device that knocks, as people are told of it.

    :param number: four digits, the same on the screen of the device that knocks
    :param peer: its id
    :param since: of `time.monotonic`
    """

    name: str
    host: str
    number: str
    peer: str
    since: float


@dataclass(frozen=True)
class Outside:
    """A device before locked runs, as it sees itself.

    :param doors: multiaddrs of locked devices that are shut for it, and may be of the run that it wants
    :param number: by which it asks to be let in; "" while it does not
    :param problem: why its last knock came to nothing, for people; "" if it is heard
    :param let_in_by: peer id of the member that has let it in since; "" for none
    """

    doors: tuple[str, ...] = ()
    number: str = ""
    problem: str = ""
    let_in_by: str = ""


@dataclass(frozen=True)
class Waiting:
    """A device that has knocked at us.

    :param host: the address that it knocks from
    :param began: when, by a clock that does not jump
    :param nonce: ours, in hexadecimal
    :param number: what both sides show; "" until the other nonce is shown
    """

    peer: str
    name: str
    host: str
    began: float
    commitment: str
    nonce: str
    number: str = ""


@dataclass(frozen=True)
class Knocks:
    """The knocks that one member has heard within LIFE_SECONDS.

    :param heard: peer id, host and time of each, also of those that are over: each counts
    :param waiting: by peer id; a device has one at a time
    """

    heard: tuple[tuple[str, str, float], ...] = ()
    waiting: dict[str, Waiting] = field(default_factory=dict)

    def at(self, now: float) -> Knocks:
        """Return what is left of them by now."""
        heard = tuple(knock for knock in self.heard if now < knock[2] + LIFE_SECONDS)
        kept = {
            peer: knock
            for peer, knock in self.waiting.items()
            if now < knock.began + (LIFE_SECONDS if knock.number else SHOW_SECONDS)
        }
        return Knocks(heard, kept)

    def begin(self, knock: Waiting) -> Knocks:
        """Return them with one more, which takes the place of an earlier one of the same device.

        Raises KnockRefused where there are too many.
        """
        now = self.at(knock.began)
        of_one = max(sum(peer == knock.peer for peer, _, _ in now.heard), sum(h == knock.host for _, h, _ in now.heard))
        if of_one >= MOST_OF_ONE:
            raise KnockRefused(f"it has knocked {MOST_OF_ONE} times within {LIFE_SECONDS:.0f} s")
        if len(now.heard) >= MOST:
            raise KnockRefused(f"{MOST} knocks were heard within {LIFE_SECONDS:.0f} s")
        heard = (*now.heard, (knock.peer, knock.host, knock.began))
        return Knocks(heard, {**now.waiting, knock.peer: knock})

    def show(self, peer: str, nonce: str, inside: str, now: float) -> Knocks:
        """Return them once a device has shown the nonce that it committed to. Raises KnockRefused.

        :param inside: our own peer id
        """
        left = self.at(now)
        knock = left.waiting.get(peer)
        if knock is None or knock.number:
            raise KnockRefused("it has not knocked, or took too long")
        if commitment(nonce) != knock.commitment:
            raise KnockRefused("it shows another nonce than it committed to")
        number = number_of(nonce, knock.nonce, peer, inside)
        return replace(left, waiting={**left.waiting, peer: replace(knock, number=number)})

    def without(self, peer: str) -> Knocks:
        """Return them without that of a device: it was let in, or refused."""
        return replace(self, waiting={other: knock for other, knock in self.waiting.items() if other != peer})


def meant_by(numbers: Iterable[tuple[str, str]], number: str) -> set[str]:
    """Return the peer ids of the devices that show a number, by (peer id, number): one where it can be believed."""
    return {peer for peer, shown in numbers if shown == number and shown}

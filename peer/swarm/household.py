"""The household: who belongs to a locked run, and which key opens its door. Values in, values out.

What counts is what members have signed (`changes.py`). A device's count says how often it was let in and ejected, so it
only grows: 1 is a member, 2 is ejected, 3 is a member again. Of several keys that of the larger (epoch, SHA-256 of the
key) counts, so two locks at the same instant, on two halves of a swarm, end in one.

A key that an ejected device knows is no key: where two devices put together what they know, and that is so of the key,
or neither has the one that counts, there is a new one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Protocol

from peer.swarm.changes import EPOCHS_AT_ONCE, History, Outcome, history_of
from peer.wire import KEY_BYTES as IDENTITY_BYTES
from peer.wire_household import ADMITTING, MAX_CHANGES, MAX_DEVICES, Change, ChangeKind, Household

KEY_BYTES = 32
EJECTIONS_LEFT = 32  # changes that are kept free: whoever fills a household can be ejected
UNSIGNED = "0" * 2 * IDENTITY_BYTES
EJECTION_BYTES = 2**12  # that one takes at most
SIGNED_BYTES = 2 * len(UNSIGNED) + 64  # of a change's text, besides what is signed


class HouseholdError(Exception):
    """A household that cannot be used, or a change of it that cannot be; the message is for the user."""


class Author(Protocol):
    """A device that can sign changes."""

    @property
    def peer(self) -> str:
        """Its peer id."""

    def sign(self, said: bytes) -> tuple[str, str]:
        """Return the device's public key and its signature, as a `Change` has them."""


def _history(household: Household) -> History:
    return history_of(household.changes, household.first)


def _outcome(household: Household | None) -> Outcome:
    return Outcome({}, None, False) if household is None else _history(household).outcome


def is_member(household: Household | None, peer: str) -> bool:
    """Return whether a device belongs to the household."""
    return _outcome(household).counts.get(peer, 0) % 2 == 1


def is_ejected(household: Household | None, peer: str) -> bool:
    """Return whether a device was ejected from a run that is locked since, and not let in again."""
    outcome = _outcome(household)
    is_open = outcome.newest is not None and outcome.newest.kind == "open"
    return peer in outcome.counts and outcome.counts[peer] % 2 == 0 and not is_open


def members(household: Household | None) -> list[str]:
    """Return the peer ids of all members."""
    return [peer for peer, count in _outcome(household).counts.items() if count % 2]


def fingerprint(household: Household | None) -> str:
    """Return 16 hexadecimal digits that tell two households apart; "" for none.

    Two that know different changes are the same where these come to the same.
    """
    if household is None:
        return ""
    counts = sorted(_outcome(household).counts.items())
    said = repr((household.run_id, household.epoch, household.key, counts))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def tag(household: Household | None) -> str:
    """Return 16 hexadecimal digits that are the same on the devices of a locked run, and say nothing to others.

    "" for an open run.
    """
    if household is None or not household.is_locked:
        return ""
    return hmac.digest(bytes.fromhex(household.key), b"tag", "sha256")[:8].hex()


def admitted_by(household: Household, peer: str) -> str:
    """Return the peer id of the member that let a device in last, by its signature; "" where nobody has."""
    history = _history(household)
    count = history.outcome.counts.get(peer, 0)
    authors = [change.author for change in history.changes if (peer, count) in change.counts]
    return authors[-1] if count % 2 else ""


def came_and_went(before: Household, now: Household) -> dict[str, Change]:
    """Return the changes by which devices were let in or ejected since, by peer id of the device.

    Nothing where the two are not of the same lock: then all of it is new.
    """
    known, counts_before, counts = (
        {change.id for change in before.changes},
        _outcome(before).counts,
        _outcome(now).counts,
    )
    return {
        peer: change
        for change in (_history(now).changes if now.first == before.first else ())
        for peer, count in change.counts
        if change.id not in known
        and change.kind in ("admit", "welcome", "eject")
        and counts.get(peer) == count != counts_before.get(peer)
    }


def lets_back_in(offered: Household, ours: Household, me: str) -> bool:
    """Return whether a household is the one that we were ejected from, and we are in it again by all that we know."""
    if (offered.run_id, offered.first) != (ours.run_id, ours.first):
        return False
    together = dict.fromkeys((*ours.changes, *offered.changes))
    return is_member(offered.model_copy(update={"changes": tuple(together)}), me)


def is_newer_key(invited: Household, ours: Household) -> bool:
    """Return whether an invite has a key that we do not have, and that is none of those which we know to be over.

    What counts of ours is what its changes come to: a device that was ejected knows the hash of the key of now. A key
    that none of them tells of is newer, or that of another lock of the run; there epochs say nothing.
    """
    newest, key_hash = _outcome(ours).newest, _hash(invited.key)
    if newest is None:
        return invited.epoch > ours.epoch or (invited.epoch == ours.epoch and invited.key != ours.key)
    if key_hash == newest.key_hash:
        return invited.key != ours.key
    return all(change.key_hash != key_hash for change in ours.changes)


# ---------------------------------------------------------------------- changes


def locked(household: Household | None, run_id: str, peers: Iterable[str], key: str, author: Author) -> Household:
    """Return the household of a run that these devices are in, with that key. Raises HouseholdError.

    :param household: the one before, if there is one: who was ejected from it, and is here now, is a member again
    """
    _refuse_ejected(household, author)
    if household is not None and household.is_locked:
        raise HouseholdError("the run is locked already")
    if household is not None and household.run_id != run_id:
        raise HouseholdError(f"the household here is of run {household.run_id}, and this device trains {run_id}")
    devices = list(dict.fromkeys([author.peer, *peers]))
    if len(devices) > MAX_DEVICES:
        raise HouseholdError(f"a household has {MAX_DEVICES} devices at most")
    if household is not None and is_member(household, author.peer):
        counts = {peer: _history(household).next_count(peer, is_member=True) for peer in devices}
        return _changed(household, author, "lock", counts, key)
    epoch = 1 if household is None else household.epoch + 1
    try:
        anew = Household(run_id=run_id, epoch=epoch, key=key)
    except ValueError as error:
        raise HouseholdError("this device trains no run yet: lock it when it does") from error
    anew = _changed(anew, author, "lock", dict.fromkeys(devices, 1), key, epoch)
    return anew.model_copy(update={"first": anew.changes[0].id})


def unlocked(household: Household | None, author: Author) -> Household:
    """Return the household of the run when it is open again. Raises HouseholdError."""
    _refuse_ejected(household, author)
    if household is None or not household.is_locked:
        raise HouseholdError("the run is open already")
    return _changed(household, author, "open", {}, "")


def ejecting(household: Household | None, peer: str, key: str, author: Author) -> Household:
    """Return the household without a member, under a new key; as it is where it is out. Raises HouseholdError."""
    _refuse_ejected(household, author)
    if household is None or not household.is_locked:
        raise HouseholdError("the run is open: whoever is ejected comes back at once; lock it first")
    if is_ejected(household, peer):
        return household
    if not is_member(household, peer):
        raise HouseholdError("that device does not belong to the household")
    return _changed(household, author, "eject", {peer: _history(household).next_count(peer, is_member=False)}, key)


def admitting(household: Household, peer: str, author: Author, *, has_key: bool = False) -> Household:
    """Return the household with a device in it; as it is if it has that already. Raises HouseholdError.

    :param has_key: it comes in because it has the key of now, and not by the word of a person
    """
    if is_member(household, peer):
        return household
    _refuse_ejected(household, author)
    count = _history(household).next_count(peer, is_member=True)
    return _changed(household, author, "welcome" if has_key else "admit", {peer: count})


def _refuse_ejected(household: Household | None, author: Author) -> None:
    """Raise HouseholdError where whoever is to change a household was ejected from it."""
    if is_ejected(household, author.peer):
        raise HouseholdError("this device was ejected from the household, and changes nothing of it until it is let in")


def _changed(
    household: Household,
    author: Author,
    kind: ChangeKind,
    counts: dict[str, int],
    key: str | None = None,
    epoch: int | None = None,
) -> Household:
    """Return a household with a change of our own. Raises HouseholdError where we may make none.

    :param key: that it brings; "" to open the run, and None where the key stays
    :param epoch: of the key, where it does not follow from the changes before
    """
    before = _history(household)
    if household.changes and not is_member(household, author.peer):
        raise HouseholdError("this device does not belong to the household (yet), and so changes nothing of it")
    if not _has_room([*household.changes], 1, kind == "eject"):
        raise HouseholdError(
            f"the household has changed {len(household.changes)} times, and can change no more but by ejections: found "
            "the run anew from a checkpoint folder of now, in a folder of its own, and lock that"
        )
    if key is None:
        epoch = 0
    elif epoch is None:
        epoch = before.epoch + 1
    change = Change(
        kind=kind,
        run_id=household.run_id,
        author=author.peer,
        known=before.newest(author.peer),
        counts=tuple(counts.items()),
        epoch=epoch,
        key_hash=_hash(key or ""),
        identity=UNSIGNED,
        signature=UNSIGNED,
    )
    identity, signature = author.sign(change.said)
    signed = change.model_copy(update={"identity": identity, "signature": signature})
    brought = {} if key is None else {"key": key, "epoch": epoch}
    return household.model_copy(update={"changes": (*household.changes, signed), **brought})


def _has_room(changes: list[Change], more: int, is_ejection: bool) -> bool:
    """Return whether there can be these changes, and so many more. Some room is kept free for ejections."""
    ejections = [change for change in changes if change.kind == "eject"]
    others = len(changes) - len(ejections) + (0 if is_ejection else more)
    bytes_of_all, bytes_of_ejections = (
        sum(len(change.said) + SIGNED_BYTES for change in some) for some in (changes, ejections)
    )
    return (
        len(changes) + more <= MAX_CHANGES
        and others <= MAX_CHANGES - EJECTIONS_LEFT
        and bytes_of_all <= Household.MAX_BYTES - EJECTION_BYTES
        and (is_ejection or bytes_of_all - bytes_of_ejections <= Household.MAX_BYTES - EJECTIONS_LEFT * EJECTION_BYTES)
    )


def _hash(key: str) -> str:
    return hashlib.sha256(bytes.fromhex(key)).hexdigest() if key else ""


# ---------------------------------------------------------------------- two households


def merged(ours: Household, theirs: Household, new_key: str, author: Author) -> Household:
    """Return what two devices know together. Raises HouseholdError where the two do not belong to one run.

    :param theirs: its signatures are right
    :param new_key: is taken where an ejected device knows the key that counts, or neither of us has it
    :param author: this device
    """
    if ours.run_id != theirs.run_id:
        raise HouseholdError(f"that household is of run {theirs.run_id}, and ours is of {ours.run_id}")
    if not theirs.changes:
        return ours
    is_anew = _is_locked_anew(ours, theirs)
    if not ours.changes or (is_anew and not is_member(ours, author.peer)):
        return whole(theirs)
    known = {change.id for change in ours.changes}
    new = sorted((change for change in theirs.changes if change.id not in known), key=lambda change: change.id)
    if not _has_room([*ours.changes, *new], 0, False):
        raise HouseholdError(f"the household has changed more than {MAX_CHANGES} times, or too much at once")
    together = ours.model_copy(update={"changes": (*ours.changes, *new)})
    if is_anew:  # our household goes on, so that members who are away can follow
        counts = {peer: _history(together).next_count(peer, is_member=True) for peer in members(whole(theirs))}
        return _changed(together, author, "lock", counts, theirs.key)
    outcome = _outcome(together)
    newest = outcome.newest
    if newest is None:
        return together
    keys = {_hash(household.key): household.key for household in (ours, theirs)}
    if newest.key_hash in ("", *keys):
        key = keys.get(newest.key_hash, "")
        together = together.model_copy(update={"key": key, "epoch": newest.epoch})
        if not (key and outcome.is_known):
            return together
    if is_member(together, author.peer):
        return _changed(together, author, "rekey", {}, new_key)
    return together


def _is_locked_anew(ours: Household, theirs: Household) -> bool:
    """Return whether an open run was locked by somebody who did not know its household."""
    is_of_ours = any(change.id == ours.first for change in theirs.changes)
    return not ours.is_locked and theirs.is_locked and not is_of_ours and theirs.epoch > ours.epoch


def whole(household: Household) -> Household:
    """Return a household that we begin with. Raises HouseholdError where its key is not what its changes are about."""
    newest = _outcome(household).newest
    if newest is None or (newest.key_hash, newest.epoch) != (_hash(household.key), household.epoch):
        raise HouseholdError("the key of that household is not the one that its changes are about")
    return household


def has_known_key(household: Household) -> bool:
    """Return whether the key is one that the changes tell of: of now, or of before, where the device was ejected."""
    return not household.changes or any(change.key_hash == _hash(household.key) for change in household.changes)


def proof_against(household: Household, peer: str) -> Household:
    """Return what proves to a device that it was ejected, without the key."""
    ejections = [change for change in household.changes if change.kind == "eject" and change.counts[0][0] == peer]
    return household.model_copy(update={"key": "", "changes": _history(household).causes(ejections)})


# ---------------------------------------------------------------------- whom to believe


def may_have(household: Household, peer: str, has_key: bool) -> bool:
    """Return whether a device is given the household: members are, whoever has its key, and anybody of an open run."""
    return has_key or is_member(household, peer) or not household.is_locked


def may_be_taken(
    offered: Household,
    ours: Household | None,
    *,
    me: str,
    giver: str,
    has_key: bool,
    trained_with: bool,
    company: Iterable[str] = (),
    proved: Iterable[str] = (),
    is_settled: bool = True,
) -> bool:
    """Return whether to look at a household that somebody hands us: what in it counts, its signatures say.

    Of a locked run members hand us changes, and whoever has come in with its key: by an invite, which nobody else knows
    of. Also a device that was ejected, as long as nobody whom we meet agrees with that: we may have been told so by the
    one that it has ejected. A run that is open is locked by whoever trains it, but not without us and our company: else
    a stranger could part a household by locking it with some of its devices. And nobody says who belongs to a run while
    it is open, for that would be who gets the key of the next lock.

    :param me: our peer id
    :param has_key: whether the giver has proved to have the key of now
    :param trained_with: whether the giver has trained the same run with us
    :param company: peer ids of those who have trained the run here for so long that an honest lock knows them
    :param proved: peer ids of those who have proved to have the key of now
    :param is_settled: that key is not so new that members have had no time to prove it
    """
    if ours is not None and (ours.is_locked or is_member(ours, giver)):
        is_heard = is_settled and is_ejected(ours, giver) and not _agreed(ours, me, giver, proved)
        return has_key or is_member(ours, giver) or is_heard
    is_of_now = offered.epoch <= (0 if ours is None else ours.epoch) + EPOCHS_AT_ONCE
    is_for_all = all(is_member(offered, peer) for peer in (me, *company))
    return offered.is_locked and trained_with and is_for_all and is_of_now


def left_out(offered: Household, ours: Household | None, me: str, company: Iterable[str]) -> list[str]:
    """Return the peer ids of our company that a first lock, which names us, leaves out: it is refused for that."""
    if (ours is not None and ours.is_locked) or not (offered.is_locked and is_member(offered, me)):
        return []
    return [peer for peer in company if not is_member(offered, peer)]


def _agreed(ours: Household, me: str, ejected: str, proved: Iterable[str]) -> bool:
    """Return whether we have ejected a device ourselves, or know a member besides who did that agrees with it."""
    authors = {change.author for change in ours.changes if change.kind == "eject" and change.counts[0][0] == ejected}
    others = [
        peer
        for change in ours.changes
        if change.id == ours.first or (change.kind in ADMITTING and change.author not in authors)
        for peer, _ in change.counts
    ]
    return me in authors or any(is_member(ours, peer) and peer in others for peer in {*proved} - authors)

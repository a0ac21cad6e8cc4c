"""The household as one device keeps it: on its disk, in its door, and changed by its owner or by other members."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from hivemind.p2p import PeerID

from peer.network.door import Door
from peer.network.folder import IDENTITY
from peer.network.household_file import household_path, keep_household, kept_household
from peer.network.signatures import Signer, have_signed
from peer.swarm.household import (
    KEY_BYTES,
    Author,
    HouseholdError,
    admitting,
    ejecting,
    fingerprint,
    is_ejected,
    is_member,
    is_newer_key,
    left_out,
    lets_back_in,
    locked,
    may_be_taken,
    merged,
    unlocked,
    whole,
)
from peer.wire import Notice, Role
from peer.wire_household import Household

IN_THE_RUN = (Role.JOINING, Role.RELAYING, Role.TRAINING)  # who gets the key when an open run is locked
MOST_TRAINED_WITH = 1024
SETTLED_SECONDS = 20.0  # in which all members that are here prove to have a new key
COMPANY_SECONDS = 120.0  # longer than an owner looks at the list of devices before it is confirmed


class HouseholdKeeper:
    """Keeps the household of one node.

    :param run: name of the run; "" for a bootstrap node
    :param me: our peer id
    :param checkpoints: the folder that it is kept in
    :param household: as it is known at the start
    :param signer: signs what this device changes
    :param run_id: tells the id of the run that we are in, "" for none yet
    :param others: tells the notices of the others that are here
    :param has_new_key: called when there is another key, or none any more, which counts already
    """

    def __init__(
        self,
        run: str,
        me: str,
        checkpoints: Path,
        door: Door,
        household: Household | None,
        signer: Author,
        *,
        run_id: Callable[[], str],
        others: Callable[[], list[Notice]],
        has_new_key: Callable[[], None],
    ):
        self._run, self._me, self._checkpoints, self._door = run, me, checkpoints, door
        self._run_id, self._others, self._has_new_key = run_id, others, has_new_key
        self.household = household
        self._signer = signer
        self._is_kept = True
        self._comes_in = False
        self._has_key_since = time.monotonic()
        self.left_out: list[str] = []  # peer ids: the others here whom the last lock that we refused leaves out
        # of whoever trained, as long as we live: peer id -> run id, and since when, of `time.monotonic`
        self._trained_with: dict[str, tuple[str, float]] = {}

    @property
    def fingerprint(self) -> str:
        """Tells our household from others; see `peer/swarm/household.py`."""
        return fingerprint(self.household)

    @property
    def is_ejected(self) -> bool:
        """Whether this device was ejected from the household that it knows."""
        return is_ejected(self.household, self._me)

    def look(self) -> list[Notice]:
        """Take in who is in which run, and return the notices of the others."""
        others = self._others()
        if len(self._trained_with) >= MOST_TRAINED_WITH:  # somebody plays tricks: whoever is here counts
            here = {notice.peer for notice in others}
            self._trained_with = {peer: known for peer, known in self._trained_with.items() if peer in here}
        for notice in others:
            if notice.role is not Role.TRAINING:
                continue
            if self._trained_with.get(notice.peer, ("", 0.0))[0] != notice.run_id:
                self._trained_with[notice.peer] = notice.run_id, time.monotonic()
        return others

    def _company(self, run_id: str) -> list[str]:
        """Return the peer ids of those who are in that run here, and have trained it for COMPANY_SECONDS."""
        since = time.monotonic() - COMPANY_SECONDS
        here = [other.peer for other in self.look() if other.run_id == run_id and other.role in IN_THE_RUN]
        known = {peer: began for peer, (run, began) in self._trained_with.items() if run == run_id}
        return [peer for peer in here if known.get(peer, since) < since]

    def lock(self, run_id: str = "", among: Collection[str] | None = None) -> Household:
        """Lock the run, with everybody in it. Raises HouseholdError, and OSError where the disk does not take it.

        :param run_id: of a run that was founded a moment ago, and of which nobody has been told yet
        :param among: peer ids of those of whom the owner was told; whoever has come in since gets no key
        """
        run_id = run_id or self._run_id()
        here = [other.peer for other in self._others() if other.run_id == run_id and other.role in IN_THE_RUN]
        peers = [peer for peer in here if among is None or peer in among]
        return self._change(locked(self.household, run_id, peers, new_key(), self._signer))

    def unlock(self) -> Household:
        """Open the run again. Raises HouseholdError and OSError."""
        return self._change(unlocked(self.household, self._signer))

    def eject(self, peer: str) -> Household:
        """Send a member away: there is a new key, which it does not get. Raises HouseholdError and OSError."""
        if peer == self._me:
            raise HouseholdError("a device is ejected by another one: this is the one itself")
        return self._change(ejecting(self.household, peer, new_key(), self._signer))

    def let_in(self, peer: str) -> Household:
        """Let a device in. Raises HouseholdError and OSError."""
        if self.household is None or not self.household.is_locked:
            raise HouseholdError("the run is open: everybody can come in")
        return self._change(admitting(self.household, peer, self._signer))

    def welcome(self, peer: PeerID) -> None:
        """Make whoever has the key of now, and wants to come in by it, a member: it was given that key by one of us."""
        ours = self.household
        if ours is None or not self.has_key(peer) or not is_member(ours, self._me):
            return
        with suppress(HouseholdError):  # it has changed too often
            self._learn(admitting(ours, peer.to_base58(), self._signer, has_key=True))

    def can_let_in(self, run: str) -> bool:
        """Return whether a device that wants to come into a run of that name, or any if it is "", can knock here."""
        ours = self.household
        wanted = ours is not None and run in ("", ours.run_id.rpartition("-")[0])
        return ours is not None and wanted and ours.is_locked and is_member(ours, self._me)

    def be_let_in(self, offered: Household) -> None:
        """Take over the household of a member that we have asked to let us in. Raises HouseholdError.

        What we knew before does not count: it was told to somebody who was outside. But an ejected device has a run
        of its own, which a stranger could get by letting it in.
        """
        if not (have_signed(offered) and is_member(whole(offered), self._me)):
            raise HouseholdError("that household does not know us")
        ours = self.household
        if ours is not None and self.is_ejected and not lets_back_in(offered, ours, self._me):
            raise HouseholdError(
                "whoever has let it in is of another household than the one that it was ejected from, and gets nothing "
                "that this device has"
            )
        self._is_kept = False
        self._take_on(offered)

    def come_in(self) -> None:
        """From now on ask to belong to the household that we have the key of, by an invite or a copied file."""
        self._comes_in = True

    @property
    def comes_in(self) -> bool:
        """Whether we have the key, and nobody has made us a member yet."""
        ours = self.household
        return self._comes_in and ours is not None and ours.is_locked and not is_member(ours, self._me)

    def has_key(self, peer: PeerID) -> bool:
        """Return whether a peer has proved to have the key of now."""
        return self._door.is_opened_by(peer)

    def exchanges_with(self, peer: PeerID) -> bool:
        """Return whether a peer belongs to us, so that we put together what both know."""
        return is_member(self.household, peer.to_base58()) or self.has_key(peer)

    def hears(self, peer: PeerID) -> bool:
        """Return whether a peer may be one that hands us a household: strangers hand none to a locked run."""
        ours, name = self.household, peer.to_base58()
        is_known = is_member(ours, name) or is_ejected(ours, name) or self.has_key(peer)
        return ours is None or not ours.is_locked or is_known

    def take(self, offered: Household, giver: PeerID) -> None:
        """Take over what a peer knows of the household, if it may tell us. Raises HouseholdError."""
        company = self._company(offered.run_id)
        name = giver.to_base58()
        may_be = self._run_id() in ("", offered.run_id) and may_be_taken(
            offered,
            self.household,
            me=self._me,
            giver=name,
            has_key=self.has_key(giver),
            trained_with=self._trained_with.get(name, ("", 0.0))[0] == offered.run_id,
            company=company,
            proved=[peer.to_base58() for peer in self._door.proved] if self._door.lock is not None else (),
            is_settled=time.monotonic() > self._has_key_since + SETTLED_SECONDS,
        )
        if not may_be or not have_signed(offered):
            if name in self._trained_with:
                self.left_out = self.left_out or left_out(offered, self.household, self._me, company)
            return
        ours = self.household
        self._learn(whole(offered) if ours is None else merged(ours, offered, new_key(), self._signer))

    def keep(self) -> None:
        """Keep on the disk what others have told us, if it is not there yet. Raises OSError: it is tried again."""
        if not self._is_kept and self.household is not None:
            keep_household(self._checkpoints, self._run, self.household)
            self._is_kept = True

    def _learn(self, household: Household) -> None:
        """Take on what others know; it counts though the disk may be full, for without it we would be strangers."""
        self._is_kept = self._is_kept and household == self.household
        self._take_on(household)
        with suppress(OSError):  # it is tried again
            self.keep()

    def _change(self, household: Household) -> Household:
        """Take on a change that our owner wants; it does not count unless it is kept."""
        keep_household(self._checkpoints, self._run, household)
        self._is_kept = True
        self._take_on(household)
        return household

    def _take_on(self, household: Household) -> None:
        before, self.household = self.household, household
        if (household.epoch, household.key) != (before and (before.epoch, before.key)):
            self._door.set(household)
            self._has_key_since = time.monotonic()
            self._has_new_key()


def new_key() -> str:
    """Return 32 random bytes, in hexadecimal."""
    return secrets.token_hex(KEY_BYTES)


class Home:
    """The household of this device as its training process knows it, from start to start of the network part.

    Raises HouseholdError where the one that is kept here cannot be used, and there is no invite in its place.

    :param invited: the household that an invite has the key of; None without one
    """

    def __init__(self, run: str, checkpoints: Path, report: Callable[[str], None], invited: Household | None):
        self._run, self._checkpoints, self._report = run, checkpoints, report
        self.door = Door()
        kept: Household | None = None
        try:
            kept = kept_household(checkpoints, run, report)
        except HouseholdError:
            if invited is None:
                raise
        if invited is not None and kept is not None and invited.run_id != kept.run_id:
            raise HouseholdError(
                f"the invite is for run {invited.run_id}, and {household_path(checkpoints, run)} has the key of "
                f"{kept.run_id}, which is not given up for it: choose another folder with --checkpoints"
            )
        self._given_up: Household | None = None
        self.household = kept
        if invited is not None and (kept is None or is_newer_key(invited, kept)):
            self.household, self._given_up = invited, kept  # we were away, or ejected, and are let in anew
        elif invited is not None and is_ejected(kept, _peer_in(checkpoints)):
            raise HouseholdError(
                "the key of this invite is no longer the household's, and this device was ejected since: ask for a new "
                "invite, or leave it out and knock: python -m peer --join"
            )

    def look_again(self, known: Household | None) -> None:
        """Take the household of now: the node may have kept a newer one than it last told us, or could keep none."""
        kept = None
        with suppress(HouseholdError):
            kept = kept_household(self._checkpoints, self._run, self._report)
        for newer in (kept, known):
            if newer is not None and newer != self._given_up and not _is_older(newer, self.household):
                self.household = newer
        self.door.set(self.household)


def _peer_in(checkpoints: Path) -> str:
    """Return the peer id of the device whose folder it is; "" where it has none yet."""
    return Signer(checkpoints / IDENTITY).peer if (checkpoints / IDENTITY).exists() else ""


def _is_older(one: Household, other: Household | None) -> bool:
    """Return whether the one was before the other, of the same run: both are of this device, which forgets nothing."""
    if other is None or one.run_id != other.run_id:
        return False  # we were let into another run of that name, whose household is the one of now
    if one.changes and other.changes:
        return len(one.changes) < len(other.changes)
    return one.epoch < other.epoch  # an invite knows of no changes

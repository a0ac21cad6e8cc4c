"""Watching the notice board: whether to join or to found, whom to take the state from, and when to give up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from peer.device.event_log import KnownLine
from peer.joining.errors import JoinError
from peer.joining.invite import Invite
from peer.joining.outside import HOW_TO_FOUND, lines_outside
from peer.joining.presence import Presence
from peer.joining.wanted_run import Wanted
from peer.network.address import Address
from peer.network.household_file import household_path, mark_path
from peer.network.meeting import ANOTHER_DEVICE
from peer.network.node import View
from peer.swarm.membership import Start, can_give, decide_start
from peer.wire import Notice, Role

LOOK_SECONDS = 3.0  # before a run is founded because nobody answers
MEET_SECONDS = 10.0  # longest, where somebody was heard of but is not on the notice board yet
SHUT_SECONDS = 5.0  # after which a door that an invite does not open has another key
UNANSWERED_SECONDS = 15.0  # after which an address that was given and does not answer is an error


def join_or_found(presence: Presence, wanted: Wanted) -> Start:
    """Watch the notice board until it is clear which of the two to do. Raises JoinError and Stopped."""
    presence.announce(role=Role.LOOKING)
    text = f"looking for devices that train '{wanted.run}' on this network …"
    presence.say(KnownLine(text, "looking_for", run=wanted.run))
    began, was_in = time.monotonic(), False
    while True:
        view = presence.refresh()
        if view.locked and not was_in:  # let in a moment ago: those who are inside have not been met yet
            began, was_in = time.monotonic(), True
        elapsed = time.monotonic() - began
        start = decide(presence.me, wanted, view, elapsed)
        if start in (Start.JOIN, Start.FOUND):
            presence.network.ask_in(False)
            return start
        if start is Start.KNOCK:
            knock(presence, view)
        if start is Start.WAIT:
            presence.say_once("another device is founding the run; waiting for it …")
        elif elapsed > UNANSWERED_SECONDS and any(
            notice.has_state for notice in (*_meant(wanted, view), *_beyond_reach(presence.me, wanted, view))
        ):
            presence.say_once("waiting for a device that is within reach to have the state of those who train …")


def decide(me: Notice, wanted: Wanted, view: View, elapsed: float) -> Start:
    """Return what to do next by what is on the notice board. Raises JoinError where what was asked for is not there.

    JOIN only where somebody can give us the state; until then it is LOOK.

    :param elapsed: seconds since we began to look
    """
    meant = [*_meant(wanted, view), *_beyond_reach(me, wanted, view)]
    if _is_shut_out(wanted, view, meant, elapsed):
        return Start.KNOCK
    seen_all = _has_seen_all(wanted, view, meant, elapsed)
    if wanted.invite is not None and not _is_verified(wanted.invite, view) and elapsed < UNANSWERED_SECONDS:
        return Start.LOOK
    start = decide_start(me, meant, seen_all)
    if start in (Start.FOUND, Start.WAIT) and view.outside.doors and not _is_founded(meant):  # others may knock as well
        return Start.KNOCK
    if start is Start.JOIN and not donors(me, wanted, view):
        if elapsed > UNANSWERED_SECONDS and not any(notice.reachable for notice in meant):
            raise JoinError(_out_of_reach(me, meant))
        return Start.LOOK
    return start


def donors(me: Notice, wanted: Wanted, view: View) -> list[Notice]:
    """Return who has a state of the run that is meant, and can give it to us; who has the newest comes first."""
    able = [notice for notice in _meant(wanted, view) if can_give(me, notice)]
    return sorted(able, key=lambda notice: notice.state, reverse=True)


def most_defended(able: list[Notice], notices: Iterable[Notice], failed: Mapping[str, int]) -> Notice:
    """Return whom to take the state from: who has failed us least, is refused by the fewest, and stands with others.

    Whose state that is nobody can tell who has none. But one device with a made-up one stands alone beside two that
    train together, however much it claims. Of several that are equal the first is taken.

    :param able: to give theirs, the newest first
    :param notices: of all that are here
    :param failed: how often each has, by peer id
    """
    notices = [notice for notice in notices if notice.has_state]
    refused = Counter(peer for notice in notices for peer in notice.refuses)
    standing = Counter((notice.run_id, notice.state) for notice in notices)
    return min(able, key=lambda one: (failed.get(one.peer, 0), refused[one.peer], standing[one.run_id, one.state] < 2))


def find_donor(presence: Presence, wanted: Wanted, failed: Mapping[str, int]) -> Notice:
    """Return whom to take the newest state from, once anybody who trains is found. Raises JoinError and Stopped."""
    presence.say_once(f"looking for devices that train '{wanted.run}' on this network …")
    began = time.monotonic()
    while True:
        view = presence.refresh()
        if found := donors(presence.me, wanted, view):
            return most_defended(found, view.notices, failed)
        if time.monotonic() - began > UNANSWERED_SECONDS:
            if wanted.given and not view.connected:
                raise JoinError(_unanswered(wanted, view))
            if view.outside.doors and not view.locked:
                raise JoinError(
                    "there is a locked run on this network, and this device has no key: join it first, by "
                    "python -m peer --join"
                )
            raise JoinError(
                f"nobody trains '{wanted.run}' on this network; start python -m peer --join on a device, "
                "or give the address of one that runs with --initial-peers"
            )


def come_back(presence: Presence, wanted: Wanted) -> None:
    """Ask to be let in again where this device was ejected from its run; wait until it is. Raises Stopped."""
    while (view := presence.refresh()).ejected:
        presence.say_once(
            "until it is let in it does not train; to go on without the others instead, end it with Ctrl+C, and rm "
            f"{household_path(wanted.checkpoints, wanted.run)} {mark_path(wanted.checkpoints, wanted.run)}"
        )
        presence.network.ask_in(True)
        for line in lines_outside(view.outside):
            presence.say_once(line)


def knock(presence: Presence, view: View) -> None:
    """Ask to be let in, and tell the user by which number: people inside are shown the same."""
    presence.network.ask_in(True)
    lines = lines_outside(view.outside)
    for line in (*lines, HOW_TO_FOUND) if lines else ():
        presence.say_once(line)


def _is_shut_out(wanted: Wanted, view: View, meant: list[Notice], elapsed: float) -> bool:
    """Return whether the device that the user named is of a locked run.

    Raises JoinError where an invite was to open it.
    """
    named = [address for address in wanted.given if address in view.outside.doors]
    if not named or any(notice.has_state for notice in meant):
        return False
    if wanted.invite is None or wanted.invite.address not in named:
        return True
    knock = "or leave the invite out and knock: python -m peer --join"
    if not wanted.invite.key:
        raise JoinError(f"the run of this invite is locked by now: ask for a new invite, {knock}")
    if elapsed > SHUT_SECONDS:
        raise JoinError(f"the run of this invite has a new key since it was made: ask for a new invite, {knock}")
    return False


def _is_founded(meant: list[Notice]) -> bool:
    return any(notice.role == Role.FOUNDING for notice in meant)


def _meant(wanted: Wanted, view: View) -> list[Notice]:
    return [notice for notice in view.notices if wanted.includes(notice)]


def _beyond_reach(me: Notice, wanted: Wanted, view: View) -> list[Notice]:
    """Return those that are meant and cannot prove to be there: neither they nor we let connections in."""
    unproved = [notice for notice in view.unproved if wanted.includes(notice)]
    return [notice for notice in unproved if not notice.reachable and not me.reachable]


def _has_seen_all(wanted: Wanted, view: View, meant: list[Notice], elapsed: float) -> bool:
    """Return whether nobody else is to be waited for. Raises JoinError if those whom the user named are not there."""
    if (
        wanted.run_id or view.locked or (wanted.given and not view.connected)
    ):  # then founding another run is not what was meant
        if elapsed > UNANSWERED_SECONDS and not any(notice.has_state for notice in meant):
            raise JoinError(_unanswered(wanted, view))
        return False
    seen = {notice.peer for notice in view.notices}
    unseen = any(Address.parse(address).peer not in seen for address in view.heard)
    unproved = any(wanted.includes(notice) for notice in view.unproved)
    return elapsed > (MEET_SECONDS if unseen or unproved else LOOK_SECONDS) and view.searched


def _is_verified(invite: Invite, view: View) -> bool:
    """Return whether the invite's address was tried. Raises JoinError if another device than the invite's answered."""
    if view.refused.get(invite.address) == ANOTHER_DEVICE:
        raise JoinError(
            f"at the address of the invite, {Address.parse(invite.address).host}, another device answers: its "
            "fingerprint is not the one in the invite; ask for a new invite"
        )
    return invite.address in view.refused or Address.parse(invite.address).peer in view.connected


def _unanswered(wanted: Wanted, view: View) -> str:
    if view.locked:
        return (
            "this device belongs to a locked run, and nobody who has its state is within reach: start it again when "
            f"one of them is on, or leave that run for good: rm {household_path(wanted.checkpoints, wanted.run)} "
            f"{mark_path(wanted.checkpoints, wanted.run)}"
        )
    if view.connected:
        others = {notice.run_id: notice.name for notice in view.notices if notice.role == Role.TRAINING}
        trained = ", ".join(f"{name} trains {run_id}" for run_id, name in others.items()) or "nobody trains it"
        return f"the invite is for run {wanted.run_id}, and {trained} on this network; ask for a new invite"
    reasons = "; ".join(f"{address}: {view.refused.get(address, 'no answer')}" for address in wanted.given)
    instead = "leave --initial-peers out" if wanted.invite is None else "ask for a new invite"
    return (
        f"nobody answers at the given address ({reasons}). "
        f"Check that it is up to date and that the device is on this network, or {instead}."
    )


def _out_of_reach(me: Notice, meant: list[Notice]) -> str:
    names = ", ".join(notice.name for notice in meant if notice.role == Role.TRAINING)
    return (
        f"{names} cannot be reached from this device, nor this device from there: a firewall lets no connection in "
        f"on either. Let TCP port {Address.parse(me.address).port} in on one of them"
    )

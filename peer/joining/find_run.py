"""Watching the notice board: whether to join or to found, whom to take the state from, and when to give up."""

from __future__ import annotations

import time

from peer.joining.errors import JoinError
from peer.joining.invite import Invite
from peer.joining.presence import Presence
from peer.joining.wanted_run import Wanted
from peer.network.address import Address
from peer.network.meeting import ANOTHER_DEVICE
from peer.network.node import View
from peer.swarm.membership import Start, can_give, decide_start
from peer.wire import Notice, Role

LOOK_SECONDS = 3.0  # before a run is founded because nobody answers
MEET_SECONDS = 10.0  # longest, where somebody was heard of but is not on the notice board yet
UNANSWERED_SECONDS = 15.0  # after which an address that was given and does not answer is an error


def join_or_found(presence: Presence, wanted: Wanted) -> Start:
    """Watch the notice board until it is clear which of the two to do. Raises JoinError and Stopped."""
    presence.announce(role=Role.LOOKING)
    presence.say(f"looking for devices that train '{wanted.run}' on this network …")
    began = time.monotonic()
    while True:
        view = presence.refresh()
        elapsed = time.monotonic() - began
        start = decide(presence.me, wanted, view, elapsed)
        if start in (Start.JOIN, Start.FOUND):
            return start
        if start is Start.WAIT:
            presence.say_once("another device is founding the run; waiting for it …")
        elif elapsed > UNANSWERED_SECONDS and any(notice.has_state for notice in _meant(wanted, view)):
            presence.say_once("waiting for a device that is within reach to have the state of those who train …")


def decide(me: Notice, wanted: Wanted, view: View, elapsed: float) -> Start:
    """Return what to do next by what is on the notice board. Raises JoinError where what was asked for is not there.

    JOIN only where somebody can give us the state; until then it is LOOK.

    :param elapsed: seconds since we began to look
    """
    meant = _meant(wanted, view)
    seen_all = _has_seen_all(wanted, view, meant, elapsed)
    if wanted.invite is not None and not _is_verified(wanted.invite, view) and elapsed < UNANSWERED_SECONDS:
        return Start.LOOK
    start = decide_start(me, meant, seen_all)
    if start is Start.JOIN and not donors(me, wanted, view):
        if elapsed > UNANSWERED_SECONDS and not any(notice.reachable for notice in meant):
            raise JoinError(_out_of_reach(me, meant))
        return Start.LOOK
    return start


def donors(me: Notice, wanted: Wanted, view: View) -> list[Notice]:
    """Return who has a state of the run that is meant, and can give it to us; who has the newest comes first."""
    able = [notice for notice in _meant(wanted, view) if can_give(me, notice)]
    return sorted(able, key=lambda notice: notice.state, reverse=True)


def find_donor(presence: Presence, wanted: Wanted) -> Notice:
    """Return who has the newest state, once anybody who trains is found. Raises JoinError and Stopped."""
    presence.say_once(f"looking for devices that train '{wanted.run}' on this network …")
    began = time.monotonic()
    while True:
        view = presence.refresh()
        if found := donors(presence.me, wanted, view):
            return found[0]
        if time.monotonic() - began > UNANSWERED_SECONDS:
            if wanted.given and not view.connected:
                raise JoinError(_unanswered(wanted, view))
            raise JoinError(
                f"nobody trains '{wanted.run}' on this network; start python -m peer --join on a device, "
                "or give the address of one that runs with --initial-peers"
            )


def _meant(wanted: Wanted, view: View) -> list[Notice]:
    return [notice for notice in view.notices if wanted.includes(notice)]


def _has_seen_all(wanted: Wanted, view: View, meant: list[Notice], elapsed: float) -> bool:
    """Return whether nobody else is to be waited for. Raises JoinError if those whom the user named are not there."""
    if wanted.run_id or (wanted.given and not view.connected):  # then founding another run is not what was meant
        if elapsed > UNANSWERED_SECONDS and not any(notice.has_state for notice in meant):
            raise JoinError(_unanswered(wanted, view))
        return False
    seen = {notice.peer for notice in view.notices}
    unseen = [address for address in view.heard if Address.parse(address).peer not in seen]
    return elapsed > (MEET_SECONDS if unseen else LOOK_SECONDS) and view.searched


def _is_verified(invite: Invite, view: View) -> bool:
    """Return whether the invite's address was tried. Raises JoinError if another device than the invite's answered."""
    if view.refused.get(invite.address) == ANOTHER_DEVICE:
        raise JoinError(
            f"at the address of the invite, {Address.parse(invite.address).host}, another device answers: its "
            "fingerprint is not the one in the invite; ask for a new invite"
        )
    return invite.address in view.refused or Address.parse(invite.address).peer in view.connected


def _unanswered(wanted: Wanted, view: View) -> str:
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

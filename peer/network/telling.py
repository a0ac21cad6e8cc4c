"""What the user of this device is told of others, wherever it is in its life, each thing once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from peer.device.event_log import KnownLine
from peer.network.address import Address
from peer.network.node import View
from peer.network.other_versions import what_to_update
from peer.swarm.household import admitted_by, came_and_went, is_ejected, members
from peer.swarm.knocking import Knock
from peer.wire import Notice
from peer.wire_household import Change, Household

NAME_SECONDS = 10.0  # that a device which has come in has to tell its name


class Told:
    """What the user knows already.

    :param report: gets a line where there is something new
    """

    def __init__(self, report: Callable[[str], None]):
        self._report = report
        self._versions: set[str] = set()  # peer ids of devices with another version
        self._ejected = False
        self._locked: bool | None = None  # until the first view
        self._household: Household | None = None
        self._let_in_by = ""
        self._let_in_at: float | None = None  # where that is still to be told
        self._refused_a_lock = False
        self._knocks: set[tuple[str, str]] = set()  # (peer id, number)
        self._names: dict[str, str] = {}  # by peer id
        self._news: list[tuple[float, str, Change]] = []  # since when, of whom, what; still to be told

    def update(self, view: View, me: str = "", names: Mapping[str, str] | None = None) -> None:
        """Say which devices do not understand us, and which is older; and which ones knock, with their numbers.

        And that we were let in or ejected, or others were, or the run was locked or opened.

        :param me: our peer id
        :param names: of members, by peer id; and ours
        """
        knocks = {knock.peer: knock.name for knock in view.knocks}
        here = {notice.peer: notice.name for notice in view.notices}
        self._names.update({**knocks, **(names or {}), **here})
        self._say_how_we_came_in(view, me)
        self._say_who_came_and_went(view, me)
        self._say_household(view)
        for other in view.other_versions:
            if other.peer not in self._versions:
                self._versions.add(other.peer)
                self._report(what_to_update(other))
        for knock in view.knocks:
            if (knock.peer, knock.number) not in self._knocks:
                self._knocks.add((knock.peer, knock.number))
                self._report(_knocks(knock, is_ejected(view.household, knock.peer)))

    def _say_how_we_came_in(self, view: View, me: str) -> None:
        """Name who let us in once that device has proved to be there: where it does not, nobody is named."""
        by = view.outside.let_in_by
        if view.ejected:
            self._let_in_by = by = ""
        elif self._ejected and view.locked and view.household is not None:
            by = admitted_by(view.household, me)  # a member may have handed us its household before we asked
        if by not in ("", self._let_in_by):
            self._let_in_by, self._let_in_at = by, time.monotonic()
            self._locked, self._household = view.locked, view.household
        if self._let_in_at is None:
            return
        here = [notice for notice in view.notices if notice.peer == self._let_in_by and notice.address]
        if here or time.monotonic() >= self._let_in_at + NAME_SECONDS:
            self._let_in_at = None
            rest = "if none of you has typed the number, it is not yours; end this one with Ctrl+C"
            self._report(_let_in(here[0], rest) if here else KnownLine(f"let in: {rest}", "let_in"))

    def _say_who_came_and_went(self, view: View, me: str) -> None:
        """Say who was let in or ejected, and by whom, by their names; who has none yet has a moment to tell it."""
        before, self._household, now = self._household, view.household, time.monotonic()
        if before is not None and view.household is not None:
            self._news += [(now, peer, change) for peer, change in came_and_went(before, view.household).items()]
        for news in list(self._news):
            since, peer, change = news
            if peer in self._names or now >= since + NAME_SECONDS:
                self._news.remove(news)
                if peer != me:
                    self._report(_what_happened(change, self._name(change.author), self._name(peer)))

    def _name(self, peer: str) -> str:
        return self._names.get(peer, f"{peer[:8]}…")

    def _say_household(self, view: View) -> None:
        """Say that the run was locked or opened, that we were ejected, or that we refused a lock."""
        if self._locked not in (None, view.locked) and view.household is not None:
            count = len(members(view.household))
            belong = "1 device belongs" if count == 1 else f"{count} devices belong"
            locked = f"this run is locked now, and {belong} to it: nobody else comes in"
            opened = "this run is open again: whoever is on this network can come in and take the model"
            self._report(KnownLine(locked, "locked", count=count) if view.locked else KnownLine(opened, "opened"))
        self._locked = view.locked
        if view.ejected and not self._ejected:
            run_id = "" if view.household is None else view.household.run_id
            text = (
                f"this device was ejected from run {run_id}, and asks to be let in again: type the number that it "
                "shows on a device that is in, python -m peer --admit NUMBER, or start it with a new invite of theirs; "
                "what it has of the run stays here"
            )
            self._report(KnownLine(text, "ejected", run_id=run_id))
        self._ejected = view.ejected
        if view.left_out and not (view.locked or self._refused_a_lock):
            self._refused_a_lock = True
            names = [notice.name for notice in view.notices if notice.peer in view.left_out]
            self._report(
                f"a lock of this run was refused: it leaves out {', '.join(names) or 'a device'}, which trains here. "
                "If one of you has locked it, start this device again with an invite, which python -m peer --invite "
                "shows there; if not, lock the run yourselves: python -m peer --lock"
            )


def _what_happened(change: Change, author: str, device: str) -> KnownLine:
    if change.kind == "eject":
        return KnownLine(f"{author} ejected {device}: there is a new key", "member_ejected", by=author, name=device)
    if change.kind == "admit":
        return KnownLine(f"{author} let {device} in", "member_let_in", by=author, name=device)
    return KnownLine(f"{device} came in by an invite", "came_by_invite", name=device)


def _let_in(by: Notice, rest: str) -> KnownLine:
    host = Address.parse(by.address).host
    return KnownLine(f"let in by {by.name} ({host}): {rest}", "let_in_by", name=by.name, host=host)


def _knocks(knock: Knock, was_ejected: bool) -> KnownLine:
    name, host, number = knock.name, knock.host, knock.number
    before = "it was ejected before; " if was_ejected else ""
    text = f"{name} ({host}) knocks: {number} ({before}where it shows the same number, and is to come in: "
    text += f"python -m peer --admit {number})"
    if was_ejected:
        return KnownLine(text, "knocks_again", name=name, host=host, number=number)
    return KnownLine(text, "knocks", name=name, host=host, number=number)

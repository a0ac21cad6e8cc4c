"""What the owner of this device may ask of the peer that runs on it: to lock the run, to let a device in, to eject one.

The other end is `owner_commands.py`, in another terminal, by the control channel (`peer/device/control.py`). It is
called on the channel's thread, while training, joining or keeping state goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from peer.device.control import Action, ControlError
from peer.device.event_log import KnownLine
from peer.joining.owner_commands import Shown
from peer.network.address import Address
from peer.network.child_calls import Pending
from peer.network.handle import Network
from peer.state.fetching import TransferError
from peer.swarm.household import HouseholdError, fingerprint, is_ejected, is_member, members
from peer.swarm.knocking import KnockRefused
from peer.wire import Notice

Answer = TypeVar("Answer")


class OwnerRequests:
    """Answers the owner of a device.

    :param name: of this device
    """

    def __init__(self, network: Network, name: str):
        self._network, self._name = network, name

    @property
    def actions(self) -> Mapping[str, Action]:
        """All that can be asked for, by name."""
        return {
            "household": self.show,
            "lock": self.lock,
            "unlock": self.unlock,
            "admit": self.admit,
            "eject": self.eject,
        }

    def show(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return whether the run is locked, and who is in it: members, or in an open run whoever a lock makes one.

        Also the peer ids of members that do not say to know the household of now, and whether this device knocks.
        """
        locked = self._is_locked()
        return {
            "run_id": self._network.run_id,
            "locked": locked,
            "knocks": self._network.asks_in,
            "me": self._name,
            "others": [asdict(device) for device in (self._members() if locked else self._to_be_members())],
            "without_key": [device.peer for device in self._members() if locked and not self._has_key(device)],
        }

    def lock(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Lock the run. Raises ControlError, also where others have come than those whom the owner was told.

        :param arguments: peer ids of the others who get the key
        """
        self._must_be_in()
        if self._is_locked():
            raise ControlError(KnownLine("the run is locked already", "locked_already"))
        if not self._network.run_id:
            raise ControlError(KnownLine("this device is in no run yet: lock it once it trains", "no_run"))
        uninvited = [device for device in self._to_be_members() if device.peer not in arguments]
        if uninvited:
            text = f"{uninvited[0]} has come in meanwhile and would get the key as well: ask once more"
            raise ControlError(KnownLine(text, "came_meanwhile", name=str(uninvited[0])))
        self._do(self._network.lock(among=arguments))
        return {}

    def unlock(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Open the run. Raises ControlError."""
        self._must_be_in()
        if not self._is_locked():
            raise ControlError(KnownLine("the run is open already", "open_already"))
        self._do(self._network.unlock())
        return {}

    def admit(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Let in the device that shows a number, and return its name. Raises ControlError."""
        [number] = arguments
        self._must_be_locked("everybody can come in")
        knock = self._do(self._network.admit(number))
        return {"name": knock.name, "host": knock.host}

    def eject(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Eject a member, by its name or its peer id, and return whom, and who is left. Raises ControlError."""
        [wanted] = arguments
        self._must_be_locked("whoever is ejected comes back at once")
        members = self._members()
        found = [device for device in members if wanted in (device.name, device.peer)]
        found = found or [device for device in members if device.name.casefold() == wanted.casefold()]
        if not found:
            names = ", ".join(map(str, members)) or "nobody but this one"
            is_this = wanted in (self._name, self._network.peer)
            why = "this is the device itself" if is_this else f"no other member is called {wanted!r}"
            raise ControlError(KnownLine(f"{why}; the other members are: {names}", "no_such_member"))
        if len(found) > 1:
            ids = ", ".join(f"{device.peer} ({device.host or 'away'})" for device in found)
            text = f"{len(found)} members are called {wanted!r}: name one by its id: {ids}"
            raise ControlError(KnownLine(text, "same_name", names=", ".join(device.peer for device in found)))
        household = self._do(self._network.eject(found[0].peer))  # it is seen in a moment only
        return {
            "name": found[0].name,
            "host": found[0].host,
            "left": [asdict(device) for device in members if is_member(household, device.peer)],
        }

    def _must_be_locked(self, why_not: str) -> None:
        """Raise ControlError where the run is not locked, or this device does not belong to those who are in."""
        self._must_be_in()
        if not self._is_locked():
            text = f"the run is open: {why_not}; lock it first, by python -m peer --lock"
            raise ControlError(KnownLine(text, "not_locked"))

    def _is_locked(self) -> bool:
        household = self._network.household
        return household is not None and household.is_locked

    def _must_be_in(self) -> None:
        """Raise ControlError where this device was ejected, or asks to be let in."""
        if is_ejected(self._network.household, self._network.peer):
            text = (
                "this device was ejected, and changes nothing of the household: it asks to be let in again; type the "
                "number that it shows on a device that is in"
            )
            raise ControlError(KnownLine(text, "was_ejected"))
        if self._network.asks_in:
            text = "this device is in no run yet: it asks to be let in; type its number on one that is in"
            raise ControlError(KnownLine(text, "not_in_yet"))

    def _do(self, begun: Pending[Answer]) -> Answer:
        """Wait for what the network has begun. Raises ControlError for what it fails with."""
        try:
            return begun.wait()
        except (HouseholdError, KnockRefused, TransferError) as error:
            raise ControlError(error.args[0]) from error  # a `KnownLine` stays one
        except OSError as error:
            why = error.strerror or error
            text = f"nothing has changed: who belongs to the run cannot be kept: {why}"
            raise ControlError(KnownLine(text, "not_kept", why=str(why))) from error

    def _here(self) -> list[Shown]:
        """Return the other devices that are in our run now."""
        run_id = self._network.run_id
        return [_shown(notice) for notice in self._network.view.notices if notice.run_id == run_id]

    def _has_key(self, device: Shown) -> bool:
        known = fingerprint(self._network.household)
        return any(notice.peer == device.peer and notice.household == known for notice in self._network.view.notices)

    def _to_be_members(self) -> list[Shown]:
        """Return the other devices that a lock gives the key to: who is here, and who was a member before."""
        return list({device.peer: device for device in (*self._here(), *self._members())}.values())

    def _members(self) -> list[Shown]:
        """Return the other members of the household, whether they are here or not, by the names they had last."""
        household = self._network.household
        here = {device.peer: device for device in self._here()}
        return [
            here.get(peer, Shown(peer, self._network.names.get(peer, f"{peer[:8]}…")))
            for peer in members(household)
            if peer != self._network.peer
        ]


def _shown(notice: Notice) -> Shown:
    return Shown(notice.peer, notice.name, Address.parse(notice.address).host if notice.address else "")

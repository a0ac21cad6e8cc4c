"""The invite of the peer that runs on this device, from the files that it keeps."""

from __future__ import annotations

from pathlib import Path

from peer.joining.invite import Invite, InviteError
from peer.joining.outside import asks_in
from peer.network.address import Address
from peer.network.folder import last_address, runs_in
from peer.network.household_file import kept_household
from peer.state.serving import kept_checkpoints
from peer.swarm.household import is_ejected
from peer.wire import is_run_name


def invite_of_running_peer(checkpoints: Path, run: str | None = None) -> Invite:
    """Return the invite of the peer that runs in a folder. Raises InviteError if none does, or in another run.

    Raises HouseholdError where its run is locked, and the household that is kept there cannot be used.
    """
    if not runs_in(checkpoints):
        raise InviteError(
            f"no peer runs in {checkpoints}; start one with python -m peer --join, and ask again while it runs"
        )
    known = last_address(checkpoints)
    if known is None:
        raise InviteError("the peer here has no address yet; try again in a moment")
    address, trained = known
    if run not in (None, trained):
        raise InviteError(f"the peer that runs in {checkpoints} is in the run '{trained}', not in '{run}'")
    household = kept_household(checkpoints, trained, report=lambda line: None)
    if is_ejected(household, Address.parse(address).peer):
        raise InviteError(
            "this device was ejected, and its key opens nothing any more: ask a device that is in for its invite"
        )
    if household is not None and household.is_locked:
        run_id = household.run_id
        return Invite(address, run_id.rpartition("-")[0], run_id, household.key, household.epoch)
    kept = kept_checkpoints(checkpoints, trained) if is_run_name(trained) else []  # a bootstrap node trains none
    if not kept and asks_in(checkpoints):
        raise InviteError("this device is in no run yet, and asks to be let in: ask a device that is in for its invite")
    return Invite(address, trained, kept[0][1].run_id if kept else "")

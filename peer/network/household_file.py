"""The file that a household is kept in, beside the runs in a peer's checkpoints folder: for its owner alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from data.atomic import replacing
from peer.swarm.household import HouseholdError, has_known_key
from peer.wire import ProtocolViolation, parse
from peer.wire_household import Household

PRIVATE = 0o600
ANY_RUN = "bootstrap"  # names the file of a node that belongs to no run


def household_path(checkpoints: Path, run: str) -> Path:
    """Return where the household of a run is kept."""
    return checkpoints / f"{run or ANY_RUN}.household"


def mark_path(checkpoints: Path, run: str) -> Path:
    """Return the mark of a locked run: where it stands alone the household is lost, and nothing is opened by that."""
    return checkpoints / f"{run or ANY_RUN}.locked"


def keep_household(checkpoints: Path, run: str, household: Household) -> None:
    """Keep the household of a run. Raises OSError, and leaves the one before as it was then."""
    path = household_path(checkpoints, run)
    with replacing(path) as part:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(household.model_dump_json(indent=2) + "\n")
    with suppress(OSError):  # the mark is for the day when the file is lost
        if household.is_locked:
            mark_path(checkpoints, run).touch()
        else:
            mark_path(checkpoints, run).unlink(missing_ok=True)


def kept_household(checkpoints: Path, run: str, report: Callable[[str], None]) -> Household | None:
    """Return the household of a run as it is kept here; None if there is none. Raises HouseholdError.

    :param report: gets a line where others could have read it, which is mended
    """
    path = household_path(checkpoints, run)
    to_get_in_again = (
        "Come in by an invite, python -m peer --join CM2-…, which puts another one in its place; or open what this "
        f"device has of that run to everybody on the network: rm {path} {mark_path(checkpoints, run)}"
    )
    try:
        others_can = path.stat().st_mode & 0o077
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # whoever writes there will say so
        mark = mark_path(checkpoints, run)
        if not mark.exists():
            return None
        raise HouseholdError(
            f"{path}, with the key of a locked run, is gone. Come in by an invite, python -m peer --join CM2-…, or "
            f"open what this device has of that run to everybody on the network: rm {mark}"
        ) from None
    except OSError as error:
        raise HouseholdError(f"{path} cannot be read: {error.strerror}; it has the key of the run") from error
    if others_can:
        with suppress(OSError):
            path.chmod(PRIVATE)
        report(
            f"others on this device could read {path}, which has the key of the run; now only you can. If somebody may "
            "have read it, change the key: python -m peer --unlock, and then --lock"
        )
    try:
        household = parse(Household, content)
    except ProtocolViolation as error:
        if b'"standing"' in content:
            raise HouseholdError(
                f"{path} is of an older version, whose changes nobody has signed: remove it on each device, "
                f"rm {path} {mark_path(checkpoints, run)}, and lock the run anew: python -m peer --lock"
            ) from error
        raise HouseholdError(f"{path} is no whole household ({error}). {to_get_in_again}") from error
    if run and household.run_id.rpartition("-")[0] != run:
        raise HouseholdError(f"{path} is of another run, {household.run_id}. {to_get_in_again}")
    if not has_known_key(household):
        raise HouseholdError(f"{path} is broken: its key is none that its changes tell of. {to_get_in_again}")
    return household

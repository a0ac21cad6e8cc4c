"""The snapshots that this device leaves for its page: at every change, and every few seconds besides."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from peer.device.power import Reading, Rest
from peer.device.wishes import Wishes
from peer.page.company import Company
from peer.page.models import DeviceNow, DoorNow, PeerNow, QuietHours, RunNow, Snapshot
from peer.page.snapshot import write_snapshot
from peer.swarm.knocking import Outside
from peer.wire import Notice

PERIOD_SECONDS = 5.0


class Snapshots:
    """Writes them, and knows what stays the same in all of them. It never waits, and no disk stops it.

    :param report: gets a line for the user where the disk does not take one
    """

    def __init__(self, checkpoints: Path, wishes: Wishes, report: Callable[[str], None]):
        self.company, self.wishes = Company(), wishes
        self._checkpoints, self._report = checkpoints, report
        self._started, self._due, self._change = time.time(), 0.0, object()
        self._problem = ""

    def poll(self, change: object, make: Callable[[], Snapshot]) -> None:
        """Write a snapshot where its time has come.

        :param change: what has changed where it is not equal to the one before: then it has come
        :param make: makes it
        """
        now = time.monotonic()
        change = (change, self.wishes.is_paused, self.wishes.quiet_hours, self.wishes.share_of_time)
        if change == self._change and now < self._due:
            return
        self._change, self._due = change, now + PERIOD_SECONDS
        try:
            snapshot = make().model_copy(update={"time": time.time(), "started": self._started})
            write_snapshot(self._checkpoints, snapshot)
            self._problem = ""
        except OSError as error:
            if self._problem != str(error):
                self._problem = str(error)
                self._report(f"what the page shows is not kept up to date: {error.strerror}; training goes on")

    def poll_before_training(self, me: Notice, others: list[Notice], address: str, outside: Outside) -> None:
        """Write a snapshot of a device that looks for a run, founds or joins one, or keeps its state for others.

        :param outside: the device as it sees itself, where it asks to be let into a locked run
        """
        door = door_now(outside)
        role = "asking" if door.asks else str(me.role)

        def make() -> Snapshot:
            return Snapshot(
                device=self.device(me, role, address, Reading(), None),
                run=RunNow(name=me.run_id.rpartition("-")[0], id=me.run_id, round=me.round),
                peers=self.company.rows(us(me, role, self._started), (), {}),
                door=door,
            )

        self.company.update(others, time.time())
        self.poll((me.role, me.run_id, tuple(notice.peer for notice in others), address, door), make)

    @property
    def started(self) -> float:
        """When this program was started."""
        return self._started

    def device(self, me: Notice, role: str, address: str, reading: Reading, rest: Rest | None) -> DeviceNow:
        """Return this device as people see it.

        :param role: as they are told it, which is not always that of our notice
        """
        hours = self.wishes.quiet_hours
        return DeviceNow(
            name=me.name,
            kind=me.kind,
            role=role,
            address=address,
            is_resting=rest is not None,
            is_paused=self.wishes.is_paused,
            why=rest.why if rest is not None else "",
            until=rest.until if rest is not None else "",
            battery=reading.battery,
            is_charging=reading.charging,
            share_of_time=self.wishes.share_of_time,
            quiet_hours=None if hours is None else QuietHours(begins=hours.begins, ends=hours.ends),
        )


def door_now(outside: Outside) -> DoorNow:
    """Return how people see a device that may be outside."""
    asks = bool(outside.number or outside.problem)
    return DoorNow(asks=asks, number=outside.number, problem=outside.problem)


def us(me: Notice, role: str, since: float) -> PeerNow:
    """Return the row of this device itself."""
    return PeerNow(name=me.name, peer=me.peer, kind=me.kind, is_us=True, role=role, since=since)

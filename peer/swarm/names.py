"""Decide what devices are shown as: no two under one name, and none loses its own to one that comes later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from peer.wire import Notice

KEPT_SECONDS = 600.0  # that a name is kept for a device that has left
MEET_SECONDS = 30.0  # after the first others were seen, in which whoever was here before us may still come into sight
MAX_NAMES = 4096  # kept in mind at once; more is somebody playing tricks


@dataclass
class Named:
    """A device that was here: what it calls itself, what it is shown as, and when it was here last (seconds)."""

    said: str
    shown: str
    seen: float


class Names:
    """The names of all that this device has seen: the first to come with a name keeps it, the next is "name (2)"."""

    def __init__(self) -> None:
        self._named: dict[str, Named] = {}  # by peer id
        self._met: float | None = None  # when others were first seen

    def distinct(self, others: Iterable[Notice], me: Notice | None, now: float) -> list[Notice]:
        """Return the notices of those that are here now, under names that tell them apart, and us from them.

        Of several that are seen at once, whoever says to have started first comes first.

        :param now: seconds, of a clock that never jumps
        """
        others = list(others)
        self._forget(now)
        if others and self._met is None:
            self._met = now
        if me is not None and (self._met is None or now < self._met + MEET_SECONDS):
            self._named.pop(me.peer, None)
        everybody = others if me is None else [*others, me]
        for notice in sorted(everybody, key=lambda notice: (notice.started, notice.peer)):
            named = self._named.get(notice.peer)
            if named is None or named.said != notice.name:
                self._named[notice.peer] = named = Named(notice.name, self._free(notice), now)
            named.seen = now
        return [notice.model_copy(update={"name": self._named[notice.peer].shown}) for notice in others]

    def _free(self, notice: Notice) -> str:
        """Return what a device can be shown as that nobody else is."""
        taken = {named.shown for peer, named in self._named.items() if peer != notice.peer}
        shown, count = notice.name, 1
        while shown in taken:
            count += 1
            shown = f"{notice.name} ({count})"
        return shown

    def _forget(self, now: float) -> None:
        self._named = {peer: named for peer, named in self._named.items() if now < named.seen + KEPT_SECONDS}
        while len(self._named) > MAX_NAMES:
            del self._named[min(self._named, key=lambda peer: self._named[peer].seen)]

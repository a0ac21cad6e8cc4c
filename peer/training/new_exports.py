"""Exports that come into data/raw while this device rests: it takes them in, for they are something to learn."""

from __future__ import annotations

import time
from collections.abc import Callable

from peer.device.event_log import KnownLine
from peer.joining.shared_text import raw_files

LOOK_SECONDS = 20.0  # between two looks; files that are the same in two of them are no longer being copied


class NewExports:
    """Looks into data/raw, where a device has nothing to learn any more.

    :param can_take: the device may start anew, and its text is what was made of data/raw
    :param report: takes a line for the user, where it may not
    """

    def __init__(self, can_take: bool, report: Callable[[str], None]):
        self.came = False  # they are here, and this device is to start anew with them
        self._can_take, self._report = can_take, report
        self._known = self._seen = raw_files()
        self._next = 0.0

    def look(self) -> None:
        """Look whether there are any, now and then."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        before, self._seen = self._seen, raw_files()
        if self._seen != before or set(self._seen) <= set(self._known):
            return
        self._known = self._seen
        if self._can_take:
            self.came = True
            text = "there are new chats in data/raw: starting anew with them"
            self._report(KnownLine(text, "new_chats"))
        else:
            text = "there are new chats in data/raw: clean them with python -m data, and start this device again"
            self._report(KnownLine(text, "new_chats_to_prepare"))

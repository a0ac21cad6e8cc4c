"""This device on the notice board before it trains: what it says there, what it sees, and when it is to end."""

from __future__ import annotations

import time

from peer.device.display import Display
from peer.device.event_log import KnownLine
from peer.device.processes import Stopped, StopSignal
from peer.network import clock
from peer.network.address import Address
from peer.network.handle import Network
from peer.network.node import View
from peer.page.snapshots import Snapshots
from peer.wire import Notice

POLL_SECONDS = 0.1


class Presence:
    """Keeps this device's notice on the board, heeds Ctrl+C, and tells the user each thing once.

    :param me: the notice to begin with
    :param deadline: of `time.monotonic`, after which this device does not wait any longer; None for never
    :param snapshots: for the page; None where nobody looks
    """

    def __init__(
        self,
        network: Network,
        me: Notice,
        display: Display,
        stop: StopSignal,
        deadline: float | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.network, self.me, self.display = network, me, display
        self._snapshots = snapshots
        self.stop, self._deadline = stop, deadline
        self._said: set[str] = set()

    def announce(self, **changes: object) -> None:
        """Change what our notice says; others see it after the next `refresh`."""
        self.me = self.me.model_copy(update=changes)

    def refresh(self) -> View:
        """Wait a moment, post our notice, and return the newest view of the swarm. Raises Stopped."""
        self.pause(POLL_SECONDS)
        view = self.network.post(self.me)
        self.announce(peer=self.network.peer, reachable=view.reachable)
        if self._snapshots is not None:
            self._snapshots.poll_before_training(self.me, view.notices, self.network.address.host, view.outside)
        difference = clock.difference(view.clock_shift)
        if difference is not None:
            self.say_once(difference)
        for address, name in view.heard.items():
            host = Address.parse(address).host
            self.say_once(KnownLine(f"found {name} at {host}", "found", name=name, host=host))
        return view

    def pause(self, seconds: float) -> None:
        """Wait. Raises Stopped where the user wants the end, or the time is over."""
        if self.stop.received or (self._deadline is not None and time.monotonic() > self._deadline):
            raise Stopped
        time.sleep(seconds)

    def say(self, text: str) -> None:
        """Show the user a line."""
        self.display.note(text)

    def say_once(self, text: str) -> None:
        """Show the user a line that has not been shown yet."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

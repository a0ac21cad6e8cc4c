"""Finding others on the LAN with no address typed: by mDNS, and where that does not arrive by asking the neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable

from peer.network.address import Address
from peer.network.discovery import Discovery
from peer.network.identity import Identity
from peer.network.meeting import MAX_ADDRESSES, Meetings
from peer.network.other_versions import OtherVersions
from peer.network.subnet_scan import probe
from peer.wire import NAMELESS, Announcement, Notice, Role

FIRST_PROBE_SECONDS = 1.0  # that others have to be found in before the neighbours are asked one by one
PROBE_SECONDS = (60.0, 3600.0)  # first and longest pause before that is done again
ASK_SECONDS = (10.0, 60.0)  # between two questions to the LAN who is here: while we are alone, and otherwise


class LanSearch:
    """The search of one device for others.

    :param run: name of the run; only devices of that name are `heard`, but all are met
    :param host: our own address on the network
    :param tag: tells what our devices are known by in a locked run; "" in an open one
    """

    def __init__(
        self,
        run: str,
        host: str,
        identity: Identity,
        meetings: Meetings,
        other_versions: OtherVersions,
        tag: Callable[[], str],
    ):
        self._run, self._host, self._tag = run, host, tag
        self._identity, self._meetings, self._other_versions = identity, meetings, other_versions
        self._name = self._announced_tag = ""
        self.heard: dict[str, str] = {}  # multiaddress -> name
        self.tags: dict[str, str] = {}  # multiaddress -> tag of its locked run, whichever that is
        self.is_over = False  # whoever can be found here has had time to be
        self._discovery: Discovery | None = None
        self._asked = time.monotonic()
        self._probe_at, self._probe_pause = time.monotonic() + FIRST_PROBE_SECONDS, PROBE_SECONDS[0]

    async def start(self, name: str) -> str | None:
        """Announce ourselves and listen; return why zeroconf cannot be used here, if it cannot."""
        self._name = name
        announcement = self._announcement()
        discovery = Discovery(announcement, self.on_found)
        try:
            await discovery.start()
        except OSError as error:
            return str(error)
        self._discovery, self._announced_tag = discovery, announcement.tag
        return None

    def _announcement(self) -> Announcement:
        tag, started = self._tag(), round(self._identity.started, 1)
        name, run = ("", "") if tag else (self._name, self._run)
        return Announcement(address=self._identity.address, name=name, run=run, started=started, tag=tag)

    async def announce(self) -> None:
        """Announce what holds now, where it is something else: the run was locked, or opened, or has a new key."""
        if self._discovery is not None and self._tag() != self._announced_tag:
            announcement = self._announcement()
            await self._discovery.announce(announcement)
            self._announced_tag = announcement.tag

    async def stop(self) -> None:
        """Take our announcement back."""
        if self._discovery is not None:
            await self._discovery.stop()

    def on_found(self, announced: Announcement) -> None:
        """Take in what a device announces: dial it, unless it is of another version or says to be us."""
        address = announced.address
        try:
            Address.parse(address).peer_id  # noqa: B018 -- which checks it
        except ValueError:
            return
        if Address.parse(address).peer == self._identity.peer:
            peer, started = self._identity.peer, announced.started
            self._identity.hear_of(
                Notice(peer=peer, name=announced.name or NAMELESS, address=address, role=Role.LOOKING, started=started)
            )
            return
        if announced.other_version is not None:
            if announced.run == self._run or announced.tag:
                self._other_versions.hear_of(announced.other_version)
            return
        self._meetings.remember(address)
        self._meetings.dial_soon(address)
        self.tags.pop(address, None)
        if announced.tag and len(self.tags) < MAX_ADDRESSES:
            self.tags[address] = announced.tag
        if announced.run == self._run and len(self.heard) < MAX_ADDRESSES:
            self.heard[address] = announced.name

    async def ask_who_is_here(self) -> None:
        """Ask by mDNS now and then, more often while we are alone."""
        pause = ASK_SECONDS[1] if self._meetings.connected else ASK_SECONDS[0]
        if self._discovery is not None and time.monotonic() - self._asked > pause:
            self._asked = time.monotonic()
            await self._discovery.ask_again()

    async def ask_neighbours(self) -> None:
        """Ask soon after the start and ever more rarely after that, and only while nobody else has been found."""
        self.is_over = self.is_over or bool(self._meetings.connected)
        if self._meetings.connected or time.monotonic() < self._probe_at:
            return
        self._probe_at = time.monotonic() + self._probe_pause
        self._probe_pause = min(2 * self._probe_pause, PROBE_SECONDS[1])
        try:
            await probe(self._host, self.on_found)
        finally:
            self.is_over = True

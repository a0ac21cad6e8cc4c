"""Zeroconf (mDNS, RFC 6762): this device says where it is and hears where others are, with no address typed.

Only addresses come from here. Who is a member and in which state is on the notice board (`peer/network/notices.py`),
which also works where multicast does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from zeroconf import IPVersion, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from peer.network.address import Address
from peer.wire import Announcement, ProtocolViolation, parse_announcement

SERVICE_TYPE = "_cellmind._tcp.local."
LOOKUPS, LOOKUP_MILLISECONDS = 10, 500

Found = Callable[[Announcement], None]


def tell(info: ServiceInfo, found: Found) -> None:
    """Call `found` with what is announced, if it is a peer's announcement."""
    with suppress(ProtocolViolation):  # where it is nothing of ours
        found(parse_announcement(info.decoded_properties))


class Listener:
    """Reports every peer that announces itself; lives on an asyncio loop.

    :param host: our own address on the network to listen to
    :param found: called for every peer heard of, again when what it announces changes
    """

    def __init__(self, host: str, found: Found):
        self._host, self._found = host, found
        self._tasks: set[asyncio.Task[None]] = set()
        self._own_service = ""
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> None:
        """Begin to listen. Raises OSError where multicast DNS cannot be used at all."""
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        self._zeroconf = AsyncZeroconf(interfaces=[self._host], ip_version=IPVersion.V4Only)
        self._browse()

    async def ask_again(self) -> None:
        """Ask who is here once more: a browser left alone soon asks once an hour, and a cable may have been out."""
        await self._browser.async_cancel()
        self._browse()

    def _browse(self) -> None:
        assert self._zeroconf is not None, "start comes first"
        self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change])

    async def stop(self) -> None:
        """Stop to listen."""
        if self._zeroconf is not None:
            await self._browser.async_cancel()
            await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()

    def _on_change(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed and name != self._own_service:
            task = asyncio.ensure_future(self._look_up(zeroconf, service_type, name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_up(self, zeroconf: Zeroconf, service_type: str, service: str) -> None:
        """Ask until the properties are here: the address is among them, because a lookup that waits for the address
        record as well can wait for ever (zeroconf 0.154 takes it for known if it came before the service record).
        """
        for _ in range(LOOKUPS):
            info = AsyncServiceInfo(service_type, service)
            await info.async_request(zeroconf, LOOKUP_MILLISECONDS)
            if info.decoded_properties.get("address"):
                tell(info, self._found)
                return


class Discovery(Listener):
    """Announces one peer, and reports every other one."""

    def __init__(self, announced: Announcement, found: Found):
        super().__init__(Address.parse(announced.address).host, found)
        self._announced = announced
        self._own_service = service(announced).name

    async def start(self) -> None:
        """Announce ourselves and listen. Raises OSError where multicast DNS cannot be used at all."""
        await super().start()
        assert self._zeroconf is not None
        await self._zeroconf.async_register_service(service(self._announced))

    async def announce(self, announced: Announcement) -> None:
        """Announce something else from now on, to those as well who have heard what was before."""
        if self._zeroconf is not None:
            await self._zeroconf.async_update_service(service(announced))


def service(announced: Announcement) -> AsyncServiceInfo:
    """Return the service by which a peer is announced."""
    address = Address.parse(announced.address)
    # unique on the LAN, also where a peer's identity is not
    label = f"{address.peer[-20:]}-{address.host.replace('.', '-')}"
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{label}.{SERVICE_TYPE}",  # the readable name is a property
        port=address.port,
        parsed_addresses=[address.host],
        properties=announced.properties(),
        server=f"cellmind-{label.lower()}.local.",
    )

"""Zeroconf (mDNS, RFC 6762): this device says where it is and hears where others are, with no address typed.

Only addresses come from here. Who is a member and in which state is on the notice board (`peer/node.py`), which also
works where multicast does not.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from ifaddr import get_adapters
from zeroconf import IPVersion, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_cellmind._tcp.local."
LOOPBACK = "127.0.0.1"  # where a device without a network is
PROPERTIES = ("address", "name", "run", "started")  # of an announcement
LOOKUPS, LOOKUP_MILLISECONDS = 10, 500

Found = Callable[[str, str, str, float], None]


def lan_address() -> str:
    """This device's IPv4 address on the network it would use, found without a packet; loopback if there is none."""
    for target in ("192.0.2.1", "224.0.0.251"):  # a routed address (TEST-NET-1), else wherever multicast would leave
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 9))
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return LOOPBACK


def check_host(host: str) -> None:
    """Raises ValueError, which says what there is instead, if that is no address of this device."""
    try:
        address = IPv4Address(host)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
        if not (address.is_unspecified or address.is_multicast):
            return
    except OSError:
        pass
    except ValueError:
        raise ValueError(f"{host!r} is no IPv4 address, such as {lan_address()}") from None
    there = ", ".join(f"{address} ({interface})" for address, interface in interfaces_here().items())
    there = there or f"{lan_address()}; the system does not tell of others, look for them in its network settings"
    raise ValueError(f"{host} is no address of this device; what it has: {there}")


def interfaces_here() -> dict[str, str]:
    """IPv4 address -> interface; nothing where the system lets nobody look, as Android does."""
    try:
        return {str(ip.ip): adapter.nice_name for adapter in get_adapters() for ip in adapter.ips if ip.is_IPv4}
    except OSError:
        return {}


def tell(info: ServiceInfo, found: Found) -> None:
    """Call `found` with what an announcement says, if it is one of a peer."""
    address, name, run, started = (info.decoded_properties.get(key) or "" for key in PROPERTIES)
    with suppress(ValueError):  # where it is nothing of ours
        found(address, name, run, float(started))


class Listener:
    """Reports every peer that announces itself; lives on an asyncio loop.

    :param host: our own address on the network to listen to
    :param found: called with (multiaddr, name, run, when it started) for every peer heard of, again when that changes
    """

    def __init__(self, host: str, found: Found):
        self._host, self._found = host, found
        self._tasks: set[asyncio.Task[None]] = set()
        self._own_service = ""
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> None:
        """Raises OSError where multicast DNS cannot be used at all."""
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
    """Announces one peer, and reports every other one.

    :param address: this peer's own, /ip4/ADDRESS/tcp/PORT/p2p/PEER
    :param name: what people call the device
    :param run: name of the run it trains, "" for a bootstrap node
    :param started: when it did, in the swarm's time
    """

    def __init__(self, *, address: str, name: str, run: str, started: float, found: Found):
        _, _, host, _, port, _, peer = address.split("/")
        label = f"{peer[-20:]}-{host.replace('.', '-')}"  # unique on the LAN, also where a peer's identity is not
        super().__init__(host, found)
        self._info = AsyncServiceInfo(
            SERVICE_TYPE,
            f"{label}.{SERVICE_TYPE}",  # the readable name is a property
            port=int(port),
            parsed_addresses=[host],
            properties=dict(zip(PROPERTIES, (address, name, run, f"{started:.1f}"))),
            server=f"cellmind-{label.lower()}.local.",
        )
        self._own_service = self._info.name

    async def start(self) -> None:
        await super().start()
        assert self._zeroconf is not None
        await self._zeroconf.async_register_service(self._info)

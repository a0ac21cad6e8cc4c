"""The place of a device on the network: addresses and ports, parsed and checked."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Self

from ifaddr import get_adapters

from minigpt.cli import number_between

if TYPE_CHECKING:  # hivemind takes seconds to load, for commands that only ask a running peer as well
    from hivemind.p2p import PeerID


class NetworkError(Exception):
    """The network cannot be used as asked; the message is for the user."""


FORM = re.compile("/(ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/([0-9]{1,5})/p2p/([1-9A-HJ-NP-Za-km-z]+)")


@dataclass(frozen=True)
class Address:
    """The place of a peer: a host, a TCP port, and the id that whoever answers there has to prove.

    :param host: an IPv4 address, as all peers have that announce themselves
    :param peer: the id, in base58
    :param protocol: of the host, where somebody has typed another one than an IPv4 address
    """

    host: str
    port: int
    peer: str
    protocol: str = "ip4"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address in a multiaddress: /ip4/HOST/tcp/PORT/p2p/PEER. Raises ValueError."""
        match = FORM.fullmatch(text)
        if match is None or int(match[3]) > 65535 or not _is_host(match[1], match[2]):
            raise no_address(text)
        return cls(match[2], int(match[3]), match[4], match[1])

    def __str__(self) -> str:
        """Return the multiaddress."""
        return f"{self.dialable}/p2p/{self.peer}"

    @property
    def dialable(self) -> str:
        """The multiaddress without who is there."""
        return f"/{self.protocol}/{self.host}/tcp/{self.port}"

    @property
    def peer_id(self) -> PeerID:
        """The peer as hivemind has it. Raises ValueError for an id that is no hash of a key."""
        from hivemind.p2p import PeerID
        from hivemind.utils.multiaddr import Multiaddr

        try:
            return PeerID.from_base58(Multiaddr(f"/p2p/{self.peer}")["p2p"])
        except Exception as error:
            raise no_address(str(self)) from error


def base58_of(peer_id: bytes) -> str:
    """Return a peer id as people read it."""
    from hivemind.p2p import PeerID

    return str(PeerID(peer_id).to_base58())


def no_address(text: str) -> ValueError:
    """Return the error that says so to the user."""
    return ValueError(f"{text!r} is no peer address; it looks like /ip4/192.168.0.10/tcp/23456/p2p/Qm…")


def _is_host(protocol: str, host: str) -> bool:
    try:
        if protocol == "ip4":
            IPv4Address(host)
        else:
            from hivemind.utils.multiaddr import Multiaddr

            str(Multiaddr(f"/{protocol}/{host}"))
    except Exception:  # the codecs of multiaddresses fail in many ways
        return False
    return True


def check_port(host: str, port: int) -> None:
    """Raise NetworkError if `host:port` cannot be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NetworkError(
                f"port {port} of {host} cannot be used: {error.strerror}. Choose another with --port, or end its user."
            ) from error


def check_addresses(addresses: Iterable[str]) -> None:
    """Raise NetworkError for the first that is no peer's address."""
    for address in addresses:
        try:
            Address.parse(address).peer_id  # noqa: B018 -- which checks it
        except ValueError as error:
            raise NetworkError(str(error)) from error


def free_port(host: str, preferred: int) -> int:
    """Return the preferred port, so that the address stays the same after a restart; any free one if it is taken."""
    try:
        check_port(host, preferred)
        return preferred
    except NetworkError:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])


LOOPBACK = "127.0.0.1"  # where a device without a network is


def lan_address() -> str:
    """Return this device's IPv4 address on the network it would use, found without a packet; else loopback."""
    for target in ("192.0.2.1", "224.0.0.251"):  # a routed address (TEST-NET-1), else wherever multicast would leave
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, 9))
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return LOOPBACK


def check_host(host: str) -> None:
    """Raise ValueError, which says what there is instead, if that is no address of this device."""
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
    """Return IPv4 address -> interface; nothing where the system lets nobody look, as Android does."""
    try:
        return {str(ip.ip): adapter.nice_name for adapter in get_adapters() for ip in adapter.ips if ip.is_IPv4}
    except OSError:
        return {}


def host(text: str) -> str:
    """Return the address of this device that is typed behind --host. Raises ArgumentTypeError."""
    try:
        check_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


port = number_between(int, 1, 65535)  # the type of --port

"""Where a device is on the network: addresses and ports, parsed and checked."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address

from hivemind.p2p import PeerID
from hivemind.utils.multiaddr import Multiaddr
from ifaddr import get_adapters


class NetworkError(Exception):
    """The network cannot be used as asked; the message is for the user."""


def check_port(host: str, port: int) -> None:
    """Raises NetworkError if `host:port` cannot be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NetworkError(
                f"port {port} of {host} cannot be used: {error.strerror}. Choose another with --port, or end its user."
            ) from error


def check_addresses(addresses: Iterable[str]) -> None:
    """Raises NetworkError for the first that is no peer's address."""
    for address in addresses:
        try:
            parse_address(address)
        except ValueError as error:
            raise NetworkError(str(error)) from error


def free_port(host: str, preferred: int) -> int:
    """The preferred port, so that the address stays the same after a restart; any free one if it is taken."""
    try:
        check_port(host, preferred)
        return preferred
    except NetworkError:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])


def parse_address(address: str) -> tuple[PeerID, Multiaddr]:
    """Peer id and dialable part of /ip4/ADDRESS/tcp/PORT/p2p/PEER; ValueError if it is not of that form."""
    try:
        whole = Multiaddr(address)
        peer = PeerID.from_base58(whole["p2p"])
        dialable = whole.decapsulate(Multiaddr(f"/p2p/{whole['p2p']}"))
        if "tcp" not in dialable:
            raise ValueError("no tcp port")
    except Exception as error:
        raise ValueError(
            f"{address!r} is no peer address; it looks like /ip4/192.168.0.10/tcp/23456/p2p/Qm…"
        ) from error
    return peer, dialable


LOOPBACK = "127.0.0.1"  # where a device without a network is


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


def host(text: str) -> str:
    try:
        check_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; choose one from 1 to 65535")
    return value

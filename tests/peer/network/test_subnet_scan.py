"""Asking the neighbours one by one: who is slow to answer is heard all the same."""

from __future__ import annotations

import asyncio
import socket
import threading

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from zeroconf import DNSOutgoing, DNSText, current_time_millis
from zeroconf.const import _CLASS_IN, _FLAGS_QR_RESPONSE, _TYPE_TXT

from peer.network import subnet_scan
from peer.network.discovery import SERVICE_TYPE
from peer.wire import Announcement

ADDRESS = "/ip4/127.0.0.1/tcp/23457/p2p/QmNyJiyXSGUneucixBNhTa6fXYScXfJqu3dXVMa1kEyzTg"


def answer_of(announced: Announcement) -> bytes:
    """Return what a peer that announces this answers."""
    pairs = (f"{key}={value}".encode() for key, value in announced.properties().items())
    text = b"".join(bytes([len(pair)]) + pair for pair in pairs)
    packet = DNSOutgoing(_FLAGS_QR_RESPONSE, multicast=False)
    packet.add_answer_at_time(DNSText(f"x.{SERVICE_TYPE}", _TYPE_TXT, _CLASS_IN, 60, text), current_time_millis())
    return packet.packets()[0]


def test_a_neighbour_under_load_is_found_though_the_search_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`--doctor` said of a device that hears no multicast that nobody is there, where the only peer was busy."""
    found: list[str] = []
    is_over = threading.Event()  # the search, in which nobody was found

    async def search() -> None:
        await subnet_scan.probe("127.0.0.1", lambda announced: found.append(announced.address))
        is_over.set()
        async with asyncio.timeout(30):
            while not found:
                await asyncio.sleep(0.05)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        neighbour.bind(("127.0.0.1", 0))
        neighbour.settimeout(30)
        monkeypatch.setattr(subnet_scan, "_MDNS_PORT", neighbour.getsockname()[1])
        monkeypatch.setattr(subnet_scan, "neighbours", lambda host: ["127.0.0.1"])

        def answer_late() -> None:
            _, source = neighbour.recvfrom(1000)
            assert is_over.wait(30), "a run is founded as soon as before"
            neighbour.sendto(answer_of(Announcement(address=ADDRESS, name="desk", run="cellmind", started=1.0)), source)

        thread = threading.Thread(target=answer_late)
        thread.start()
        asyncio.run(search())
        thread.join()
    assert found == [ADDRESS]

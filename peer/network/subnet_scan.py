"""Asking the neighbours one by one who is here, where multicast does not arrive: on many a phone and guest network.

A plain mDNS question (RFC 6762, 6.7: a "legacy" one, from a port of our own) goes to each address that shares the first
three bytes with ours, whatever the netmask: where interfaces cannot be listed, nobody tells it. Who runs a peer answers
with all of its properties. Only in private ranges, at a walking pace, and `peer/network/lan_search.py` asks only while
it is alone.
"""

from __future__ import annotations

import asyncio
import secrets
from ipaddress import IPv4Address, ip_network

from zeroconf import DNSIncoming, DNSOutgoing, DNSQuestion, DNSText, ServiceInfo
from zeroconf.const import _CLASS_IN, _FLAGS_QR_QUERY, _MDNS_PORT, _TYPE_PTR

from peer.network.discovery import SERVICE_TYPE, Found, tell

PRIVATE = [ip_network(range) for range in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]  # RFC 1918
AT_ONCE, PAUSE_SECONDS = 64, 0.25  # 253 questions of 38 bytes in a second
ANSWER_SECONDS = 0.5  # that the search waits after the last question,
LATE_SECONDS = 15.0  # and in which the answer of a device under load is still heard


def neighbours(host: str) -> list[str]:
    """Return the addresses to ask: none where ours is not a private one."""
    own = IPv4Address(host)
    if not any(own in range for range in PRIVATE):
        return []
    return [str(address) for address in ip_network(f"{host}/24", strict=False).hosts() if address != own]


async def probe(host: str, found: Found) -> None:
    """Ask each neighbour once; return when the last one has had time to answer. Raises OSError without a network.

    Who is slower is heard as well, later.

    :param host: our own address
    :param found: called with the announcement of every peer that answers
    """
    own_id = secrets.randbelow(2**16)  # zeroconf takes a question in the same bytes within a second for the same one
    question = DNSOutgoing(_FLAGS_QR_QUERY, multicast=False, id_=own_id)
    question.add_question(DNSQuestion(SERVICE_TYPE, _TYPE_PTR, _CLASS_IN))
    packet = question.packets()[0]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(found), local_addr=(host, 0))
    try:
        hosts = neighbours(host)
        for start in range(0, len(hosts), AT_ONCE):
            for neighbour in hosts[start : start + AT_ONCE]:
                transport.sendto(packet, (neighbour, _MDNS_PORT))
            await asyncio.sleep(PAUSE_SECONDS)
        if hosts:
            await asyncio.sleep(ANSWER_SECONDS)
    finally:
        loop.call_later(LATE_SECONDS, transport.close)


class _Answers(asyncio.DatagramProtocol):
    """Takes the peers out of what comes back; what is no answer to us is nothing."""

    def __init__(self, found: Found):
        self._found = found

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        """Take in an answer."""
        message = DNSIncoming(data)
        if not message.valid or not message.is_response():
            return
        for record in message.answers():
            if isinstance(record, DNSText) and record.name.endswith(SERVICE_TYPE):
                tell(ServiceInfo(SERVICE_TYPE, record.name, properties=record.text), self._found)

"""The address of a peer: what is one is read and written as it was, and what is none is said to be none."""

from __future__ import annotations

import pytest

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from peer.network.address import Address, NetworkError, check_addresses
from peer.wire import Multiaddress, Notice, ProtocolViolation, parse_value

PEER = "QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"
TEXT = f"/ip4/192.168.0.10/tcp/23457/p2p/{PEER}"


def test_an_address_is_its_multiaddress() -> None:
    address = Address.parse(TEXT)
    assert address == Address("192.168.0.10", 23457, PEER)
    assert str(address) == TEXT and address.dialable == "/ip4/192.168.0.10/tcp/23457"
    assert address.peer_id.to_base58() == PEER
    assert {address: 1}[Address.parse(TEXT)] == 1


@pytest.mark.parametrize("place", ["/dns4/desk.local/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/0.0.0.0/tcp/0"])
def test_whoever_types_another_kind_of_host_may(place: str) -> None:
    assert Address.parse(f"{place}/p2p/{PEER}").dialable == place
    check_addresses([f"{place}/p2p/{PEER}"])


@pytest.mark.parametrize(
    "text",
    [
        *("", "192.168.0.10:23457", f"/ip4/192.168.0.10/udp/1/p2p/{PEER}", "/ip4/192.168.0.10/tcp/1", f"{TEXT}/", "/"),
        *(f"/ip4/{host}/tcp/1/p2p/{PEER}" for host in ("256.0.0.1", "1.2.3", "desk", "01.2.3.4", "")),
        *(f"/{host}/tcp/1/p2p/{PEER}" for host in ("ip6/desk", "ip6/1.2.3.4", "dns4/a desk", "dns/..", "dns4/-a-")),
        *(f"/ip4/1.2.3.4/tcp/{port}/p2p/{PEER}" for port in ("65536", "-1", "x", "", "123456")),
        *(f"/ip4/1.2.3.4/tcp/1/p2p/{name}" for name in ("", "0", "a b", "a/b", "../..")),
    ],
)
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no peer address; it looks like /ip4/192"):
        Address.parse(text)
    with pytest.raises(NetworkError, match="is no peer address; it looks like /ip4/192"):
        check_addresses([TEXT, text])


@pytest.mark.parametrize("peer_id", ["Q", "Qm", "Q" * 12, PEER[:-1], "z" * 64])
def test_an_id_that_is_no_hash_of_a_key_is_nobodys(peer_id: str) -> None:
    address = Address("1.2.3.4", 1, peer_id)
    assert Address.parse(str(address)) == address
    with pytest.raises(ValueError, match="is no peer address"):
        address.peer_id  # noqa: B018 -- which raises it
    with pytest.raises(NetworkError, match="is no peer address"):
        check_addresses([str(address)])


@pytest.mark.parametrize("host", ["1.2.3.4", "256.1.1.1", "1.2.3", "01.2.3.4", "1.2.3.4.5", "0.0.0.0"])
@pytest.mark.parametrize("port", ["0", "1", "65535", "65536", "00001", "100000", ""])
@pytest.mark.parametrize("peer_id", ["Q", PEER, "0", "a_b", ""])
def test_every_address_that_comes_from_the_network_can_be_read(host: str, port: str, peer_id: str) -> None:
    """Whoever shows or dials it relies on that."""
    text: Multiaddress = f"/ip4/{host}/tcp/{port}/p2p/{peer_id}"
    try:
        notice = parse_value(Notice, {"peer": "Q", "name": "desk", "address": text, "role": "training"})
    except ProtocolViolation:
        return
    assert Address.parse(notice.address).host == host

"""What a device announces by mDNS fits into its record."""

from __future__ import annotations

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from peer.__main__ import device_name
from peer.network.discovery import service
from peer.wire import Announcement, parse_announcement

ADDRESS = "/ip4/10.0.0.9/tcp/1/p2p/QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"


@pytest.mark.parametrize("letter", ["x", "가", "😀"])
def test_a_device_of_any_name_can_be_announced(letter: str) -> None:
    """A property of an mDNS record has 255 bytes at most."""
    mine = Announcement(address=ADDRESS, name=device_name(letter * 80), run="cellmind", started=1.0)
    assert set(mine.name) == {letter} and len(mine.name) > 60
    announced = service(mine).decoded_properties
    assert parse_announcement(announced) == mine

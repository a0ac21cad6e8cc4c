"""Whom a device has met, as its folder keeps it."""

from __future__ import annotations

from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from peer.network.node import View
from peer.network.remembered import Remembered
from peer.swarm.knocking import Knock
from peer.wire import Notice, Role
from tests.households import household

DESK, NODE, STRANGER = "D" * 12, "B" * 12, "S" * 12
HOME = household("cellmind-1a2b3c4d5e6f", DESK, NODE)


def knock(peer_id: str, name: str) -> Knock:
    return Knock(name, "10.0.0.9", "4827", peer_id, 0.0)


def test_a_member_without_a_notice_is_called_as_it_was_when_it_knocked(tmp_path: Path) -> None:
    """So that a bootstrap node can be ejected by its name; and whoever knocks and stays outside leaves none."""
    remembered = Remembered(tmp_path)
    remembered.update(View(knocks=[knock(NODE, "shed"), knock(STRANGER, "eve")]))
    assert not remembered.names
    remembered.update(View(household=HOME, locked=True))
    assert remembered.names == Remembered(tmp_path).names == {NODE: "shed"}

    address = f"/ip4/10.0.0.2/tcp/1/p2p/{NODE}"
    here = Notice(peer=NODE, name="garage", address=address, role=Role.TRAINING)
    remembered.update(View(household=HOME, locked=True, notices=[here], knocks=[knock(NODE, "shed")]))
    remembered.update(View(household=HOME, locked=True))
    assert remembered.names == Remembered(tmp_path).names == {NODE: "garage"}

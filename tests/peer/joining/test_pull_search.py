"""Which device of those that are found is asked for its model, and what is said where none gives one."""

from __future__ import annotations

from pathlib import Path

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest

from peer.joining import pull
from peer.joining.pull import Puller
from peer.network.folder import keep_own_address
from peer.state.fetching import TransferError
from peer.wire import OtherVersion

OWN, DESK, SHUT = (f"/ip4/10.0.0.{number}/tcp/1/p2p/Q{'m' * 10}" for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("found", "shut", "problem"),
    [
        ([OWN], [SHUT], "its run is locked"),
        ([OWN], [], "no checkpoint yet"),
        ([OWN, DESK], [SHUT], "no checkpoint yet"),
        ([], [SHUT], "its run is locked"),
    ],
    ids=["it knocks there itself", "it founds a run", "there is an open run as well", "a locked one alone"],
)
def test_a_device_before_a_locked_run_is_told_so(
    found: list[str], shut: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def who_trains(run: str, our_tag: str) -> tuple[dict[str, str], list[OtherVersion], list[str]]:
        return dict.fromkeys(found, "a device"), [], shut

    def fail(self: Puller, address: str) -> Path:
        raise TransferError("the donor has no checkpoint yet")

    keep_own_address(tmp_path, OWN, "cellmind")
    monkeypatch.setattr(pull, "_who_trains", who_trains)
    monkeypatch.setattr(Puller, "pull", fail)
    with pytest.raises(TransferError, match=problem):
        Puller(tmp_path / "models", tmp_path).pull_from_swarm("")

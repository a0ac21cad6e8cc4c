"""The files about the network in a checkpoints folder."""

import os
import stat
from pathlib import Path

import pytest
from hivemind.p2p import PeerID

from peer.network.address import NetworkError
from peer.network.door import Door
from peer.network.hivemind_patches import start_dht
from peer.network.identity_key import make_identity


def test_an_identity_is_its_owners_alone_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    real_fsync = os.fsync

    def look(descriptor: int) -> None:  # it is written by then, and has not got its name
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    monkeypatch.setattr(os, "chmod", None)
    before = os.umask(0)
    try:
        make_identity(tmp_path / "identity.key")
        make_identity(tmp_path / "another.key")
    finally:
        os.umask(before)
    assert modes[0] == 0o400 and stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o400
    peers = {PeerID.from_identity(path.read_bytes()).to_base58() for path in tmp_path.iterdir()}
    assert len(peers) == 2


@pytest.mark.parametrize("small_disk", ["4k"], indirect=True)
def test_an_identity_is_whole_or_not_there(small_disk: Path) -> None:
    (small_disk / "full").write_bytes(bytes(4096))
    with pytest.raises(NetworkError, match=r"identity\.key cannot be kept.*No space left"):
        start_dht("127.0.0.1", 0, small_disk / "identity.key", "cellmind", Door())
    assert [path.name for path in small_disk.iterdir()] == ["full"]

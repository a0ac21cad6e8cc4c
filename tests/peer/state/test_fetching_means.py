"""Means from one real node to another: which anchor they lead on from, in pieces, and cut off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind.p2p import P2P, P2PContext
from hivemind.proto import runtime_pb2

from peer.state import means
from peer.state.codec import PART, payload_bytes
from peer.state.fetching import TransferError, fetch_means, is_followed
from peer.state.means import Mean
from peer.state.serving import StateService
from tests.peer.state.donors import PIECE, RUN, between_nodes

pytestmark = pytest.mark.lan


def test_a_donor_tells_what_it_can_lead_on_from_and_knows_who_takes_something(
    donor_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(donor_folder, tmp_path / "donor")
    mean = Mean("a" * 64, {"somebody": 4}, 1, torch.zeros(payload_bytes(1024, 4), dtype=torch.uint8))
    mean.save(folder / RUN)

    async def work(donor: P2P, joiner: P2P, service: StateService) -> list[bool]:
        nothing = await is_followed(joiner, donor.peer_id, RUN, mean.lineage)
        assert not service.took, "it was given nothing"
        something = await is_followed(joiner, donor.peer_id, RUN, "a" * 64)
        assert service.took.keys() == {joiner.peer_id.to_base58()}
        return [something, nothing]

    assert between_nodes(folder, work) == [True, False]


class CutOff(StateService):
    """Its streams of means are cut, before anything has come or in the middle."""

    sent = 0

    async def rpc_mean(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        for _ in range(self.sent):
            yield runtime_pb2.ExpertInfo(serialized_info=b"x")


CutOff.__name__ = StateService.__name__


@pytest.mark.parametrize("sent", [0, 1])
def test_a_stream_that_is_cut_is_not_taken_for_the_end_of_a_mean(
    donor_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match="in the middle of a mean"):
            await is_followed(joiner, donor.peer_id, RUN, "a" * 64)
        with pytest.raises(TransferError, match="in the middle of a mean"):
            await fetch_means(joiner, donor.peer_id, tmp_path / RUN, "a" * 64, 1024, service)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    monkeypatch.setattr(CutOff, "sent", sent)
    between_nodes(donor_folder, work, CutOff)


def test_a_mean_comes_piece_by_piece(donor_folder: Path, tmp_path: Path, small_pieces: None) -> None:
    """As one stream it filled a slow link for so long that who gave it seemed to have left."""
    folder = shutil.copytree(donor_folder, tmp_path / "donor")
    size = 10 * PART
    mean = Mean("a" * 64, {"somebody": 4}, 1, torch.arange(payload_bytes(size, 4)).remainder(7).to(torch.uint8))
    mean.save(folder / RUN)

    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        stub = StateService.get_stub(joiner, donor.peer_id)
        request = {"run": RUN, "previous": mean.previous, "offset": PIECE, "size": PIECE}
        stream = await stub.rpc_mean(runtime_pb2.ExpertUID(uid=json.dumps(request)))
        assert len(b"".join([message.serialized_info async for message in stream])) == PIECE
        mine = StateService(tmp_path / "joiner")
        (path,) = await fetch_means(joiner, donor.peer_id, tmp_path / "joiner" / RUN, mean.previous, size, mine)
        assert means.load(path, size).lineage == mean.lineage
        assert mine.bytes_received == path.stat().st_size > 3 * PIECE
        assert service.bytes_sent == mine.bytes_received + PIECE

    between_nodes(folder, work)

"""A state that was taken is looked at before it is used, and thrown away if it cannot be what it claims."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind.p2p import P2P, P2PContext
from hivemind.proto import runtime_pb2

from minigpt import checkpoint
from minigpt.checkpoint.manifest import MANIFEST, MODEL, CheckpointError
from minigpt.model import MiniGPT
from minigpt.settings import run_id
from peer.network.transfers import Transfers
from peer.state.fetching import TransferError, fetch_manifest
from peer.state.serving import StateService
from peer.state.verifying import verified
from tests.peer.state.donors import RUN, between_nodes, take
from tests.tiny import SETTINGS, build_model, save_model

pytestmark = pytest.mark.lan


def test_what_a_donor_has_made_up_does_not_take_the_place_of_what_is_here(
    donor_folder: Path, tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    ours = save_model(tmp_path / "mine", tokenizer_model, model, run_id="cellmind-0123456789ab", samples=7)

    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match="goes by the name of one that is here"):
            await take(donor, joiner, tmp_path / "mine")
        (ours / MODEL).unlink()  # then it is no loss
        await take(donor, joiner, tmp_path / "mine")

    between_nodes(donor_folder, work)
    assert checkpoint.read(ours).progress.samples == 256


def test_impossibly_much_training_and_other_runs_are_not_taken(
    donor_folder: Path, tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    save_model(tmp_path / "donor", tokenizer_model, model, samples=2**50)

    async def liar(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match="impossibly much"):
            await take(donor, joiner, tmp_path / "mine")

    async def stranger(donor: P2P, joiner: P2P, service: StateService) -> None:
        transfers, run_id = Transfers(joiner, tmp_path / "mine", lambda run_id, donor: []), f"{RUN}-{'0' * 12}"
        with pytest.raises(TransferError, match="it has a state of run"):
            await transfers.fetch(
                *(donor.peer_id.to_base58(), run_id, tmp_path / "mine"), skip=(), newer_than=None, or_followed=False
            )

    between_nodes(tmp_path / "donor", liar)
    between_nodes(donor_folder, stranger)
    assert not (tmp_path / "mine").exists()


class Painting(StateService):
    """Gives a manifest whose keys are there to change the terminal of whoever reads of them."""

    async def rpc_manifest(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        answer = await super().rpc_manifest(request, context)
        painted = answer.serialized_info.replace(b'"round"', b'"\\u001b[2J": 1, "round"')
        return runtime_pb2.ExpertInfo(serialized_info=painted)


Painting.__name__ = StateService.__name__


def test_what_a_donor_sends_is_no_command_to_a_terminal(donor_folder: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match=r"manifest is not one: .*not permitted") as refused:
            await fetch_manifest(joiner, donor.peer_id, RUN)
        assert str(refused.value).isprintable()

    between_nodes(donor_folder, work, Painting)


def test_a_file_that_is_too_large_for_its_model_is_not_taken(donor_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(donor_folder, tmp_path / "donor")
    (folder,) = (tmp_path / "donor").glob(f"{RUN}/round-*")
    with (folder / MODEL).open("ab") as file:
        file.write(bytes(2_000_000))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][MODEL] = {
        "size": (folder / MODEL).stat().st_size,
        "sha256": checkpoint.file_sha256(folder / MODEL),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))

    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match=r"bytes, and at most .* fit its settings"):
            await take(donor, joiner, tmp_path / "mine")
        assert service.bytes_sent < 1_000_000

    between_nodes(tmp_path / "donor", work)


def test_a_model_that_does_not_fit_its_tokenizer_is_thrown_away(tmp_path: Path, tokenizer_model: Path) -> None:
    identity = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    folder = save_model(tmp_path, tokenizer_model, build_model(300), run_id=identity)
    with pytest.raises(CheckpointError, match=r"the tokenizer has \d+ pieces, the model 300"):
        verified(folder)
    assert not folder.exists()


def test_numbers_that_nobody_can_train_on_are_thrown_away(
    tmp_path: Path, tokenizer_model: Path, processor: Any
) -> None:
    model = build_model(processor.get_piece_size())
    with torch.no_grad():
        model.model.norm.weight.fill_(3e38)
    identity = run_id(SETTINGS, checkpoint.file_sha256(tokenizer_model))
    folder = save_model(tmp_path, tokenizer_model, model, run_id=identity)
    with pytest.raises(CheckpointError, match="too large to be trained on"):
        verified(folder)
    assert not folder.exists()


@pytest.fixture
def taken(donor_folder: Path, tmp_path: Path) -> Iterator[Path]:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        return (await take(donor, joiner, tmp_path))[0]

    yield between_nodes(donor_folder, work)


def test_a_state_that_lies_about_its_run_is_thrown_away(taken: Path) -> None:
    manifest = json.loads((taken / "training.json").read_text())
    manifest["run_id"] = f"{RUN}-{'0' * 12}"
    (taken / "training.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="it claims to be of run"):
        verified(taken)
    assert not taken.exists()

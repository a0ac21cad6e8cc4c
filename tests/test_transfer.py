"""Giving and taking state between two real nodes on the loopback: whole, resumed, refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind.p2p import P2P, P2PHandlerError
from hivemind.proto import runtime_pb2

import tokenizer
from minigpt import checkpoint
from minigpt.manifest import LOCAL, MODEL, OPTIMIZER, CheckpointError, Manifest
from minigpt.settings import run_id
from peer.node import parse_address
from peer.transfer import PARTIAL, StateService, TransferError, fetch, fetch_manifest, verified
from tests.tiny import SETTINGS, build_model, save_model, train_tokenizer

RUN = "cellmind"


@pytest.fixture(scope="module")
def donor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`checkpoints/` of a donor that has trained a round, with moments and with what it learnt since."""
    root = tmp_path_factory.mktemp("donor")
    path = train_tokenizer(root)
    model = build_model(tokenizer.load(path).get_piece_size())
    parameters = dict(model.named_parameters())
    moments = {
        f"{moment}.{name}": torch.ones_like(p) for moment in checkpoint.MOMENTS for name, p in parameters.items()
    }
    save_model(
        root,
        path,
        model,
        run_id=run_id(SETTINGS, checkpoint.file_sha256(path)),
        optimizer=moments,
        local={name: torch.ones_like(p) for name, p in parameters.items()},
    )
    return root


@asynccontextmanager
async def connected(donor_folder: Path) -> AsyncIterator[tuple[P2P, P2P, StateService]]:
    """A donor that serves its folder, and somebody who has met it."""
    donor = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    joiner = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    try:
        service = StateService(donor_folder)
        await service.add_p2p_handlers(donor)
        _, dialable = parse_address(str((await donor.get_visible_maddrs())[0]))
        await joiner._client.connect(donor.peer_id, [dialable])
        yield donor, joiner, service
    finally:
        await joiner.shutdown()
        await donor.shutdown()


def between_nodes(donor_folder: Path, work: Callable[[P2P, P2P, StateService], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with connected(donor_folder) as nodes:
            return await asyncio.wait_for(work(*nodes), 30)

    return asyncio.run(run())


async def take(donor: P2P, joiner: P2P, root: Path, **more: Any) -> tuple[Path, StateService]:
    service = StateService(root)
    manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
    return await fetch(joiner, donor.peer_id, manifest, root, service, **more), service


def test_the_whole_folder_arrives_without_what_is_the_donor_s_own(donor_folder: Path, tmp_path: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        folder, mine = await take(donor, joiner, tmp_path)
        assert mine.bytes_received == service.bytes_sent > 0
        assert (await take(donor, joiner, tmp_path))[1].bytes_received == 0, "what is here is not taken again"
        return folder

    folder = between_nodes(donor_folder, work)
    theirs = checkpoint.newest(donor_folder, RUN)
    state, parameters = verified(folder)
    assert theirs is not None
    assert state.progress == theirs.progress
    assert all(torch.equal(parameters[name], tensor) for name, tensor in theirs.parameters().items())
    assert state.optimizer() is not None
    assert state.local() is None
    assert not (folder / LOCAL).exists()
    assert not list(folder.parent.glob(f"{PARTIAL}*"))


def test_a_transfer_goes_on_where_it_broke_off(donor_folder: Path, tmp_path: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> tuple[Path, int, Manifest]:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        partial = tmp_path / RUN / f"{PARTIAL}{manifest.anchor[:16]}"
        partial.mkdir(parents=True)
        (source,) = donor_folder.glob(f"{RUN}/round-*")
        (partial / MODEL).write_bytes((source / MODEL).read_bytes()[:5000])
        folder, mine = await take(donor, joiner, tmp_path, skip=(OPTIMIZER,))
        return folder, mine.bytes_received, manifest

    folder, received, manifest = between_nodes(donor_folder, work)
    wanted = sum(entry.size for name, entry in manifest.files.items() if name != OPTIMIZER)
    assert received == wanted - 5000
    assert verified(folder)[0].optimizer() is None


def test_what_does_not_match_its_hash_is_not_kept(donor_folder: Path, tmp_path: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        partial = tmp_path / RUN / f"{PARTIAL}{manifest.anchor[:16]}"
        partial.mkdir(parents=True)
        (partial / MODEL).write_bytes(b"x" * 5000)
        with pytest.raises(TransferError, match="wrong hash"):
            await take(donor, joiner, tmp_path)
        assert not list(tmp_path.glob(f"{RUN}/round-*"))
        folder, _ = await take(donor, joiner, tmp_path)
        verified(folder)

    between_nodes(donor_folder, work)


@pytest.mark.parametrize(
    "request_text",
    [
        "garbage",
        "{}",
        json.dumps({"run": "../donor", "file": MODEL, "sha256": "", "offset": 0}),
        json.dumps({"run": RUN, "file": "../../identity.key", "sha256": "", "offset": 0}),
        json.dumps({"run": RUN, "file": LOCAL, "sha256": "", "offset": 0}),
    ],
)
def test_odd_requests_get_nothing_and_harm_nothing(donor_folder: Path, tmp_path: Path, request_text: str) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> list[bytes]:
        got = []
        stub = StateService.get_stub(joiner, donor.peer_id)
        with pytest.raises(P2PHandlerError):
            async for message in await stub.rpc_file(runtime_pb2.ExpertUID(uid=request_text)):
                got.append(message.serialized_info)
        await take(donor, joiner, tmp_path)
        return got

    assert between_nodes(donor_folder, work) == []


def test_nobody_home_and_nothing_to_give(donor_folder: Path, tmp_path: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match="has no checkpoint yet"):
            await fetch_manifest(joiner, donor.peer_id, "another-run")
        with pytest.raises(TransferError, match="does not answer"):
            await fetch_manifest(donor, joiner.peer_id, RUN)

    between_nodes(donor_folder, work)


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

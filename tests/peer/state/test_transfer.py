"""Giving and taking state between two real nodes on the loopback: whole, resumed, refused."""

from __future__ import annotations

import asyncio
import json
import math
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, AsyncIterator, cast  # noqa: UP035 -- hivemind tells streams by typing's name

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
import torch
from hivemind.p2p import P2P, P2PContext, P2PHandlerError
from hivemind.proto import runtime_pb2
from safetensors.torch import load_file, save_file

from minigpt import checkpoint
from minigpt.checkpoint.manifest import (
    LOCAL,
    MANIFEST,
    MODEL,
    OPTIMIZER,
    POSITION,
    CheckpointError,
    HeldOutLoss,
    Manifest,
    Position,
    parse_manifest,
)
from minigpt.model import MiniGPT
from peer.network.address import Address
from peer.state import fetching
from peer.state.fetching import PARTIAL, TransferError, fetch, fetch_bytes, fetch_manifest, fetch_means
from peer.state.serving import StateService
from peer.state.verifying import verified
from peer.wire import WhichState, is_run_name
from tests.lan import wait_until
from tests.peer.state.donors import PIECE, RUN, another_donor, between_nodes, take
from tests.tiny import save_model

pytestmark = pytest.mark.lan


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


def test_the_best_state_is_given_to_who_asks_for_it(
    donor_folder: Path, tmp_path: Path, tokenizer_model: Path, model: MiniGPT
) -> None:
    theirs, mine, other = tmp_path / "theirs", tmp_path / "mine", "cellmind-ba9876543210"
    shutil.copytree(donor_folder, theirs)
    newest = checkpoint.newest(theirs, RUN)
    assert newest is not None
    loss, run_id = HeldOutLoss(nats=5.17, bits=2.5), newest.progress.run_id

    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        async def asked(state: WhichState) -> Manifest:
            return await fetch_manifest(joiner, donor.peer_id, "", state)

        save_model(theirs, tokenizer_model, model, run_id=other, round=9, held_out=loss)
        assert (await asked("best")).progress == newest.progress, "who keeps none of this run gives its newest"
        position = Position(dataset="texts", sequence=0)
        save_model(theirs, tokenizer_model, model, run_id=run_id, round=0, held_out=loss, position=position)
        best = await asked("best")
        assert (best.round, best.held_out, best.run_id) == (0, loss, run_id) and POSITION not in best.files
        assert (await asked("newest")).progress == newest.progress
        return await fetch(joiner, [donor.peer_id], best, mine, StateService(mine))

    folder = between_nodes(theirs, work)
    assert folder.parent == mine / RUN / "best", "training goes on from no such state"
    state, _ = verified(folder)
    assert state.held_out == loss and state.is_taken and checkpoint.newest(mine) is None


class Boasting(StateService):
    """A donor that says of its newest state what only a best one has."""

    async def rpc_manifest(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        manifest = parse_manifest((await super().rpc_manifest(request, context)).serialized_info)
        boast = manifest.model_copy(update={"held_out": HeldOutLoss(nats=0.1, bits=0.1)})
        return runtime_pb2.ExpertInfo(serialized_info=boast.dump())


Boasting.__name__ = StateService.__name__


def test_a_best_state_is_no_newest_one(donor_folder: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        await fetch_manifest(joiner, donor.peer_id, RUN)

    with pytest.raises(TransferError, match="the donor answers with its best state, and was asked for its newest"):
        between_nodes(donor_folder, work, Boasting)


def test_a_transfer_goes_on_where_it_broke_off(donor_folder: Path, tmp_path: Path, small_pieces: None) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> tuple[Path, int, Manifest]:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        partial = tmp_path / RUN / f"{PARTIAL}{manifest.version[:16]}"
        partial.mkdir(parents=True)
        (source,) = donor_folder.glob(f"{RUN}/round-*")
        (partial / MODEL).write_bytes((source / MODEL).read_bytes()[: 3 * PIECE + 5])
        folder, mine = await take(donor, joiner, tmp_path, skip=(OPTIMIZER,))
        return folder, mine.bytes_received, manifest

    folder, received, manifest = between_nodes(donor_folder, work)
    wanted = sum(entry.size for name, entry in manifest.files.items() if name != OPTIMIZER)
    assert received == wanted - 3 * PIECE
    assert verified(folder)[0].optimizer() is None


def test_what_does_not_match_its_hash_is_taken_again(donor_folder: Path, tmp_path: Path, small_pieces: None) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        partial = tmp_path / RUN / f"{PARTIAL}{manifest.version[:16]}"
        partial.mkdir(parents=True)
        (partial / MODEL).write_bytes(b"x" * (manifest.files[MODEL].size + 2 * PIECE))
        folder, _ = await take(donor, joiner, tmp_path)
        verified(folder)

    between_nodes(donor_folder, work)


def test_a_donor_that_dies_is_replaced_without_starting_over(
    donor_folder: Path, tmp_path: Path, small_pieces: None
) -> None:
    """The other one has the same anchor, and moments of its own."""
    other_folder = tmp_path / "other"
    shutil.copytree(donor_folder, other_folder)
    (folder,) = other_folder.glob(f"{RUN}/round-*")
    moments = load_file(folder / OPTIMIZER)
    save_file({name: 2 * tensor for name, tensor in moments.items()}, folder / OPTIMIZER)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][OPTIMIZER]["sha256"] = checkpoint.file_sha256(folder / OPTIMIZER)
    (folder / MANIFEST).write_text(json.dumps(manifest))

    async def work(donor: P2P, joiner: P2P, service: StateService) -> tuple[Path, int, int]:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        mine = StateService(tmp_path)
        assert isinstance(service, Dying)
        service.dies_after(manifest.files[MODEL].size // 2, donor)
        async with another_donor(other_folder, joiner) as (other, other_service):
            folder = await fetch(joiner, [donor.peer_id, other.peer_id], manifest, tmp_path, mine)
            return folder, mine.bytes_received, other_service.bytes_sent

    taken, received, sent_by_other = between_nodes(donor_folder, work, Dying)
    assert verified(taken)[0].optimizer() is None, "the moments were the dead one's own"
    size = sum(entry["size"] for entry in json.loads((taken / MANIFEST).read_text())["files"].values())
    assert sent_by_other >= size // 4
    assert received <= size + fetching.REQUESTS_AT_ONCE * PIECE, "nothing but what was on its way was taken twice"


class Dying(StateService):
    """A donor whose power goes when it has sent so much."""

    def dies_after(self, count: int, p2p: P2P) -> None:
        self.last, self.p2p = count, p2p

    async def rpc_file(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        async for message in super().rpc_file(request, context):
            if self.bytes_sent > self.last:
                assert self.p2p._child is not None
                self.p2p._child.kill()
            yield message


LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {  # and what is said of them
    "other bytes": (lambda content: bytes(len(content)), "wrong hash"),
    "too little": (lambda content: content[:-1], "bytes too early"),
    "nothing": (lambda content: b"", "bytes too early"),
    "too much": (lambda content: content + b"x", "more bytes arrive than were asked for"),
}


class Lying(StateService):
    """A donor that sends something else."""

    lie: Callable[[bytes], bytes]

    async def rpc_file(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        async for message in super().rpc_file(request, context):
            yield runtime_pb2.ExpertInfo(serialized_info=self.lie(message.serialized_info))


class Interrupted(StateService):
    """A donor whose first streams end before anything has come, without a word."""

    interruptions = 0

    async def rpc_file(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        self.interruptions -= 1
        if self.interruptions >= 0:
            return
        async for message in super().rpc_file(request, context):
            yield message


for service in (Dying, Lying, Interrupted):
    service.__name__ = StateService.__name__  # by which hivemind names what a service answers


def test_a_stream_that_is_cut_once_is_asked_for_again(donor_folder: Path, tmp_path: Path) -> None:
    """Seen in the suite, on a busy machine: the only donor was given up, and so was the question to it."""

    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        cast(Interrupted, service).interruptions = 1
        return (await take(donor, joiner, tmp_path / "once"))[0]

    verified(between_nodes(donor_folder, work, Interrupted))


def test_a_donor_whose_streams_are_cut_again_and_again_is_given_up(donor_folder: Path, tmp_path: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        cast(Interrupted, service).interruptions = 1000
        with pytest.raises(TransferError, match=r"the donor stopped sending, .* bytes too early"):
            await take(donor, joiner, tmp_path / "never")

    between_nodes(donor_folder, work, Interrupted)


@pytest.mark.parametrize(("lie", "why"), LIES.values(), ids=LIES.keys())
def test_a_donor_that_sends_something_else_is_done_without(
    donor_folder: Path, tmp_path: Path, small_pieces: None, lie: Callable[[bytes], bytes], why: str
) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        mine = StateService(tmp_path)
        cast(Lying, service).lie = lie
        with pytest.raises(TransferError, match=why):
            await fetch(joiner, [donor.peer_id], manifest, tmp_path, mine)
        async with another_donor(donor_folder, joiner) as (other, _):
            return await fetch(joiner, [donor.peer_id, other.peer_id], manifest, tmp_path, mine)

    verified(between_nodes(donor_folder, work, Lying))


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        (torch.full((32,), math.nan), "model.norm.weight in model.safetensors has impossible numbers"),
        (torch.ones(32) * 3, "other parameters than training.json names"),
        (torch.ones(48), r"model.norm.weight is \[48\], not \[32\]"),
        (torch.ones(0), r"model.norm.weight is \[0\], not \[32\]"),
    ],
)
def test_a_donor_whose_hashes_are_right_and_whose_numbers_are_wrong_leaves_nothing_here(
    donor_folder: Path, tmp_path: Path, numbers: torch.Tensor, why: str
) -> None:
    wrong = tmp_path / "donor"
    shutil.copytree(donor_folder, wrong)
    (folder,) = wrong.glob(f"{RUN}/round-*")
    save_file({**load_file(folder / MODEL), "model.norm.weight": numbers}, folder / MODEL, metadata={"format": "pt"})
    manifest = json.loads((folder / MANIFEST).read_text())
    entry = {"size": (folder / MODEL).stat().st_size, "sha256": checkpoint.file_sha256(folder / MODEL)}
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": {**manifest["files"], MODEL: entry}}))

    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        return (await take(donor, joiner, tmp_path / "mine"))[0]

    taken = between_nodes(wrong, work)
    with pytest.raises(CheckpointError, match=why):
        verified(taken)
    assert not taken.exists()


def test_a_file_that_is_pruned_meanwhile_still_comes(donor_folder: Path, tmp_path: Path, small_pieces: None) -> None:
    pruned = tmp_path / "donor"
    shutil.copytree(donor_folder, pruned)

    async def work(donor: P2P, joiner: P2P, service: StateService) -> Path:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        stub = StateService.get_stub(joiner, donor.peer_id)
        for name, entry in manifest.files.items():
            request = {"run": RUN, "file": name, "sha256": entry.sha256}
            await stub.rpc_pieces(runtime_pb2.ExpertUID(uid=json.dumps(request)))
        shutil.rmtree(pruned)
        return await fetch(joiner, [donor.peer_id], manifest, tmp_path, StateService(tmp_path))

    verified(between_nodes(pruned, work))


@pytest.mark.parametrize(
    "request_text",
    [
        "garbage",
        "{}",
        json.dumps({"run": "../donor", "file": MODEL, "sha256": "", "offset": 0, "size": 9}),
        json.dumps({"run": RUN, "file": "../../identity.key", "sha256": "", "offset": 0, "size": 9}),
        json.dumps({"run": RUN, "file": LOCAL, "sha256": "", "offset": 0, "size": 9}),
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


@pytest.mark.parametrize("side", ["donor", "joiner"])
def test_a_donor_that_freezes_is_given_up(
    donor_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """And so is our own part of the connection: a question that it did not pass on was waited for in vain."""

    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        monkeypatch.setattr(fetching, "ANSWER_SECONDS", 1.0)
        frozen = donor if side == "donor" else joiner
        assert frozen._child is not None
        frozen._child.send_signal(signal.SIGSTOP)
        threads = list(Path(f"/proc/{frozen._child.pid}/task").glob("*/stat"))
        assert wait_until(lambda: all(" T " in thread.read_text() for thread in threads), 30), "a signal takes a moment"
        try:
            with pytest.raises(TransferError, match="stopped sending"):
                await fetch_means(joiner, donor.peer_id, tmp_path / RUN, "0" * 64, 1024, StateService(tmp_path))
            with pytest.raises(TransferError, match="stopped sending"):
                await fetch_bytes(joiner, donor.peer_id, manifest, MODEL)
        finally:
            frozen._child.send_signal(signal.SIGCONT)

    between_nodes(donor_folder, work)


def odd_request(dice: random.Random, manifest: Manifest) -> str:
    """A request with one or two of its parts replaced, or cut short, or no request at all."""
    oddities: list[Any] = [None, -1, 2**70, 1.5, "", "..", "\0", "x" * 10_000, [], {}, [[]] * 100, True]
    oddities += [MODEL, LOCAL, "*"]
    request: dict[str, Any] = {
        "run": RUN,
        "file": MODEL,
        "sha256": manifest.files[MODEL].sha256,
        "previous": manifest.version,
        "offset": 0,
        "size": 100,
    }
    for name in dice.choices([*request, "more"], k=2):
        request[name] = dice.choice(oddities)
    text = json.dumps(request)
    return dice.choice([text, text, text[: dice.randrange(len(text))], json.dumps(dice.choice(oddities))])


def test_a_thousand_odd_messages_harm_nothing(donor_folder: Path, tmp_path: Path) -> None:
    dice = random.Random(1)

    async def send(joiner: P2P, donor: P2P, manifest: Manifest) -> None:
        stub = StateService.get_stub(joiner, donor.peer_id)
        request = runtime_pb2.ExpertUID(uid=odd_request(dice, manifest))
        with suppress(P2PHandlerError, asyncio.TimeoutError):
            match dice.randrange(4):
                case 0:
                    await stub.rpc_manifest(request)
                case 1:
                    await stub.rpc_pieces(request)
                case 2:
                    received = [len(message.serialized_info) async for message in await stub.rpc_file(request)]
                    assert sum(received) <= manifest.files[MODEL].size
                case 3:
                    assert not any([message.serialized_info async for message in await stub.rpc_mean(request)])

    async def shout(donor: P2P) -> None:
        address = Address.parse(str((await donor.get_visible_maddrs())[0]))
        _, writer = await asyncio.open_connection(address.host, address.port)
        with suppress(ConnectionError):
            writer.write(dice.randbytes(4096))
            await writer.drain()
        writer.close()

    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        for _ in range(100):
            await asyncio.gather(*(send(joiner, donor, manifest) for _ in range(10)), shout(donor))
        folder, _ = await take(donor, joiner, tmp_path)
        verified(folder)

    between_nodes(donor_folder, work)


def test_nobody_home_and_nothing_to_give(donor_folder: Path, tmp_path: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match="has no checkpoint yet"):
            await fetch_manifest(joiner, donor.peer_id, "another-run")
        with pytest.raises(TransferError, match="does not answer"):
            await fetch_manifest(donor, joiner.peer_id, RUN)

    between_nodes(donor_folder, work)


class OfVersion1(StateService):
    """Takes the name of a run alone, as all did before there was a version."""

    async def rpc_manifest(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        if not is_run_name(request.uid or "any"):
            raise ValueError(f"{request.uid!r} is no name of a run")
        return runtime_pb2.ExpertInfo()


OfVersion1.__name__ = StateService.__name__


def test_who_asks_a_device_of_an_older_version_is_told_to_update(donor_folder: Path) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        with pytest.raises(TransferError, match=r"older version of CellMind: bring both up to date \(git pull\)"):
            await fetch_manifest(joiner, donor.peer_id, RUN)

    between_nodes(donor_folder, work, OfVersion1)


@pytest.mark.parametrize("asked_for", ["", RUN])
def test_who_asks_with_an_older_version_is_told_to_update(donor_folder: Path, asked_for: str) -> None:
    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        stub = StateService.get_stub(joiner, donor.peer_id)
        with pytest.raises(P2PHandlerError, match=r"newer version of CellMind: update this device \(git pull\)"):
            await stub.rpc_manifest(runtime_pb2.ExpertUID(uid=asked_for))

    between_nodes(donor_folder, work)


class Dripping(StateService):
    """Sends next to nothing, for ever."""

    async def rpc_file(
        self, request: runtime_pb2.ExpertUID, context: P2PContext
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        while True:
            yield runtime_pb2.ExpertInfo(serialized_info=b"")
            await asyncio.sleep(0.01)


Dripping.__name__ = StateService.__name__


def test_a_donor_that_drips_is_given_up(donor_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SLOWEST", 1e9)

    async def work(donor: P2P, joiner: P2P, service: StateService) -> None:
        manifest = await fetch_manifest(joiner, donor.peer_id, RUN)
        monkeypatch.setattr(fetching, "ANSWER_SECONDS", 3.0)
        monkeypatch.setattr(fetching, "HURRIED_SECONDS", 0.2)
        for hurried, longest in ((True, 2.0), (False, 10.0)):
            began = time.monotonic()
            with pytest.raises(TransferError, match="too slowly"):
                await fetch(joiner, [donor.peer_id], manifest, tmp_path, StateService(tmp_path), hurried=hurried)
            assert time.monotonic() < began + longest

    between_nodes(donor_folder, work, Dripping)

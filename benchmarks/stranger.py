"""A stranger on the Wi-Fi: what it knows of those that it attacks, what it can say to them, and what comes of it.

`benchmarks/outsider.py` and its attacks stand on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from google.protobuf.message import Message
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.p2p import P2P, PeerID
from hivemind.proto import averaging_pb2 as averaging
from hivemind.proto import dht_pb2, runtime_pb2
from hivemind.utils import MSGPackSerializer

from benchmarks.attacker import HANDLERS, Handler
from minigpt.checkpoint.manifest import MODEL, Manifest
from peer.network.address import Address
from peer.network.dht_records import board_of
from peer.network.hivemind_patches import connect
from peer.network.signatures import Signer
from peer.outer.averager import PseudoGradientAverager
from peer.state import means
from peer.state.serving import PIECE_BYTES, kept_checkpoints
from peer.wire import (
    CallBackRequest,
    FileRequest,
    ManifestRequest,
    MeanRequest,
    Notice,
    PiecesRequest,
    Role,
    ShardRequest,
    exchange_prefix,
    parse_notice,
)
from peer.wire_asking import AnswerRequest
from peer.wire_household import Household, RenewalRequest
from peer.wire_knocking import HeardKnocks, KnockDecision, KnockNonce, KnockRequest

RUN = "cellmind"
ANSWER_SECONDS = 3.0  # after which a call has no answer
MAX_ANSWERS = 8  # of a stream that are looked at
MADE_UP = 12  # devices
NOBODY = "10.77.0.{}"  # where made-up devices say they are


class Outsider:
    """A node of the network, what it knows of those that it attacks, and what came of it.

    :param victims: addresses of those that train
    :param knows: the folder of one of them
    :param identities: files of keys of its own, for as many devices as it makes up
    :param old: checkpoints of a device that was ejected, whose key and identity it has
    """

    def __init__(
        self,
        p2p: P2P,
        victims: list[Address],
        knows: Path,
        seconds: float,
        identities: list[Path],
        old: Path | None = None,
    ):
        self.p2p, self.victims, self.seconds, self.began = p2p, victims, seconds, time.time()
        self.old_checkpoints = old
        self.identities, self.signers = identities, [Signer(identity) for identity in identities]
        self.run_folder = knows / "checkpoints" / RUN
        self.manifest: Manifest = kept_checkpoints(knows / "checkpoints", RUN)[0][1]
        self.run_id = self.manifest.run_id
        self.board = DHTID.generate(source=board_of(RUN)).to_bytes()
        self.tried = self.got = 0
        self.words: list[str] = []

    async def turns(self) -> AsyncIterator[float]:
        """Yield the time, once a second, until the attack is over."""
        while (now := time.time()) < self.began + self.seconds:
            yield now
            await asyncio.sleep(max(0.0, now + 1.0 - time.time()))

    def count(self, *outcomes: bool) -> None:
        """Take in what was tried, and whether it was answered or taken."""
        self.tried += len(outcomes)
        self.got += sum(outcomes)

    async def meet(self) -> None:
        """Connect to everybody who lets us."""
        for victim in self.victims:
            with suppress(Exception):
                await asyncio.wait_for(connect(self.p2p, victim), ANSWER_SECONDS)

    def name_of(self, handler: Handler) -> str:
        """Return the name of a handler on the wire."""
        namespace = exchange_prefix(self.run_id) if handler.service is PseudoGradientAverager else None
        name: str = handler.service._get_handle_name(namespace, handler.name)
        return name

    async def call(self, victim: Address, handler: Handler, request: Message, most: int = MAX_ANSWERS) -> list[Any]:
        """Return what a device answers: nothing where it refuses, or lets us wait."""
        name, answers = self.name_of(handler), []

        async def requests() -> AsyncIterator[Message]:
            yield request

        with suppress(Exception):
            async with asyncio.timeout(ANSWER_SECONDS):
                if not handler.is_stream:
                    return [await self.p2p.call_protobuf_handler(victim.peer_id, name, request, handler.answer)]
                stream = self.p2p.iterate_protobuf_handler(victim.peer_id, name, requests(), handler.answer)
                async for answer in await stream:
                    answers.append(answer)
                    if len(answers) == most:
                        break
        return answers

    async def read_board(self) -> dict[str, Notice]:
        """Return address -> notice as the devices tell it: nothing where they do not."""
        values = (await self.read_values()).items()
        return {address: notice for address, (value, _) in values if (notice := parse_notice(address, value))}

    async def read_values(self) -> dict[str, tuple[Any, float]]:
        """Return address -> (value, expiration) of what is on the notice board."""
        values: dict[str, tuple[Any, float]] = {}
        for victim in self.victims:
            for answer in await self.call(victim, handler("rpc_find"), dht_pb2.FindRequest(keys=[self.board])):
                with suppress(Exception):
                    board = MSGPackSerializer.loads(answer.results[0].value)
                    assert isinstance(board, DictionaryDHTValue)
                    for address, (value, expiration) in board.items():
                        if expiration > values.get(address, (None, 0.0))[1]:
                            values[address] = MSGPackSerializer.loads(value), expiration
        return values

    async def post(self, notices: Iterable[tuple[Notice, float]], signer: Signer | None = None) -> None:
        """Leave these notices, which expire then, with every device, and count who takes them.

        :param signer: who signs them; by default the devices themselves, which are ours
        """
        own = {signer.peer: signer for signer in self.signers}
        for notice, expiration in notices:
            said = notice.model_dump(mode="json")
            by = signer or own[notice.peer]
            await self.leave(notice.address, by.signed(self.board, said, expiration), expiration)

    async def leave(self, address: str, value: Any, expiration: float) -> None:
        """Leave that on the notice board with every device, and count who takes it."""
        request = dht_pb2.StoreRequest(
            keys=[self.board],
            subkeys=[MSGPackSerializer.dumps(address)],
            values=[MSGPackSerializer.dumps(value)],
            expiration_time=[expiration],
            in_cache=[False],
        )
        store = handler("rpc_store")
        answers = await asyncio.gather(*(self.call(victim, store, request) for victim in self.victims))
        self.count(*(bool(answer) and any(answer[0].store_ok) for answer in answers))

    def made_up(self, number: int, **said: Any) -> Notice:
        """Return the notice of a device that is nowhere."""
        peer_id = self.signers[number].peer
        address = str(Address(NOBODY.format(200 + number), 23457, peer_id))
        about = {"run_id": self.run_id, "role": Role.TRAINING, "started": self.began, "name": f"ghost{number}"}
        return Notice(peer=peer_id, address=address, **{**about, **said})


def handler(name: str) -> Handler:
    """Return the handler of that name."""
    return next(handler for handler in HANDLERS if handler.name == name)


def requests(outsider: Outsider) -> dict[str, Message]:
    """Return a request for every handler, as honest as an outsider can make it who knows all hashes."""
    model, run_folder = outsider.manifest.files[MODEL], outsider.run_folder
    mean = next(iter(sorted(run_folder.glob(f"{means.FOLDER}/*.safetensors"))), Path("0" * 64))
    file = {"run": RUN, "file": MODEL, "sha256": model.sha256}
    texts = {
        "rpc_manifest": ManifestRequest(run=RUN, state="newest"),
        "rpc_pieces": PiecesRequest(**file),
        "rpc_file": FileRequest(**file, offset=0, size=min(PIECE_BYTES, model.size)),
        "rpc_mean": MeanRequest(run=RUN, previous=mean.stem, offset=0, size=PIECE_BYTES),
        "rpc_shards": ManifestRequest(run="", state="newest"),
        "rpc_shard": ShardRequest(sha256="0" * 64, offset=0),
        "rpc_call_back": CallBackRequest(port=23457),
        "rpc_answer": AnswerRequest(texts=["hello"], is_talk=False, temperature=0.8, tokens=20),
        "rpc_hear": HeardKnocks(knocks=[]),
        "rpc_decide": KnockDecision(peer=PeerID(bytes(34)).to_base58(), number="0000", let_in=True),
        "rpc_renew": RenewalRequest(run_id=outsider.run_id, comes_in=False),
        "rpc_take_household": Household(run_id=outsider.run_id, epoch=1, key=""),
        "rpc_knock": KnockRequest(name="eve", run=RUN, commitment="0" * 64),
        "rpc_show": KnockNonce(nonce="0" * 64),
        "rpc_ask": ManifestRequest(run="", state="newest"),
    }
    return {
        "rpc_ping": dht_pb2.PingRequest(),
        "rpc_store": dht_pb2.StoreRequest(
            keys=[DHTID.generate().to_bytes()],
            subkeys=[MSGPackSerializer.dumps(None)],
            values=[MSGPackSerializer.dumps(True)],
            expiration_time=[time.time() + 60],
            in_cache=[False],
        ),
        "rpc_find": dht_pb2.FindRequest(keys=[outsider.board]),
        **{name: runtime_pb2.ExpertUID(uid=text.model_dump_json()) for name, text in texts.items()},
        "rpc_join_group": averaging.JoinRequest(schema_hash=bytes(32), expiration=time.time() + 5),
        "rpc_aggregate_part": averaging.AveragingData(group_id=bytes(20)),
        "rpc_download_state": averaging.DownloadRequest(),
    }

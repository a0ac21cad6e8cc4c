"""Odd messages to everything that a peer answers:  python -m benchmarks.attacker ADDRESS RUN_ID --count 300

From a node of its own, to the handlers of the DHT, of the averager and of the services for state and text, and raw
bytes to the TCP port. Messages are the real ones with odd values in their fields, some with bytes cut off or exchanged
on top; among them are notices that are not what they should be, stored where the swarm looks for them. What a peer
makes of it is measured by `benchmarks/odd_messages.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.p2p import P2P, PeerID, ServicerBase
from hivemind.proto import averaging_pb2 as averaging
from hivemind.proto import dht_pb2, runtime_pb2
from hivemind.utils import MSGPackSerializer

from benchmarks.garbage import odd_bytes, shout
from peer.network import clock
from peer.network.address import Address
from peer.network.answering import AnswerService
from peer.network.hivemind_patches import connect
from peer.network.knocks import KnockService
from peer.network.porch import Porch
from peer.network.reachability import CallBack
from peer.outer.averager import PseudoGradientAverager
from peer.state.serving import StateService
from peer.state.shards import ShardService
from peer.wire import Notice, Role, exchange_prefix

AT_ONCE = 8
PATIENCE_SECONDS = 2.0  # with an answer; some handlers wait for others
MAX_ANSWERS = 20  # of a stream
MAX_BYTES = 65_536  # of one odd value


@dataclass(frozen=True)
class Handler:
    service: type[ServicerBase]
    name: str
    request: type[Message]
    answer: type[Message]
    is_stream: bool = False


HANDLERS = (
    Handler(DHTProtocol, "rpc_ping", dht_pb2.PingRequest, dht_pb2.PingResponse),
    Handler(DHTProtocol, "rpc_store", dht_pb2.StoreRequest, dht_pb2.StoreResponse),
    Handler(DHTProtocol, "rpc_find", dht_pb2.FindRequest, dht_pb2.FindResponse),
    Handler(StateService, "rpc_manifest", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(StateService, "rpc_pieces", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(StateService, "rpc_file", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo, is_stream=True),
    Handler(StateService, "rpc_mean", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo, is_stream=True),
    Handler(ShardService, "rpc_shards", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(ShardService, "rpc_shard", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo, is_stream=True),
    Handler(CallBack, "rpc_call_back", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(AnswerService, "rpc_answer", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo, is_stream=True),
    Handler(KnockService, "rpc_hear", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(KnockService, "rpc_decide", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(Porch, "rpc_renew", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(Porch, "rpc_take_household", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(Porch, "rpc_knock", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(Porch, "rpc_show", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(Porch, "rpc_ask", runtime_pb2.ExpertUID, runtime_pb2.ExpertInfo),
    Handler(
        PseudoGradientAverager, "rpc_join_group", averaging.JoinRequest, averaging.MessageFromLeader, is_stream=True
    ),
    Handler(
        PseudoGradientAverager, "rpc_aggregate_part", averaging.AveragingData, averaging.AveragingData, is_stream=True
    ),
    Handler(
        PseudoGradientAverager, "rpc_download_state", averaging.DownloadRequest, averaging.DownloadData, is_stream=True
    ),
)


class Raw:
    """Bytes that pass for a message."""

    def __init__(self, content: bytes):
        self._content = content

    def SerializeToString(self) -> bytes:
        return self._content


class Attacker:
    """Sends what follows from a seed to one peer."""

    def __init__(self, p2p: P2P, address: str, run_id: str, seed: int):
        self._p2p, self._run_id = p2p, run_id
        self._address = Address.parse(address)
        self._peer = self._address.peer_id
        self._dice = random.Random(seed)
        self.answers: Counter[str] = Counter()

    async def attack(self, count: int) -> None:
        await connect(self._p2p, self._address)
        for begin in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._one() for _ in range(min(AT_ONCE, count - begin))))

    async def _one(self) -> None:
        dice = self._dice
        if dice.random() < 0.1:
            await asyncio.to_thread(shout, self._address.host, self._address.port, odd_bytes(dice, MAX_BYTES))
            self.answers["raw bytes"] += 1
            return
        handler = dice.choice(HANDLERS)
        namespace = exchange_prefix(self._run_id) if handler.service is PseudoGradientAverager else None
        name = handler.service._get_handle_name(namespace, handler.name)
        messages = [self._odd(handler.request) for _ in range(dice.choice([1, 1, 3]) if handler.is_stream else 1)]
        try:
            await asyncio.wait_for(self._send(handler, name, messages), PATIENCE_SECONDS)
            outcome = "answered"
        except TimeoutError:
            outcome = "no answer"
        except Exception as error:
            outcome = type(error).__name__
        self.answers[f"{handler.name}: {outcome}"] += 1

    async def _send(self, handler: Handler, name: str, messages: list[Raw]) -> None:
        if not handler.is_stream:
            await self._p2p._call_unary_protobuf_handler(self._peer, name, messages[0], handler.answer)
            return

        async def requests() -> AsyncIterator[Raw]:
            for message in messages:
                yield message

        count = 0
        async for _ in await self._p2p.iterate_protobuf_handler(self._peer, name, requests(), handler.answer):
            count += 1
            if count == MAX_ANSWERS:
                return

    def _odd(self, kind: type[Message]) -> Raw:
        content = self._fill(kind()).SerializeToString()
        match self._dice.randrange(5):
            case 0:
                content = content[: self._dice.randrange(len(content) + 1)]
            case 1 if content:
                changed = bytearray(content)
                for _ in range(self._dice.randrange(1, 9)):
                    changed[self._dice.randrange(len(changed))] = self._dice.randrange(256)
                content = bytes(changed)
        return Raw(content)

    def _fill(self, message: Message, depth: int = 0) -> Message:
        dice = self._dice
        if isinstance(message, dht_pb2.StoreRequest) and dice.random() < 0.7:
            return self._store_request()
        for field in message.DESCRIPTOR.fields:
            if dice.random() < 0.2:
                continue
            values = [self._value(field, depth) for _ in range(dice.choice([1, 1, 2, 5]) if is_repeated(field) else 1)]
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                for value in values:
                    target = getattr(message, field.name)
                    (target.add() if is_repeated(field) else target).CopyFrom(value)
            elif is_repeated(field):
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
        return message

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        dice = self._dice
        match field.type:
            case FieldDescriptor.TYPE_MESSAGE:
                nested = GetMessageClass(field.message_type)
                return self._fill(nested(), depth + 1) if depth < 3 else nested()
            case FieldDescriptor.TYPE_BYTES:
                return self._bytes()
            case FieldDescriptor.TYPE_STRING:
                return dice.choice([self._text(), f"{self._run_id}.0b", "", "x" * 10_000, "\0", "../..", "*"])
            case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
                return dice.choice([clock.now() + 5, 0.0, -1.0, math.nan, math.inf, 1e30])
            case FieldDescriptor.TYPE_BOOL:
                return dice.random() < 0.5
            case FieldDescriptor.TYPE_ENUM:
                return dice.choice([value.number for value in field.enum_type.values])
            case _:
                return dice.choice([0, 1, 2**31 - 1, dice.randrange(2**16)])

    def _bytes(self) -> bytes:
        dice = self._dice
        odd: list[Any] = [None, -1, 2**60, 1.5, "", [], {}, [[[]]], [b"", 0, b""], {"samples": math.nan}, "x" * 5000]
        packed = [MSGPackSerializer.dumps(dice.choice(odd)) for _ in range(2)]
        return dice.choice(
            [
                dice.randbytes(dice.choice([0, 1, 20, 20, 32, 1000, MAX_BYTES])),
                packed[0],
                MSGPackSerializer.dumps([dice.choice(odd), dice.choice(odd), packed[1]]),
                self._peer.to_bytes(),
                DHTID.generate(dice.randbytes(8)).to_bytes(),
            ]
        )

    def _text(self) -> str:
        """A request of the state service with odd parts."""
        dice = self._dice
        odd: list[Any] = [None, -1, 2**70, "", "..", "\0", "x" * 10_000, [], {}, "model.safetensors", "*", 0, 100]
        names = ("run", "file", "sha256", "previous", "offset", "size")
        request = {"run": "cellmind", "file": "model.safetensors"}
        return json.dumps({**request, **{name: dice.choice(odd) for name in dice.sample(names, 3)}})

    def _store_request(self) -> Message:
        """Something on the swarm's notice board, or elsewhere, that is no notice or an odd one."""
        dice = self._dice
        sender = dice.choice([self._p2p.peer_id, self._peer, PeerID(dice.randbytes(34))]).to_base58()
        address = str(Address(f"10.77.0.{dice.randrange(256)}", 23457, sender))
        honest = Notice(peer=sender, name="?", address=address, role=Role.TRAINING, run_id=self._run_id)
        notice = honest.model_dump(mode="json")
        odd: list[Any] = [None, -1, 2**52, math.nan, "", "x" * 1000, [], True]
        odd += ["training", "left", "joining", "\x1b[31m"]
        for field in dice.sample(sorted(notice), dice.choice([0, 1, 2])):
            notice[field] = dice.choice(odd)
        value = dice.choice([notice, notice, notice, dice.choice(odd), dice.randbytes(dice.randrange(MAX_BYTES))])
        key = DHTID.generate("cellmind.cellmind.peers" if dice.random() < 0.7 else dice.randbytes(8)).to_bytes()
        expiration = clock.now() + dice.choice([5.0, 7.9, 8.0, 60.0, 1e9, -5.0])
        subkey = MSGPackSerializer.dumps(dice.choice([address, address, sender, dice.choice(odd)]))
        return dht_pb2.StoreRequest(
            keys=[key],
            subkeys=[subkey],
            values=[MSGPackSerializer.dumps(value)],
            expiration_time=[expiration],
            in_cache=[dice.random() < 0.2],
        )


def is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED)


async def attack(address: str, run_id: str, count: int, seed: int) -> Counter[str]:
    p2p = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    try:
        attacker = Attacker(p2p, address, run_id, seed)
        await attacker.attack(count)
        return attacker.answers
    finally:
        await p2p.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacker", description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of the peer: /ip4/…/tcp/…/p2p/…")
    parser.add_argument("run_id")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    answers = asyncio.run(attack(arguments.address, arguments.run_id, arguments.count, arguments.seed))
    for what, count in sorted(answers.items()):
        print(f"{count:6} {what}")
    print(f"{answers.total()} messages sent", flush=True)


if __name__ == "__main__":
    main()

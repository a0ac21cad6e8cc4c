"""How an outsider picks the lock of a run: the attacks of `benchmarks/outsider.py` that are made for a locked one.

Each counts what was answered: messages from behind the door, or a household with its key from the porch.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from google.protobuf.message import Message
from hivemind.p2p import P2P, PeerID
from hivemind.proto import runtime_pb2

from benchmarks.attacker import HANDLERS, Handler
from benchmarks.stranger import ANSWER_SECONDS, RUN, Outsider, requests
from peer.network.address import Address
from peer.network.door import CALL, PORCH, PROOF_BYTES, PROVE, Lock
from peer.network.hivemind_patches import connect
from peer.network.household_file import kept_household
from peer.network.porch import Porch
from peer.swarm.knocking import NONCE_BYTES, commitment
from peer.wire import parse
from peer.wire_household import Renewal, RenewalRequest
from peer.wire_knocking import KnockNonce, KnockRequest, KnockState

KNOCKERS = 10


async def push(p2p: P2P, victim: Address, handler: Handler, name: str, proof: bytes, request: Message) -> bool:
    """Call a handler with bytes that may pass for a proof; return whether any answer comes."""
    with suppress(Exception):
        async with asyncio.timeout(ANSWER_SECONDS):
            if not handler.is_stream:
                answer = await p2p._client.call_unary_handler(victim.peer_id, name, proof + request.SerializeToString())
                return bool(answer)
            _, reader, writer = await p2p._client.stream_open(victim.peer_id, (name,))
            writer.write(proof)
            await P2P.send_protobuf(request, writer)
            answered = bool(await reader.read(1))
            writer.close()
            return answered
    return False


async def try_proofs(outsider: Outsider, locks: list[Lock]) -> None:
    """Call everything behind the door with every proof that one can make without the key, and with old keys."""
    me, asked, turn = outsider.p2p.peer_id, requests(outsider), 0
    async for _ in outsider.turns():
        await outsider.meet()
        for victim in outsider.victims:
            for handler in (handler for handler in HANDLERS if handler.service is not Porch):
                name = outsider.name_of(handler)
                proofs = [bytes(PROOF_BYTES), secrets.token_bytes(PROOF_BYTES), b""]
                proofs += [lock.proof(CALL, name, me, victim.peer_id) for lock in locks]
                proof = proofs[turn % len(proofs)]
                turn += 1
                outsider.count(await push(outsider.p2p, victim, handler, name, proof, asked[handler.name]))
        await ask_the_porch(outsider)


async def ask_the_porch(outsider: Outsider) -> None:
    """Ask for the household, as a member that was away does. Who was ejected is told that, with no key in it."""
    wanted = runtime_pb2.ExpertUID(uid=RenewalRequest(run_id=outsider.run_id, comes_in=True).model_dump_json())
    for victim in outsider.victims:
        with suppress(Exception):
            stub = Porch.get_stub(outsider.p2p, victim.peer_id)
            answer = await stub.rpc_renew(wanted, timeout=ANSWER_SECONDS)
            household = parse(Renewal, answer.serialized_info).household
            outsider.count(household is not None and bool(household.key))


async def use_a_wrong_key(outsider: Outsider) -> None:
    """Make proofs with a key of our own."""
    await try_proofs(outsider, [Lock(secrets.token_bytes(32), outsider.run_id, 1)])


async def use_an_old_key(outsider: Outsider) -> None:
    """Make proofs with the key that an ejected device has kept, for its own epoch and the next ones."""
    assert outsider.old_checkpoints is not None, "--old tells where the key is"
    old = kept_household(outsider.old_checkpoints, RUN, lambda line: None)
    assert old is not None and old.key, "the ejected device has kept no key"
    key = bytes.fromhex(old.key)
    await try_proofs(outsider, [Lock(key, old.run_id, old.epoch + ahead) for ahead in range(3)])


async def reflect(outsider: Outsider) -> None:
    """Say the devices' own proofs to them: as our calls, and as our answers to theirs."""
    asked = requests(outsider)
    overheard: list[tuple[PeerID, bytes]] = []
    calls: list[str] = []

    async def echo(said: bytes, caller: PeerID) -> bytes:
        overheard.append((caller, said[:PROOF_BYTES]))
        return said[:PROOF_BYTES]

    for handler in HANDLERS:
        name = outsider.name_of(handler)
        if not handler.is_stream and not name.startswith(PORCH):

            async def called(said: bytes, caller: PeerID, name: str = name) -> bytes:
                calls.append(name)
                return said[:PROOF_BYTES]

            await outsider.p2p._client.add_unary_handler(name, called)
    await outsider.p2p._client.add_unary_handler(PROVE, echo)
    async for _ in outsider.turns():
        await outsider.meet()
        for victim in outsider.victims:
            for _, proof in overheard[-2:]:
                for handler in (handler for handler in HANDLERS if handler.service is not Porch):
                    name = outsider.name_of(handler)
                    outsider.count(await push(outsider.p2p, victim, handler, name, proof, asked[handler.name]))
    outsider.count(*(True for _ in calls))
    outsider.words.append(f"{len(overheard)} proofs overheard, {len(calls)} calls of theirs")


async def knock(outsider: Outsider) -> None:
    """Knock as ten devices at once, all with one nonce, again and again, and ask whether they are let in."""
    nonce = secrets.token_hex(NONCE_BYTES)
    nodes = [await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False) for _ in range(KNOCKERS)]
    heard = 0

    async def as_one(node: P2P, number: int) -> None:
        nonlocal heard
        victim = outsider.victims[number % len(outsider.victims)]
        with suppress(Exception):
            await asyncio.wait_for(connect(node, victim), ANSWER_SECONDS)
        said = KnockRequest(name=f"phone{number}", run=RUN, commitment=commitment(nonce)).model_dump_json()
        shown = KnockNonce(nonce=nonce).model_dump_json()
        stub = Porch.get_stub(node, victim.peer_id)
        for method, text in (("rpc_knock", said), ("rpc_show", shown), ("rpc_ask", "")):
            with suppress(Exception):
                request = runtime_pb2.ExpertUID(uid=text)
                answer = await getattr(stub, method)(request, timeout=ANSWER_SECONDS)
                if method == "rpc_ask":
                    state = parse(KnockState, answer.serialized_info)
                    heard += state.waiting
                    outsider.count(state.household is not None)

    try:
        async for _ in outsider.turns():
            await asyncio.gather(*(as_one(node, number) for number, node in enumerate(nodes)))
    finally:
        await asyncio.gather(*(node.shutdown() for node in nodes))
    outsider.words.append(f"{heard} times a knock waited")

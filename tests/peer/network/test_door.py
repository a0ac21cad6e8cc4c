"""The door: nothing passes it without a proof for this very call, in any of the four ways by which anything could."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.p2pclient import Client

from peer.network import door as doors
from peer.network.address import Address
from peer.network.door import ANSWER, CALL, PROOF_BYTES, PROVE, Door, Doorway, Lock, Refused
from peer.network.hivemind_patches import connect, doorway_of, pass_the_door
from peer.wire_household import Household

RUN = "cellmind-1a2b3c4d5e6f"
HOME = Household(run_id=RUN, epoch=3, key="ab" * 32)
OTHER_KEY = HOME.model_copy(update={"key": "cd" * 32})
OTHER_EPOCH = HOME.model_copy(update={"epoch": 4})
OTHER_RUN = HOME.model_copy(update={"run_id": "cellmind-f6e5d4c3b2a1"})
SECONDS = 30.0  # that an answer may take on a machine that does other things as well
SILENCE = 3.0  # seconds without one, after which there is none

Work = Callable[[P2P, P2P], Awaitable[Any]]


@pytest.fixture(autouse=True)
def open_again() -> Any:
    yield
    pass_the_door(Door())


def between(callee: Household | None, caller: Household | None, work: Work) -> Any:
    """Return what `work` gives for two nodes that are connected, each behind a door of its own.

    The first one answers "unary" and "stream" with what it hears, twice.
    """

    async def run() -> Any:
        nodes = []
        try:
            for household in (callee, caller):
                door = Door()
                door.set(household)
                pass_the_door(door)
                nodes.append(await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False))
            answering, asking = nodes
            await doorway_of(answering).add_unary_handler("unary", _twice)
            await answering.add_binary_stream_handler("stream", _stream_twice)
            await connect(asking, Address.parse(str((await answering.get_visible_maddrs())[0])))
            return await asyncio.wait_for(work(answering, asking), 120)
        finally:
            for node in nodes:
                await node.shutdown()

    return asyncio.run(run())


async def _twice(said: bytes, caller: PeerID) -> bytes:
    return said * 2


async def _stream_twice(info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError):
        writer.write(await reader.readexactly(5) * 2)
    writer.close()


async def call(asking: P2P, answering: P2P) -> bytes:
    doorway = doorway_of(asking)
    return await asyncio.wait_for(doorway.call_unary_handler(answering.peer_id, "unary", b"hello"), SECONDS)


async def stream(asking: P2P, answering: P2P) -> bytes:
    _, reader, writer = await asyncio.wait_for(asking.call_binary_stream_handler(answering.peer_id, "stream"), SECONDS)
    try:
        writer.write(b"hello")
        answer: bytes = await asyncio.wait_for(reader.readexactly(10), SECONDS)
        return answer
    finally:
        writer.close()


@pytest.mark.parametrize("household", [None, HOME], ids=["open", "locked"])
def test_who_has_the_key_is_answered(household: Household | None) -> None:
    async def work(answering: P2P, asking: P2P) -> tuple[bytes, bytes, bytes]:
        return await call(asking, answering), await stream(asking, answering), await call(asking, answering)

    assert between(household, household, work) == (b"hellohello",) * 3


@pytest.mark.parametrize(
    ("callee", "caller"),
    [(HOME, None), (None, HOME), *((HOME, other) for other in (OTHER_KEY, OTHER_EPOCH, OTHER_RUN))],
    ids=["caller without", "callee without", "other key", "other epoch", "other run"],
)
def test_two_doors_that_differ_let_nothing_pass(callee: Household | None, caller: Household | None) -> None:
    async def work(answering: P2P, asking: P2P) -> None:
        for way in (call, stream):
            with pytest.raises((Exception, asyncio.IncompleteReadError)):
                await asyncio.wait_for(way(asking, answering), SILENCE)

    between(callee, caller, work)


def test_whoever_has_no_proof_is_told_nothing_by_us_either() -> None:
    """The other node answers to all that comes; what comes is a proof for it alone, and nothing of what was said."""
    heard: list[bytes] = []

    async def work(answering: P2P, asking: P2P) -> None:
        async def listen(said: bytes, caller: PeerID) -> bytes:
            heard.append(said)
            return b"x" * 100

        await _beside(answering).add_unary_handler("other", listen)
        client = _beside(answering)
        await client.remove_unary_handler(PROVE)
        await client.add_unary_handler(PROVE, listen)
        for _ in range(2):
            with pytest.raises(Refused):
                await asyncio.wait_for(
                    doorway_of(asking).call_unary_handler(answering.peer_id, "other", b"secret"), SECONDS
                )

    between(None, HOME, work)
    assert len(heard) == 2 and all(len(said) == PROOF_BYTES for said in heard)


def _beside(p2p: P2P) -> Any:
    """Return p2pd's client past the door, as an outsider has it."""
    return doorway_of(p2p)._client


LOCK = Lock(bytes.fromhex(HOME.key), RUN, HOME.epoch)


def forged(answering: PeerID, asking: PeerID, handler: str) -> dict[str, bytes]:
    """Return what begins calls of whoever has seen proofs, and has no key."""
    right = LOCK.proof(CALL, handler, asking, answering)
    return {
        "none": b"",
        "nonsense": b"x" * PROOF_BYTES,
        "truncated": right[:-1],
        "of another role": LOCK.proof(ANSWER, handler, asking, answering),
        "of another handler": LOCK.proof(CALL, f"{handler}2", asking, answering),
        "for another callee": LOCK.proof(CALL, handler, asking, asking),
        "of another caller": LOCK.proof(CALL, handler, answering, answering),
        "turned around": LOCK.proof(CALL, handler, answering, asking),
        "of another key": Lock(b"y" * 32, RUN, HOME.epoch).proof(CALL, handler, asking, answering),
        "of another epoch": Lock(LOCK.key, RUN, HOME.epoch + 1).proof(CALL, handler, asking, answering),
        "of another run": Lock(LOCK.key, OTHER_RUN.run_id, HOME.epoch).proof(CALL, handler, asking, answering),
    }


def test_a_proof_is_good_for_one_callee_one_caller_one_role_one_handler_and_one_key() -> None:
    async def work(answering: P2P, asking: P2P) -> list[str]:
        passed = []
        proofs = forged(answering.peer_id, asking.peer_id, "unary")
        for what, proof in {**proofs, "right": LOCK.proof(CALL, "unary", asking.peer_id, answering.peer_id)}.items():
            with suppress(Exception):
                await _beside(asking).call_unary_handler(answering.peer_id, "unary", proof + b"hello")
                passed.append(what)
        proofs = forged(answering.peer_id, asking.peer_id, "stream")
        for what, proof in {**proofs, "right": LOCK.proof(CALL, "stream", asking.peer_id, answering.peer_id)}.items():
            _, reader, writer = await _beside(asking).stream_open(answering.peer_id, ("stream",))
            writer.write(proof + b"hello" + b"x" * PROOF_BYTES)
            with suppress(asyncio.IncompleteReadError):
                await asyncio.wait_for(reader.readexactly(PROOF_BYTES), SECONDS)
                passed.append(f"stream {what}")
            writer.close()
        return passed

    assert between(HOME, None, work) == ["right", "stream right"]


@pytest.mark.parametrize("what", ["none", "nonsense", "of another role", "of another key", "turned around"])
def test_an_answer_without_its_proof_is_refused(what: str) -> None:
    async def work(answering: P2P, asking: P2P) -> None:
        right = LOCK.proof(ANSWER, "forger", asking.peer_id, answering.peer_id)
        proof = {
            "none": b"",
            "nonsense": b"x" * PROOF_BYTES,
            "of another role": LOCK.proof(CALL, "forger", asking.peer_id, answering.peer_id),
            "of another key": Lock(b"y" * 32, RUN, HOME.epoch).proof(
                ANSWER, "forger", asking.peer_id, answering.peer_id
            ),
            "turned around": LOCK.proof(ANSWER, "forger", answering.peer_id, asking.peer_id),
        }
        given = {"now": right}

        async def unary(said: bytes, caller: PeerID) -> bytes:
            return given["now"] + b"taken"

        async def streamed(info: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(PROOF_BYTES)
            writer.write(given["now"] + b"x" * PROOF_BYTES)
            writer.close()

        await _beside(answering).add_unary_handler("forger", unary)
        doorway = doorway_of(asking)
        assert await doorway.call_unary_handler(answering.peer_id, "forger", b"") == b"taken"
        given["now"] = proof[what]
        with pytest.raises(Refused):
            await doorway.call_unary_handler(answering.peer_id, "forger", b"")
        await _beside(answering).stream_handler("forged stream", streamed)
        _, reader, _ = await doorway.stream_open(answering.peer_id, ("forged stream",))
        with pytest.raises(Refused):
            await asyncio.wait_for(reader.readexactly(1), SECONDS)

    between(HOME, HOME, work)


def test_a_new_key_counts_at_once_in_every_process() -> None:
    door = Door()
    begun, changed = multiprocessing.Event(), multiprocessing.Event()
    seen: multiprocessing.SimpleQueue[Any] = multiprocessing.SimpleQueue()

    def child() -> None:
        seen.put(door.lock)
        begun.set()
        changed.wait(60)
        seen.put(door.lock)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert begun.wait(60)
    door.set(HOME)
    changed.set()
    process.join(60)
    assert [seen.get(), seen.get()] == [None, LOCK]
    door.set(OTHER_EPOCH)
    assert door.lock == Lock(LOCK.key, RUN, 4)
    door.set(HOME.model_copy(update={"key": ""}))
    assert door.lock is None


def test_what_is_half_written_does_not_count() -> None:
    door = Door()
    door.set(HOME)
    assert door.lock == LOCK
    whole = door._memory[:]
    for torn in range(1, len(whole)):
        other = Door()
        other.set(OTHER_KEY)
        door._memory[:] = other._memory[:torn] + whole[torn:]
        assert door.lock in (LOCK, Lock(b"\xcd" * 32, RUN, 3))


def test_who_had_proved_to_have_the_old_key_has_to_again() -> None:
    door, other = Door(), PeerID(b"\x12\x20" + b"p" * 32)
    door.set(HOME)
    assert not door.lets_in(other)
    assert door.lock is not None
    door.check(door.lock, b"x", b"x", other)
    assert door.lets_in(other)
    door.set(OTHER_KEY)
    assert not door.lets_in(other)
    with pytest.raises(Refused):
        door.check(door.lock, b"x", b"y", other)
    with pytest.raises(Refused):  # the answer to a call from before the key was changed
        door.check(LOCK, b"x", b"x", other)
    assert not door.lets_in(other)


SAYS_NOTHING = {"create", "close", "listen", "identify", "connect", "list_peers", "disconnect"}
REMOVES = {"remove_unary_handler", "remove_stream_handler"}
CARRIES = {"add_unary_handler", "call_unary_handler", "stream_handler", "stream_open"}


def test_p2pd_has_no_way_that_does_not_lead_through_the_door() -> None:
    """A version of hivemind with one more method of saying something fails here."""
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"control"}
    assert methods == SAYS_NOTHING | REMOVES | CARRIES
    for name in CARRIES:
        assert name in vars(Doorway), f"{name} goes past the door"
    assert not hasattr(Doorway, "__getattr__"), "what is not named there does not pass"
    assert doors.PORCH == "Porch."


def test_nobody_else_reaches_past_the_door() -> None:
    """p2pd's client is hivemind's own: one file of ours touches it, and puts the door before it."""
    root = Path(doors.__file__).parents[1]
    past = [path.name for path in root.rglob("*.py") if re.search(r"\._client\b|p2p_daemon_bindings", path.read_text())]
    assert sorted(past) == ["door.py", "hivemind_patches.py"]

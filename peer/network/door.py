"""The door: in a locked run every call and every answer begins with a proof that its sender has the household's key.

p2pd authenticates peers and encrypts what they say (TLS 1.3 or Noise), and lets everybody in. So a call begins with the
proof: HMAC-SHA256 (RFC 2104) under the key, over whether it is a call or an answer, the handler, both peer ids, the run
and the epoch of the key. Both ids are authenticated, so a proof is of no use to anybody else; there is no state in it,
and no clock. Before our first call the other one has to prove itself, so that whoever cannot is told nothing: that is
one round trip a peer and a key. In an open run nothing is added.

All that hivemind says goes through four methods of p2pd's client (`Doorway`), in each process of a peer: the DHT's, the
averager's. `hivemind_patches.pass_the_door` sees to it. All processes read the key of now in memory that they share, so
a new one counts everywhere at once. Strangers may call nothing but the porch (`peer/network/porch.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import mmap
import struct
from asyncio import StreamReader, StreamWriter, wait_for
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from hivemind.p2p import PeerID

from peer.wire_household import Household

PROOF_BYTES = 32
PROOF_SECONDS = 10.0  # that whoever opens a stream has to prove something
CALL, ANSWER = b"call", b"answer"
PORCH = "Porch."  # begins the names of the handlers that anybody may call
PROVE = "Porch.prove"  # the handler that says nothing but a proof
REFUSED = "the run is locked"  # what a stranger is told, and how our side knows that it is one
MOST_REFUSED = 1024  # doors that are known to be shut; more is somebody playing tricks
CONTENT = struct.Struct(">Q64s32s")  # epoch, run id, key
DIGEST_BYTES = 32

UnaryHandler = Callable[[bytes, PeerID], Awaitable[bytes]]
StreamHandler = Callable[[Any, StreamReader, StreamWriter], Awaitable[None]]


class Refused(Exception):
    """A call or an answer without a proof."""

    def __init__(self) -> None:
        super().__init__(REFUSED)


@dataclass(frozen=True)
class Lock:
    """The key of a locked run, and what proofs are made for."""

    key: bytes
    run_id: str
    epoch: int

    def proof(self, role: bytes, handler: str, caller: PeerID, callee: PeerID) -> bytes:
        """Return the proof that begins a call, or an answer: 32 bytes."""
        parts = (role, handler.encode(), caller.to_bytes(), callee.to_bytes(), self.run_id.encode(), b"%d" % self.epoch)
        said = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
        return hmac.digest(self.key, said, "sha256")


class Door:
    """The door of one device, for all of its processes.

    Make it before any of them is forked. `proved` and `refused` are of the process that asks.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, CONTENT.size + DIGEST_BYTES)  # children inherit it, and see it change
        self._seen = b""
        self._lock: Lock | None = None
        self.proved: set[PeerID] = set()  # whoever has proved to have the key of now
        self.refused: set[PeerID] = set()  # whose door was shut for us when we last called

    @property
    def lock(self) -> Lock | None:
        """The lock of now; None where the run is open."""
        content = self._memory[:]
        if content != self._seen:
            body, digest = content[: CONTENT.size], content[CONTENT.size :]
            if any(content) and digest != hashlib.sha256(body).digest():
                return self._lock  # it is being written this moment: what was before holds for this call
            self._seen = content
            epoch, run_id, key = CONTENT.unpack(body)
            self._lock = Lock(key, run_id.rstrip(b"\0").decode(), epoch) if epoch else None
            self.proved.clear()
        return self._lock

    def set(self, household: Household | None) -> None:
        """From now on let in whoever has the key of that household: everybody, where it has none."""
        content = CONTENT.pack(0, b"", b"")
        if household is not None and household.is_locked:
            content = CONTENT.pack(household.epoch, household.run_id.encode(), bytes.fromhex(household.key))
        self._memory[:] = content + hashlib.sha256(content).digest()

    def lock_of(self, handler: str) -> Lock | None:
        """Return the lock that calls of a handler pass; None where anybody may call it."""
        lock = self.lock
        return None if handler.startswith(PORCH) else lock

    def is_opened_by(self, peer: PeerID) -> bool:
        """Return whether a peer has proved to have the key of now."""
        return self.lock is not None and peer in self.proved

    def lets_in(self, peer: PeerID) -> bool:
        """Return whether a peer has proved to have the key of now, or needs none."""
        return self.lock is None or peer in self.proved

    def check(self, lock: Lock, given: bytes, expected: bytes, sender: PeerID) -> None:
        """Take in who has proved to have the key. Raises Refused, also where there is another one by now.

        :param lock: that was asked for the expected proof, perhaps some time ago
        """
        if lock != self.lock or not hmac.compare_digest(given, expected):
            self.proved.discard(sender)
            raise Refused
        self.proved.add(sender)
        self.refused.discard(sender)


class Doorway:
    """p2pd's client behind the door: the same methods, and nothing passes unseen.

    :param client: hivemind's, of one process of this device
    :param me: our peer id
    """

    def __init__(self, client: Any, me: PeerID, door: Door):
        self._client, self._me, self._door = client, me, door
        # what says nothing to others, and goes past the door
        self.close, self.listen, self.identify = client.close, client.listen, client.identify
        self.connect, self.disconnect, self.list_peers = client.connect, client.disconnect, client.list_peers
        self.remove_unary_handler, self.remove_stream_handler = (
            client.remove_unary_handler,
            client.remove_stream_handler,
        )

    async def add_unary_handler(self, proto: str, handler: UnaryHandler, balanced: bool = False) -> None:
        """Answer calls of a handler that come with a proof, and refuse all others."""

        async def answer(said: bytes, caller: PeerID) -> bytes:
            lock = self._door.lock_of(proto)
            if lock is None:
                return await handler(said, caller)
            self._door.check(lock, said[:PROOF_BYTES], lock.proof(CALL, proto, caller, self._me), caller)
            return lock.proof(ANSWER, proto, caller, self._me) + await handler(said[PROOF_BYTES:], caller)

        await self._client.add_unary_handler(proto, answer, balanced=balanced)

    async def call_unary_handler(self, peer_id: PeerID, proto: str, data: bytes) -> bytes:
        """Call a handler of a peer, with our proof, and return its answer. Raises Refused where that has none."""
        lock = await self._lock_with(peer_id, proto)
        if lock is None:
            return await self._call(peer_id, proto, data)
        answer = await self._call(peer_id, proto, lock.proof(CALL, proto, self._me, peer_id) + data)
        self._door.check(lock, answer[:PROOF_BYTES], lock.proof(ANSWER, proto, self._me, peer_id), peer_id)
        return answer[PROOF_BYTES:]

    async def stream_handler(self, proto: str, handler_cb: StreamHandler, balanced: bool = False) -> None:
        """Serve streams of a handler that begin with a proof, and close all others."""

        async def serve(info: Any, reader: StreamReader, writer: StreamWriter) -> None:
            lock = self._door.lock_of(proto)
            if lock is not None:
                try:
                    proof = await wait_for(reader.readexactly(PROOF_BYTES), PROOF_SECONDS)
                    self._door.check(lock, proof, lock.proof(CALL, proto, info.peer_id, self._me), info.peer_id)
                except Exception:  # Refused, or a stream that was cut or says nothing
                    writer.close()
                    return
                writer.write(lock.proof(ANSWER, proto, info.peer_id, self._me))
            await handler_cb(info, reader, writer)

        await self._client.stream_handler(proto, serve, balanced)

    async def stream_open(self, peer_id: PeerID, protocols: tuple[str, ...]) -> tuple[Any, Any, StreamWriter]:
        """Open a stream to a handler of a peer, with our proof; whoever reads from it first sees that of the peer."""
        [proto] = protocols
        lock = await self._lock_with(peer_id, proto)
        info, reader, writer = await self._client.stream_open(peer_id, protocols)
        if lock is None:
            return info, reader, writer
        writer.write(lock.proof(CALL, proto, self._me, peer_id))
        expected = lock.proof(ANSWER, proto, self._me, peer_id)
        return info, ProvedReader(reader, lambda proof: self._door.check(lock, proof, expected, peer_id)), writer

    async def answer_proofs(self) -> None:
        """Prove ourselves to whoever has proved to have the key; one process of a device does."""

        async def answer(given: bytes, caller: PeerID) -> bytes:
            lock = self._door.lock
            if lock is None:
                raise ConnectionError("the run is open here")
            self._door.check(lock, given, lock.proof(CALL, PROVE, caller, self._me), caller)
            return lock.proof(ANSWER, PROVE, caller, self._me)

        await self._client.add_unary_handler(PROVE, answer)

    async def prove(self, peer: PeerID) -> None:
        """Let a peer prove to have the key of now, and prove it to that peer. Raises what keeps it from that."""
        lock = self._door.lock
        if lock is not None:
            answer = await self._call(peer, PROVE, lock.proof(CALL, PROVE, self._me, peer))
            self._door.check(lock, answer, lock.proof(ANSWER, PROVE, self._me, peer), peer)

    async def _lock_with(self, peer: PeerID, handler: str) -> Lock | None:
        """Return the lock that a call to a peer passes, once the peer has proved itself. Raises Refused."""
        lock = self._door.lock_of(handler)
        if lock is not None and peer not in self._door.proved:
            await self.prove(peer)
        return lock

    async def _call(self, peer: PeerID, handler: str, said: bytes) -> bytes:
        """Call a handler past the door, and take in whether its own was shut."""
        try:
            answer: bytes = await self._client.call_unary_handler(peer, handler, said)
        except Exception as error:
            if REFUSED in str(error):
                self._door.proved.discard(peer)
                if len(self._door.refused) >= MOST_REFUSED:
                    self._door.refused.clear()
                self._door.refused.add(peer)
            raise
        if handler == PROVE or not handler.startswith(PORCH):
            self._door.refused.discard(peer)
        return answer


class ProvedReader:
    """The end of a stream at which answers come out, once its first bytes have proved whose they are.

    :param check: raises Refused for any other proof
    """

    def __init__(self, reader: StreamReader, check: Callable[[bytes], None]):
        self._reader, self._check = reader, check
        self._is_proved = False

    async def readexactly(self, count: int) -> bytes:
        """Return so many bytes. Raises Refused, and IncompleteReadError where the stream ends before."""
        if not self._is_proved:
            self._check(await self._reader.readexactly(PROOF_BYTES))
            self._is_proved = True
        return await self._reader.readexactly(count)


_door = Door()  # of this process, and of those that it forks: open, unless one is put up


def put_up(door: Door) -> None:
    """Let this process, and all that it forks from now on, pass that door."""
    global _door
    _door = door


def of_this_process() -> Door:
    """Return the door that was put up before this process was forked."""
    return _door

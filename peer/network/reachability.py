"""The test whether others can open a connection to this device, which asks them to call back: a firewall may keep them
out.

A device that nobody can call still takes part, through the connections that it opens itself; only two such devices
cannot reach each other. So neither is asked for state by the other, and neither leads or reduces in an exchange.
"""

from __future__ import annotations

import asyncio
import time

from hivemind.p2p import P2P, P2PContext, PeerID, ServicerBase
from hivemind.proto import runtime_pb2

from peer.wire import CallBackRequest, parse

CALL_SECONDS = 2.0  # on a LAN, whoever does not answer by then does not answer
ANSWER_SECONDS = 4.0
AGAIN_SECONDS = 60.0  # before somebody is asked once more
CAME_THROUGH, FAILED = b"came through", b"failed"


class CallBack(ServicerBase):
    """Calls back whoever asks, and asks others.

    :param port: TCP port that this device listens on
    """

    def __init__(self, p2p: P2P, port: int):
        self._p2p, self._port = p2p, port
        self._asked: dict[PeerID, float] = {}  # and when
        self._failures = 0
        self._came_through = False

    @property
    def reachable(self) -> bool:
        """Return False once somebody has tried to call us and nobody has come through."""
        return self._came_through or not self._failures

    @property
    def tried(self) -> bool:
        """Return whether anybody has tried to call us yet."""
        return self._came_through or self._failures > 0

    async def rpc_call_back(self, request: runtime_pb2.ExpertUID, context: P2PContext) -> runtime_pb2.ExpertInfo:
        """Open a connection to a port of the device that asks, at the address it asks from and at no other."""
        port = parse(CallBackRequest, request.uid).port
        for info in await self._p2p.list_peers():
            if info.peer_id == context.remote_id:
                for host in {address["ip4"] for address in info.addrs if "ip4" in address}:
                    if await accepts(host, port):
                        return runtime_pb2.ExpertInfo(serialized_info=CAME_THROUGH)
        return runtime_pb2.ExpertInfo(serialized_info=FAILED)

    async def ask(self, peers: list[PeerID]) -> None:
        """Ask one of the peers that we are connected to, until somebody has come through."""
        now = time.monotonic()
        due = [peer for peer in peers if now >= self._asked.get(peer, -AGAIN_SECONDS) + AGAIN_SECONDS]
        if self._came_through or not due:
            return
        self._asked[due[0]] = now
        stub = CallBack.get_stub(self._p2p, due[0])
        request = runtime_pb2.ExpertUID(uid=CallBackRequest(port=self._port).model_dump_json())
        answer = await stub.rpc_call_back(request, timeout=ANSWER_SECONDS)
        self._came_through = answer.serialized_info == CAME_THROUGH
        self._failures += answer.serialized_info == FAILED


async def accepts(host: str, port: int) -> bool:
    """Return whether a TCP connection to that port can be opened."""
    try:
        await try_port(host, port, CALL_SECONDS)
    except OSError:
        return False
    return True


async def try_port(host: str, port: int, seconds: float) -> None:
    """Open a TCP connection to that port, and close it. Raises OSError with what the system says, or TimeoutError."""
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), seconds)
    writer.close()

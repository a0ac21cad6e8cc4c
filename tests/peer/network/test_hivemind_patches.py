"""hivemind with our patches: who asks and dies, and who asks too early, stops nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind import DHT
from hivemind.dht import DHTID, DHTNode
from hivemind.dht.protocol import DHTProtocol
from hivemind.proto import dht_pb2

from peer.network.hivemind_patches import start_dht

pytestmark = pytest.mark.lan

BOUND = 15.0  # seconds; what is measured takes a fraction of one


class HalfSent:
    """A future whose process has ended, as a pipe holds it: memory that nobody hands over any more."""

    def __init__(self, error: type[Exception]):
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return fail, (self._error,)


def fail(error: type[Exception]) -> None:
    raise error


async def wait_long(dht: DHT, node: DHTNode) -> None:
    """Set what hivemind waits after a request that it cannot read, to a long time."""
    node.protocol.wait_timeout = 4 * BOUND


@pytest.mark.parametrize("error", [EOFError, ConnectionRefusedError])
def test_a_dht_asked_by_a_process_that_has_ended_meanwhile_goes_on_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], error: type[Exception]
) -> None:
    dht = start_dht("127.0.0.1", 0, tmp_path / "identity.key", "cellmind")
    try:
        dht.run_coroutine(wait_long)
        dht._outer_pipe.send(HalfSent(error))
        assert dht.get("a key", return_future=True).result(BOUND) is None
    finally:
        dht.shutdown()
    assert "Traceback" not in capfd.readouterr().err


def test_a_dht_that_is_asked_while_it_starts_says_who_it_is(nodes: list[DHT]) -> None:
    protocol = DHTProtocol(_initialized_with_create=True)
    protocol.node_id = DHTID.generate()  # its handlers are registered now, and it knows no more of itself
    answer = asyncio.run(protocol.rpc_ping(dht_pb2.PingRequest(), cast(Any, None)))
    assert answer.peer.node_id == protocol.node_id.to_bytes()

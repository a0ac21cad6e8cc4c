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
from hivemind.dht.storage import DHTLocalStorage
from hivemind.proto import dht_pb2
from hivemind.utils.timed_storage import TimedStorage

from peer.network import clock
from peer.network.door import Door
from peer.network.hivemind_patches import keep_the_newer, start_dht

pytestmark = pytest.mark.lan

BOUND = 60.0  # seconds; what is measured takes a fraction of one


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
    dht = start_dht("127.0.0.1", 0, tmp_path / "identity.key", "cellmind", Door())
    try:
        dht.run_coroutine(wait_long)
        dht._outer_pipe.send(HalfSent(error))
        assert dht.get("a key", return_future=True).result(BOUND) is None
    finally:
        dht.shutdown()
    assert "Traceback" not in capfd.readouterr().err


def test_repeating_what_was_said_earlier_silences_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedStorage, "store", TimedStorage.store)  # as before, at the end
    keep_the_newer()
    storage, board, now = DHTLocalStorage(), DHTID.generate(), clock.now()
    assert storage.store(board, b"older", now + 30, subkey="desk")
    assert storage.store(board, b"newer", now + 60, subkey="desk")
    assert not storage.store(board, b"older", now + 30, subkey="desk")
    monkeypatch.setattr("hivemind.utils.timed_storage.get_dht_time", lambda: now + 31)
    kept = storage.get(board)
    assert kept is not None and isinstance(kept.value, TimedStorage)
    assert kept.value.get("desk") == (b"newer", now + 60)


def test_a_dht_that_is_asked_while_it_starts_says_who_it_is(nodes: list[DHT]) -> None:
    protocol = DHTProtocol(_initialized_with_create=True)
    protocol.node_id = DHTID.generate()  # its handlers are registered now, and it knows no more of itself
    answer = asyncio.run(protocol.rpc_ping(dht_pb2.PingRequest(), cast(Any, None)))
    assert answer.peer.node_id == protocol.node_id.to_bytes()

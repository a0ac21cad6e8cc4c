"""Calls to the node in its process: what is pending, what comes back, what is lost, and what is refused."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any, cast

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind import DHT
from hivemind.utils import MPFuture

from minigpt.encoding import DatasetError
from peer.device.event_log import KnownLine
from peer.network import child_calls
from peer.network import node as node_module
from peer.network.address import Address
from peer.network.child_calls import LOST, Failure, Pending, fails_softly, unwrap
from peer.network.node import Node, View, call_node
from peer.state.fetching import TransferError
from peer.state.means import MeanError
from peer.swarm.knocking import KnockRefused
from tests.dht import node_in


def answered(answer: object) -> MPFuture:
    future = MPFuture()
    future.set_result(answer)
    return future


def test_what_is_pending_is_none_until_it_is_here_and_then_stays() -> None:
    future = MPFuture()
    pending = Pending[int](future, lambda: True)
    assert pending.poll() is None and not pending.is_done
    future.set_result(5)
    assert [pending.poll(), pending.poll(), pending.wait()] == [5, 5, 5] and pending.is_done


@pytest.mark.parametrize("kind", [TransferError, OSError, MeanError])
def test_what_a_call_failed_with_is_raised(kind: type[Exception]) -> None:
    pending = Pending[int](answered(Failure(kind, "no more disk")), lambda: True)
    for ask in (pending.poll, pending.wait):
        with pytest.raises(kind, match="no more disk"):
            ask()


def test_a_call_to_a_process_that_is_no_more_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_calls, "CHECK_SECONDS", 0.05)
    lost = Pending[int](MPFuture(), lambda: False)
    for ask in (lost.poll, lost.wait):
        with pytest.raises(TransferError, match=LOST):
            ask()
    assert Pending[int](answered(5), lambda: False).poll() == 5, "the answer had come before"


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (MeanError("odd"), MeanError),
        (OSError("odd"), OSError),
        (OSError(28, "odd", "checkpoints/.cellmind.household.part"), OSError),
        (TransferError("odd"), TransferError),
        (DatasetError("odd"), TransferError),
        (KeyError("odd"), TransferError),
        (AssertionError("odd"), TransferError),
    ],
)
def test_whatever_strangers_make_a_call_raise_comes_back_as_a_failure(raised: Exception, kind: type[Exception]) -> None:
    @fails_softly
    async def work() -> None:
        raise raised

    failure = asyncio.run(cast(Any, work()))
    assert isinstance(failure, Failure) and failure.kind is kind
    with pytest.raises(kind, match=r"^(.*: )?'?odd'?$"):
        unwrap(failure)


def test_a_refusal_that_a_page_can_say_in_its_own_words_comes_back_as_one() -> None:
    @fails_softly
    async def work() -> None:
        raise KnockRefused(KnownLine("nobody knocks with 4827", "nobody_knocks", number="4827"))

    with pytest.raises(KnockRefused) as raised:
        unwrap(pickle.loads(pickle.dumps(asyncio.run(cast(Any, work())))))
    line = raised.value.args[0]
    assert (line, line.kind, line.values) == ("nobody knocks with 4827", "nobody_knocks", {"number": "4827"})


def test_the_nodes_methods_are_called_by_name_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        dht = await node_in(tmp_path)
        try:
            node = Node(dht, "cellmind", Address("10.0.0.1", 1, dht.peer_id.to_base58()), tmp_path)
            monkeypatch.setattr(node_module, "_node", node)

            async def call(method: str, **arguments: object) -> Any:
                return await cast(Any, call_node(cast(DHT, None), dht, method=method, arguments=arguments))

            assert await call("post", notice=None, silent_seconds=5.0) == node.view() != View(searched=True)
            assert await call("expect_silence", seconds=5.0) is None
            with pytest.raises(TransferError, match="does not answer"):
                unwrap(await call("fetch_manifest", peer=Address.parse(STRANGER).peer, run="cellmind"))
            for odd in ("start", "__init__", "_dht", "view", "transfers", "", "methods"):
                with pytest.raises(TransferError, match=f"the node has no method '{odd}'"):
                    unwrap(await call(odd))
            with pytest.raises(TransferError, match="unexpected keyword argument"):
                unwrap(await call("expect_silence", odd=1))
        finally:
            await dht.shutdown()

    asyncio.run(work())


STRANGER = "/ip4/10.0.0.9/tcp/1/p2p/QmZAmAb3czWsDcRtVyp34XrFKson3BrVkLTB4RoU7yKsw9"

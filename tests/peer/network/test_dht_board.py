"""The notice board between real DHT nodes on the loopback: everybody reads it, whoever keeps it and whoever dies."""

import asyncio
from collections.abc import Awaitable, Callable

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import pytest
from hivemind.dht import DHTNode
from hivemind.proto import dht_pb2

from peer.network import clock, dht_board
from peer.network.dht_board import Board
from peer.network.dht_records import SoundRecords, board_of
from peer.swarm.membership import FUTURE_SECONDS, SILENCE_SECONDS

pytestmark = pytest.mark.lan

QUIET = {"use_relay": False, "use_auto_relay": False, "nat_port_map": False, "auto_nat": False}
NODES = 8  # of which five keep the board
LIFE = SILENCE_SECONDS + FUTURE_SECONDS - 1  # seconds, nearly the longest that a notice may have


def between_boards(work: Callable[[list[DHTNode], list[Board]], Awaitable[None]]) -> None:
    async def whole() -> None:
        nodes: list[DHTNode] = []
        try:
            for _ in range(NODES):
                known = await nodes[0].get_visible_maddrs() if nodes else []
                validator = SoundRecords(board_of("cellmind"))
                options = {"initial_peers": known, "record_validator": validator, "wait_timeout": 2, **QUIET}
                nodes.append(await DHTNode.create(cache_locally=False, cache_nearest=0, **options))
            await work(nodes, [Board(node, board_of("cellmind")) for node in nodes])
        finally:
            await asyncio.gather(*(node.shutdown() for node in nodes if node.is_alive))

    asyncio.run(whole())


async def post(boards: list[Board], word: str) -> None:
    expiration = clock.now() + LIFE
    await asyncio.gather(*(made.post(f"/{number}", [word], expiration) for number, made in enumerate(boards)))


async def words(made: Board) -> dict[object, object]:
    return {address: notice for address, (notice, _) in (await made.read()).items()}


def test_everybody_reads_what_everybody_posts_and_the_latest_of_it() -> None:
    async def work(nodes: list[DHTNode], boards: list[Board]) -> None:
        for word in ("first", "second"):
            await post(boards, word)
            for made in boards:
                assert await words(made) == {f"/{number}": [word] for number in range(NODES)}
        read = await nodes[0].get(board_of("cellmind"), latest=True)
        assert read is not None and len(read.value) == NODES, "hivemind's own search finds it where we keep it"

    between_boards(work)


def test_a_keeper_that_answers_oddly_hides_nobody() -> None:
    async def work(nodes: list[DHTNode], boards: list[Board]) -> None:
        await post(boards, "here")
        reader = boards[0]
        odd = next(node for node in nodes if node.peer_id in reader._keepers and node is not nodes[0])

        async def answer(request: dht_pb2.FindRequest, context: object) -> dht_pb2.FindResponse:
            return dht_pb2.FindResponse(results=[dht_pb2.FindResult(type=99) for _ in request.keys])

        await odd.p2p.remove_protobuf_handler("DHTProtocol.rpc_find")
        await odd.p2p.add_protobuf_handler("DHTProtocol.rpc_find", answer, dht_pb2.FindRequest)
        assert len(await words(reader)) == NODES

    between_boards(work)


def test_keepers_that_die_are_replaced_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dht_board, "SEARCH_SECONDS", 60.0)  # it is the failures that make for a search

    async def work(nodes: list[DHTNode], boards: list[Board]) -> None:
        await post(boards, "before")
        dead = [number for number, node in enumerate(nodes) if node.peer_id in boards[0]._keepers][:3]
        await asyncio.gather(*(nodes[number].shutdown() for number in dead))
        left = [made for number, made in enumerate(boards) if number not in dead]
        for _ in range(2):
            await asyncio.gather(*(made.read() for made in left))
        assert not {nodes[number].peer_id for number in dead} & set(left[0]._keepers)
        await post(left, "after")
        for made in left:
            assert sum(word == ["after"] for word in (await words(made)).values()) == len(left)

    between_boards(work)


def test_a_search_is_made_now_and_then_and_when_somebody_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(nodes: list[DHTNode], boards: list[Board]) -> None:
        searches = []
        find = nodes[0].find_nearest_nodes

        async def counted(*arguments: object, **options: object) -> object:
            searches.append(arguments)
            return await find(*arguments, **options)

        monkeypatch.setattr(nodes[0], "find_nearest_nodes", counted)
        for _ in range(5):
            await boards[0].read()
        assert len(searches) == 1
        boards[0].search_again()
        await boards[0].post("/0", ["here"], clock.now() + LIFE)
        assert len(searches) == 2

    between_boards(work)

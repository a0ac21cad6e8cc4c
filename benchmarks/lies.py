"""Notices that are not true: the lies of `benchmarks/outsider.py`."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from hivemind.dht import DHTNode
from hivemind.proto import runtime_pb2

from benchmarks.stranger import ANSWER_SECONDS, Outsider
from peer.network.address import Address, lan_address
from peer.network.porch import Porch
from peer.swarm.household import ejecting, locked
from peer.swarm.membership import SILENCE_SECONDS
from peer.wire import Notice, Role, parse
from peer.wire_household import Renewal

LATER_SECONDS = 3.0  # that a forged notice outlives the true one


async def say_goodbye(outsider: Outsider) -> None:
    """Say of everybody that it has left, a little newer than what it says itself: unsigned, and signed by us."""
    async for now in outsider.turns():
        known = await outsider.read_board()
        for victim in outsider.victims:
            guess = Notice(peer=victim.peer, name="?", address=str(victim), role=Role.LEFT, run_id=outsider.run_id)
            left = known.get(str(victim), guess).model_copy(update={"role": Role.LEFT})
            expiration = now + SILENCE_SECONDS + LATER_SECONDS
            await outsider.leave(left.address, left.model_dump(mode="json"), expiration)
            await outsider.post([(left, expiration + 0.1)], outsider.signers[0])


async def say_again(outsider: Outsider) -> None:
    """Say what everybody has said, with its signature, again and for longer."""
    async for now in outsider.turns():
        for address, (value, _) in (await outsider.read_values()).items():
            await outsider.leave(address, value, now + SILENCE_SECONDS + LATER_SECONDS)


async def take_names(outsider: Outsider) -> None:
    """Say to be called as they are, and to have been there first."""
    async for now in outsider.turns():
        names = [notice.name for notice in (await outsider.read_board()).values()] or ["host1", "host2"]
        ghosts = [outsider.made_up(at, name=name, started=1.0) for at, name in enumerate(names[:2])]
        await outsider.post((ghost, now + SILENCE_SECONDS) for ghost in ghosts)


async def be_ahead(outsider: Outsider, count: int) -> None:
    """Say that made-up devices have trained much more."""
    async for now in outsider.turns():
        lineages = [random.randbytes(32).hex() for _ in range(count)]
        said = [{"trained": 10**9 + at, "round": 10**6, "lineage": lineage} for at, lineage in enumerate(lineages)]
        await outsider.post((outsider.made_up(at, **what), now + SILENCE_SECONDS) for at, what in enumerate(said))


async def haunt(outsider: Outsider, count: int) -> None:
    """Say that made-up devices stand at the anchor, and take a step in 20 s."""
    await outsider.meet()
    lineage = {"lineage": "", "trained": 0, "round": 0}
    async for now in outsider.turns():
        known = [notice for notice in (await outsider.read_board()).values() if notice.name.startswith("host")]
        if known:
            newest = max(known, key=lambda notice: notice.state)
            lineage = {"lineage": newest.lineage, "trained": newest.trained, "round": newest.round}
        ghosts = [outsider.made_up(at, **lineage, step_seconds=20.0) for at in range(count)]
        await outsider.post((ghost, now + SILENCE_SECONDS) for ghost in ghosts)


async def be_there(outsider: Outsider, count: int, **said: Any) -> None:
    """Say so with nodes that are there and answer, as a stranger who runs stock hivemind may."""
    await asyncio.gather(*(be_there_as(outsider, number, **said) for number in range(count)))


async def be_there_as(outsider: Outsider, number: int, **said: Any) -> None:
    """Say so with one of them."""
    async with node_of(outsider, number) as (_, address):
        async for now in outsider.turns():
            known = [notice for notice in (await outsider.read_board()).values() if notice.name.startswith("host")]
            newest = max(known, key=lambda notice: notice.state, default=None)
            state = {} if newest is None else {"lineage": newest.lineage, "trained": newest.trained}
            notice = outsider.made_up(number, **{**state, **said}).model_copy(update={"address": address})
            await outsider.post([(notice, now + SILENCE_SECONDS)])


@asynccontextmanager
async def node_of(outsider: Outsider, number: int) -> AsyncIterator[tuple[DHTNode, str]]:
    """A node of the DHT with one of our identities, and its address."""
    node = await DHTNode.create(
        initial_peers=[str(victim) for victim in outsider.victims],
        host_maddrs=[f"/ip4/{lan_address()}/tcp/0"],
        identity_path=str(outsider.identities[number]),
        ensure_bootstrap_success=False,
        nat_port_map=False,
        auto_nat=False,
        use_relay=False,
    )
    try:
        port = next(address["tcp"] for address in await node.p2p.get_visible_maddrs() if "tcp" in address)
        yield node, str(Address(lan_address(), int(port), node.peer_id.to_base58()))
    finally:
        await node.shutdown()


async def hand_over_a_household(outsider: Outsider) -> None:
    """Lock the run: say that we train, and hand the first device a key of ours, and a household without the second."""
    first, second = outsider.victims
    async with node_of(outsider, 0) as (node, address):
        signer = outsider.signers[0]
        household = locked(None, outsider.run_id, [first.peer, second.peer], secrets.token_hex(32), signer)
        household = ejecting(household, second.peer, secrets.token_hex(32), signer)
        offered = runtime_pb2.ExpertUID(uid=household.model_dump_json())
        tried = got = 0
        async for now in outsider.turns():
            me = outsider.made_up(0, step_seconds=0.1).model_copy(update={"address": address})
            await outsider.post([(me, now + SILENCE_SECONDS)])
            with suppress(Exception):
                stub = Porch.get_stub(node.p2p, first.peer_id)
                answer = await stub.rpc_take_household(offered, timeout=ANSWER_SECONDS)
                taken = parse(Renewal, answer.serialized_info).household
                got += taken is not None and taken.key == household.key
            tried += 1
        outsider.tried, outsider.got = tried, got

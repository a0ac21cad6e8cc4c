"""A stranger with stock hivemind, who makes devices up and speaks for others:  python -m tests.stranger ADDRESS …

It connects to the devices at these addresses and leaves with each of them, every second until it is ended: goodbyes in
their names, unsigned and signed with another key; and notices of devices that are nowhere, each signed with a key of
its own: twelve that are far ahead, three at the anchor of now, under the names of those that are there. With
`--at-the-anchor` it is a node of the DHT that answers itself, and stands at the anchor without ever coming.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

from hivemind.dht import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.p2p import P2P

from peer.network.address import Address, lan_address
from peer.network.dht_records import board_of
from peer.network.hivemind_patches import connect, keep_sockets_together
from peer.network.signatures import Signer
from peer.swarm.membership import SILENCE_SECONDS
from peer.wire import Notice, Role, parse_notice

PORT = 23457
BOARD = DHTID.generate(source=board_of("cellmind"))


class Stranger:
    """What it knows of those at the addresses, and the keys of those that it makes up.

    :param own: the key of its own identity
    """

    def __init__(self, node: DHTNode, victims: list[Address], own: Path):
        self._node, self._victims = node, victims
        self._own = Signer(own)
        self._made_up = [Signer(_key(own.parent / f"{number}.key")) for number in range(15)]

    async def speak(self, at_the_anchor: bool) -> None:
        """Say it all once."""
        notices = await self._read()
        until = time.time() + SILENCE_SECONDS
        if not notices:
            return
        newest = max(notices, key=lambda notice: notice.state)
        if at_the_anchor:
            here = str(Address(lan_address(), PORT, self._own.peer))
            await self._post(self._own, newest, until, address=here, name="eve", ready=True, step_seconds=20.0)
            return
        for notice in notices:
            left = {**notice.model_dump(mode="json"), "role": str(Role.LEFT)}
            await self._store(notice.address, left, until + 3.5)
            await self._store(notice.address, self._own.signed(BOARD.to_bytes(), left, until + 3.5), until + 3.5)
        for number, signer in enumerate(self._made_up):
            name = notices[number % len(notices)].name
            ahead = {"trained": 2**30 + number, "lineage": f"{number:064x}", "sharing": True} if number < 12 else {}
            address = f"/ip4/10.77.0.{200 + number}/tcp/{PORT}/p2p/{signer.peer}"
            said = {"address": address, "name": name, "started": 1.0, "ready": True, "step_seconds": 20.0}
            await self._post(signer, newest, until, **said, **ahead)

    async def _read(self) -> list[Notice]:
        """Return what the devices at the addresses say of themselves."""
        read: dict[str, Notice] = {}
        for victim in self._victims:
            answer = await self._node.protocol.call_find(victim.peer_id, [BOARD])
            found = None if answer is None else answer[BOARD][0]
            for address, entry in found.value.items() if found is not None else ():
                notice = parse_notice(address, self._node.protocol.serializer.loads(entry.value))
                if notice is not None and notice.peer in {victim.peer for victim in self._victims}:
                    read[address] = notice
        return list(read.values())

    async def _post(self, signer: Signer, like: Notice, until: float, **said: Any) -> None:
        notice = like.model_copy(update={"peer": signer.peer, **said}).model_dump(mode="json")
        await self._store(said["address"], signer.signed(BOARD.to_bytes(), notice, until), until)

    async def _store(self, address: str, said: dict[str, Any], until: float) -> None:
        written = self._node.protocol.serializer.dumps(said)
        for victim in self._victims:
            await self._node.protocol.call_store(victim.peer_id, [BOARD], [written], [until], [address])


def _key(path: Path) -> Path:
    P2P.generate_identity(str(path))
    return path


async def attack(victims: list[Address], at_the_anchor: bool) -> None:
    """Go on until the process is ended."""
    with tempfile.TemporaryDirectory(prefix=f"cellmind-{os.getpid()}-") as folder:  # `Lan` removes it after a kill
        own = _key(Path(folder) / "own.key")
        listening = [f"/ip4/{lan_address()}/tcp/{PORT}"]
        quiet = {"use_relay": False, "use_auto_relay": False, "nat_port_map": False, "auto_nat": False}
        node = await DHTNode.create(identity_path=str(own), host_maddrs=listening, **quiet)
        stranger = Stranger(node, victims, own)
        for victim in victims:
            await connect(node.p2p, victim)
        print("speaks", flush=True)
        while True:
            with suppress(Exception):
                await stranger.speak(at_the_anchor)
            await asyncio.sleep(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stranger", description=__doc__.splitlines()[0])
    parser.add_argument("victims", type=Address.parse, nargs="+")
    parser.add_argument("--at-the-anchor", action="store_true")
    arguments = parser.parse_args()
    keep_sockets_together()
    asyncio.run(attack(arguments.victims, arguments.at_the_anchor))


if __name__ == "__main__":
    main()

"""An outsider on the Wi-Fi, one attack at a time:  python -m benchmarks.outsider read --knows FOLDER --at ADDRESS

It has stock hivemind, the code of this project, and no key. And it knows much: `--knows` is the folder of one of those
that it attacks, where it looks up the run's id and the hashes of files, as if it had been there before. It says
`ready`, leaves the devices alone for so long (`--calm`), attacks them, and ends with a line of JSON: when that was, how
much it tried, and how much of it was answered or taken. `benchmarks/attacks.py` measures what the devices make of it.
Its lies are in `benchmarks/lies.py`, and what is made for a locked run in `benchmarks/picking.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hivemind.dht import DHTNode
from hivemind.p2p import P2P
from hivemind.proto import runtime_pb2

from benchmarks import lies, picking
from benchmarks.attacker import HANDLERS
from benchmarks.stranger import MADE_UP, RUN, Outsider, handler, requests
from minigpt.checkpoint.manifest import MODEL
from peer.network import clock
from peer.network.address import Address, lan_address
from peer.network.discovery import Discovery, Listener
from peer.network.hivemind_patches import keep_sockets_together, read_our_clock
from peer.state.serving import PIECE_BYTES
from peer.wire import Announcement, FileRequest, ShardList, ShardRequest, parse

# They answer strangers, and tell no key.
PORCH = ("rpc_renew", "rpc_take_household", "rpc_knock", "rpc_show", "rpc_ask")
CONNECTIONS = 1000  # that do nothing
DOWNLOADS = 16  # at once
TEN_YEARS = 10 * 365.25 * 86_400.0

# ---------------------------------------------------------------------- reading


async def read(outsider: Outsider) -> None:
    """Call every handler of every service with what an honest device would ask, and take what can be taken."""
    answered, files, names = set(), set(), set()
    async for _ in outsider.turns():
        await outsider.meet()
        for victim in outsider.victims:
            for name, request in requests(outsider).items():
                answers = await outsider.call(victim, handler(name), request)
                is_answered = bool(answers) and (name not in PORCH or b'"key"' in answers[0].serialized_info)
                outsider.count(is_answered)
                answered |= {name} if is_answered else set()
            for name in outsider.manifest.files:
                files |= {name} if await has_file(outsider, victim, name) else set()
        names |= {notice.name for notice in (await outsider.read_board()).values()}
    missing = {handler.name for handler in HANDLERS if handler.name not in PORCH} - answered
    outsider.words += [f"{len(answered)} of {len(HANDLERS)} RPCs", "files " + " ".join(sorted(files) or ["none"])]
    outsider.words += [f"names {' '.join(sorted(names)) or 'none'}"]
    fewer = min(answered, missing, key=len)
    outsider.words += [f"{'answered' if fewer is answered else 'not'} {' '.join(sorted(fewer))}"] if fewer else []


async def has_file(outsider: Outsider, victim: Address, name: str) -> bool:
    """Take the beginning of a file of the state; return whether it came."""
    entry = outsider.manifest.files[name]
    wanted = FileRequest(run=RUN, file=name, sha256=entry.sha256, offset=0, size=min(PIECE_BYTES, entry.size))
    request = runtime_pb2.ExpertUID(uid=wanted.model_dump_json())
    answers = await outsider.call(victim, handler("rpc_file"), request)
    outsider.count(bool(answers))
    return sum(len(answer.serialized_info) for answer in answers) == wanted.size


async def take_text(outsider: Outsider) -> None:
    """Take the shards of a device that was started with --share-data."""
    listed = await outsider.call(outsider.victims[0], handler("rpc_shards"), runtime_pb2.ExpertUID())
    shards = parse(ShardList, listed[0].serialized_info).shards if listed else ["0" * 64]
    async for _ in outsider.turns():
        wanted = runtime_pb2.ExpertUID(uid=ShardRequest(sha256=shards[0], offset=0).model_dump_json())
        outsider.count(bool(await outsider.call(outsider.victims[0], handler("rpc_shard"), wanted)))


async def listen(outsider: Outsider) -> None:
    """Listen to mDNS alone, for the run's name and those of devices."""
    heard: list[Announcement] = []
    listener = Listener(lan_address(), heard.append)
    await listener.start()
    await asyncio.sleep(outsider.seconds)
    await listener.stop()
    told = {announced.address: announced for announced in heard}.values()
    outsider.count(*(bool(said) for announced in told for said in (announced.name, announced.run)))
    outsider.tried = 2 * len(outsider.victims)


async def download(outsider: Outsider) -> None:
    """Take the model sixteen times at once, again and again."""
    model, taken = outsider.manifest.files[MODEL], 0
    file = FileRequest(run=RUN, file=MODEL, sha256=model.sha256, offset=0, size=model.size)
    request = runtime_pb2.ExpertUID(uid=file.model_dump_json())

    async def take(victim: Address) -> None:
        nonlocal taken
        while time.time() < outsider.began + outsider.seconds:
            answers = await outsider.call(victim, handler("rpc_file"), request, most=10_000)
            outsider.count(bool(answers))
            taken += sum(len(answer.serialized_info) for answer in answers)
            await asyncio.sleep(0 if answers else 0.1)

    await asyncio.gather(*(take(outsider.victims[number % len(outsider.victims)]) for number in range(DOWNLOADS)))
    outsider.words.append(f"{taken / 1e6 / outsider.seconds:.1f} MB/s")


# ---------------------------------------------------------------------- being there


async def shift_clock(outsider: Outsider, seconds: float) -> None:
    """Be met by devices that are alone, with a clock that is ten years off."""
    clock.shift_by(seconds)
    read_our_clock()
    node = await DHTNode.create(
        host_maddrs=[f"/ip4/{lan_address()}/tcp/23457"], nat_port_map=False, auto_nat=False, use_relay=False
    )
    discovery = Discovery(announcement(node.p2p, "eve"), lambda announced: None)
    try:
        await discovery.start()
        print("listens", flush=True)
        await asyncio.sleep(outsider.seconds)
    finally:
        await discovery.stop()
        await node.shutdown()


async def be_idle(outsider: Outsider) -> None:
    """Open a thousand TCP connections, and one of libp2p, and do nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    victim, connections = outsider.victims[0], []
    for _ in range(CONNECTIONS):
        with suppress(OSError):
            connections.append(socket.create_connection((victim.host, victim.port), timeout=1.0))
    await asyncio.sleep(max(0.0, outsider.began + outsider.seconds - time.time()))
    outsider.count(*(is_open(connection) for connection in connections))
    outsider.tried = CONNECTIONS
    connected = {info.peer_id for info in await outsider.p2p.list_peers()}
    kept = sum(victim.peer_id in connected for victim in outsider.victims)
    outsider.words.append(f"{kept} of {len(outsider.victims)} keep a connection of libp2p that does nothing")
    for connection in connections:
        connection.close()


def is_open(connection: socket.socket) -> bool:
    """Return whether the other side has not closed the connection; what it has said does not matter."""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def announcement(p2p: P2P, name: str) -> Announcement:
    """Return what we announce of ourselves."""
    address = str(Address(lan_address(), 23457, p2p.peer_id.to_base58()))
    return Announcement(address=address, name=name, run=RUN, started=time.time())


ATTACKS: dict[str, Callable[[Outsider], Awaitable[None]]] = {
    "read": read,
    "text": take_text,
    "listen": listen,
    "downloads": download,
    "left": lies.say_goodbye,
    "again": lies.say_again,
    "names": lies.take_names,
    "ahead": lambda outsider: lies.be_ahead(outsider, 1),
    "twelve-ahead": lambda outsider: lies.be_ahead(outsider, 12),
    "ghosts": lambda outsider: lies.haunt(outsider, 3),
    "ahead-and-there": lambda outsider: lies.be_there(outsider, 3, trained=10**9, round=10**6, lineage="0" * 64),
    "ghosts-and-there": lambda outsider: lies.be_there(outsider, 3, step_seconds=20.0),
    "clock-ahead": lambda outsider: shift_clock(outsider, TEN_YEARS),
    "clock-behind": lambda outsider: shift_clock(outsider, -TEN_YEARS),
    "clock-right": lambda outsider: shift_clock(outsider, 0.0),
    "idle": be_idle,
    "wrong-key": picking.use_a_wrong_key,
    "old-key": picking.use_an_old_key,
    "reflected": picking.reflect,
    "knocks": picking.knock,
    "household": lies.hand_over_a_household,
}
UNSEEN = ("listen", "clock-ahead", "clock-behind", "clock-right")  # which connect to nobody


async def attack(
    name: str, victims: list[Address], knows: Path, seconds: float, identities: list[Path], old: Path | None
) -> dict[str, Any]:
    """Return what came of an attack, and when it was."""
    identity = {} if old is None else {"identity_path": str(old / "identity.key")}
    p2p = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False, **identity)
    try:
        outsider = Outsider(p2p, victims, knows, seconds, identities, old)
        if name not in UNSEEN:
            await outsider.meet()
        await ATTACKS[name](outsider)
        times = {"began": outsider.began, "ended": time.time()}
        return {**times, "tried": outsider.tried, "got": outsider.got, "words": ", ".join(outsider.words)}
    finally:
        await p2p.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outsider", description=__doc__.splitlines()[0])
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("--knows", type=Path, required=True, help="folder of a device that is attacked")
    parser.add_argument("--at", type=Address.parse, nargs="+", required=True, help="addresses of those that are")
    parser.add_argument("--calm", type=float, default=0.0, help="seconds before it begins")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the attack (default: %(default)s)")
    parser.add_argument("--old", type=Path, help="checkpoints of an ejected device, whose key and identity it has")
    arguments = parser.parse_args()
    keep_sockets_together()
    with tempfile.TemporaryDirectory(prefix=f"cellmind-{os.getpid()}-") as folder:  # `Lan` removes it after a kill
        identities = [Path(folder, f"{number}.key") for number in range(MADE_UP)]
        for identity in identities:
            P2P.generate_identity(str(identity))
        print("ready", flush=True)
        time.sleep(arguments.calm)
        work = attack(arguments.attack, arguments.at, arguments.knows, arguments.seconds, identities, arguments.old)
        print(json.dumps(asyncio.run(work)), flush=True)


if __name__ == "__main__":
    main()

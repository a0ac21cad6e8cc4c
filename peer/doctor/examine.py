"""Find out why devices do not find each other:  python -m peer --doctor

Looks at this device and its network for some seconds, beside a peer that runs here or without one, and takes part in
nothing. What it means is decided in `peer/doctor/diagnosis.py`.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from data.terminal import as_called
from minigpt import checkpoint
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.memory import available_memory
from peer.doctor.diagnosis import Answer, Device, Findings, first_to_mend, judge
from peer.inner.batch_size import FIXED_BYTES
from peer.network import clock
from peer.network.address import Address, NetworkError, check_port, free_port, interfaces_here
from peer.network.discovery import Listener
from peer.network.folder import known_addresses, last_address, runs_in
from peer.network.handle import Network
from peer.network.household_file import kept_household
from peer.network.meeting import LOCKED
from peer.network.node import View
from peer.wire import Announcement
from peer.wire_household import Household

LISTEN_SECONDS = (4.0, 10.0)  # for announcements: shortest, and longest where nothing is heard
MEET_SECONDS = 16.0  # without any news of those that answer, after which no more is expected
LONGEST_SECONDS = 60.0  # of all of that: a device under load is slow to hear, and to be heard
SETTLE_SECONDS = 5.0  # shortest, to compare clocks and to hear what everybody says
ANSWER_SECONDS = 4.0  # that a connection may take; a network card that is not there is given up by then
PROGRAM_BYTES = 700_000_000  # of a peer's processes without any model
DISK_BYTES = 45  # a parameter: three checkpoints, and what moved them


def examine(settings: Settings, host: str, port: int, checkpoints: Path, given: Sequence[str]) -> bool:
    """Look, print a table of what was found, and return True if all is fine. Raises HouseholdError.

    :param given: addresses that the user typed, of devices that should be there
    """
    console = Console(highlight=False, markup=False, emoji=False)
    console.print("looking at this device and its network; it takes half a minute or so …")
    checks = judge(find(settings, host, port, checkpoints, given))
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        mend = as_called(f"\n→ {check.mend}") if check.mend else ""
        table.add_row(check.what, check.state.value, f"{as_called(check.found)}{mend}")
    console.print(table)
    worst = first_to_mend(checks)
    if worst is None:
        console.print("fine")
        return True
    console.print(as_called(f"first to mend: {worst.what}: {worst.found}; {worst.mend}"), soft_wrap=True)
    return False


def find(settings: Settings, host: str, port: int, checkpoints: Path, given: Sequence[str]) -> Findings:
    """Return all that can be known from here, in half a minute or so. Raises HouseholdError."""
    run, interfaces = settings.swarm.run, interfaces_here()
    known = [*given, *known_addresses(checkpoints)]
    is_running = runs_in(checkpoints)
    needed = 0 if is_running else PROGRAM_BYTES + FIXED_BYTES * parameters_of(settings)  # it has what it needs
    heard, problem = asyncio.run(listen(host))
    peer_here = peer_of(checkpoints, heard) if is_running else peer_at(host, port, heard)
    if peer_here is not None:
        port = Address.parse(peer_here.address).port
    everybody = merged(heard, known)
    ours = {device.peer for device in everybody if Address.parse(device.address).host == host}  # a peer that runs here
    devices = asyncio.run(dial_all([device for device in everybody if device.peer not in ours]))
    household = kept_household(checkpoints, run, report=lambda line: None)
    view, seen_clock = meet(run, host, free_port(host, port), [device.address for device in devices], household)
    met = frozenset(view.connected) - ours
    return Findings(
        host=host,
        interface=interfaces.get(host, ""),
        interfaces=interfaces,
        port=port,
        port_is_taken=not is_running and is_taken(host, port),
        peer_here=peer_here,
        multicast_problem=problem,
        devices=[*devices, *asked(view, run, met - {device.peer for device in devices})],
        met=met,
        reachable=view.reachable if view.tried else None,
        shut=frozenset(Address.parse(address).peer for address, why in view.refused.items() if why == LOCKED),
        has_key=household is not None and household.is_locked,
        clock=seen_clock,
        run=run,
        run_id=run_here(checkpoints, run),
        notices=view.notices,
        other_versions=view.other_versions,
        memory=(available_memory(torch.device("cpu")), needed),
        disk=(free_disk(checkpoints), DISK_BYTES * parameters_of(settings)),
    )


def peer_of(checkpoints: Path, heard: list[Device]) -> Device | None:
    """Return the peer that runs in that folder, with its name if that was heard; None if its address is not known."""
    kept = last_address(checkpoints)
    with suppress(ValueError):
        own = Address.parse(kept[0]) if kept is not None else None
        if own is not None:
            return next((device for device in heard if device.peer == own.peer), Device(str(own)))
    return None


def peer_at(host: str, port: int, heard: list[Device]) -> Device | None:
    """Return the peer that listens at that port of this device, and runs in another folder; None where none does."""
    places = {(place.host, place.port): device for device in heard for place in [Address.parse(device.address)]}
    return places.get((host, port))


def is_taken(host: str, port: int) -> bool:
    try:
        check_port(host, port)
    except NetworkError:
        return True
    return False


async def listen(host: str) -> tuple[list[Device], str | None]:
    """Return who announces itself, whatever its run, and why nobody can be heard at all, if that is so."""
    heard: dict[str, Device] = {}

    def found(announced: Announcement) -> None:
        with suppress(ValueError):
            Address.parse(announced.address).peer_id  # noqa: B018 -- which checks it
            heard[announced.address] = Device(announced.address, announced.name, announced.run, heard=True)

    listener = Listener(host, found)
    try:
        await listener.start()
        shortest, longest = LISTEN_SECONDS
        await asyncio.sleep(shortest)
        with suppress(TimeoutError):
            async with asyncio.timeout(longest - shortest):
                while not heard:
                    await asyncio.sleep(0.1)
        await listener.stop()
    except OSError as error:
        return [], str(error)
    return list(heard.values()), None


def merged(heard: list[Device], known: Sequence[str]) -> list[Device]:
    """Return everybody once: who is at several addresses was at the others earlier."""
    devices = {device.peer: device for device in heard}
    for address in known:
        with suppress(ValueError):
            Address.parse(address).peer_id  # noqa: B018 -- which checks it
            devices.setdefault(Address.parse(address).peer, Device(address))
    return list(devices.values())


def asked(view: View, run: str, peers: frozenset[str]) -> list[Device]:
    """Return those of these peers that were found by asking the neighbours one by one: without multicast."""
    found = [Device(address, name, run, answer=Answer.OPEN) for address, name in view.heard.items()]
    return [device for device in found if device.peer in peers]


async def dial_all(devices: list[Device]) -> list[Device]:
    answers = await asyncio.gather(*(dial(device.address) for device in devices))
    return [
        Device(device.address, device.name, device.run, device.heard, answer)
        for device, answer in zip(devices, answers)
    ]


async def dial(address: str) -> Answer:
    """Connect to the peer's port and return the outcome."""
    place = Address.parse(address)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(place.host, place.port), ANSWER_SECONDS)
    except ConnectionRefusedError:
        return Answer.REFUSED
    except (OSError, TimeoutError):
        return Answer.DROPPED if await asyncio.to_thread(answers_ping, place.host) else Answer.ABSENT
    writer.close()
    return Answer.OPEN


def answers_ping(host: str) -> bool:
    """Return whether the device there answers a ping; most do, even where a firewall lets no connection in.

    False where this process may not ask.
    """
    echo_request = b"\x08\x00\xf7\xfe\x00\x00\x00\x01"
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as pinging:
        pinging.settimeout(1.0)
        pinging.connect((host, 0))
        pinging.send(echo_request)
        return bool(pinging.recv(64))
    return False


def meet(run: str, host: str, port: int, addresses: list[str], household: Household | None) -> tuple[View, str | None]:
    """Meet those that can be reached, as one that only looks; return the view, and what the clocks say.

    :param household: whose key this device has, if it has one
    """
    spoken: str | None = None
    with tempfile.TemporaryDirectory(prefix="cellmind-doctor-") as folder:
        network = Network(
            run=run,
            name="",
            host=host,
            port=port,
            checkpoints=Path(folder),
            report=lambda line: None,
            addresses=addresses,
            invited=household,
        )
        try:
            patience = Patience()
            while True:
                view = network.post(None)
                spoken = spoken or next((text for text in view.refused.values() if "clock is" in text), None)
                everybody = {Address.parse(address).peer for address in (*addresses, *view.heard)}
                if patience.is_over(view, everybody):
                    break
                time.sleep(0.2)
        finally:
            network.stop()
    return view, clock.difference(view.clock_shift) or spoken


class Patience:
    """The wait for those who may be here. It is not by the clock alone, for a device under load is slow."""

    def __init__(self) -> None:
        self._started = self._news_at = time.monotonic()
        self._known: object = None

    def is_over(self, view: View, everybody: set[str]) -> bool:
        """Return whether all is known that is to be expected.

        :param everybody: peer ids of those that were heard of
        """
        now, known = time.monotonic(), (len(view.connected), len(view.notices), view.tried)
        if known != self._known:
            self._known, self._news_at = known, now
        if now - self._started > LONGEST_SECONDS:
            return True
        if not view.searched or now - self._started < SETTLE_SECONDS:
            return False  # the neighbours have not been asked yet
        if everybody <= set(view.connected) and view.notices and view.tried:
            return True
        return now - self._news_at > MEET_SECONDS


def run_here(checkpoints: Path, run: str) -> str:
    """Id of the run that this device would go on with."""
    with suppress(CheckpointError):
        newest = checkpoint.newest(checkpoints, run, report=lambda line: None)
        return "" if newest is None else newest.progress.run_id
    return ""


def parameters_of(settings: Settings) -> int:
    with torch.device("meta"):
        model = MiniGPT.from_settings(settings.model, settings.tokenizer.vocab_size, settings.training.dataset.seq_len)
    return model.parameter_count()


def free_disk(folder: Path) -> int | None:
    """Bytes, where checkpoints are or will be."""
    existing = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())
    try:
        return shutil.disk_usage(existing).free
    except OSError:
        return None

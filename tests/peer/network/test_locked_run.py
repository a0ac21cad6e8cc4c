"""A locked run: real nodes on the loopback, which are locked, opened, ejected, away, and attacked by strangers."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import peer  # noqa: F401 -- first, for it tells hivemind how little to log

# isort: split

import numpy as np
import pytest
from hivemind.dht.protocol import DHTProtocol
from hivemind.p2p import P2P, P2PDaemonError, P2PHandlerError, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import ControlFailure
from hivemind.p2p.servicer import RPCHandler, ServicerBase

from peer.network.address import Address
from peer.network.answering import AnswerService
from peer.network.door import REFUSED, Door
from peer.network.folder import IDENTITY
from peer.network.handle import Network
from peer.network.hivemind_patches import connect, pass_the_door
from peer.network.household_file import household_path, keep_household
from peer.network.knocks import KnockService
from peer.network.porch import Porch
from peer.network.reachability import CallBack
from peer.network.signatures import Signer
from peer.outer.all_reduce import AgreeingRunner
from peer.outer.averager import PseudoGradientAverager
from peer.state.codec import PART
from peer.state.serving import StateService
from peer.state.shards import ShardService
from peer.swarm.household import HouseholdError, admitting, fingerprint, is_ejected, is_member, members, unlocked
from peer.wire import Notice, Role, exchange_prefix
from peer.wire_household import Household
from tests.households import signer
from tests.lan import wait_until

pytestmark = pytest.mark.lan

# of this process: what other tests start meanwhile is found as well, for all are on the loopback
RUN = f"cellmind{os.getpid()}"
RUN_ID = f"{RUN}-1a2b3c4d5e6f"
START = 120.0


class Member:
    """A device that only says that it trains."""

    def __init__(self, folder: Path, name: str, known: list[str], invited: Household | None):
        self.folder, self.name = folder / name, name
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.network = Network(
            run=RUN,
            name=name,
            host="127.0.0.1",
            port=port,
            checkpoints=self.folder,
            report=lambda line: None,
            addresses=known,
            invited=invited,
        )
        known.append(str(self.network.address))

    @property
    def peer(self) -> str:
        return self.network.peer

    def post(self) -> None:
        self.network.post(
            Notice(
                peer=self.peer,
                name=self.name,
                address=str(self.network.address),
                role=Role.TRAINING,
                run_id=RUN_ID,
                lineage="ab",
                sharing=True,
            )
        )

    def sees(self) -> set[str]:
        """The names of those whose notices are new enough."""
        view = self.network.view
        return {notice.name for notice in view.notices if notice.peer not in view.suspected}


class Home:
    """Devices that know each other's addresses."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: list[str] = []
        self.devices: list[Member] = []

    def add(self, name: str, invited: Household | None = None) -> Member:
        device = Member(self._folder, name, self._known, invited)
        self.devices.append(device)
        return device

    def wait(self, condition: Callable[[], object], seconds: float = START) -> bool:
        """Let everybody say where it is until then; return whether it came about."""

        def turn() -> object:
            for device in self.devices:
                device.post()
            return condition()

        return bool(wait_until(turn, seconds))

    def together(self, *devices: Member) -> bool:
        """Whether all of these see each other, and nobody else."""
        names = {device.name for device in devices}
        return all(device.sees() == names - {device.name} for device in devices)

    def stop(self, device: Member) -> None:
        self.devices.remove(device)
        device.network.stop()


@contextmanager
def home(folder: Path) -> Iterator[Home]:
    it = Home(folder)
    try:
        yield it
    finally:
        for device in list(it.devices):
            it.stop(device)


def test_a_lock_goes_to_all_that_are_in_and_keeps_everybody_else_out(tmp_path: Path) -> None:
    with home(tmp_path) as it:
        desk, phone, tablet = (it.add(name) for name in ("desk", "phone", "tablet"))
        assert it.wait(lambda: it.together(desk, phone, tablet))
        locked = desk.network.lock().wait()
        assert it.wait(lambda: all(device.network.view.locked for device in it.devices))
        assert it.wait(lambda: all(device.network.household == locked for device in it.devices))
        assert set(members(locked)) == {desk.peer, phone.peer, tablet.peer}
        guest = it.add("guest")
        assert it.wait(lambda: any("locked" in reason for reason in guest.network.view.refused.values()))
        until = time.monotonic() + 6
        it.wait(lambda: time.monotonic() > until, 15)
        assert guest.sees() == set() and it.wait(lambda: it.together(desk, phone, tablet))
        assert desk.network.view.connected and guest.peer not in desk.network.view.connected

        it.stop(guest)
        guest = it.add("guest", invited=Household(run_id=RUN_ID, epoch=locked.epoch, key=locked.key))
        assert it.wait(lambda: it.together(desk, phone, tablet, guest))
        assert it.wait(lambda: all(is_member(device.network.household, guest.peer) for device in it.devices))

        phone.network.eject(guest.peer).wait()
        assert it.wait(lambda: guest.network.view.ejected)
        assert it.wait(lambda: it.together(desk, phone, tablet) and guest.sees() == set())
        assert it.wait(lambda: all(is_ejected(device.network.household, guest.peer) for device in it.devices))
        assert household_path(desk.folder, RUN).stat().st_mode & 0o777 == 0o600

        it.stop(guest)
        desk.network.unlock().wait()
        guest = it.add("guest")
        assert it.wait(lambda: it.together(desk, phone, tablet, guest))


def test_a_member_that_was_away_comes_back_and_the_ejected_does_not(tmp_path: Path) -> None:
    with home(tmp_path) as it:
        desk, phone, tablet, guest = (it.add(name) for name in ("desk", "phone", "tablet", "guest"))
        assert it.wait(lambda: it.together(desk, phone, tablet, guest))
        desk.network.lock().wait()
        assert it.wait(lambda: all(device.network.view.locked for device in it.devices))
        assert it.wait(lambda: it.together(desk, phone, tablet, guest))
        it.stop(tablet)
        it.stop(guest)
        assert it.wait(lambda: it.together(desk, phone))
        desk.network.eject(guest.peer).wait()
        desk.network.unlock().wait()
        assert desk.network.lock().wait().epoch == 4
        tablet, guest = it.add("tablet"), it.add("guest")
        assert it.wait(lambda: it.together(desk, phone, tablet))
        assert it.wait(lambda: guest.network.view.ejected)
        assert guest.sees() == set() and it.wait(lambda: one_household(desk, tablet))


def test_what_an_ejected_device_makes_a_member_believe_is_over_when_another_one_is_back(tmp_path: Path) -> None:
    """The tablet is away while the desk ejects the guest, and meets that first, which lets somebody in."""
    with home(tmp_path) as it:
        desk, tablet, guest = (it.add(name) for name in ("desk", "tablet", "guest"))
        assert it.wait(lambda: it.together(desk, tablet, guest))
        before = desk.network.lock().wait()
        assert it.wait(lambda: all(device.network.view.locked for device in it.devices))
        it.stop(tablet)
        it.stop(guest)
        ejected = desk.network.eject(guest.peer).wait()
        it.stop(desk)
        puppet = signer().peer
        made_up = admitting(before, puppet, Signer(guest.folder / IDENTITY))
        keep_household(guest.folder, RUN, made_up)

        tablet, guest = it.add("tablet"), it.add("guest")
        assert it.wait(lambda: is_member(tablet.network.household, puppet)), "alone with it"
        desk = it.add("desk")
        assert it.wait(lambda: it.together(desk, tablet))
        assert it.wait(lambda: one_household(desk, tablet))
        assert tablet.network.household is not None and tablet.network.household.key == ejected.key
        assert not is_member(tablet.network.household, puppet)
        assert it.wait(lambda: guest.network.view.ejected and guest.sees() == set())


def test_an_ejected_device_that_opened_the_run_knocks_and_is_let_in_to_the_locked_one(tmp_path: Path) -> None:
    """It was off when the desk ejected it, and has opened the run for itself meanwhile."""
    with home(tmp_path) as it:
        desk, tablet, guest = (it.add(name) for name in ("desk", "tablet", "guest"))
        assert it.wait(lambda: it.together(desk, tablet, guest))
        before = desk.network.lock().wait()
        assert it.wait(lambda: all(device.network.view.locked for device in it.devices), 10)
        it.stop(guest)
        now = desk.network.eject(guest.peer).wait()
        keep_household(guest.folder, RUN, unlocked(before, Signer(guest.folder / IDENTITY)))
        guest = it.add("guest")
        assert it.wait(lambda: guest.network.view.ejected, 20)
        with pytest.raises(HouseholdError, match="was ejected"):
            guest.network.eject(desk.peer).wait()
        it.stop(guest)

        guest = it.add("guest")
        assert guest.network.view.ejected, "which is kept, and known before anything is heard"
        guest.network.ask_in(True)
        assert it.wait(lambda: guest.network.view.outside.number and tablet.network.view.knocks, 30)
        tablet.network.admit(guest.network.view.outside.number).wait()
        assert it.wait(lambda: it.together(desk, tablet, guest) and one_household(*it.devices), 30)
        assert all(device.network.view.locked for device in it.devices)
        assert guest.network.household is not None and guest.network.household.key == now.key

        now = desk.network.eject(guest.peer).wait()
        assert it.wait(lambda: guest.network.view.ejected, 20)
        it.stop(guest)
        guest = it.add("guest", invited=Household(run_id=RUN_ID, epoch=now.epoch, key=now.key))
        assert it.wait(lambda: it.together(desk, tablet, guest) and one_household(*it.devices), 30), "a fresh invite"

        stranger = it.add("stranger")
        assert it.wait(lambda: any("locked" in reason for reason in stranger.network.view.refused.values()), 20)
        assert it.together(desk, tablet, guest) and stranger.sees() == set()


def test_two_locks_at_once_on_two_halves_end_in_one(tmp_path: Path) -> None:
    with home(tmp_path) as it:
        desk, phone, tablet = (it.add(name) for name in ("desk", "phone", "tablet"))
        assert it.wait(lambda: it.together(desk, phone, tablet))
        locks = [device.network.lock() for device in (desk, phone, tablet)]
        assert len({lock.wait().key for lock in locks}) >= 1
        assert it.wait(lambda: it.together(desk, phone, tablet) and one_household(*it.devices))
        ejected = [desk.network.eject(phone.peer), tablet.network.eject(phone.peer)]
        assert all(is_ejected(eject.wait(), phone.peer) for eject in ejected)
        assert it.wait(lambda: it.together(desk, tablet) and one_household(desk, tablet))


def one_household(*devices: Member) -> bool:
    """Whether all of these know the same household."""
    return len({fingerprint(device.network.household) for device in devices}) == 1


def test_a_cold_start_of_a_locked_run_ends_in_one_swarm(tmp_path: Path) -> None:
    with home(tmp_path) as it:
        devices = [it.add(name) for name in ("desk", "phone", "tablet")]
        assert it.wait(lambda: it.together(*devices))
        devices[0].network.lock().wait()
        assert it.wait(lambda: all(device.network.view.locked for device in devices))
        household = devices[0].network.household
        for device in devices:  # the network part dies as in a power cut, and is started anew
            device.network._process.dht.kill()
        assert it.wait(lambda: all(device.network.starts == 2 for device in devices))
        assert it.wait(lambda: it.together(*devices))
        assert it.wait(lambda: all(device.network.household == household for device in devices))


def test_an_outsider_gets_no_answer_and_is_disconnected(tmp_path: Path) -> None:
    """Its door is open and adds nothing: what it says is what stock hivemind says."""
    with home(tmp_path) as it:
        desk, phone = it.add("desk"), it.add("phone")
        assert it.wait(lambda: it.together(desk, phone))
        averager = PseudoGradientAverager(PART, desk.network.dht, RUN_ID)
        try:
            share(desk)
            answered = asyncio.run(asked(desk.network.address))
            assert len(answered) >= 7, "the same outsider is answered in an open run"
            desk.network.lock().wait()
            assert it.wait(lambda: phone.network.view.locked)
            assert asyncio.run(asked(desk.network.address)) == []
            assert it.wait(lambda: it.together(desk, phone)), "which costs the members nothing"
            assert asyncio.run(is_let_go(desk.network.address))
        finally:
            averager.shutdown()


def share(device: Member) -> None:
    """Let a device give text as well."""
    ids = device.folder / "ids.npy"
    np.save(ids, np.zeros(4096, np.uint16))
    device.network.share(ids, "ab" * 32)


SERVICERS: list[type[ServicerBase]] = [
    DHTProtocol,
    StateService,
    ShardService,
    AnswerService,
    CallBack,
    KnockService,
    PseudoGradientAverager,
]


def test_all_services_of_ours_are_asked_but_the_porch() -> None:
    def kinds(of: Any) -> set[Any]:
        return {of}.union(*(kinds(kind) for kind in of.__subclasses__()))

    ours = {kind for kind in kinds(ServicerBase) if kind.__module__.startswith("peer.")}
    assert ours - {Porch, AgreeingRunner} <= set(SERVICERS), "what is new has to be kept behind the door"
    # an AgreeingRunner is called by the averager's handlers


async def asked(address: Address) -> list[str]:
    """Return the handlers that answer to an outsider with anything at all, be it a complaint about its request."""
    pass_the_door(Door())
    outsider = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    answered = []
    try:
        await connect(outsider, address)
        for servicer in SERVICERS:
            servicer._collect_rpc_handlers()
            namespace = exchange_prefix(RUN_ID) if servicer is PseudoGradientAverager else None
            for handler in servicer._rpc_handlers:
                name = servicer._get_handle_name(namespace, handler.method_name)
                if await is_answered(outsider, address.peer_id, name, handler):
                    answered.append(name)
    finally:
        await outsider.shutdown()
    return answered


async def is_answered(outsider: P2P, callee: PeerID, name: str, handler: RPCHandler) -> bool:
    """Return whether the handler says anything but that the run is locked."""
    request = handler.request_type()
    try:
        if not handler.stream_input and not handler.stream_output:
            call = outsider.call_protobuf_handler(callee, name, request, handler.response_type)
            await asyncio.wait_for(call, 20)
            return True
        _, reader, writer = await outsider.call_binary_stream_handler(callee, name)
        with suppress(ConnectionError):  # it was shut already
            await P2P.send_protobuf(request, writer)
            await P2P.send_protobuf(P2P.END_OF_STREAM, writer)
            writer.write(b"x" * 100)  # in the place of a proof
        return bool(await asyncio.wait_for(reader.read(1), 30))
    except P2PHandlerError as error:
        return REFUSED not in str(error)
    except (TimeoutError, ConnectionError, P2PDaemonError, ControlFailure):
        return False


async def is_let_go(address: Address) -> bool:
    """Return whether a node that says nothing is disconnected."""
    outsider = await P2P.create(auto_nat=False, nat_port_map=False, use_relay=False)
    try:
        await connect(outsider, address)
        deadline = time.monotonic() + START
        while await outsider.list_peers() and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return not await outsider.list_peers()
    finally:
        await outsider.shutdown()

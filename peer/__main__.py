"""Train together with the devices on this network:  python -m peer --join

The same line on every device. A device that finds a run joins it; the first one founds it from the chats in data/raw.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data.private import close_to_others, keep_private
from minigpt import heed_interrupts
from peer.asking import ask, exit_code, exit_code_of_asking
from peer.page.process import PageProcess, started_early

EARLY_PAGE = None
if __name__ == "__main__":  # before what takes seconds to load
    keep_private()
    EARLY_PAGE = started_early(sys.argv[1:])
    if EARLY_PAGE is None and (done := exit_code_of_asking()) is not None:
        sys.exit(done)

import tokenizer
from data.errors import DataError
from data.prepare import private_places
from minigpt.checkpoint import reason
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.encoding import DatasetError
from minigpt.settings import LINKS, Settings, SettingsError, load_settings
from peer.command_line import DEFAULT_PORT, parse_arguments
from peer.device.control import Action, Control, ControlError
from peer.device.device_requests import DeviceRequests
from peer.device.display import Display
from peer.device.event_log import EventLog, KnownLine
from peer.device.kind import device_kind
from peer.device.memory import OutOfMemory
from peer.device.processes import (
    Stopped,
    StopSignal,
    give_way_to_training,
    leave,
    leave_nothing_behind,
    start_anew,
)
from peer.device.wishes import Wishes
from peer.doctor.examine import examine
from peer.joining.errors import JoinError
from peer.joining.going_back import GoBackRequest
from peer.joining.invite import Invite, InviteError
from peer.joining.join import join
from peer.joining.outside import asks_in
from peer.joining.own_invite import invite_of_running_peer
from peer.joining.owner_commands import LOCKED, OPEN
from peer.joining.owner_requests import OwnerRequests
from peer.joining.prepare_text import prepare_again
from peer.joining.presence import Presence
from peer.joining.questions import QuestionRequests
from peer.joining.run import Run
from peer.joining.take_state import sync
from peer.joining.wanted_run import Wanted
from peer.network.address import (
    LOOPBACK,
    NetworkError,
    check_addresses,
    check_port,
    free_port,
    lan_address,
)
from peer.network.folder import runs_in
from peer.network.handle import Network
from peer.page.asking import ask_for_page
from peer.page.control import NotDone
from peer.page.models import Said
from peer.page.place import read_place
from peer.page.report import write_report
from peer.page.snapshots import Snapshots
from peer.state.fetching import TransferError
from peer.swarm.household import HouseholdError
from peer.training.health import DamagedAnchor
from peer.training.setup import Options, set_up
from peer.wire import Notice, Role

NICENESS = 10  # whoever uses the device goes first
USER_ERRORS = (
    DataError,
    tokenizer.TokenizerError,
    DatasetError,
    CheckpointError,
    SettingsError,
    JoinError,
    NetworkError,
    HouseholdError,
    OutOfMemory,
    DamagedAnchor,
    InviteError,
    TransferError,
    NotDone,
    ControlError,
)


def settings_of(arguments: argparse.Namespace, display: Display) -> Settings:
    """Return the settings file's settings, if there is one, with what the command line says on top.

    Raises SettingsError.
    """
    path = arguments.config or Path("config.json")
    settings, notices = load_settings(path) if arguments.config or path.exists() else (Settings(), [])
    for notice in notices:
        display.note(notice)
    swarm = settings.swarm.model_dump()
    swarm.update({key: value for key in ("run", "averaging") if (value := getattr(arguments, key)) is not None})
    try:
        return settings.model_copy(update={"swarm": type(settings.swarm).model_validate(swarm)})
    except ValueError as error:
        raise SettingsError(
            f"--run {swarm['run']!r}: a run's name has 1 to 40 of a-z, 0-9 and '-', and is not {' or '.join(LINKS)}"
        ) from error


def run_peer(arguments: argparse.Namespace, display: Display) -> int:
    """Do what the command line asks for; return the exit code. Raises USER_ERRORS."""
    if ask(arguments, display):
        return 0
    if arguments.report:
        path, *others = arguments.report
        done = "replaced" if path.exists() else "wrote"
        write_report(path, [arguments.checkpoints, *others], arguments.names)
        display.once(f"{done} {path}")
        return 0
    if arguments.page and not arguments.join:
        show_page(arguments.checkpoints, arguments.page, display)
        return 0
    if arguments.invite:
        display.invite(str(invite_of_running_peer(arguments.checkpoints, arguments.run)))
        return 0
    if arguments.join and not runs_in(arguments.checkpoints):
        display.keep_lines(EventLog(arguments.checkpoints))
    if arguments.sync and runs_in(arguments.checkpoints) and asks_in(arguments.checkpoints):
        raise JoinError(
            "the run is locked, and the peer that runs here asks to be let in: type the number that it shows on "
            "a device that is in, python -m peer --admit NUMBER, and sync then"
        )
    settings = settings_of(arguments, display)
    check_addresses(arguments.initial_peers)
    leave_nothing_behind()
    if arguments.doctor:
        own, listen = arguments.host or lan_address(), arguments.port or DEFAULT_PORT
        return 0 if examine(settings, own, listen, arguments.checkpoints, arguments.initial_peers) else 1
    with page_of(arguments, display):
        is_to_start_anew = take_part(arguments, settings, display)
    if is_to_start_anew:
        start_anew()
    return 0


@contextmanager
def page_of(arguments: argparse.Namespace, display: Display) -> Iterator[None]:
    """Serve the page while the block runs; where it cannot be, that is said, and the block runs without."""
    page = EARLY_PAGE
    if arguments.join and not arguments.no_page and not runs_in(arguments.checkpoints):
        try:
            page = page or PageProcess(arguments.checkpoints)
            page.show(display.note)
            display.note(KnownLine(f"page: {page.url}", "page", url=page.url))
        except OSError as error:
            display.note(f"the page is not served ({reason(error)}); training goes on without")
    try:
        yield
    finally:
        if page is not None:
            page.stop()


def show_page(checkpoints: Path, choice: str, display: Display) -> None:
    """Say where the page of the peer that runs here is, on the LAN as well where that is asked for. Raises NotDone."""
    url = read_place(checkpoints) if runs_in(checkpoints) else None
    if url is None:
        raise NotDone(f"no page is served from {checkpoints}: start one with python -m peer --join")
    if choice == "here":
        display.once(f"page: {url}")
        return
    show_link(ask_for_page(url, choice), display)


def show_link(said: Said, display: Display) -> None:
    """Show what the page has said, with its link."""
    display.once(said.said)
    if said.link:
        display.code(said.link)


def take_part(arguments: argparse.Namespace, settings: Settings, display: Display) -> bool:
    """Take part in the run until Ctrl+C, or until the end that the command line sets.

    Return True where new exports have come meanwhile, so that this device is to start anew with them.
    """
    deadline = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    name = device_name(arguments.name)
    network = open_network(arguments, settings, name, display)
    stop = StopSignal()
    wishes = Wishes(arguments.checkpoints, arguments.share_of_time)
    going_back = GoBackRequest(wishes, arguments.checkpoints / settings.swarm.run)
    requests = (OwnerRequests(network, name), QuestionRequests(network), DeviceRequests(wishes), going_back)
    actions = {name: action for request in requests for name, action in request.actions.items()}
    control = open_control(arguments.checkpoints, actions, display)
    to_prepare: Settings | None = None
    try:
        display.note(KnownLine(f"{name} listens at {network.address}", "listens", name=name, host=network.address.host))
        close_to_others([arguments.checkpoints, *private_places(), *tokenizer.private_files()], display.note)
        if network.zeroconf_problem:
            display.note(f"devices on this network are not found by themselves here ({network.zeroconf_problem})")
        place = str(network.address)
        me = Notice(peer=network.peer, name=name, address=place, role=Role.LOOKING, kind=device_kind())
        snapshots = Snapshots(arguments.checkpoints, wishes, display.note)
        presence = Presence(network, me, display, stop, deadline, None if arguments.sync else snapshots)
        show_page_on_lan(arguments, settings, presence)
        wanted = wanted_by(arguments, settings, wishes.share_of_time)
        if arguments.sync:
            sync(presence, wanted)
            return False
        run = join(presence, wanted)
        for line in who_may_come_in(network, run):
            display.note(line)
        trainer = set_up(run, options_of(arguments, deadline), presence, snapshots, arguments.checkpoints)
        trainer.train()
        to_prepare = run.settings if trainer.new_exports.came else None
    except Stopped:
        pass
    finally:
        if control is not None:
            control.stop()
        network.stop()
    if to_prepare is not None and not stop.received:
        prepare_again(to_prepare, display.note)
    display.note(KnownLine("goodbye", "goodbye"))
    return to_prepare is not None and not stop.received


def open_control(checkpoints: Path, actions: Mapping[str, Action], display: Display) -> Control | None:
    """Let the owner ask the running peer for something; say so and go on where this system has no unix sockets."""
    try:
        return Control(checkpoints, actions)
    except OSError as error:
        display.note(f"this peer cannot be asked for anything while it runs, such as to lock the run: {reason(error)}")
        return None


def wanted_by(arguments: argparse.Namespace, settings: Settings, share_of_time: float) -> Wanted:
    """Return the run that the command line asks for."""
    return Wanted(
        settings=settings,
        checkpoints=arguments.checkpoints,
        insists=arguments.config is not None,
        given=tuple(arguments.initial_peers),
        invite=arguments.join if isinstance(arguments.join, Invite) else None,
        size=arguments.size,
        hours=arguments.hours,
        share_of_time=share_of_time,
        private=arguments.private,
    )


def options_of(arguments: argparse.Namespace, deadline: float | None) -> Options:
    """Return how this device trains, as the command line says."""
    return Options(
        deadline=deadline,
        rounds=arguments.rounds,
        share_data=arguments.share_data,
        tensorboard=arguments.tensorboard,
        go_on=arguments.go_on,
    )


def show_page_on_lan(arguments: argparse.Namespace, settings: Settings, presence: Presence) -> None:
    """Serve the page on the LAN as well, where the command line or the settings say so, and show its link."""
    wanted = arguments.page == "lan" or (settings.swarm.page == "lan" and not arguments.no_page)
    if not wanted or not arguments.join:
        return
    presence.refresh()  # writes down where on the LAN this device is
    url = read_place(arguments.checkpoints)  # without a look at the folder's lock, which would let it go
    try:
        if url is not None:
            show_link(ask_for_page(url, "lan"), presence.display)
    except NotDone as error:
        presence.say(f"the page is not served on this network: {error}")


def who_may_come_in(network: Network, run: Run) -> list[str]:
    """Return the lines that say how others come into the run, and whether everybody can."""
    household = network.household
    if household is not None and household.is_locked:
        return [LOCKED]
    progress = run.start.progress
    invite = str(Invite(str(network.address), progress.run, progress.run_id))
    return [KnownLine(f"others join with: python -m peer --join {invite}", "invite", invite=invite), OPEN]


def device_name(wanted: str | None) -> str:
    """Return what others call this device: at most 64 letters that can be printed, and fit into an mDNS property."""
    name = "".join(letter for letter in (wanted or socket.gethostname()) if letter.isprintable())[:64]
    return name.encode()[:248].decode(errors="ignore") or "peer"


def open_network(arguments: argparse.Namespace, settings: Settings, name: str, display: Display) -> Network:
    """Start the network part of this device. Raises NetworkError."""
    own = arguments.host or lan_address()
    if own == LOOPBACK:
        display.note("no network found: this device trains alone until there is one")
    if arguments.port is not None:
        check_port(own, arguments.port)
    give_way_to_training()
    os.nice(max(0, NICENESS - os.nice(0)))  # it may have been started anew
    return Network(
        run=settings.swarm.run,
        name=name,
        host=own,
        port=arguments.port or free_port(own, DEFAULT_PORT),
        checkpoints=arguments.checkpoints,
        report=display.note,
        addresses=arguments.initial_peers,
        own_address=None if arguments.host else lan_address,
        invited=arguments.join.household if isinstance(arguments.join, Invite) else None,
    )


def main() -> int:
    """Return the exit code: 0, 1 where something failed, 2 for what the user can mend, 130 after a second Ctrl+C."""
    heed_interrupts()
    keep_private()
    arguments = parse_arguments()
    return exit_code(lambda: run_peer(arguments, Display()), USER_ERRORS)


if __name__ == "__main__":
    leave(main())

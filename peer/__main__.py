"""Train together with the devices on this network:  python -m peer --join

The same line on every device. A device that finds a run joins it; the first one founds it from the chats in data/raw.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import sys
import time
import traceback
from pathlib import Path

import tokenizer
from data.errors import DataError
from minigpt import heed_interrupts
from minigpt.checkpoint import reason
from minigpt.checkpoint.manifest import CheckpointError
from minigpt.cli import GuideMode, number_between
from minigpt.encoding import DatasetError
from minigpt.settings import Settings, SettingsError, load_settings
from peer.device.display import Display
from peer.device.memory import OutOfMemory
from peer.device.processes import Stopped, StopSignal, give_way_to_training, leave, leave_nothing_behind
from peer.doctor.examine import examine
from peer.joining.errors import JoinError
from peer.joining.invite import Invite, InviteError, invite_of_running_peer, parse_invite
from peer.joining.join import join
from peer.joining.presence import Presence
from peer.joining.take_state import sync
from peer.joining.wanted_run import Wanted
from peer.network.address import (
    LOOPBACK,
    NetworkError,
    check_addresses,
    check_port,
    free_port,
    host,
    lan_address,
    port,
)
from peer.network.handle import Network
from peer.state.fetching import TransferError
from peer.training.setup import Options, set_up
from peer.wire import Notice, Role

DEFAULT_PORT = 23457
NICENESS = 10  # whoever uses the device goes first
USER_ERRORS = (
    DataError,
    tokenizer.TokenizerError,
    DatasetError,
    CheckpointError,
    SettingsError,
    JoinError,
    NetworkError,
    OutOfMemory,
    InviteError,
    TransferError,
)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options. Ends the program with code 2 where they ask for nothing, or for too much."""
    parser = argparse.ArgumentParser(
        prog="python -m peer",
        description="Train a small GPT together with the devices on this network. The same line on every device: "
        "python -m peer --join. Ctrl+C ends it and keeps the state; the same line again goes on from there.",
    )
    add_joining_options(parser)
    add_device_options(parser)
    add_network_options(parser)
    add_other_options(parser)
    parser.add_argument("--mode", action=GuideMode)
    parsed = parser.parse_args(arguments)
    if (problem := contradiction(parsed)) is not None:
        parser.error(problem)
    if not (parsed.join or parsed.sync or parsed.doctor or parsed.invite):
        parser.print_help()
        parser.exit(2, "\nnothing to do: add --join, --sync, --doctor or --invite\n")
    if isinstance(parsed.join, Invite):
        parsed.run = parsed.join.run or parsed.run
        parsed.initial_peers = [parsed.join.address, *parsed.initial_peers]
    return parsed


def contradiction(parsed: argparse.Namespace) -> str | None:
    """Return what is wrong with options that do not go together, or cannot be had; None where nothing is."""
    if parsed.tensorboard and importlib.util.find_spec("tensorboard") is None:
        return "--tensorboard needs one more package: pip install -e '.[tensorboard]'"
    if parsed.join and parsed.sync:
        return "--join trains and --sync does not: choose one"
    if parsed.sync and parsed.share_data:
        return "--sync ends when it has the state, and shares nothing: leave --share-data out"
    if isinstance(parsed.join, Invite) and parsed.run not in (None, parsed.join.run or parsed.run):
        return f"the invite is for run '{parsed.join.run}', and --run says '{parsed.run}'"
    return None


def add_joining_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("joining")
    group.add_argument(
        "--join",
        nargs="?",
        type=invite,
        const=True,
        metavar="INVITE",
        help="join the run of this network, or found it if there is none; with an invite, the run that it is for",
    )
    group.add_argument("--run", default=None, help="name of the run, if several share a network (default: cellmind)")
    group.add_argument(
        "--config", type=Path, default=None, help="settings that must hold (default: config.json, if there)"
    )
    group.add_argument(
        "--averaging",
        choices=("background", "sync"),
        default=None,
        help="background (default): nobody waits for the network; sync: one exact large batch, for fast networks",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("this device")
    group.add_argument("--name", default=None, help="what others call this device (default: its host name)")
    group.add_argument("--minutes", type=positive, default=None, help="end by itself after so many minutes")
    group.add_argument("--rounds", type=count, default=None, help="end by itself after so many rounds")
    group.add_argument(
        "--share-of-time",
        type=number_between(float, 0.01, 1),
        default=1.0,
        metavar="SHARE",
        help="train in so much of the time, such as 0.5, and rest between steps; a phone stays cooler (default: 1)",
    )
    group.add_argument(
        "--share-data",
        action="store_true",
        help="let devices without text of their own train on this one's: whoever is on this network can then take the "
        "cleaned chats, data/for-model-training/train.jsonl as token ids, and read them (default: they stay here)",
    )
    group.add_argument(
        "--checkpoints", type=Path, default=Path("checkpoints"), help="where state is kept (default: %(default)s)"
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="write logs for TensorBoard as well: tensorboard --logdir checkpoints",
    )


def add_network_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--initial-peers",
        nargs="+",
        default=[],
        metavar="ADDRESS",
        help="addresses of peers or bootstrap nodes, such as /ip4/192.168.0.10/tcp/23456/p2p/Qm…; "
        "needed only where devices do not find each other by themselves",
    )
    group.add_argument(
        "--host", type=host, default=None, help="this device's address on the LAN (default: found by itself)"
    )
    group.add_argument(
        "--port", type=port, default=None, help=f"TCP port to listen on (default: {DEFAULT_PORT}, or a free one)"
    )


def add_other_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other things it can do")
    group.add_argument(
        "--sync", action="store_true", help="only fetch the newest state of those who train into checkpoints/, and end"
    )
    group.add_argument(
        "--doctor", action="store_true", help="say why devices do not find each other and what to do, and end"
    )
    group.add_argument(
        "--invite", action="store_true", help="show an invite to the run that this device trains in, and end"
    )


def invite(text: str) -> Invite:
    try:
        return parse_invite(text)
    except InviteError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


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
        raise SettingsError(f"--run {swarm['run']!r}: a run's name has 1 to 40 of a-z, 0-9 and '-'") from error


def run_peer(arguments: argparse.Namespace, display: Display) -> int:
    """Do what the command line asks for; return the exit code. Raises USER_ERRORS."""
    if arguments.invite:
        display.invite(str(invite_of_running_peer(arguments.checkpoints, arguments.run)))
        return 0
    settings = settings_of(arguments, display)
    check_addresses(arguments.initial_peers)
    leave_nothing_behind()
    if arguments.doctor:
        own, listen = arguments.host or lan_address(), arguments.port or DEFAULT_PORT
        return 0 if examine(settings, own, listen, arguments.checkpoints, arguments.initial_peers) else 1
    take_part(arguments, settings, display)
    return 0


def take_part(arguments: argparse.Namespace, settings: Settings, display: Display) -> None:
    """Take part in the run until Ctrl+C, or until the end that the command line sets."""
    deadline = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    name = device_name(arguments.name)
    network = open_network(arguments, settings, name, display)
    stop = StopSignal()
    try:
        display.note(f"{name} listens at {network.address}")
        if network.zeroconf_problem:
            display.note(f"devices on this network are not found by themselves here ({network.zeroconf_problem})")
        me = Notice(peer=network.peer, name=name, address=str(network.address), role=Role.LOOKING)
        presence = Presence(network, me, display, stop, deadline)
        wanted = Wanted(
            settings=settings,
            checkpoints=arguments.checkpoints,
            insists=arguments.config is not None,
            given=tuple(arguments.initial_peers),
            invite=arguments.join if isinstance(arguments.join, Invite) else None,
        )
        if arguments.sync:
            sync(presence, wanted)
            return
        run = join(presence, wanted)
        progress = run.start.progress
        display.note(f"others join with --join {Invite(str(network.address), progress.run, progress.run_id)}")
        options = Options(
            deadline=deadline,
            rounds=arguments.rounds,
            share_data=arguments.share_data,
            share_of_time=arguments.share_of_time,
            tensorboard=arguments.tensorboard,
        )
        trainer = set_up(
            run,
            options,
            network=network,
            me=presence.me,
            checkpoints=arguments.checkpoints,
            display=display,
            stop=stop,
        )
        trainer.train()
    except Stopped:
        pass
    finally:
        network.stop()
    display.note("goodbye")


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
    os.nice(NICENESS)
    return Network(
        run=settings.swarm.run,
        name=name,
        host=own,
        port=arguments.port or free_port(own, DEFAULT_PORT),
        checkpoints=arguments.checkpoints,
        report=display.note,
        addresses=arguments.initial_peers,
        own_address=None if arguments.host else lan_address,
    )


def main() -> int:
    """Return the exit code: 0, 1 where something failed, 2 for what the user can mend, 130 after a second Ctrl+C."""
    heed_interrupts()
    arguments = parse_arguments()
    display = Display()
    try:
        return run_peer(arguments, display)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    leave(main())

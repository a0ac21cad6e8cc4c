"""The command line of `python -m peer`: its options, and which of them do not go together."""

from __future__ import annotations

import argparse
import importlib.util
import re
import unicodedata
from pathlib import Path

from data.terminal import CommandParser
from minigpt.cli import GuideMode, number_between
from minigpt.sizing import SIZES
from peer.joining.invite import Invite, invite_argument
from peer.network.address import host, port
from peer.page.asking import PAGE_CHOICES

DEFAULT_PORT = 23457
LEAST_HOURS, MOST_HOURS = 0.01, 10_000.0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options. Ends the program with code 2 where they ask for nothing, or for too much."""
    parser = CommandParser(
        prog="python -m peer",
        description="Train a small GPT together with the devices on this network. The same line on every device: "
        "python -m peer --join. Ctrl+C ends it and keeps the state; the same line again goes on from there.",
    )
    add_joining_options(parser)
    add_device_options(parser)
    add_network_options(parser)
    add_owner_options(parser)
    add_page_options(parser)
    add_other_options(parser)
    parser.add_argument("--mode", action=GuideMode)
    parsed = parser.parse_args(arguments)
    if (problem := contradiction(parsed)) is not None:
        parser.error(problem)
    if owner_asks(parsed):
        return parsed
    asks = (parsed.join, parsed.sync, parsed.doctor, parsed.invite, parsed.page, parsed.status, parsed.report)
    if not any(asks):
        parser.error("nothing to do: add --join, or another option, such as --status, --doctor or --invite")
    if isinstance(parsed.join, Invite):
        parsed.run = parsed.join.run or parsed.run
        parsed.initial_peers = [parsed.join.address, *parsed.initial_peers]
    return parsed


def contradiction(parsed: argparse.Namespace) -> str | None:
    """Return what is wrong with options that do not go together, or cannot be had; None where nothing is."""
    if parsed.tensorboard and importlib.util.find_spec("tensorboard") is None:
        return "--tensorboard needs one more package: pip install -e '.[tensorboard]'"
    if (parsed.json or parsed.watch) and not parsed.status:
        return "--json and --watch are ways to show the status: add --status"
    if parsed.names and not parsed.report:
        return "--names is for a report: add --report"
    if parsed.no_page and parsed.page:
        return "--page shows the page and --no-page leaves it out: choose one"
    if parsed.join and parsed.sync:
        return "--join trains and --sync does not: choose one"
    if parsed.sync and parsed.share_data:
        return "--sync ends when it has the state, and shares nothing: leave --share-data out"
    if (parsed.size or parsed.hours) and not parsed.join:
        return "--size and --hours are for the founding of a run: add --join"
    if parsed.private and not parsed.join:
        return "--private is for the founding of a run: add --join (a run that is trained is locked by --lock)"
    if owner_asks(parsed) and (parsed.join or parsed.sync or parsed.doctor or parsed.invite):
        return (
            "--lock, --unlock, --admit, --eject and --go-back ask the peer that runs here: type them beside it, "
            "without --join"
        )
    if parsed.yes and not parsed.lock:
        return "--yes is for --lock, which asks before it locks"
    if isinstance(parsed.join, Invite) and parsed.run not in (None, parsed.join.run or parsed.run):
        return f"the invite is for run '{parsed.join.run}', and --run says '{parsed.run}'"
    return None


def add_joining_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("joining")
    group.add_argument(
        "--join",
        nargs="?",
        type=invite_argument,
        const=True,
        metavar="INVITE",
        help="join the run of this network, or found it if there is none; with an invite, the run that it is for; "
        "- asks for the invite, or reads it from standard input, so that nobody sees it in ps",
    )
    group.add_argument(
        "--private", action="store_true", help="lock a run that this device founds from its first moment on"
    )
    group.add_argument("--run", default=None, help="name of the run, if several share a network (default: cellmind)")
    group.add_argument(
        "--config", type=Path, default=None, help="settings that must hold (default: config.json, if there)"
    )
    add_size_options(group)
    group.add_argument(
        "--averaging",
        choices=("background", "sync"),
        default=None,
        help="background (default): nobody waits for the network; sync: one exact large batch, for fast networks",
    )


def add_size_options(group: argparse._ArgumentGroup) -> None:
    one_of = group.add_mutually_exclusive_group()
    sizes = ", ".join(f"{name} {size.d_model}/{size.nhead}/{size.num_layers}" for name, size in SIZES.items())
    one_of.add_argument(
        "--size",
        choices=tuple(SIZES),
        default=None,
        help=f"size of a run that is founded, as d_model/nhead/num_layers: {sizes} "
        "(default: what the settings name, or else what learns most in an hour)",
    )
    one_of.add_argument(
        "--hours",
        type=number_between(float, LEAST_HOURS, MOST_HOURS),
        default=None,
        help="found a run of the size that learns most in so many hours of this device, by a measurement",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("this device")
    group.add_argument("--name", default=None, help="what others call this device (default: its host name)")
    group.add_argument("--minutes", type=positive, default=None, help="end by itself after so many minutes")
    group.add_argument(
        "--go-on",
        action="store_true",
        help="train on when the chats are learnt (default: rest until there is new text)",
    )
    group.add_argument("--rounds", type=count, default=None, help="end by itself after so many rounds")
    group.add_argument(
        "--share-of-time",
        type=number_between(float, 0.01, 1),
        default=None,
        metavar="SHARE",
        help="train in so much of the time, such as 0.5, and rest between steps; a phone stays cooler "
        "(default: what its page was told, or 1)",
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


def add_owner_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may come in (typed beside the peer that runs, on any device of the run)")
    one_of = group.add_mutually_exclusive_group()
    one_of.add_argument(
        "--lock",
        action="store_true",
        help="keep the run to the devices that are in it now, which are named first: nobody else reads or joins it",
    )
    one_of.add_argument("--unlock", action="store_true", help="let everybody on this network in again")
    one_of.add_argument(
        "--admit",
        type=knock_number,
        metavar="NUMBER",
        help="let in the device that knocks and shows this number, once you have seen it there",
    )
    one_of.add_argument("--eject", metavar="NAME", help="send a device out of the locked run; the others get a new key")
    group.add_argument("--yes", action="store_true", help="lock without asking")
    one_of.add_argument(
        "--go-back",
        action="store_true",
        help="give up the newer state that this device took of another one last, and all that came of it: go on from "
        "its own state of before; the others are told, and each owner decides for their own device",
    )


def add_page_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the page of this device, and its status")
    group.add_argument("--no-page", action="store_true", help="train without the page that a browser shows")
    group.add_argument(
        "--page",
        nargs="?",
        choices=PAGE_CHOICES,
        const="here",
        help="show where the page of the peer that runs here is; lan: show it to other devices on this network too, "
        "by a link with a token (also with --join); renew: by another link, those of before are good no more; "
        "alone: to no other device any more",
    )
    group.add_argument("--status", action="store_true", help="show the swarm as the peer that runs here sees it")
    group.add_argument("--json", action="store_true", help="the status for programs")
    group.add_argument("--watch", action="store_true", help="show the status until Ctrl+C")
    group.add_argument(
        "--report",
        nargs="+",
        type=Path,
        metavar=("FILE.html", "FOLDER"),
        help="write the run as one file to keep and to send: curves, devices, samples, settings; with checkpoints "
        "folders of other devices or nights their rounds are put in as well",
    )
    group.add_argument("--names", action="store_true", help="with the names of the devices in the report")


def add_other_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other things it can do")
    group.add_argument(
        "--sync", action="store_true", help="only fetch the state of those who train into checkpoints/, and end"
    )
    group.add_argument(
        "--doctor", action="store_true", help="say why devices do not find each other and what to do, and end"
    )
    group.add_argument(
        "--invite", action="store_true", help="show an invite to the run that this device trains in, and end"
    )


def knock_number(text: str) -> str:
    number = re.sub(r"\s", "", unicodedata.normalize("NFKC", text))  # a Korean keyboard may write wide digits
    if re.fullmatch("[0-9]{4}", number) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a knock: those have four digits")
    return number


def owner_asks(arguments: argparse.Namespace) -> bool:
    """Return whether the command line asks the peer that runs here for something."""
    asks = (arguments.lock, arguments.unlock, arguments.admit, arguments.go_back, arguments.eject is not None)
    return any(asks)


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

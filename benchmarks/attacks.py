"""What an outsider on the same Wi-Fi, and one bad member, can do:  python -m benchmarks.attacks --seconds 30

Two real peers of a tiny model on a test LAN train together, and a stranger attacks them with stock hivemind, our own
code, and no key (`benchmarks/outsider.py`). Before each attack the devices are left alone for as long as it takes: so
every one has its control beside it. Counted are what was answered or taken of what was tried, and exchanges: means that
moved the anchor of more than one device. `--open` is a run as it is founded, `--locked` one that its owner has locked;
both by default. Prints a table of each. Ends with 1 where an outsider got something out of a locked run, or where
exchanges suffered more than they may.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cold_starts import load
from benchmarks.donors import hostile_donors
from benchmarks.household import PEER
from benchmarks.scene import LINK_MBITS, RECOVERY_SECONDS, START_SECONDS, Outcome, Scene, join, measured
from benchmarks.takeover import honest_states, taken_over, with_tries
from tests.lan import Host, Lan, wait_until

ANSWER_SECONDS = 30.0  # in which an ejected device is told
ALONE_SECONDS = 10.0  # in which a device takes the time of whoever it meets
LEAST = {"open": 0.95, "locked": 0.98}  # of the exchanges a minute without the attack


# ---------------------------------------------------------------------- kinds of attacks


def from_outside(name: str, old: Path | None = None) -> Callable[[Scene], Outcome]:
    """Return the attack that `benchmarks/outsider.py` has under that name, with as long a time without it before."""

    def attack(scene: Scene) -> Outcome:
        outsider = scene.outsider(name, calm=scene.seconds + 1.0, seconds=scene.seconds, old=old)
        outsider.wait_for("^ready", START_SECONDS)
        ready = time.time()
        said = json.loads(outsider.wait_for(r"^\{.*\}$", 3 * scene.seconds + 90.0)[0])
        return measured(scene, ready, said["began"], said["ended"], said)

    return attack


def named_otherwise(scene: Scene) -> Outcome:
    """Names taken, and how many rounds have a device under another name than its own."""
    began = time.time()
    outcome = from_outside("names")(scene)
    lines = [line for device in scene.devices for line in device.metrics() if line["time"] > began]
    wrong = sum(any("(" in name for name in line["peers"]) for line in lines)
    return replace(outcome, words=f"{wrong} of {len(lines)} rounds name a device otherwise")


def with_our_code(scene: Scene) -> Outcome:
    """Take the model, and join, by the project's own commands."""
    device = scene.outside
    ready = time.time()
    time.sleep(scene.seconds)
    began = time.time()
    pull = device.start("peer.joining.pull", scene.addresses[0], "--into", "taken", log="pull")
    sync = device.start("peer", "--sync", "--checkpoints", "synced", "--initial-peers", *scene.addresses, log="sync")
    got = [
        wait_until(lambda process=process: not process.running(), 45) and process.wait(1) == 0  # type: ignore[misc]
        for process in (pull, sync)
    ]
    peer = device.start(PEER, *join(device), "--initial-peers", *scene.addresses)
    got.append(wait_until(lambda: f"{device.host.name} is here" in scene.processes[0].output(), scene.seconds + 15))
    ended = time.time()
    for process in (pull, sync, peer):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    words = ", ".join(what for what, taken in zip(("model", "state", "membership"), got) if taken)
    return measured(scene, ready, began, ended, {"tried": len(got), "got": sum(map(bool, got)), "words": words})


@contextmanager
def member(scene: Scene) -> Iterator[Path]:
    """A third device that trains with the two; while the file is there that it is given, it lies."""
    lie = scene.folder / "lie"
    invite = re.search(r"CM\d-\w+", scene.owner("--invite"))
    assert invite is not None
    process = scene.member.start("benchmarks.bad_member", str(lie), *join(scene.member, invite=invite[0]))
    try:
        process.wait_for(r"^round .* with .*host1", START_SECONDS)
        scene.wait_until_calm()
        yield lie
    finally:
        lie.unlink(missing_ok=True)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(30.0)


def large_group(scene: Scene) -> Outcome:
    """A member says that it expects a group of 64."""
    with member(scene) as lie:
        ready = time.time()
        time.sleep(scene.seconds)
        began = time.time()
        lie.touch()
        time.sleep(scene.seconds)
        ended = time.time()
        lie.unlink()
        return measured(scene, ready, began, ended, {"tried": 1, "got": 1, "words": "by a member"})


def wrong_clocks(scene: Scene) -> Outcome:
    """Each of the two is alone with a stranger at its start, whose clock is ten years off; then the network is whole.

    The time beside it is the same with strangers whose clocks are right.
    """
    calm, _ = apart_with_strangers(scene, ("clock-right", "clock-right"))
    scene.left_alone(calm)
    attacked, shifted = apart_with_strangers(scene, ("clock-ahead", "clock-behind"))
    return Outcome(2, shifted, calm, attacked, scene.wait_until_calm(), "clocks that are ten years off now")


def apart_with_strangers(scene: Scene, attacks: tuple[str, str]) -> tuple[float, int]:
    """Return the exchanges a minute after the network is whole, and how many clocks are wrong.

    The strangers stay, and each answers one of the two only.
    """
    scene.stop()
    first, second = scene.devices
    with answers_only(scene.stranger, second.host), answers_only(scene.other_stranger, first.host):
        scene.lan.partition([first.host, scene.stranger])
        long = START_SECONDS + scene.seconds
        strangers = [scene.outsider(what, calm=0.0, seconds=long, number=at) for at, what in enumerate(attacks)]
        for stranger in strangers:
            stranger.wait_for("^listens", START_SECONDS)
        scene.processes = [device.start(PEER, *join(device)) for device in scene.devices]
        for process in scene.processes:
            process.wait_for(r"trains [\d.]+ M parameters", START_SECONDS)
        time.sleep(ALONE_SECONDS)
        scene.lan.heal()
        healed = time.time()
        time.sleep(scene.seconds)
        rate = scene.exchanges(healed, time.time())
        for stranger in strangers:
            with suppress(ProcessLookupError):
                os.killpg(stranger.pid, signal.SIGKILL)
    return rate, sum(bool(re.search(r"clock is \d+ days", process.output())) for process in scene.processes)


@contextmanager
def answers_only(stranger: Host, other: Host) -> Iterator[None]:
    """Nothing of what the stranger sends reaches the other one."""
    route = ("blackhole", f"{other.address}/32")
    stranger.run("ip", "route", "add", *route)
    try:
        yield
    finally:
        stranger.run("ip", "route", "del", *route)


def ejected(scene: Scene) -> Outcome:
    """Eject a member; what it gets afterwards, with its identity and the key that it has kept."""
    kept = scene.folder / "ejected"
    with member(scene):
        files = shutil.ignore_patterns("round-*", "*.sock*")
        shutil.copytree(scene.member.folder / "checkpoints", kept, symlinks=True, ignore=files)
        began = time.time()
        scene.owner("--eject", scene.member.host.name)
        told = wait_until(lambda: "was ejected" in scene.member.log("benchmarks.bad_member"), ANSWER_SECONDS)
        words = f"told after {time.time() - began:.1f} s" if told else "not told"
    scene.wait_until_calm()
    outcome = from_outside("old-key", kept)(scene)
    return replace(outcome, words=words)


@dataclass(frozen=True)
class Attack:
    """An attack of the table.

    :param how: in words
    :param is_lie: it says what is not true, which in an open run may not hold up exchanges either
    :param by_member: who does it is a member of a locked run, too
    :param on_lock: it is made for a locked run, and left out of an open one
    :param on_open: it is made for an open run, and left out of a locked one
    """

    how: str
    run: Callable[[Scene], Outcome]
    is_lie: bool = False
    by_member: bool = False
    on_lock: bool = False
    on_open: bool = False

    def missed(self, outcome: Outcome, *, locked: bool) -> str:
        """Return what should not have happened, in words; "" where nothing did."""
        if outcome.got > 0 and (self.on_open or (locked and not self.by_member)):
            return "got through"
        suffers = (locked or self.is_lie) and not outcome.kept >= LEAST["locked" if locked else "open"]
        return "holds them up" if suffers else ""


ATTACKS = {
    "read": Attack("every RPC of every service, by stock hivemind", from_outside("read")),
    "text": Attack("the text of a device with --share-data", from_outside("text")),
    "listen": Attack("names, by mDNS alone", from_outside("listen")),
    "our-code": Attack("the model, the state and membership, by our own commands", with_our_code),
    "left": Attack("goodbyes in the name of others, newer than their own words", from_outside("left"), is_lie=True),
    "again": Attack("what others have said, again and for longer", from_outside("again"), is_lie=True),
    "names": Attack("names of others, and to have been there before them", named_otherwise, is_lie=True),
    "ahead": Attack("a made-up device that is far ahead", from_outside("ahead"), is_lie=True),
    "twelve-ahead": Attack("twelve of them", from_outside("twelve-ahead"), is_lie=True),
    "ahead-and-there": Attack("three that are there and answer", from_outside("ahead-and-there"), is_lie=True),
    "ghosts": Attack("three made-up devices at the anchor", from_outside("ghosts"), is_lie=True),
    "ghosts-and-there": Attack("three that are there and answer", from_outside("ghosts-and-there"), is_lie=True),
    "wrong-key": Attack("every RPC with proofs that are none", from_outside("wrong-key"), on_lock=True),
    "reflected": Attack("every RPC with the devices' own proofs", from_outside("reflected"), on_lock=True),
    "knocks": Attack("ten devices that knock at once, with one nonce", from_outside("knocks"), on_lock=True),
    "idle": Attack("1,000 TCP connections that do nothing", from_outside("idle")),
    "downloads": Attack("16 downloads at once", from_outside("downloads")),
    "group-of-64": Attack("a member that expects a group of 64", large_group, is_lie=True, by_member=True),
    "ejected": Attack("an ejected device with its key and identity", ejected, on_lock=True),
    "clocks": Attack("clocks ±10 years, each of two devices alone with one", wrong_clocks, is_lie=True),
    "household": Attack("a stranger that trains locks the run, without the second device", from_outside("household")),
    "takeover": Attack("made-up newer states; taken", with_tries(taken_over), on_open=True),
    "honest": Attack("newer states of honest devices; not taken", with_tries(honest_states), on_open=True),
    "donors": Attack("hostile donors; a newcomer not helped in time", with_tries(hostile_donors), on_open=True),
}


# ---------------------------------------------------------------------- the table


def run(names: list[str], *, locked: bool, seconds: float, devices: int = 2, tries: int = 20) -> dict[str, Outcome]:
    """Return the outcome of each attack on a household of its own."""
    outcomes: dict[str, Outcome] = {}
    names = [name for name in names if not (ATTACKS[name].on_open if locked else ATTACKS[name].on_lock)]
    if not names:
        return outcomes
    with tempfile.TemporaryDirectory(prefix="cellmind-attacks-") as folder, Lan(devices + 3, LINK_MBITS) as lan:
        scene = Scene(lan, Path(folder), locked=locked, seconds=seconds, tries=tries)
        scene.begin()
        for name in names:
            outcomes[name] = outcome = ATTACKS[name].run(scene)
            print(f"{'locked' if locked else 'open'} · {row(name, outcome, locked=locked)} · {load()}", flush=True)
            for process in scene.processes:
                if not process.running():
                    raise RuntimeError(f"{name} ended a device:\n{process.output()[-3000:]}")
        for process in scene.processes:
            process.kill()
    return outcomes


def row(name: str, outcome: Outcome, *, locked: bool) -> str:
    """Return an attack's line of the table."""
    what = f"{outcome.got} of {outcome.tried}" + (f": {outcome.words}" if outcome.words else "")
    exchanges = f"{outcome.attacked:.0f} ÷ {outcome.calm:.0f} = {outcome.kept:.2f}"
    recovered = f"{outcome.recovered:.0f} s" if outcome.recovered else f"not within {RECOVERY_SECONDS:.0f} s"
    attack = ATTACKS[name]
    return f"| {name} | {attack.how} | {what} | {exchanges} | {recovered} | {attack.missed(outcome, locked=locked)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each attack (default: %(default)s)")
    parser.add_argument("--devices", type=int, default=2, help="that train together (default: %(default)s)")
    parser.add_argument("--tries", type=int, default=20, help="of what is counted (default: %(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--open", dest="runs", action="store_const", const=[False], help="an open run only")
    which.add_argument("--locked", dest="runs", action="store_const", const=[True], help="a locked one only")
    parser.set_defaults(runs=[False, True])
    arguments = parser.parse_args()
    failed = False
    for locked in arguments.runs:
        seconds, devices, tries = arguments.seconds, arguments.devices, arguments.tries
        outcomes = run(arguments.only, locked=locked, seconds=seconds, devices=devices, tries=tries)
        print(f"\n| {'locked' if locked else 'open'} | what | answered or taken | exchanges a minute | again after | |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, outcome in outcomes.items():
            print(row(name, outcome, locked=locked))
            failed |= bool(ATTACKS[name].missed(outcome, locked=locked))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

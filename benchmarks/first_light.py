"""Time the steps of a first evening:  python -m benchmarks.first_light

Real peers on a test LAN (root and iproute2 needed), about eight minutes. Prints one line a question; compare with the
bars in docs/benchmarks.md.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.devices import TINY, Device
from tests.host_process import HostProcess
from tests.lan import Lan, wait_until

LONG = 240.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cellmind-first-light-") as folder:
        for measure in (fresh_clone, same_instant, phone_and_bootstrap):
            measure(Path(folder))


def say(question: str, answer: str) -> None:
    print(f"| {question} | {answer} |", flush=True)


def seconds_until(process: HostProcess, pattern: str, started: float) -> float:
    """Seconds from `started` until the process has written the pattern."""
    process.wait_for(pattern, LONG)
    return time.monotonic() - started


def seconds_until_true(condition: Callable[[], object], started: float) -> float:
    if not wait_until(lambda: bool(condition()), LONG):
        sys.exit("it did not happen in time")
    return time.monotonic() - started


def fresh_clone(folder: Path) -> None:
    """One device, the sample chats and the settings as they are shipped."""
    with Lan(hosts=1) as lan:
        device = Device(lan.hosts[0], folder / "fresh")
        started = time.monotonic()
        process = device.host.start(
            *(sys.executable, "-u", "-m", "peer", "--join"), cwd=device.folder, log=device.folder / "peer.log"
        )
        process.wait_for(r"trains [\d.]+ M parameters", LONG)
        training = time.monotonic() - started
        at_start = float(process.wait_for(r"held-out loss at the start: ([\d.]+)", LONG)[1])
        say("fresh clone: training begins after", f"{training:.1f} s")
        wait_until(lambda: time.monotonic() - started > 180 or not process.running(), 200)
        later = [float(loss) for loss in re.findall(r"· held-out ([\d.]+)", process.output())]
        falls = ", ".join(f"{1 - loss / at_start:.0%}" for loss in later)
        say(f"fresh clone: held-out loss {at_start:.3f} has fallen within 3 minutes, by rounds", falls)
        interrupted = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(LONG)
        say("Ctrl+C: ends after", f"{time.monotonic() - interrupted:.1f} s, exit code {code}")
        gone = seconds_until_true(lambda: not device.host.pids(), interrupted)
        say("Ctrl+C: no process left after", f"{gone:.1f} s")
        again = device.join("--rounds", "0")
        say("the same line again", again.wait_for("going on with run.*", LONG)[0])
        again.wait(LONG)


def same_instant(folder: Path) -> None:
    """Two devices with a tiny model, the same line at the same instant, no address given."""
    with Lan(hosts=2) as lan:
        devices = [Device(host, folder / f"instant-{host.name}", TINY) for host in lan.hosts]
        started = time.monotonic()
        processes = [device.join() for device in devices]
        heard = [seconds_until(process, "^found host", started) for process in processes]
        say("two at the same instant: each names the other after", ", ".join(f"{s:.1f} s" for s in heard))

        def common() -> list[str]:
            first, second = ({line["round"]: line["anchor"] for line in device.metrics()} for device in devices)
            return [str(first[round] == second[round]) for round in first.keys() & second.keys() if round > 1]

        took = seconds_until_true(lambda: len(common()) >= 5, started)
        founders = sum("founded run" in process.output() for process in processes)
        say("two at the same instant: runs founded", str(founders))
        say(f"anchors equal in the {len(common())} rounds closed by both, {took:.0f} s after the start", str(common()))


def phone_and_bootstrap(folder: Path) -> None:
    """A third device through the bootstrap node, with multicast blocked, killed; a fourth through a peer's address."""
    with Lan(hosts=4) as lan:
        node = Device(lan.hosts[0], folder / "node")
        desk, phone, late = (Device(host, folder / f"late-{host.name}", TINY) for host in lan.hosts[1:])
        for newcomer in (phone, late):
            (newcomer.folder / "config.json").unlink()
        for host in lan.hosts:
            host.block_multicast()
        bootstrap = node.start("bootstrap")
        address = bootstrap.wait_for(r"node at (\S+)", LONG)[1]
        training = desk.join("--initial-peers", address)
        training.wait_for("^round 2", LONG)
        started = time.monotonic()
        joining = phone.join("--initial-peers", address)
        took = seconds_until_true(lambda: contributed(phone), started)
        say("clone without multicast, bootstrap address: first contribution in a round after", f"{took:.1f} s")
        killed = time.monotonic()
        os.killpg(joining.pid, signal.SIGKILL)
        say("kill -9: the others say that it left after", f"{seconds_until(training, '^host3 left', killed):.1f} s")
        gone = seconds_until_true(lambda: not lan.hosts[2].pids(), killed)
        say("kill -9: none of its processes lives after", f"{gone:.1f} s")
        bootstrap.kill()
        desk.wait_for_rounds(len(desk.metrics()) + 4, LONG)
        times = [float(str(line["time"])) for line in desk.metrics()]
        rounds = [later - earlier for earlier, later in itertools.pairwise(times)]
        say("rounds of the peer that stayed, seconds", ", ".join(f"{seconds:.1f}" for seconds in rounds))
        started = time.monotonic()
        own = training.wait_for(r"listens at (\S+)", LONG)[1]
        late.join("--initial-peers", own)
        took = seconds_until_true(lambda: contributed(late), started)
        say("bootstrap killed, a fourth through a peer's address: first contribution after", f"{took:.1f} s")


def contributed(device: Device) -> bool:
    """Return whether a round was closed in company with sequences of this device in it."""
    return any(len(line["peers"]) > 1 and line["share"] > 0 for line in device.metrics())


if __name__ == "__main__":
    main()

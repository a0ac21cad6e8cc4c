"""A household under faults, against the same one without:  python -m benchmarks.chaos --peers 8 --minutes 30 --seed 1

Real peers of a tiny model on the test LAN, so many minutes in peace and then as many under the faults of
`benchmarks/faults.py`, from the same start. Writes into the folder chaos/: the schedule (faults.jsonl, which --replay
takes again), what was seen (chaos.json), logs, and a picture (chaos.png, with matplotlib). Prints a table:

- **throughput kept**: sequences taken into the anchor that the swarm ends with, per live peer-second, against the run
  in peace. A device is *live* from its first step after a start until it is killed, except while it is stopped: what
  it trains alone, its cable cut, has to come into the anchor as well. One that ended by itself stays live for good.
- **rounds lost**: rounds that were closed with another anchor than the swarm's, or closed again after a power cut.
- **longest stall**: seconds in which somebody was live and the anchor did not move on, as rounds tell.
- **swarms at the end**: groups of devices that had rounds in common in the last minute (the last 75 s are without
  faults); and whether the anchors of their common rounds were equal.
- **loss**: held-out loss against the run in peace at the same number of sequences, over the last quarter.

Two cores hold eight peers of which each would take all it can get, and become faster when another one dies. So a step
takes a fixed time here (--step; most of it sleep, `benchmarks/steady_peer.py`): long enough that all together leave
more than a third of the machine idle, where a start of some seconds of imports fits in without slowing the others. Both
runs print how busy the machine was; figures of one that was busy for more than 90 % mean little.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import faults
from benchmarks.faults import Fault, schedule
from benchmarks.household import START_SECONDS, Household
from tests.devices import TINY
from tests.lan import Lan

POLL_SECONDS = 0.25
PROGRESS_SECONDS = 30.0
DELAY_SECONDS = 60.0  # a round's line is written once its anchor was judged, at most so long after the round
REUNITED_SHARE = 0.75  # of the time without faults at the end, in which all have to be one swarm
SETTINGS = {**TINY, "training": {**TINY["training"], "lr": 5e-4}, "swarm": {"samples_per_round": 256}}
SEQ_LEN = TINY["training"]["dataset"]["seq_len"]


@dataclass
class Record:
    """The observations of one run; times are seconds since all had trained together."""

    lines: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)  # (time, device, line of metrics)
    live: list[tuple[float, int]] = field(default_factory=list)  # (time, live devices) from look to look
    problems: list[str] = field(default_factory=list)
    busy: float = 0.0  # share of the machine's processor time that was used, by whomever

    def live_seconds(self, begin: float, end: float) -> float:
        """Peer-seconds between two times."""
        return sum(count * (min(after, end) - max(at, begin)) for (at, count), (after, _) in self._looks(begin, end))

    def seconds_with_anybody(self, begin: float, end: float) -> float:
        return sum(min(after, end) - max(at, begin) for (at, count), (after, _) in self._looks(begin, end) if count)

    def _looks(self, begin: float, end: float) -> list[tuple[tuple[float, int], tuple[float, int]]]:
        return [(now, then) for now, then in pairwise(self.live) if then[0] > begin and now[0] < end]

    def frontier(self) -> list[tuple[float, int]]:
        """(time, sequences) whenever somebody closed a round with more training behind it than any before."""
        points: list[tuple[float, int]] = []
        for at, _, line in sorted(self.lines, key=lambda seen: seen[0]):
            if not points or line["tokens"] // SEQ_LEN > points[-1][1]:
                points.append((at, line["tokens"] // SEQ_LEN))
        return points

    def throughput(self) -> tuple[int, float]:
        """Sequences that came into the anchor, and live peer-seconds, from the first round to the last one's end."""
        (begin, had), (end, has) = self.frontier()[0], self.frontier()[-1]
        return has - had, self.live_seconds(begin, end)

    def longest_stall(self) -> float:
        return max(self.seconds_with_anybody(at, after) for (at, _), (after, _) in pairwise(self.frontier()))

    def rounds_lost(self) -> int:
        closed = {(line["round"], line["anchor"]) for _, _, line in self.lines}
        return len(closed) - len({round for round, _ in closed})

    def at_the_end(self, peers: int, seconds: float) -> tuple[int, bool]:
        """Return the number of swarms in the last so many seconds, and whether anchors of common rounds are equal."""
        last = [(device, line) for at, device, line in self.lines if at > self.live[-1][0] - seconds]
        swarms = [{device} for device in range(peers)]
        anchors: dict[int, dict[str, set[int]]] = {}
        for device, line in last:
            anchors.setdefault(line["round"], {}).setdefault(line["anchor"], set()).add(device)
        for round in anchors.values():
            for together in round.values():
                joined = [swarm for swarm in swarms if swarm & together]
                swarms = [swarm for swarm in swarms if not swarm & together] + [set().union(*joined)]
        return len(swarms), all(len(round) == 1 for round in anchors.values())

    def losses(self) -> list[tuple[int, float]]:
        """(sequences, held-out loss), in order."""
        return sorted(
            (line["tokens"] // SEQ_LEN, line["valid_loss"])
            for _, _, line in self.lines
            if line.get("valid_loss") is not None
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=int, default=8, help="devices, at least 3 (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of each of the two runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (default: %(default)s)")
    parser.add_argument("--step", type=float, default=0.5, help="seconds of a training step (default: %(default)s)")
    parser.add_argument("--locked", action="store_true", help="the run is a locked one, in peace as well")
    parser.add_argument("--replay", type=Path, help="a faults.jsonl, whose devices, minutes and faults are taken")
    parser.add_argument("--output", type=Path, default=Path("chaos"), help="folder (default: %(default)s)")
    arguments = parser.parse_args()
    header: dict[str, Any] = {"peers": arguments.peers, "minutes": arguments.minutes, "seed": arguments.seed}
    try:
        if arguments.replay:
            header, plan = faults.read(arguments.replay)
        else:
            plan = schedule(arguments.seed, arguments.peers, arguments.minutes)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    arguments.output.mkdir(parents=True, exist_ok=True)
    faults.write(arguments.output / "faults.jsonl", header, plan)
    with tempfile.TemporaryDirectory(prefix="cellmind-chaos-") as folder, Lan(hosts=0) as lan:
        household = Household(lan, Path(folder), header["peers"], arguments.step, SETTINGS)
        household.found(locked=arguments.locked)
        records = {}
        for name, happens in (("peace", []), ("chaos", plan)):
            print(
                f"{name}: {header['peers']} devices, {header['minutes']:g} minutes, {len(happens)} faults", flush=True
            )
            records[name] = run(household, happens, 60 * header["minutes"], arguments.output / name)
    report(records["peace"], records["chaos"], plan, header, arguments.output)


def run(household: Household, plan: list[Fault], seconds: float, logs: Path) -> Record:
    """All devices from the same start, and what happens to them from the moment on when all have trained together."""
    record, household.problems = Record(), []
    try:
        with household.running():
            watch = Watch(household, record)
            watch.until_all_train_together()
            print(f"all train together after {watch.begin_now():.0f} s", flush=True)
            follow(watch, plan, seconds)
            household.leave()
    finally:
        household.keep_logs(logs)
    return record


def follow(watch: Watch, plan: list[Fault], seconds: float) -> None:
    """Let happen what is due, and look, until the time is over."""
    household, record = watch.household, watch.record
    due = sorted(
        [(fault.time, 0, fault) for fault in plan] + [(fault.end, 1, fault) for fault in plan], key=lambda d: d[:2]
    )
    busy, said = processor_seconds(), 0.0
    while (now := watch.look()) < seconds:
        while due and due[0][0] <= now:
            _, ends, fault = due.pop(0)
            if not ends:
                print(f"{minutes(now)} {fault}", flush=True)
            (household.end if ends else household.begin)(fault)
        if now >= said + PROGRESS_SECONDS:
            said = now
            print(f"{minutes(now)} {watch.progress()}", flush=True)
        time.sleep(POLL_SECONDS)
    used, passed = (after - before for before, after in zip(busy, processor_seconds()))
    record.busy = used / passed
    record.problems = [*household.problems, *household.tracebacks()]


class Watch:
    """Looks at the devices from outside: what their metrics.jsonl say, and who is live."""

    def __init__(self, household: Household, record: Record):
        self.household, self.record = household, record
        self._began, self._epoch = time.monotonic(), time.time()
        self._read = [
            device.metrics_path().stat().st_size if device.metrics_path().exists() else 0
            for device in household.devices
        ]

    def until_all_train_together(self) -> None:
        together: set[int] = set()
        while len(together) < self.household.peers:
            self.look()
            names = self.household.peers
            together = {device for _, device, line in self.record.lines if len(line["peers"]) == names}
            if time.monotonic() > self._began + START_SECONDS:
                sys.exit(f"after {START_SECONDS:.0f} s only {len(together)} of {names} devices train with all others")
            time.sleep(POLL_SECONDS)

    def begin_now(self) -> float:
        """Count from now on; returns the seconds since the start."""
        since, self._began, self._epoch = time.monotonic() - self._began, time.monotonic(), time.time()
        self.record.lines, self.record.live = [], []
        return since

    def look(self) -> float:
        """Take in what is new; returns the time."""
        now = time.monotonic() - self._began
        for number, device in enumerate(self.household.devices):
            for line in self._new_lines(number, device.metrics_path()):
                closed = line["time"] - self._epoch  # when it was seen, if the device's clock has jumped since
                self.record.lines.append((closed if now - DELAY_SECONDS < closed <= now else now, number, line))
        live = sum(self.household.is_live(number) for number in range(self.household.peers))
        self.record.live.append((now, live))
        return now

    def _new_lines(self, number: int, path: Path) -> list[dict[str, Any]]:
        """Whole lines only; what a full disk has torn is passed over, as the model card does."""
        try:
            with path.open("rb") as file:
                file.seek(self._read[number])
                new = file.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read[number] += len(whole)
        lines = []
        for line in whole.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    def progress(self) -> str:
        record, points = self.record, self.record.frontier()
        if len(points) < 2:
            return f"{record.live[-1][1]} live, no round yet"
        sequences, live = record.throughput()
        newest = max((line for _, _, line in record.lines), key=lambda line: line["tokens"])
        together = f"round {newest['round']} with {len(newest['peers'])}"
        speed = f"{sequences / max(1.0, live):.2f} per live peer-second"
        return f"{record.live[-1][1]} live · {together} · {points[-1][1]:,} sequences · {speed}"


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"


def processor_seconds() -> tuple[float, float]:
    """Seconds that the machine's processors have worked, and that there were, since it was started (proc(5))."""
    user, nice, system, idle, iowait, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    ticks, used = os.sysconf("SC_CLK_TCK"), user + nice + system + sum(rest[:2])
    return used / ticks, (used + idle + iowait + sum(rest[2:])) / ticks


def loss_against(peace: Record, chaos: Record) -> float:
    """Held-out loss ÷ that of the run in peace at as many sequences, over the last quarter; NaN where there is none."""
    calm, ratios = peace.losses(), []
    last = min(calm[-1][0], chaos.losses()[-1][0]) if calm and chaos.losses() else 0
    for at, loss in chaos.losses():
        if 0.75 * last < at <= last:
            ratios += [
                loss / (better + (worse - better) * (after - at) / (after - before))
                for (before, worse), (after, better) in pairwise(calm)
                if before <= at < after
            ]
    return sum(ratios) / len(ratios) if ratios else float("nan")


def report(peace: Record, chaos: Record, plan: list[Fault], header: dict[str, Any], output: Path) -> None:
    rows: dict[str, list[str]] = {}
    speeds: list[float] = []
    peers, calm_seconds = header["peers"], faults.calm_at_the_end(header["minutes"])
    for record in (peace, chaos):
        sequences, live = record.throughput()
        swarms, equal = record.at_the_end(peers, REUNITED_SHARE * calm_seconds)
        speeds.append(sequences / live)
        for name, value in {
            "sequences taken into rounds": f"{sequences:,}",
            "live peer-seconds": f"{live:,.0f}",
            "sequences per live peer-second": f"{speeds[-1]:.3f}",
            "throughput kept": f"{speeds[-1] / speeds[0]:.3f}",
            "rounds lost": f"{record.rounds_lost()}",
            "longest stall": f"{record.longest_stall():.1f} s",
            "swarms at the end": f"{swarms}",
            "anchors equal at the end": "yes" if equal else "NO",
            "loss ÷ in peace": f"{loss_against(peace, record):.4f}",
            "processor busy": f"{record.busy:.0%}",
            "tracebacks and other problems": f"{len(record.problems)}",
        }.items():
            rows.setdefault(name, []).append(value)
    print(f"\n| {peers} devices | in peace | {len(plan)} faults |\n| --- | --- | --- |")
    for name, (calm, wild) in rows.items():
        print(f"| {name} | {calm} | {wild} |")
    for problem in [*peace.problems, *chaos.problems]:
        print(f"\n{problem}")
    seen = {name: {"lines": record.lines, "live": record.live} for name, record in (("peace", peace), ("chaos", chaos))}
    (output / "chaos.json").write_text(json.dumps({"table": rows, **seen}))
    draw(peace, chaos, plan, output / "chaos.png")


def draw(peace: Record, chaos: Record, plan: list[Fault], path: Path) -> None:
    """Live devices and those of the newest round over time, the faults as coloured bars, and sequences."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: pip install -e '.[benchmarks]' brings matplotlib")
        return
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(11, 7))
    above.step([at / 60 for at, _ in chaos.live], [count for _, count in chaos.live], where="post", label="live")
    newest = [(at, line) for at, _, line in chaos.lines]
    above.plot([at / 60 for at, _ in newest], [len(line["peers"]) for _, line in newest], ".", ms=3, label="in a round")
    colours = dict(zip(faults.Kind, pyplot.rcParams["axes.prop_cycle"].by_key()["color"]))
    for row, fault in enumerate(plan):
        above.barh(-0.5 - 0.3 * (row % 5), fault.duration / 60, 0.25, fault.time / 60, color=colours[fault.fault])
    for kind, colour in colours.items():
        above.barh(0, 0, color=colour, label=str(kind))
    above.set_ylabel("devices")
    above.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    for label, record in (("in peace", peace), ("under faults", chaos)):
        below.plot([at / 60 for at, _ in record.frontier()], [count for _, count in record.frontier()], label=label)
    below.set_ylabel("sequences in the anchor")
    below.set_xlabel("minutes")
    below.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()

"""Measure the page and what it costs:  python -m benchmarks.page

Parts of it alone: `--only open cost start ask`. It needs Chromium, root and iproute2 (see tests/lan.py).

open: a made-up run of 10,000 rounds and 32 devices, opened with nothing in the browser's cache; then how long a new
    round takes from its file to the curve.
cost: a device trains on the sample chats on one core, which its page has to share; in every second turn three pages
    are open in a browser on another core. A machine that others use as well is measured by what is trained for a minute
    of the processor, of training and page together.
start: the same device is started anew, on all cores; from its start to an answer of its page, and from there to what a
    browser shows.
ask: from a press of "Ask" to the first piece of the answer, and the same for `minigpt.generate`: each just started
    (cold), and each with the model loaded (warm).
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.time_to_loss import end, wait_until_compiled
from peer.page.snapshot import SNAPSHOT, read_snapshot
from tests.devices import Device
from tests.lan import Lan, wait_until
from tests.page import night
from tests.page.browser import Watched, browsers, chromium
from tests.page.conftest import PageProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROUNDS, DEVICES = 10_000, 32  # of the made-up run
TIMES = 5  # that a browser opens it, and that each is asked
STARTS = 3
PROMPT = "오늘 저녁에 뭐 먹을까? 나는"
SETTINGS = {"swarm": {"samples_per_round": 64}}  # shorter rounds than the guide's, so that turns can be short
PARTS = ("open", "cost", "start", "ask")
SHOWN = {  # when each is to be seen, in a page that looks at every frame
    "rows": "#people-list li",
    "curves": "#learning-chart canvas",
    "events": "#event-list li",
}
LOOK = """
window.shown = {};
const look = () => {
  for (const [name, selector] of Object.entries(SHOWN))
    if (!(name in shown) && document.querySelector(selector)) shown[name] = performance.now();
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# resolves to the milliseconds from the press of the button to the first piece of the answer
FIRST_PIECE = """() => new Promise((done) => {
  const began = performance.now();
  const answer = document.getElementById("answer");
  const watch = new MutationObserver(() => {
    if (!answer.querySelector("p > span:last-child:not(.prompt)")?.textContent) return;
    watch.disconnect();
    done(performance.now() - began);
  });
  watch.observe(answer, { childList: true, subtree: true });
  document.getElementById("send").click();
})"""
UNTIL_IT_ANSWERS = """
import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(sys.argv[1] + "/api/snapshot", timeout=5).read()
        print(time.time(), flush=True)
        break
    except OSError:
        time.sleep(0.02)
"""
GENERATE_WARM = """
import sys, time
from pathlib import Path
from minigpt.checkpoint import Checkpoint
from minigpt.cli import find_best
from minigpt.inference.decoding import InferenceModel
from minigpt.inference.prompts import as_learnt, encode_prompt
from minigpt.inference.sampling import Sampling, generate, stream_text
checkpoint, _ = find_best(Path(sys.argv[1]))
model, tokenizer = InferenceModel(checkpoint.build_model()), checkpoint.load_tokenizer()
for _ in range(int(sys.argv[3]) + 1):
    began = time.perf_counter()
    ids = encode_prompt(as_learnt(sys.argv[2], checkpoint), tokenizer)
    next(stream_text(tokenizer, generate(model, ids, max_new_tokens=100, sampling=Sampling(0.8))))
    print(1000 * (time.perf_counter() - began), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="(default: all)")
    parser.add_argument("--turns", type=int, default=4, help="of each kind, for the cost (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of them (default: %(default)s)")
    arguments = parser.parse_args()
    parts = set(arguments.only)
    say("| measure | figure |\n| --- | --- |")
    with tempfile.TemporaryDirectory(prefix="cellmind-page-") as folder:
        if "open" in parts:
            with browsers(chromium()) as [browser]:
                measure_open(browser, Path(folder, "made-up", "checkpoints"))
        if parts & {"cost", "start", "ask"}:
            with Lan(hosts=1) as lan:
                device = Device(lan.hosts[0], Path(folder, "device"), SETTINGS)
                measure_cost(device, arguments.turns if "cost" in parts else 0, arguments.seconds)
                if "start" in parts:
                    measure_start(device)
                if "ask" in parts:
                    measure_ask(device)
    row("load at the end, on so many cores", f"{os.getloadavg()[0]:.1f}, {os.cpu_count()}")


def say(line: str) -> None:
    print(line, flush=True)


def row(what: str, figure: str) -> None:
    say(f"| {what} | {figure} |")


def in_milliseconds(values: list[float]) -> str:
    """Return the middle one of some milliseconds, and the least and the most."""
    return f"{statistics.median(values):.0f} ms ({min(values):.0f} to {max(values):.0f})"


# ---------------------------------------------------------------------- a long run, opened


def write_long_run(checkpoints: Path) -> list[dict[str, Any]]:
    """Write the files of a run of many rounds and devices, and return its rounds."""
    names, began = [f"device-{number:02}" for number in range(DEVICES)], time.time() - ROUNDS * night.ROUND_SECONDS
    chance = random.Random(1)
    rounds = night.metrics(ROUNDS, began)
    for entry in rounds:
        entry |= {"speeds": {name: chance.uniform(100, 900) for name in names}, "peers": names}
    night.write_night(checkpoints, ROUNDS)
    night.write_lines(checkpoints / night.RUN / "metrics.jsonl", rounds)
    desk = night.peer("desk", began, ROUNDS * night.ROUND_SECONDS)
    peers = [
        desk.model_copy(update={"name": name, "peer": f"Qm{name}", "is_us": name == names[0], "share": 1 / DEVICES})
        for name in names
    ]
    night.write_snapshot(checkpoints, night.snapshot(rounds, began, peers=peers))
    return rounds


def measure_open(browser: Browser, checkpoints: Path) -> None:
    """Open the long run a few times, and let a round be added to it."""
    rounds = write_long_run(checkpoints)
    process = PageProcess(checkpoints)
    took: dict[str, list[float]] = {name: [] for name in SHOWN}
    news, heaps = list[float](), list[float]()
    try:
        for number in range(TIMES):
            shown = opened(browser, process.address)
            for name, milliseconds in shown.page.evaluate("shown").items():
                took[name].append(milliseconds)
            heaps.append(heap(shown))
            news.append(until_a_new_round_is_shown(shown, checkpoints, rounds[-1], number))
            shown.close()
    finally:
        process.kill()
    size = f"{ROUNDS:,} rounds of {DEVICES} devices"
    for name, milliseconds in took.items():
        row(f"{size}: {name} are to be seen after", in_milliseconds(milliseconds))
    row(f"{size}: the browser's heap", f"{max(heaps):.1f} MB")
    row(f"{size}: a new round is to be seen after", in_milliseconds(news))


def opened(browser: Browser, address: str) -> Watched:
    """Return the page, opened with nothing in the cache, once all of `SHOWN` is to be seen."""
    shown = Watched(browser, "about:blank")
    shown.page.add_init_script(f"const SHOWN = {SHOWN};\n{LOOK}")
    shown.page.goto(address)
    for selector in SHOWN.values():
        shown.page.wait_for_selector(selector, state="attached")
    wait_until(lambda: len(shown.page.evaluate("shown")) == len(SHOWN), 5)
    return shown


def heap(shown: Watched) -> float:
    """Return the MB of a page's JavaScript objects."""
    session = shown.context.new_cdp_session(shown.page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def until_a_new_round_is_shown(shown: Watched, checkpoints: Path, last: dict[str, Any], number: int) -> float:
    """Return the milliseconds from a round in the file to a curve that has it."""
    bits = 0.5 + number / 10  # what the newest values below the curve say then
    entry = {**last, "time": time.time(), "round": last["round"] + number + 1, "valid_bits_per_byte": bits}
    began = time.perf_counter()
    with (checkpoints / night.RUN / "metrics.jsonl").open("a") as file:
        file.write(night.as_line(entry))
    shown.page.locator("#learning-chart .u-legend", has_text=f"{bits:g}").wait_for()
    return 1000 * (time.perf_counter() - began)


# ---------------------------------------------------------------------- what it costs


def measure_cost(device: Device, turns: int, seconds: float) -> None:
    """Train in turns without and with open pages; with no turns, only until there is something to show and to ask."""
    process = device.start("peer", "--join", "--go-on", "--name", "desk", cpus=[0])
    address = process.wait_for(r"^page: (http://\S+)", 120)[1]
    wait_until_compiled([process])
    device.wait_for_rounds(2, 600)
    [page] = [pid for pid in device.host.pids() if b"peer.page" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with browsers(device.host.script(chromium(), device.folder / "chromium")) as [browser]:
        for _ in range(turns):
            found[False].append(turn(device, process.pid, page, seconds))
            with three_pages(browser, address):
                found[True].append(turn(device, process.pid, page, seconds))
    end([process])
    if turns:
        report_cost(found)


@contextmanager
def three_pages(browser: Browser, address: str) -> Iterator[None]:
    """Have the page open three times while the block runs."""
    pages = [opened(browser, address) for _ in range(3)]
    yield
    for page in pages:
        page.close()


def turn(device: Device, training: int, page: int, seconds: float) -> dict[str, float]:
    """Return what was trained in about so many seconds, and what time it took: on the clock, and of the processor.

    :param training: the id of that process, and of the page's
    """

    def now() -> dict[str, float]:
        sequences = sequences_of_next_snapshot(device)
        spent = {"training": processor_seconds(training), "page": processor_seconds(page)}
        return {"sequences": sequences, "seconds": time.monotonic(), **spent}

    before = now()
    time.sleep(seconds)
    after = now()
    return {name: after[name] - before[name] for name in after}


def sequences_of_next_snapshot(device: Device) -> int:
    """Return how many sequences are trained by the moment in which the next snapshot is written."""
    path = device.folder / "checkpoints" / SNAPSHOT
    last = path.stat().st_mtime_ns
    wait_until(lambda: path.stat().st_mtime_ns != last, 60)
    run = read_snapshot(path.parent).run
    return run.round * run.samples_per_round + run.round_sequences


def processor_seconds(pid: int) -> float:
    """Return the seconds of the processor that a process has had so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report_cost(found: dict[bool, list[dict[str, float]]]) -> None:
    def in_all(is_open: bool, name: str) -> float:
        return sum(turn[name] for turn in found[is_open])

    def ratio(of: Callable[[bool], float]) -> str:
        return f"{of(True):,.1f} ÷ {of(False):,.1f} = {of(True) / of(False):.3f}"

    def for_a_second_of_both(is_open: bool) -> float:
        return 60 * in_all(is_open, "sequences") / (in_all(is_open, "training") + in_all(is_open, "page"))

    row(
        "sequences a minute, three pages open ÷ none",
        ratio(lambda is_open: 60 * in_all(is_open, "sequences") / in_all(is_open, "seconds")),
    )
    row("sequences for a minute of the processor, of training and page", ratio(for_a_second_of_both))
    shares = {is_open: in_all(is_open, "page") / in_all(is_open, "seconds") for is_open in (False, True)}
    row("the page's share of the core, none open; three", f"{100 * shares[False]:.2f} %; {100 * shares[True]:.2f} %")
    row("what that leaves of the core, three ÷ none", f"{(1 - shares[True]) / (1 - shares[False]):.4f}")


# ---------------------------------------------------------------------- starting, asking


def measure_start(device: Device) -> None:
    """Start the device a few times."""
    answers, paints = list[float](), list[float]()
    with browsers(device.host.script(chromium(), device.folder / "chromium")) as [browser]:
        for number in range(STARTS):
            asks = device.host.start(
                *(sys.executable, "-c", UNTIL_IT_ANSWERS, "http://127.0.0.1:23480"),
                cwd=device.folder,
                log=device.folder / f"asks{number}.log",
            )
            time.sleep(1)  # in which it has begun to ask
            began = time.time()
            process = device.start("peer", "--join", "--go-on", "--name", "desk")
            answers.append(1000 * (float(asks.wait_for(r"\d+\.\d+", 60)[0]) - began))
            shown = opened(browser, "http://127.0.0.1:23480")
            paints.append(max(shown.page.evaluate("shown").values()))
            shown.close()
            process.wait_for(r"trains [\d.]+ M parameters", 120)
            end([process])
    row("start of the peer to the page answering", in_milliseconds(answers))
    row("from there to rows, curves and events in a browser", in_milliseconds(paints))


def measure_ask(device: Device) -> None:
    """Ask the page and `minigpt.generate` for the same, in turn."""
    checkpoints = device.folder / "checkpoints"
    cold, cold_generate, warm = list[float](), list[float](), list[float]()
    with browsers(chromium()) as [browser]:
        for _ in range(TIMES):
            process = PageProcess(checkpoints)
            shown = opened(browser, process.address)
            shown.page.fill("#prompt", PROMPT)
            cold.append(shown.page.evaluate(FIRST_PIECE))
            for _ in range(TIMES):
                shown.page.locator("#stop").wait_for(state="hidden")
                shown.page.click("#clear")
                warm.append(shown.page.evaluate(FIRST_PIECE))
            shown.close()
            process.kill()
            cold_generate.append(first_piece_of_generate(device.folder))
    command = [sys.executable, "-c", GENERATE_WARM, str(checkpoints), PROMPT, str(TIMES * TIMES)]
    said = subprocess.run(command, cwd=device.folder, capture_output=True, text=True, check=True).stdout
    warm_generate = [float(line) for line in said.split()][1:]
    for words, page, generate in (("cold", cold, cold_generate), ("warm", warm, warm_generate)):
        row(f"first piece of an answer, {words}: the page", in_milliseconds(page))
        row(f"the same: `minigpt.generate`, {words}", in_milliseconds(generate))
        row(f"page ÷ `minigpt.generate`, {words}", f"{statistics.median(page) / statistics.median(generate):.2f}")


def first_piece_of_generate(folder: Path) -> float:
    """Return the milliseconds from the start of `minigpt.generate` to the first piece that it writes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "minigpt.generate", "--prompt", PROMPT]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        milliseconds = 1000 * (time.perf_counter() - began)
        process.stdout.read()
    return milliseconds


if __name__ == "__main__":
    main()

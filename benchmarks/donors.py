"""Donors that give what they should not, for `benchmarks/attacks.py`: whether a newcomer trains, and starts again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from contextlib import suppress

from benchmarks.bad_donor import KINDS
from benchmarks.household import PEER
from benchmarks.scene import START_SECONDS, Outcome, Scene, join
from tests.host_process import HostProcess
from tests.lan import wait_until

BAR_SECONDS = 30.0  # from when a newcomer looks for devices until it trains


def hostile_donors(scene: Scene, tries: int) -> Outcome:
    """Return how many newcomers did not train in time, or not again after an end without warning."""
    failed, longest = [], 0.0
    for number in range(tries):
        kind = KINDS[number % len(KINDS)]
        seconds, starts_again = beside(scene, kind)
        print(f"    {number + 1}: {kind}: trains after {seconds:.1f} s, again: {starts_again}", flush=True)
        longest = max(longest, seconds)
        failed += [] if seconds <= BAR_SECONDS and starts_again else [kind]
    words = f"the slowest trained after {longest:.1f} s" + (f"; failed: {', '.join(failed)}" if failed else "")
    return Outcome(tries, len(failed), words=words)


def beside(scene: Scene, kind: str) -> tuple[float, bool]:
    """Let a newcomer join beside a bad donor: seconds until it trains, and whether it trains after a kill -9."""
    bad, newcomer = scene.member, scene.outside
    for device in (bad, newcomer):
        for part in ("data", "tokenizer", "checkpoints"):
            shutil.rmtree(device.folder / part, ignore_errors=True)
        for part in ("data", "tokenizer"):
            shutil.copytree(scene.devices[0].folder / part, device.folder / part)
    donor = bad.start("benchmarks.bad_donor", kind, *join(bad))
    donor.wait_for("trains [0-9.]+ M parameters", START_SECONDS)
    process = newcomer.start(PEER, *join(newcomer))
    process.wait_for("looking for devices", START_SECONDS)
    began = time.time()
    trains = wait_until(lambda: has_begun(process), 4 * BAR_SECONDS)
    seconds = time.time() - began if trains else float("inf")
    process.kill()
    wait_until(lambda: not newcomer.host.pids(), 5.0)
    again = newcomer.start(PEER, *join(newcomer))
    starts_again = wait_until(lambda: has_begun(again), START_SECONDS)
    for one in (again, donor):
        with suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.kill()
    wait_until(lambda: not (newcomer.host.pids() or bad.host.pids()), 5.0)
    return seconds, starts_again


def has_begun(process: HostProcess) -> bool:
    return re.search("trains [0-9.]+ M parameters", process.output()) is not None

"""A peer whose steps take a fixed time and whose clock can jump:  python -m benchmarks.steady_peer --step 0.25 --join

All that follows goes to `python -m peer`. A step sleeps until its time is over, as if the device were that slow, so
that many devices fit on one machine and none becomes faster because another one has died. SIGUSR1 puts the device's
clock three hours ahead, in all its processes but p2pd, and SIGUSR2 puts it right again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import runpy
import signal
import sys
import time
from typing import Any

JUMP_SECONDS = 3 * 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady_peer", description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=float, required=True, help="seconds that a training step takes at least")
    arguments, rest = parser.parse_known_args()
    make_the_clock_jump()  # before anybody takes time.time for itself
    slow_down(arguments.step)
    sys.argv = ["peer", *rest]
    runpy.run_module("peer", run_name="__main__", alter_sys=True)


def make_the_clock_jump() -> None:
    ahead = multiprocessing.Value("d", 0.0, lock=False)  # children inherit it, and see it change
    right = time.time
    time.time = lambda: right() + ahead.value

    def jump(number: int, _: object) -> None:
        ahead.value = JUMP_SECONDS if number == signal.SIGUSR1 else 0.0

    signal.signal(signal.SIGUSR1, jump)
    signal.signal(signal.SIGUSR2, jump)


def slow_down(seconds: float) -> None:
    from peer.inner.loop import InnerLoop

    step = InnerLoop.step

    def slow_step(self: InnerLoop, *arguments: Any) -> tuple[float, int]:
        began = time.perf_counter()
        result = step(self, *arguments)
        time.sleep(max(0.0, began + seconds - time.perf_counter()))
        self.step_seconds = max(self.step_seconds, seconds)
        return result

    InnerLoop.step = slow_step  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main()

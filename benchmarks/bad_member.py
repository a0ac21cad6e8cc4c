"""A peer that trains like any other until it is told to lie:  python -m benchmarks.bad_member FILE --step 0.1 --join

As `benchmarks/steady_peer.py`; while the file is there, it declares in its exchanges that it expects a group of 64.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path
from typing import Any

from benchmarks.steady_peer import slow_down

GROUP_SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_member", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="while it is there, the peer lies")
    parser.add_argument("--step", type=float, required=True, help="seconds that a training step takes at least")
    arguments, rest = parser.parse_known_args()
    slow_down(arguments.step)
    claim_a_large_group(arguments.file)
    sys.argv = ["peer", *rest]
    runpy.run_module("peer", run_name="__main__", alter_sys=True)


def claim_a_large_group(file: Path) -> None:
    from peer.outer.averager import PseudoGradientAverager

    exchange = PseudoGradientAverager.exchange

    def lie(self: PseudoGradientAverager, *given: Any, group_size: int, **more: Any) -> Any:
        return exchange(self, *given, group_size=GROUP_SIZE if file.exists() else group_size, **more)

    PseudoGradientAverager.exchange = lie  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

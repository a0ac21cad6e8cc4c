"""A peer that believes all numbers of its exchanges:  python -m benchmarks.trusting_peer --step 0.1 --join

As `benchmarks/steady_peer.py`, but that nothing of a mean is checked against anything: what `benchmarks/guarded.py`
holds the checks against.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.steady_peer import slow_down


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trusting_peer", description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=float, required=True, help="seconds that a training step takes at least")
    arguments, rest = parser.parse_known_args()
    slow_down(arguments.step)
    believe_all()
    sys.argv = ["peer", *rest]
    runpy.run_module("peer", run_name="__main__", alter_sys=True)


def believe_all() -> None:
    from peer.outer.findings import Findings
    from peer.state.agreement import Agreement
    from peer.state.answers import Answers

    def all_of_it(self: Agreement, peers: Sequence[str], parts: Any, weights: Any) -> list[float]:
        return [1.0] * len(peers)

    Agreement.shares = all_of_it  # type: ignore[method-assign]
    Answers.is_wrong = lambda self, given, mean: False  # type: ignore[method-assign]
    Findings.too_much = lambda self, given, notices, own, now: {}  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

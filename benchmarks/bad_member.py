"""A peer that trains like any other until it is told to lie:  python -m benchmarks.bad_member FILE --step 0.1 --join

As `benchmarks/steady_peer.py`; while the file is there, it lies in its exchanges: in the way that `--way` says. As a
`reducer-…` it gives what an honest one gives, and answers with something else than the mean of its parts.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.steady_peer import slow_down
from peer.state.codec import PART, bits_of, decode, encode, payload_bytes
from peer.wire import MAX_SAMPLES

GROUP_SIZE = 64
TIMES = 20  # the weight
FLIPPED = 1e-3  # of the bits

Given = dict[str, Any]  # what an exchange is begun with


def moved(change: Callable[[Tensor], Tensor]) -> Callable[[Given, int], Given]:
    """Return the lie that gives other numbers."""

    def lie(given: Given, size: int) -> Given:
        payload = given["given"]
        bits = bits_of(len(payload), size)
        assert bits is not None
        numbers, other = torch.empty(size), torch.empty_like(payload)
        decode(payload, bits, numbers)
        encode(change(numbers), bits, other, 20.0)
        return {**given, "given": other}

    return lie


def as_long(other: Tensor, numbers: Tensor) -> Tensor:
    return other * (numbers.norm() / other.norm())


def weighed(given: Given, size: int) -> Given:
    more = {name: min(MAX_SAMPLES, TIMES * given[name]) for name in ("samples", "weight", "steps")}
    return {**given, **more}


def flipped(given: Given, size: int) -> Given:
    """Bits of the payload, as broken memory flips them."""
    payload = given["given"]
    flips = torch.rand(len(payload), 8) < FLIPPED
    return {**given, "given": payload ^ (flips * 2 ** torch.arange(8)).sum(1).to(torch.uint8)}


def not_a_number(given: Given, size: int) -> Given:
    payload = given["given"].clone()
    payload[: payload_bytes(size, 2) // 1000].fill_(255)
    return {**given, "given": payload}


WAYS: dict[str, Callable[[Given, int], Given]] = {
    "group": lambda given, size: {**given, "group_size": GROUP_SIZE},
    "opposite": moved(lambda numbers: -numbers),
    "three-times": moved(lambda numbers: -3 * numbers),
    "random": moved(lambda numbers: as_long(torch.randn_like(numbers), numbers)),
    "weight": weighed,
    "samples": lambda given, size: {**given, "samples": MAX_SAMPLES},
    "tilt": moved(
        lambda numbers: as_long(torch.randn(len(numbers), generator=torch.Generator().manual_seed(7)), numbers)
    ),
    "bits": flipped,
    "nan": not_a_number,
    "heavy-opposite": lambda given, size: weighed(WAYS["opposite"](given, size), size),
}


ANSWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "reducer-random": lambda mean: as_long(torch.randn_like(mean), mean),
    "reducer-three-times": lambda mean: -3 * mean,
    "reducer-tilt": lambda mean: as_long(
        torch.randn(len(mean), generator=torch.Generator().manual_seed(7)), mean
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_member", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="while it is there, the peer lies")
    parser.add_argument("--step", type=float, required=True, help="seconds that a training step takes at least")
    parser.add_argument("--way", choices=[*WAYS, *ANSWERS], default="group", help="how it lies (default: %(default)s)")
    arguments, rest = parser.parse_known_args()
    slow_down(arguments.step)
    if arguments.way in ANSWERS:
        lie_as_reducer(arguments.file, ANSWERS[arguments.way])
    else:
        lie_in_exchanges(arguments.file, WAYS[arguments.way])
    sys.argv = ["peer", *rest]
    runpy.run_module("peer", run_name="__main__", alter_sys=True)


def lie_in_exchanges(file: Path, lie: Callable[[Given, int], Given]) -> None:
    from peer.outer.averager import PseudoGradientAverager

    exchange = PseudoGradientAverager.exchange

    def lying(self: PseudoGradientAverager, given: Tensor, **more: Any) -> Any:
        said: Given = {"given": given, **more}
        return exchange(self, **(lie(said, self.size) if file.exists() else said))

    PseudoGradientAverager.exchange = lying  # type: ignore[method-assign]


def lie_as_reducer(file: Path, lie: Callable[[Tensor], Tensor]) -> None:
    from peer.outer.all_reduce import AgreeingRunner

    mean_of = AgreeingRunner._mean_of

    def lying(self: AgreeingRunner, came: Mapping[int, Tensor]) -> Tensor:
        payload = mean_of(self, came)
        bits = bits_of(len(payload), PART)
        if bits is None or not file.exists():
            return payload
        numbers = torch.empty(PART)
        decode(payload, bits, numbers)
        encode(lie(numbers), bits, payload, 20.0)
        return payload

    AgreeingRunner._mean_of = lying  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

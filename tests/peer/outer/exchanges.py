"""Helpers of the tests of exchanges: what is given, names of runs, exchanges, a signal for an averager's process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from itertools import count

import torch
from hivemind.averaging.control import StepControl
from torch import Tensor

from peer.outer.averager import PseudoGradientAverager
from peer.outer.leaders import Company
from peer.state.codec import encode, payload_bytes

BOUND = 60.0  # seconds; what is measured takes a fraction of one
PATIENCE = 12.0  # seconds to find a group, which takes a fraction of one where nothing else runs
Start = Callable[..., list[PseudoGradientAverager]]
to_give: dict[PseudoGradientAverager, Tensor] = {}  # the payload that each of them gives
NOBODY = Company(frozenset(), frozenset(), frozenset(), most=2)
runs = (f"run-{number}" for number in count())


def encoded(numbers: Tensor, bits: int) -> Tensor:
    payload = torch.zeros(payload_bytes(len(numbers), bits), dtype=torch.uint8)
    encode(numbers, bits, payload)
    return payload


def send(averager: PseudoGradientAverager, number: signal.Signals) -> None:
    assert averager.pid is not None
    os.kill(averager.pid, number)


def exchange(
    averager: PseudoGradientAverager,
    group_size: int,
    *,
    samples: int = 1,
    weight: int | None = None,
    steps: int = 1,
    lineage: str = "aa",
    patience: float = PATIENCE,
    reachable: bool = True,
    leaders: Iterable[PseudoGradientAverager] | None = None,
    most: int = 3,
    expects: int = 0,
) -> StepControl:
    """Begin an exchange that waits for the first of those that may lead, for as many as are to be with it.

    :param expects: nobody knows whom, so many of them
    """
    return averager.exchange(
        to_give[averager],
        lineage=lineage,
        samples=samples,
        weight=samples if weight is None else weight,
        steps=steps,
        group_size=group_size,
        patience=patience,
        company=company(averager, group_size, to_give if leaders is None else leaders, most, expects),
        reachable=reachable,
    )


def company(
    averager: PseudoGradientAverager,
    group_size: int,
    leaders: Iterable[PseudoGradientAverager],
    most: int,
    expects: int,
) -> Company:
    others = [other.peer_id.to_base58() for other in leaders if other is not averager]
    awaited = [*others[: group_size - 1], *(f"nobody {number}" for number in range(expects))]
    return Company(frozenset(others), frozenset(awaited), frozenset(others), most)


def outcome(control: StepControl) -> dict[str, int] | None:
    """Samples by peer id; None where the exchange failed."""
    try:
        return {peer.to_base58(): given["samples"] for peer, given in control.result(BOUND).items()}
    except TimeoutError:
        raise
    except Exception:
        return None

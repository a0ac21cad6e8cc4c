"""Helpers of the tests of exchanges: payloads of numbers, names of runs, a signal for an averager's process."""

from __future__ import annotations

import os
import signal
from itertools import count

import torch
from torch import Tensor

from peer.outer.averager import PseudoGradientAverager
from peer.state.codec import encode, payload_bytes

BOUND = 15.0  # seconds; what is measured takes a fraction of one
runs = (f"run-{number}" for number in count())


def encoded(numbers: Tensor, bits: int) -> Tensor:
    payload = torch.zeros(payload_bytes(len(numbers), bits), dtype=torch.uint8)
    encode(numbers, bits, payload)
    return payload


def send(averager: PseudoGradientAverager, number: signal.Signals) -> None:
    assert averager.pid is not None
    os.kill(averager.pid, number)

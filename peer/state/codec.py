"""Numbers as few bits: a uniform quantizer on the scale of each block's root mean square.

For what is about normally distributed, as the movement of a few steps is, two bits a number lose 12 % of the signal's
energy and four lose 1 % (Max, 1960, Quantizing for minimum distortion). Hundreds of steps move a few numbers far and
most hardly at all: eight bits, on the scale of the largest, say that. What is lost is not forgotten: who encodes keeps
it and adds it to what it says next (error feedback, arXiv 1809.07599).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 1024  # numbers that share a scale
PART = 256 * BLOCK  # numbers that cross the wire in one message; whole tensors are padded to a multiple of it
LARGEST_IN_BLOCK = 4.0  # deviations, about, of 1024 normally distributed numbers
STEPS = {2: 0.9957, 4: 0.3352, 8: LARGEST_IN_BLOCK / 127.5}  # bits -> step for a normal distribution of deviation 1
SMALLEST, LARGEST = 6e-8, 65_504.0  # numbers of float16


def payload_bytes(numbers: int, bits: int) -> int:
    """How many bytes stand for so many numbers, a multiple of BLOCK: a float16 step a block, then the codes."""
    return numbers // BLOCK * 2 + numbers * bits // 8


def bits_of(size: int, numbers: int) -> int | None:
    """With how many bits a code of so many bytes says so many numbers; None if it cannot be one."""
    return next((bits for bits in STEPS if payload_bytes(numbers, bits) == size), None)


@torch.no_grad()
def encode(numbers: Tensor, bits: int, code: Tensor, largest: float = math.inf) -> None:
    """Write float32 numbers, a multiple of PART, part by part into `code`, uint8 of `payload_bytes`.

    :param largest: what is beyond it is said to be as much, where it is the largest in its block
    """
    size = payload_bytes(PART, bits)
    largest_step = min(LARGEST, largest / (2 ** (bits - 1) - 0.5))
    for part, written in zip(numbers.split(PART), code.split(size)):
        blocks = part.view(-1, BLOCK)
        deviation = blocks.abs().amax(1) / LARGEST_IN_BLOCK if bits == 8 else blocks.square().mean(1).sqrt_()
        step = (deviation * STEPS[bits]).clamp_(SMALLEST, largest_step).half()
        written[: 2 * len(step)].copy_(step.view(torch.uint8))
        scaled = (blocks / step.float()[:, None]).add_(2 ** (bits - 1)).clamp_(0, 2**bits - 1)
        planes = scaled.to(torch.uint8).view(8 // bits, -1)
        packed = written[2 * len(step) :]
        packed.copy_(planes[0])
        for place, plane in enumerate(planes[1:], 1):
            packed |= plane << (bits * place)


@torch.no_grad()
def decode(code: Tensor, bits: int, numbers: Tensor) -> None:
    """Write into `numbers` what `encode` made `code` of. The steps in it must be finite: see `is_valid`."""
    size = payload_bytes(PART, bits)
    for part, read in zip(numbers.split(PART), code.split(size)):
        blocks = part.view(-1, BLOCK)
        step = read[: 2 * len(blocks)].view(torch.float16).float()
        packed = read[2 * len(blocks) :]
        for place, plane in enumerate(part.view(8 // bits, -1)):
            plane.copy_((packed >> (bits * place)) & (2**bits - 1))
        blocks.sub_((2**bits - 1) / 2).mul_(step[:, None])


def is_valid(code: Tensor, bits: int, limit: float) -> bool:
    """Whether the code, of whole parts, stands for finite numbers, in every part with a root mean square <= limit."""
    size = payload_bytes(PART, bits)
    if code.dtype != torch.uint8 or len(code) % size:
        return False
    steps = code.view(-1, size)[:, : PART // BLOCK * 2].contiguous().view(torch.float16).float()
    largest = steps.square().mean(1).sqrt().max() / STEPS[bits]
    return bool(steps.isfinite().all() and (steps >= 0).all() and largest <= limit)

"""Numbers as few bits: a uniform quantizer whose step follows the root mean square of each block.

The movement of a few steps is about normally distributed. Of such numbers, two bits each lose 12 % of the signal's
energy and four bits lose 1 % (Max, 1960, Quantizing for minimum distortion). Hundreds of steps move a few numbers far
and most of them hardly at all: eight bits, on the scale of the largest number in the block, can say that. What is lost
is not forgotten: whoever encodes keeps it and adds it to what it says next (error feedback, arXiv 1809.07599).

The encoded numbers are called the payload: a uint8 tensor, part after part, each part with the steps of its blocks
(float16) followed by the numbers, several to a byte.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 1024  # numbers that share a step
PART = 256 * BLOCK  # numbers that cross the wire in one message; whole tensors are padded to a multiple of it
LARGEST_IN_BLOCK = 4.0  # deviations, about, of 1024 normally distributed numbers
STEPS = {2: 0.9957, 4: 0.3352, 8: LARGEST_IN_BLOCK / 127.5}  # bits -> step for a normal distribution of deviation 1
SMALLEST, LARGEST = 6e-8, 65_504.0  # numbers of float16


def payload_bytes(numbers: int, bits: int) -> int:
    """Return the size of the payload of so many numbers (a multiple of BLOCK) in so many bits each, in bytes."""
    return numbers // BLOCK * 2 + numbers * bits // 8  # a float16 step a block, then the numbers


def bits_of(size: int, numbers: int) -> int | None:
    """Return the bits a number of a payload of `size` bytes that holds so many numbers; None if none has that size."""
    return next((bits for bits in STEPS if payload_bytes(numbers, bits) == size), None)


@torch.no_grad()
def encode(numbers: Tensor, bits: int, payload: Tensor, largest: float = math.inf) -> None:
    """Write numbers into their payload, part by part.

    :param numbers: (N,) float32, N a multiple of PART
    :param payload: (payload_bytes(N, bits),) uint8, which is overwritten
    :param largest: a number beyond it, and no smaller than the others in its block, is written as this one
    """
    size = payload_bytes(PART, bits)
    largest_step = min(LARGEST, largest / (2 ** (bits - 1) - 0.5))
    for part, written in zip(numbers.split(PART), payload.split(size)):
        blocks = part.view(-1, BLOCK)
        deviation = blocks.abs().amax(1) / LARGEST_IN_BLOCK if bits == 8 else blocks.square().mean(1).sqrt_()
        step = (deviation * STEPS[bits]).clamp_(SMALLEST, largest_step).half()
        written[: 2 * len(step)].copy_(step.view(torch.uint8))
        scaled = (blocks / step.float()[:, None]).add_(2 ** (bits - 1)).clamp_(0, 2**bits - 1)
        planes = scaled.to(torch.uint8).view(8 // bits, -1)  # the numbers that share a byte are one row apart
        packed = written[2 * len(step) :]
        packed.copy_(planes[0])
        for place, plane in enumerate(planes[1:], 1):
            packed |= plane << (bits * place)


@torch.no_grad()
def decode(payload: Tensor, bits: int, numbers: Tensor) -> None:
    """Write into `numbers`, (N,) float32, what `encode` made the payload of.

    Its steps must be finite, which `is_valid` tells.
    """
    size = payload_bytes(PART, bits)
    for part, read in zip(numbers.split(PART), payload.split(size)):
        blocks = part.view(-1, BLOCK)
        step = read[: 2 * len(blocks)].view(torch.float16).float()
        packed = read[2 * len(blocks) :]
        for place, plane in enumerate(part.view(8 // bits, -1)):
            plane.copy_((packed >> (bits * place)) & (2**bits - 1))
        blocks.sub_((2**bits - 1) / 2).mul_(step[:, None])


@torch.no_grad()
def decoded_blocks(part: Tensor, bits: int, blocks: Tensor) -> Tensor:
    """Return some blocks of one part, (n, BLOCK) float32, of the part's payload.

    :param blocks: (n,) int64, which ones
    """
    steps = part[: PART // BLOCK * 2].view(torch.float16).float()
    rows = part[PART // BLOCK * 2 :].view(-1, BLOCK)  # the numbers of `8 // bits` blocks are in one row
    shifts = (bits * (blocks // len(rows))).to(torch.uint8)
    numbers = (rows[blocks % len(rows)] >> shifts[:, None]) & (2**bits - 1)
    return numbers.float().sub_((2**bits - 1) / 2).mul_(steps[blocks][:, None])


def is_valid(payload: Tensor, bits: int, limit: float) -> bool:
    """Return whether the payload consists of whole parts of finite numbers, each part's root mean square <= `limit`."""
    size = payload_bytes(PART, bits)
    if payload.dtype != torch.uint8 or len(payload) % size:
        return False
    steps = payload.view(-1, size)[:, : PART // BLOCK * 2].contiguous().view(torch.float16).float()
    largest = steps.square().mean(1).sqrt().max() / STEPS[bits]
    return bool(steps.isfinite().all() and (steps >= 0).all() and largest <= limit)

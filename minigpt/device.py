"""The processor to compute on, and the number format in which it is fastest."""

import ctypes
import sys
import time
from typing import Any

import torch

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt, malloc.h


def pick_device() -> torch.device:
    """Return CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def pick_autocast(device: torch.device) -> torch.dtype | None:
    """Return the type for `torch.autocast` on `device`: bfloat16 where it pays, None for plain float32.

    CPUs with matrix units (AMX, newer ARM) multiply bfloat16 several times faster, others emulate it and are slower;
    no flag tells them apart everywhere, so a CPU is asked with a measurement of well under 0.3 s.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type == "cpu" and bfloat16_is_faster():
        return torch.bfloat16
    return None


def bfloat16_is_faster() -> bool:
    """Return True if one core multiplies bfloat16 matrices at least half as fast again as float32 ones."""
    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # several threads wait for the slowest one: a busy machine would make both types look equal
    try:
        return matmul_seconds(torch.bfloat16) < matmul_seconds(torch.float32) / 1.5
    finally:
        torch.set_num_threads(threads)


def matmul_seconds(dtype: torch.dtype, budget: float = 0.05) -> float:
    """Return the best time of one matrix product on the CPU, in seconds.

    Of as many as fit in `budget` seconds, and of two at least.
    """
    left, right = torch.ones(128, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return min(times)


def keep_freed_memory() -> None:
    """Tell glibc's allocator not to give back to the system what a training step frees: the next one needs it again.

    Otherwise a step of the guide's size begins with 60,000 page faults, a tenth of its time (docs/log.md). Only blocks
    of more than 32 MB, which is no step's, still go back at once. Other C libraries are left as they are.
    """
    mallopt = allocator("mallopt")
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 2**25)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Give back to the system what is free now: after work that will not be done again soon."""
    malloc_trim = allocator("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def allocator(function: str) -> Any:
    """Return a function of glibc's allocator; None elsewhere."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None

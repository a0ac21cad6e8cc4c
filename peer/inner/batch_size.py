"""The batch size: as many sequences a step as the settings say, or as this device has memory for.

Linux hands out more memory than there is and ends the program that uses it, so the need is computed before training
begins. Where an allocation is refused all the same (a limit on the process, a graphics card), the batch is halved then.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minigpt.checkpoint import expected_shapes
from minigpt.dataset import Batches
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from peer.device.memory import OutOfMemory, is_out_of_memory
from peer.inner.loop import InnerLoop

# bytes a parameter that a peer comes to while it trains in company, all its processes together (docs/benchmarks.md)
FIXED_BYTES = 60
LEAST_BYTES = 16  # of them it cannot do without: itself, its gradient, its moment and its average, in float32
PEAK = 1.6  # of what the forward pass keeps for the backward pass, with what the latter needs beside it
KEPT_FREE = 0.2  # of the memory that is available, for whoever else uses the device


def fitting_batch(wanted: int, model: MiniGPT, autocast: torch.dtype | None, available: int | None) -> int:
    """Return `wanted` sequences a step, halved until there is memory for them; 0 where even one is too much.

    :param available: bytes; None where it is not known
    """
    if available is None:
        return wanted
    spare = (1 - KEPT_FREE) * available - FIXED_BYTES * model.parameter_count()
    sequence = PEAK * kept_bytes(model, autocast)
    while wanted and wanted * sequence > spare:
        wanted //= 2
    return wanted


def check_room(settings: Settings, vocab_size: int, available: int | None) -> None:
    """Raise OutOfMemory for a model that cannot be trained here, before it takes the memory.

    :param available: bytes; None where it is not known
    """
    parameters = sum(shape.numel() for shape in expected_shapes(settings, vocab_size).values())
    needed = LEAST_BYTES * parameters
    if available is not None and needed > available:
        raise OutOfMemory(
            f"training a model of {parameters / 1e6:,.0f} M parameters takes more than {needed / 1e9:,.1f} GB, and "
            f"{available / 1e9:,.1f} GB are free: end other programs, or found a run with a smaller model "
            "(--size small, or model.d_model, model.num_layers)"
        )


def kept_bytes(model: MiniGPT, autocast: torch.dtype | None) -> int:
    """Return the bytes that one sequence keeps from its forward to its backward pass, measured on the CPU."""
    kept: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.zeros(1, model.seq_len, dtype=torch.long)
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", dtype=autocast, enabled=autocast is not None),
    ):
        model(ids, ids)
    return sum(kept.values())


def step_within_memory(inner: InnerLoop, lr: float, batches: Batches, note: Callable[[str], None]) -> tuple[float, int]:
    """Make an inner step, from now on with half the sequences if there is no memory for so many.

    Return what `InnerLoop.step` returns. Raises OutOfMemory where there is no memory for one sequence.
    """
    while True:
        try:
            return inner.step(lr)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        inner.clear_gradients()  # what there is of them belongs to a step that was not made
        if batches.batch_size == 1:
            raise OutOfMemory(
                "training needs more memory than this device has free, even with one sequence a step: "
                "end other programs, or found a run with a smaller model (--size small, or training.dataset.seq_len)"
            )
        batches.resize(batches.batch_size // 2)
        note(f"memory ran out; sequences a step from now on: {batches.batch_size}")

"""The self-test of a device that computes: is what it holds possible, and does it calculate rightly?

Processors and memory that fail say nothing of it (arXiv 2102.11245, "Silent data corruptions at scale"; "Cores that
don't count", Hochschild et al., 2021). Three looks find what does harm, and none finds fault with a sound device:

- `changed_by_memory`: a bit flipped in memory makes a number that no training makes, and few of them.
- `multiplies_rightly`: a product of whole numbers is exact on every processor, in every number format and order.
- `difference_of_two_passes`: the same step made twice comes to the same, but for how some processors round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from minigpt.model import MiniGPT
from peer.inner.loop import CLIP_NORM, InnerLoop

# Of a parameter, far above all that training comes to, below 20. A flip of the highest bit of its exponent makes 7e36
# of 0.02; any other leaves what is below 2 below 2.
LARGEST_PARAMETER = 2.0**16
# Moments are averages of gradients, which are clipped, and of squares in rows of matrices that are nearly orthogonal.
LARGEST_MOMENT = {"exp_avg": 1.1 * CLIP_NORM, "exp_avg_sq": 1.1 * CLIP_NORM**2, "row_square": 4.0}
FEW = 64  # such numbers at once, at most, are flipped bits: where training diverges, most of a matrix is beyond
ROWS, BETWEEN, COLUMNS = 256, 256, 512  # of the two factors, (ROWS, BETWEEN) and (BETWEEN, COLUMNS)
# Whole numbers that the factors are of, at most: no sum of BETWEEN products needs more bits than the format has, which
# are 24 in float32 and 8 in bfloat16, and so none is rounded.
LARGEST_FACTOR = {torch.float32: 255, torch.bfloat16: 1}
PRODUCTS = 2  # in a test
TOKENS = 64  # of the step that is made twice
# Of the gradient's length: on a CPU two passes give the same bits (docs/log.md, "a device that is broken"); graphics
# cards add in any order, and in bfloat16 that is a few thousandths.
TOLERANCE = 0.03


def find_fault(inner: InnerLoop, number: int) -> str:
    """Return what is wrong with this device, in a few words; "" where nothing was found.

    Nothing of the training changes. Raises what an allocation raises that is refused.

    :param number: of the test: the numbers that are multiplied follow from it
    """
    if changed := changed_by_memory(held_by(inner)):
        return sentence(changed, "the model")
    number_format = inner.autocast or torch.float32
    for product in range(PRODUCTS):
        if not multiplies_rightly(inner.device, number_format, PRODUCTS * number + product):
            return f"a product of whole numbers came out wrong on {inner.device.type}"
    difference = difference_of_two_passes(inner)
    if not difference <= TOLERANCE:
        return f"the same step, made twice, came out differently on {inner.device.type}"
    return ""


def sentence(changed: Sequence[float], what: str) -> str:
    """Return the sentence for numbers that memory has changed in what this device holds."""
    numbers = "1 number" if len(changed) == 1 else f"{len(changed)} numbers"
    return f"memory changed {numbers} of {what}, one to {changed[0]:.3g}"


# ---------------------------------------------------------------------- what is in memory


def held_by(inner: InnerLoop) -> Iterator[tuple[float, Tensor]]:
    """Yield all that training holds from step to step, each with the largest number that can be in it.

    With hivemind's optimizer the moments are of gradients that nobody clips: they have no bound.
    """
    for parameter, average in zip(inner.parameters, inner.average.average):
        yield LARGEST_PARAMETER, parameter.detach()
        yield LARGEST_PARAMETER, average
        if inner.clips:
            state = inner.optimizer.state.get(parameter, {})
            yield from ((largest, state[name]) for name, largest in LARGEST_MOMENT.items() if name in state)


def held_by_anchor(anchor: MiniGPT) -> Iterator[tuple[float, Tensor]]:
    """Yield the parameters that all devices agreed on, each with the largest number that can be in it."""
    yield from ((LARGEST_PARAMETER, parameter.detach()) for parameter in anchor.parameters())


@torch.no_grad()
def changed_by_memory(held: Iterable[tuple[float, Tensor]]) -> list[float]:
    """Return the numbers that are larger than they can be; none where they are so many that training made them.

    :param held: tensors, each with its largest number
    """
    found: list[float] = []
    for largest, tensor in held:
        # never where one is not a number; and not by `aminmax`, which not all kinds of devices have
        if -largest <= float(tensor.min()) and float(tensor.max()) <= largest:
            continue
        found += tensor[~(tensor.abs() <= largest)].flatten()[: FEW + 1].tolist()
        if len(found) > FEW:
            return []
    return found


# ---------------------------------------------------------------------- how it calculates


@torch.no_grad()
def multiplies_rightly(device: torch.device, number_format: torch.dtype, number: int) -> bool:
    """Return whether a matrix product of whole numbers is right, to the last bit.

    The sums of its rows and columns follow from those of the factors, by integer arithmetic on the CPU: a wrong number
    is in one of each (algorithm-based fault tolerance, Huang and Abraham, 1984).

    :param number: that the factors follow from
    """
    dice, largest = torch.Generator().manual_seed(number), LARGEST_FACTOR[number_format]
    left = torch.randint(-largest, largest + 1, (ROWS, BETWEEN), generator=dice)
    right = torch.randint(-largest, largest + 1, (BETWEEN, COLUMNS), generator=dice)
    product = torch.matmul(left.to(device, number_format), right.to(device, number_format)).cpu().double()
    rows, columns = left @ right.sum(dim=1), left.sum(dim=0) @ right
    return torch.equal(product.sum(dim=1), rows.double()) and torch.equal(product.sum(dim=0), columns.double())


@torch.no_grad()
def difference_of_two_passes(inner: InnerLoop) -> float:
    """Return how far apart the gradients of two equal passes are, as a share of their length.

    It is that of the sums of their columns, which are about as long and as far apart: two gradients at once take more
    memory than a step does. It is 0 where neither is finite: then training diverges, which is looked after elsewhere.
    """
    one, other = column_sums(inner.gradient(TOKENS)), column_sums(inner.gradient(TOKENS))
    if torch.equal(one, other):
        return 0.0
    length, apart = float(one.norm()), float((one - other).norm())
    if not math.isfinite(length) and not math.isfinite(float(other.norm())):
        return 0.0
    return apart / max(length, torch.finfo().tiny) if math.isfinite(apart) else math.inf


def column_sums(gradient: Sequence[Tensor]) -> Tensor:
    """Return the sums of all columns of the matrices in a gradient, and its vectors, one after the other."""
    return torch.cat([part.sum(dim=0) if part.dim() > 1 else part for part in gradient])

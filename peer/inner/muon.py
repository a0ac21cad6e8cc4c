"""Muon: a matrix moves by its momentum made orthogonal, so that it learns in all directions alike.

A gradient points in few directions, and AdamW follows those. Muon (Jordan et al., 2024, https://kellerjordan.github.io/
posts/muon) replaces the singular values of the momentum by about 1, with a few matrix products and no decomposition.

Matrices are cut into blocks, and each is made orthogonal by itself (arXiv 2510.16981): a projection into heads, or into
neurons of the feed-forward layer, by rows, and one back into the residual stream by columns. They learn as much, at a
fifth of the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # of a x + b x^3 + c x^5, which takes singular values to between 0.7 and 1.2
TIMES = 5  # that it is applied
SAFETY = 1.02  # times the norm that is at least the largest singular value: bfloat16 rounds
SMALLEST = 1e-12  # of what is divided by


def into_blocks(matrices: list[Tensor], dim: int, size: int, number_format: torch.dtype) -> Tensor:
    """Return the blocks of matrices (M, N) of one shape, cut into `size` rows (dim 0) or columns (dim 1).

    They come as (blocks, size, N) or, turned around, as (blocks, size, M).
    """
    rows, columns = matrices[0].shape if dim == 0 else matrices[0].shape[::-1]
    stacked = torch.empty(len(matrices), rows, columns, dtype=number_format, device=matrices[0].device)
    for copy, matrix in zip(stacked, matrices):
        copy.copy_(matrix if dim == 0 else matrix.T)
    return stacked.view(-1, size, columns)


def from_blocks(blocks: Tensor, matrices: int, dim: int) -> list[Tensor]:
    """Return the matrices that `into_blocks` has cut into these blocks."""
    stacked = blocks.reshape(matrices, -1, blocks.shape[-1])
    return [matrix if dim == 0 else matrix.T for matrix in stacked]


def orthogonal(blocks: Tensor) -> Tensor:
    """Return blocks (B, rows, columns) with all their singular values near 1. The given ones are used up."""
    is_tall = blocks.shape[1] > blocks.shape[2]
    x = blocks.mT if is_tall else blocks
    x.div_((SAFETY * x.norm(dim=(1, 2), keepdim=True)).clamp_(min=SMALLEST))
    a, b, c = POLYNOMIAL
    for _ in range(TIMES):
        square = x @ x.mT
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        x = factor @ x
    return x.mT if is_tall else x

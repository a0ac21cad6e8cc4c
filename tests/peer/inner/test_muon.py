"""Muon's matrix products: blocks that become orthogonal, and come back to where they were cut from."""

from __future__ import annotations

import pytest
import torch

from peer.inner.muon import from_blocks, into_blocks, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 32), (3, 32, 8), (2, 16, 16)])
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16])
def test_all_singular_values_come_near_to_one(shape: tuple[int, int, int], number_format: torch.dtype) -> None:
    blocks = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-4
    moved = orthogonal(blocks.to(number_format)).float()
    left, values, right = torch.linalg.svd(moved, full_matrices=False)
    assert (values - 1).abs().median() < 0.25
    assert values.max() < 1.3, "none of them grows"
    ideal_left, _, ideal_right = torch.linalg.svd(blocks, full_matrices=False)
    ideal = ideal_left @ ideal_right
    found = left @ torch.diag_embed(values) @ right
    cosine = (ideal * found).sum((1, 2)) / (ideal.norm(dim=(1, 2)) * found.norm(dim=(1, 2)))
    assert (cosine > 0.95).all(), "the direction is that of the gradient"


def test_a_block_of_zeros_stays_one_beside_others() -> None:
    blocks = torch.stack([torch.zeros(4, 8), torch.ones(4, 8)])
    moved = orthogonal(blocks)
    assert not moved[0].any()
    assert moved[1].any() and moved.isfinite().all()


@pytest.mark.parametrize("dim", [0, 1])
def test_blocks_come_back_to_where_they_were_cut_from(dim: int) -> None:
    matrices = list(torch.randn(3, 12, 8, generator=torch.Generator().manual_seed(0)))
    blocks = into_blocks(matrices, dim, 4, torch.float32)
    assert blocks.shape == ((9, 4, 8) if dim == 0 else (6, 4, 12))
    cut = matrices[0][4:8] if dim == 0 else matrices[0][:, 4:8].T
    assert torch.equal(blocks[1], cut)
    assert all(map(torch.equal, from_blocks(blocks, 3, dim), matrices))

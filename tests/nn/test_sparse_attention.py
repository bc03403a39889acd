"""Attention of packed tokens: windows and samples against a masked dense attention."""

import pytest
import torch
import torch.nn.functional as F

from maquette.nn.sparse import Voxels
from maquette.nn.sparse_attention import windows
from tests.nn.test_sparse import cells


def tokens(count, heads=2, depth=4):
    return torch.randn(
        3, 1, heads, count, depth, generator=torch.Generator().manual_seed(0)
    ).unbind(0)


def masked(q, k, v, group):
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=(group[:, None] == group[None])[None, None]
    )


@pytest.mark.parametrize("size, shift", [(4, 0), (4, 2), (3, 0), (8, 4), (16, 0)])
def test_windows_see_their_own_cube_only(size, shift):
    voxels = cells(resolution=9, batch=2, share=0.4)
    q, k, v = tokens(len(voxels))
    cube = (voxels.coords[:, 1:] + shift) // size
    group = ((voxels.coords[:, 0] * 100 + cube[:, 0]) * 100 + cube[:, 1]) * 100 + cube[:, 2]
    torch.testing.assert_close(
        windows(voxels, size, shift)(q, k, v), masked(q, k, v, group), atol=1e-5, rtol=1e-5
    )


def test_the_order_of_the_cells_does_not_matter():
    voxels = cells(batch=1)
    order = torch.randperm(len(voxels), generator=torch.Generator().manual_seed(1))
    shuffled = Voxels.of(voxels.coords[order], voxels.resolution, 1)
    q, k, v = tokens(len(voxels))
    found = windows(shuffled, 4, 2)(*(x[:, :, order] for x in (q, k, v)))
    torch.testing.assert_close(
        found, windows(voxels, 4, 2)(q, k, v)[:, :, order], atol=1e-6, rtol=1e-5
    )


def test_partitions_are_kept():
    voxels = cells()
    assert windows(voxels, 4, 2) is windows(voxels, 4, 2) and windows(voxels, 4, 2) is not windows(
        voxels, 4, 0
    )

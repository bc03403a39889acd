"""Sparse convolution is the dense one at the active cells; the shortcuts for copied features change
nothing.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from maquette.nn import sparse_conv
from maquette.nn.sparse import upsample
from maquette.nn.sparse_conv import (
    SparseConv3d,
    SparsePointwise,
    SparseResBlock,
    SubdivideBlock,
    convolve,
    convolve_children,
    convolve_copies,
    norm_samples,
)
from tests.nn.test_sparse import cells, dense


def random_layer(channels_in=5, channels=4, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(channels, 3, 3, 3, channels_in, generator=g), torch.randn(
        channels, generator=g
    )


@pytest.mark.parametrize("chunk", [7, 8192])
def test_it_is_the_dense_convolution_at_the_active_cells(monkeypatch, chunk):
    monkeypatch.setattr(sparse_conv, "CHUNK", chunk)
    voxels = cells()
    (weight, bias) = random_layer()
    x = torch.randn(len(voxels), 5)
    expected = F.conv3d(dense(x, voxels), weight.permute(0, 4, 1, 2, 3), bias, padding=1).movedim(
        1, -1
    )[tuple(voxels.coords.T)]
    torch.testing.assert_close(convolve(x, weight, bias, voxels), expected, atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_dense_convolution():
    voxels = cells()
    (weight, bias) = random_layer()
    weight.requires_grad_()
    x = torch.randn(len(voxels), 5, requires_grad=True)
    dense_out = F.conv3d(dense(x, voxels), weight.permute(0, 4, 1, 2, 3), bias, padding=1).movedim(
        1, -1
    )[tuple(voxels.coords.T)]
    expected = torch.autograd.grad(dense_out.square().sum(), (x, weight))
    for found, wanted in zip(
        torch.autograd.grad(convolve(x, weight, bias, voxels).square().sum(), (x, weight)), expected
    ):
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-4)


def test_copies_of_parents_are_convolved_without_copying():
    voxels = cells()
    (weight, bias) = random_layer()
    x = torch.randn(len(voxels.parents[0]), 5)
    expected = convolve(upsample(x, voxels), weight, bias, voxels)
    torch.testing.assert_close(
        convolve_copies(x, weight, bias, voxels), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("chunk", [7, 8192])
def test_children_with_equal_features_are_convolved_at_their_parents(monkeypatch, chunk):
    monkeypatch.setattr(sparse_conv, "CHUNK", chunk)
    voxels = cells()
    (weight, bias) = random_layer()
    x = torch.randn(len(voxels), 5)
    expected = convolve(x.repeat_interleave(8, dim=0), weight, bias, voxels.children)
    torch.testing.assert_close(
        convolve_children(x, weight, bias, voxels), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("make", [lambda: SparseResBlock(6, 4, 3), lambda: SparseResBlock(4, 4, 3)])
def test_a_block_after_doubling_is_the_block_on_copies(make):
    torch.manual_seed(0)
    block = make()
    voxels = cells()
    x = torch.randn(len(voxels.parents[0]), block.conv1.conv.weight.shape[-1])
    modulation = block.modulation(torch.randn(2, 3))
    expected = block(upsample(x, voxels), modulation, voxels)
    for shortcut in (True, False):
        torch.testing.assert_close(
            block.up(x, modulation, voxels, shortcut), expected, atol=1e-5, rtol=1e-5
        )


def test_a_block_after_halving_acts_on_the_parents():
    torch.manual_seed(0)
    block = SparseResBlock(6, 4, 3)
    voxels = cells()
    assert block.down(
        torch.randn(len(voxels), 6), block.modulation(torch.randn(2, 3)), voxels
    ).shape == (len(voxels.parents[0]), 4)


def test_subdividing_with_and_without_the_shortcut():
    torch.manual_seed(0)
    block = SubdivideBlock(8, 4, groups=2)
    voxels = cells()
    x = torch.randn(len(voxels), 8)
    torch.testing.assert_close(
        block(x, voxels), block(x, voxels, shortcut=False), atol=1e-5, rtol=1e-5
    )


def test_samples_do_not_touch_each_other():
    torch.manual_seed(0)
    block = SubdivideBlock(8, 4, groups=2)
    voxels = cells()
    x = torch.randn(len(voxels), 8)
    alone = block(x[: voxels.counts[0]], voxels.sample(0))
    torch.testing.assert_close(block(x, voxels)[: len(alone)], alone, atol=1e-5, rtol=1e-5)


def test_group_norm_is_over_all_cells_of_a_sample():
    x = 3 + 2 * torch.randn(50, 8)
    found = norm_samples(nn.GroupNorm(2, 8), x, (20, 0, 30))
    for part in found.split([20, 30]):
        assert part.unflatten(1, (2, 4)).mean((0, 2)).abs().max() < 1e-5
        torch.testing.assert_close(
            part.unflatten(1, (2, 4)).var((0, 2), unbiased=False), torch.ones(2), atol=1e-3, rtol=0
        )


def test_the_pointwise_kernel_is_reinterpreted_not_transposed():
    layer = SparsePointwise(3, 2)
    layer.conv.weight.data = torch.arange(6.0).reshape(2, 1, 1, 1, 3)
    assert layer(torch.eye(3)).tolist() == [[0, 1], [2, 3], [4, 5]]


def test_half_precision_accumulates_in_float32():
    voxels = cells()
    layer = SparseConv3d(16, 16)
    x = torch.randn(len(voxels), 16)
    exact = layer(x, voxels)
    found = layer.bfloat16()(x.bfloat16(), voxels)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, atol=0.03, rtol=0.03)

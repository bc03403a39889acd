"""Parts: the decoder follows the Gaussians, the order of parts does not matter to it, normalisation
is exact.
"""

import math

import pytest
import torch

from maquette.geometry.part_gaussians import PartGaussians, yaw_rotations
from maquette.models.part_shapes import PartShapes
from tests.tiny import SHAPES


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PartShapes(SHAPES).eval()


@pytest.fixture(scope="module")
def parts(model):
    latent = torch.randn(
        2, SHAPES.channels, *(SHAPES.resolution,) * 3, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        return model.encode(latent)


@torch.no_grad()
def test_encoding_gives_different_parts_inside_the_cube(model, parts):
    gaussians, intrinsic = parts
    assert (
        intrinsic.shape == (2, SHAPES.parts, SHAPES.intrinsic) and gaussians.mean.abs().max() < 0.5
    )
    assert torch.pdist(gaussians.mean[0]).min() > 0.01 and gaussians.scales.max() < 0.3


@torch.no_grad()
def test_the_order_of_the_parts_does_not_matter_to_the_decoder(model, parts):
    gaussians, intrinsic = parts
    order = torch.randperm(SHAPES.parts, generator=torch.Generator().manual_seed(2))
    shuffled = PartGaussians.of(gaussians.numbers()[:, order])
    torch.testing.assert_close(
        model.decode(shuffled, intrinsic[:, order]),
        model.decode(gaussians, intrinsic),
        atol=1e-5,
        rtol=1e-4,
    )


@torch.no_grad()
def test_cells_see_parts_in_the_parts_own_coordinates(parts):
    gaussians, _ = parts
    turn = yaw_rotations(torch.tensor([1.0, -0.5]))
    scale = torch.tensor([0.8, 1.2])
    shift = torch.tensor([[0.1, 0.0, 0.0], [0.0, -0.1, 0.1]])
    moved = gaussians.moved(turn, scale, shift)
    points = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3)) * 0.2
    there = scale[:, None, None] * torch.einsum("bij,bnj->bni", turn, points) + shift[:, None]
    torch.testing.assert_close(moved.local(there), gaussians.local(points), atol=1e-3, rtol=1e-3)


def test_gradients_reach_gaussians_and_intrinsics(model, parts):
    numbers = parts[0].numbers().clone().requires_grad_()
    intrinsic = parts[1].clone().requires_grad_()
    model.decode(PartGaussians.of(numbers), intrinsic).square().sum().backward()
    assert numbers.grad[..., :3].abs().min() > 0 and intrinsic.grad.abs().sum() > 0


@torch.no_grad()
def test_normalised_numbers_come_back(model, parts):
    other = PartShapes(SHAPES)
    other.mean.normal_(generator=torch.Generator().manual_seed(4))
    other.std.uniform_(0.5, 2, generator=torch.Generator().manual_seed(5))
    normalised = other.normalised(*parts)
    again = other.gaussians_from(normalised)
    torch.testing.assert_close(again.mean, parts[0].mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(again.scales, parts[0].scales, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(
        other.intrinsic_from(normalised[..., 16:]), parts[1], atol=1e-5, rtol=1e-4
    )


def test_the_first_gaussians_are_the_scattered_ones(model, parts):
    torch.testing.assert_close(parts[0].mean[0], model.start[:, :3])
    assert math.isclose(float(parts[0].scales[0, 0, 0]), math.exp(-2.3), rel_tol=1e-5)


def test_gradients_are_finite_where_a_part_lies_on_the_centre_of_a_cell(model, parts):
    gaussians, intrinsic = parts
    numbers = gaussians.numbers().clone()
    numbers[:, :, :3] = (
        0.5 / SHAPES.resolution
    )  # half precision puts means exactly there, now and then
    numbers.requires_grad_(True)
    model.decode(PartGaussians.of(numbers), intrinsic).sum().backward()
    assert bool(torch.isfinite(numbers.grad).all()) and bool(numbers.grad.any())

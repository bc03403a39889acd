"""Mixtures of Gaussians: densities integrate to one, everything moves with the shape, the alignment
loss pulls towards what is seen.
"""

import math

import numpy as np
import pytest
import torch

from maquette.geometry.part_gaussians import (
    PartGaussians,
    alignment_loss,
    orthonormal,
    yaw_rotations,
)
from maquette.geometry.transforms import rotation_y
from maquette.geometry.volumes import cell_centres


def mixtures(shapes=2, parts=4, seed=0, spread=0.1):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shapes, parts, 16, generator=generator)
    numbers[..., :3] *= 0.1
    numbers[..., 12:15] = math.log(spread) + 0.2 * numbers[..., 12:15]
    return PartGaussians.of(numbers)


def test_axes_are_rotations_and_scales_are_bounded():
    g = PartGaussians.of(100 * torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(
        g.axes.transpose(-1, -2) @ g.axes, torch.eye(3).expand(3, 5, 3, 3), atol=1e-5, rtol=0
    )
    assert torch.linalg.det(g.axes).min() > 0.99 and g.scales.min() > 0 and g.scales.max() <= 1
    torch.testing.assert_close(g.log_weight.exp().sum(-1), torch.ones(3))


def test_numbers_round_trip():
    g = mixtures()
    again = PartGaussians.of(g.numbers())
    for name in ("mean", "axes", "scales", "log_weight"):
        torch.testing.assert_close(getattr(again, name), getattr(g, name))
    rotation = torch.from_numpy(rotation_y(0.7)).float()
    torch.testing.assert_close(orthonormal(rotation), rotation)


def test_the_density_integrates_to_one():
    g = mixtures()
    points = 2 * cell_centres(64).reshape(1, -1, 3).expand(
        2, -1, -1
    )  # a cube of side 2 holds nearly all of it
    integral = g.log_density(points).exp().sum(-1) * (2 / 64) ** 3
    torch.testing.assert_close(integral, torch.ones(2), atol=2e-3, rtol=0)


def test_the_density_is_that_of_scipy():
    from scipy.stats import multivariate_normal

    g = mixtures(1, 3)
    points = torch.randn(1, 7, 3, generator=torch.Generator().manual_seed(2)) * 0.2
    covariance = (
        (g.axes * g.scales.square()[..., None, :] @ g.axes.transpose(-1, -2))[0].double().numpy()
    )
    expected = sum(
        np.exp(float(g.log_weight[0, k]))
        * multivariate_normal(g.mean[0, k].numpy(), covariance[k]).pdf(points[0].numpy())
        for k in range(3)
    )
    np.testing.assert_allclose(g.log_density(points)[0].exp().numpy(), expected, rtol=1e-3)


def test_samples_have_the_moments_of_their_part():
    g = mixtures(1, 2)
    points = g.sample(40000, torch.Generator().manual_seed(3)).unflatten(1, (2, -1))[0]
    covariance = (g.axes * g.scales.square()[..., None, :] @ g.axes.transpose(-1, -2))[0]
    torch.testing.assert_close(points.mean(1), g.mean[0], atol=3e-3, rtol=0)
    for k in range(2):
        torch.testing.assert_close(torch.cov(points[k].T), covariance[k], atol=3e-4, rtol=0.05)


def test_density_and_local_coordinates_move_with_the_shape():
    g = mixtures()
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(2, 9, 3, generator=generator) * 0.2
    shift = torch.randn(2, 3, generator=generator)
    turn = yaw_rotations(torch.tensor([0.4, -2.0]))
    scale = torch.tensor([0.5, 1.7])
    moved = g.moved(turn, scale, shift)
    there = scale[:, None, None] * torch.einsum("bij,bnj->bni", turn, points) + shift[:, None]
    torch.testing.assert_close(moved.local(there), g.local(points), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        moved.log_density(there) + 3 * scale.log()[:, None],
        g.log_density(points),
        atol=1e-3,
        rtol=1e-4,
    )


def test_yaw_is_that_of_the_numpy_twin():
    np.testing.assert_allclose(
        yaw_rotations(torch.tensor([0.3, -1.2])).numpy(),
        [rotation_y(0.3), rotation_y(-1.2)],
        atol=1e-6,
    )


def test_alignment_is_zero_on_the_surface_and_pulls_towards_it():
    samples = torch.randn(2, 500, 3, generator=torch.Generator().manual_seed(5))
    assert float(alignment_loss(samples, samples[:, ::7]).abs().max()) < 1e-9
    shift = torch.tensor([0.3, 0.0, 0.0], requires_grad=True)
    alone = torch.zeros(1, 1, 3) + shift
    loss = alignment_loss(alone, torch.zeros(1, 4, 3)).sum()
    loss.backward()
    assert loss.item() == pytest.approx(0.09)
    torch.testing.assert_close(
        shift.grad, torch.tensor([0.6, 0.0, 0.0])
    )  # descending moves the sample to what is seen


def test_alignment_is_one_sided_and_does_not_depend_on_the_chunks():
    generator = torch.Generator().manual_seed(6)
    samples = torch.randn(1, 300, 3, generator=generator)
    seen = torch.randn(1, 20, 3, generator=generator)
    far = torch.cat([samples, samples + 100], dim=1)
    torch.testing.assert_close(
        alignment_loss(far, seen), alignment_loss(samples, seen)
    )  # samples far from all that is seen cost nothing
    torch.testing.assert_close(alignment_loss(far, seen, chunk=7), alignment_loss(far, seen))
    exact = (seen[:, :, None] - samples[:, None]).square().sum(-1).amin(-1).mean(-1)
    torch.testing.assert_close(alignment_loss(samples, seen), exact)


def test_gradients_reach_every_number_of_a_part():
    numbers = mixtures(1, 3).numbers().detach().requires_grad_()
    g = PartGaussians.of(numbers)
    seen = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(7)) * 0.3
    alignment_loss(g.sample(200, torch.Generator().manual_seed(8)), seen).sum().backward()
    assert (numbers.grad[..., :3].abs().sum((0, 1)) > 0).all() and (
        numbers.grad[..., 12:15].abs().sum((0, 1)) > 0
    ).all()
    assert numbers.grad[..., 3:12].abs().sum() > 0

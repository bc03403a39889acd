"""Laws of Gaussians: covariances turn with them, quaternions multiply as rotations do."""

import torch

from maquette.geometry.gaussians import (
    SH0,
    Gaussians,
    covariances,
    multiply_quaternions,
    rotated,
    rotation_matrices,
)


def some(count=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    quaternions = torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1)
    scales = torch.rand(count, 3, generator=g) + 0.1
    opacities = torch.rand(count, generator=g)
    return Gaussians(
        torch.randn(count, 3, generator=g),
        scales,
        quaternions,
        opacities,
        torch.randn(count, 3, generator=g),
    )


def test_quaternions_are_rotations_and_multiply_as_such():
    a = some(seed=1).rotations
    b = some(seed=2).rotations
    matrices = rotation_matrices(a)
    torch.testing.assert_close(
        matrices @ matrices.transpose(1, 2), torch.eye(3).expand(6, 3, 3), atol=1e-6, rtol=0
    )
    assert (torch.linalg.det(matrices) > 0).all()
    torch.testing.assert_close(
        rotation_matrices(multiply_quaternions(a, b)),
        matrices @ rotation_matrices(b),
        atol=1e-6,
        rtol=1e-5,
    )


def test_covariances_turn_with_the_gaussians():
    gaussians = some()
    turn = tuple(some(1, seed=3).rotations[0].tolist())
    matrix = rotation_matrices(torch.tensor(turn))
    turned = rotated(gaussians, turn)
    torch.testing.assert_close(
        covariances(turned), matrix @ covariances(gaussians) @ matrix.T, atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(turned.positions, gaussians.positions @ matrix.T)


def test_variance_along_an_own_axis_is_the_squared_scale():
    gaussians = some()
    axes = rotation_matrices(gaussians.rotations)
    along = torch.einsum("nia,nij,nja->na", axes, covariances(gaussians), axes)
    torch.testing.assert_close(along, gaussians.scales.square(), atol=1e-5, rtol=1e-5)


def test_a_coefficient_of_zero_is_grey():
    gaussians = some()
    gaussians.harmonics[:] = torch.tensor([0.0, 0.25 / SH0, 9.0])
    assert torch.allclose(gaussians.colors[0], torch.tensor([0.5, 0.75, 1.0]))

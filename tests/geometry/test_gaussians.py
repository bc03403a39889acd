"""Laws of Gaussians: their quaternions are rotations, their covariances follow from both."""

import torch
from scipy.spatial.transform import Rotation

from maquette.geometry.gaussians import (
    SH0,
    Gaussians,
    covariances,
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


def test_quaternions_are_the_rotations_of_scipy():
    quaternions = some(seed=1).rotations
    matrices = rotation_matrices(quaternions)
    expected = Rotation.from_quat(quaternions[:, [1, 2, 3, 0]].numpy()).as_matrix()
    torch.testing.assert_close(matrices.double(), torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_variance_along_an_own_axis_is_the_squared_scale():
    gaussians = some()
    axes = rotation_matrices(gaussians.rotations)
    along = torch.einsum("nia,nij,nja->na", axes, covariances(gaussians), axes)
    torch.testing.assert_close(along, gaussians.scales.square(), atol=1e-5, rtol=1e-5)


def test_a_coefficient_of_zero_is_grey():
    gaussians = some()
    gaussians.harmonics[:] = torch.tensor([0.0, 0.25 / SH0, 9.0])
    assert torch.allclose(gaussians.colors[0], torch.tensor([0.5, 0.75, 1.0]))

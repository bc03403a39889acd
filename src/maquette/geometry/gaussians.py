"""Gaussian splats: positions, sizes, orientations, opacities and colours of anisotropic Gaussians,
and how they turn and move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

SH0 = 0.28209479177387814  # spherical harmonic of degree 0: colour = 0.5 + SH0 * coefficient


@dataclass(frozen=True, eq=False)
class Gaussians:
    """N Gaussians."""

    positions: Float[Tensor, "N 3"]
    scales: Float[Tensor, "N 3"]  # standard deviations along the own axes
    rotations: Float[Tensor, "N 4"]  # unit quaternions (w, x, y, z)
    opacities: Float[Tensor, " N"]  # in [0, 1]
    harmonics: Float[Tensor, "N 3"]  # degree-0 coefficients of red, green, blue

    def __len__(self) -> int:
        return len(self.positions)

    def split(self, counts: Sequence[int]) -> list[Gaussians]:
        """Consecutive Gaussians as sets of so many each."""
        parts = (getattr(self, each.name).split(list(counts)) for each in fields(self))
        return [Gaussians(*part) for part in zip(*parts)]

    @property
    def colors(self) -> Float[Tensor, "N 3"]:
        """SRGB in [0, 1]."""
        return (0.5 + SH0 * self.harmonics).clamp(0, 1)


def rotation_matrices(quaternions: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 3 3"]:
    """Of unit quaternions (w, x, y, z)."""
    w, x, y, z = quaternions.unbind(-1)
    xy = x * y
    xz = x * z
    yz = y * z
    others = ((y, z), (x, z), (x, y))
    diagonal = [1 - 2 * (a * a + b * b) for a, b in others]
    first = [diagonal[0], 2 * (xy - w * z), 2 * (xz + w * y)]
    second = [2 * (xy + w * z), diagonal[1], 2 * (yz - w * x)]
    third = [2 * (xz - w * y), 2 * (yz + w * x), diagonal[2]]
    return torch.stack([*first, *second, *third], dim=-1).unflatten(-1, (3, 3))


def covariances(gaussians: Gaussians) -> Float[Tensor, "N 3 3"]:
    """Covariance R diag(s^2) R^T."""
    axes = rotation_matrices(gaussians.rotations) * gaussians.scales[:, None]
    return axes @ axes.transpose(1, 2)


def rotated(gaussians: Gaussians, quaternion: tuple[float, float, float, float]) -> Gaussians:
    """The Gaussians turned about the origin by a unit quaternion (w, x, y, z)."""
    turn = gaussians.rotations.new_tensor(quaternion)
    matrix = rotation_matrices(turn)
    return replace(
        gaussians,
        positions=gaussians.positions @ matrix.T,
        rotations=multiply_quaternions(turn, gaussians.rotations),
    )


def multiply_quaternions(
    left: Float[Tensor, "*#any 4"], right: Float[Tensor, "*#any 4"]
) -> Float[Tensor, "*_ 4"]:
    """The quaternion of turning by ``right`` first and by ``left`` then."""
    a, b, c, d = left.unbind(-1)
    w, x, y, z = right.unbind(-1)
    real = a * w - b * x - c * y - d * z
    i = a * x + b * w + c * z - d * y
    j = a * y - b * z + c * w + d * x
    k = a * z + b * y - c * x + d * w
    return torch.stack([real, i, j, k], dim=-1)

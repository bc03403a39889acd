"""Gaussian splats: where they are, how large, how turned, how opaque, and in which colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

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

"""Shapes as mixtures of a few Gaussians (SPAGHETTI, arXiv 2201.13168): where each part is, how
large, how turned, how much of the shape.

Sixteen numbers a part: mean 3, axes 9, log scales 3, log weight 1. Everything is differentiable
torch, for any number of shapes. Shapes: B shapes, P parts, N points; a cube frame unless said
otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

PointSets = Float[Tensor, "B N 3"]

PART_NUMBERS = 16
_SCALES = (0.004, 1.0)  # smallest and largest standard deviation of a part along an axis


def orthonormal(columns: Float[Tensor, "*any 3 3"]) -> Float[Tensor, "*any 3 3"]:
    """The right-handed rotation whose first two columns span what the given ones
    span (Gram-Schmidt).
    """
    a = columns[..., 0]
    b = columns[..., 1]
    x = F.normalize(a, dim=-1, eps=1e-6)
    across = b - (x * b).sum(-1, keepdim=True) * x
    y = F.normalize(across, dim=-1, eps=1e-6)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


@dataclass(frozen=True, eq=False)
class PartGaussians:
    """B mixtures of P Gaussians N(mean, axes diag(scales^2) axes^T)."""

    mean: Float[Tensor, "B P 3"]
    axes: Float[Tensor, "B P 3 3"]  # rotations, principal directions in the columns
    scales: Float[Tensor, "B P 3"]  # standard deviations along the axes
    log_weight: Float[Tensor, "B P"]  # exp sums to 1

    @classmethod
    def of(cls, numbers: Float[Tensor, "B P _"]) -> PartGaussians:
        """From any numbers, the first 16: axes are made orthonormal, scales are held within bounds,
        weights sum to 1.
        """
        mean, axes, scales, weight = numbers.float().split([3, 9, 3, 1], dim=-1)
        axes = orthonormal(axes.unflatten(-1, (3, 3)))
        scales = scales.clamp(*(math.log(limit) for limit in _SCALES)).exp()
        return cls(mean, axes, scales, weight[..., 0].log_softmax(-1))

    def numbers(self) -> Float[Tensor, "B P 16"]:
        """From which ``of`` makes the same mixture."""
        axes = self.axes.flatten(-2)
        parts = [self.mean, axes, self.scales.log(), self.log_weight[..., None]]
        return torch.cat(parts, dim=-1)

    def local(self, points: PointSets) -> Float[Tensor, "B N P 3"]:
        """Points as every part sees them: along its axes, in its standard
        deviations.
        """
        offset = points[:, :, None] - self.mean[:, None]
        return torch.einsum("bnpi,bpij->bnpj", offset, self.axes) / self.scales[:, None]

    def log_weighted_density(self, local: Float[Tensor, "B N P 3"]) -> Float[Tensor, "B N P"]:
        """Log of weight times density of every part, from local coordinates (B, N, P,
        3).
        """
        norm = self.scales.log().sum(-1) + 1.5 * math.log(2 * math.pi)
        norm = norm - self.log_weight
        return -0.5 * local.square().sum(-1) - norm[:, None]

    def log_density(self, points: PointSets) -> Float[Tensor, "B N"]:
        """Log density of the mixture at points; its integral over space is 1."""
        return self.log_weighted_density(self.local(points)).logsumexp(-1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> PointSets:
        """``count`` points of every part, differentiable in means, axes and scales
        (reparametrised).
        """
        draws = torch.randn((*self.mean.shape[:2], count, 3), generator=generator).to(self.mean)
        offsets = torch.einsum("bpni,bpji->bpnj", draws * self.scales[:, :, None], self.axes)
        return (offsets + self.mean[:, :, None]).flatten(1, 2)

    def moved(
        self,
        rotation: Float[Tensor, "B 3 3"],
        scale: Float[Tensor, " B"],
        translation: Float[Tensor, "B 3"],
    ) -> PartGaussians:
        """The mixtures of x -> scale rotation x + translation; rotation (B, 3, 3), scale (B,),
        translation (B, 3).
        """
        growth = scale[:, None, None]
        turned = torch.einsum("bij,bpj->bpi", rotation, self.mean)
        mean = growth * turned + translation[:, None]
        axes = rotation[:, None] @ self.axes
        return PartGaussians(mean, axes, growth * self.scales, self.log_weight)


def yaw_rotations(yaw: Float[Tensor, " B"]) -> Float[Tensor, "B 3 3"]:
    """Right-handed rotations about +Y by ``yaw`` radians; ``transforms.rotation_y``
    for tensors.
    """
    c = yaw.cos()
    s = yaw.sin()
    zero = torch.zeros_like(yaw)
    one = torch.ones_like(yaw)
    rows = ((c, zero, s), (zero, one, zero), (-s, zero, c))
    return torch.stack([torch.stack(row, -1) for row in rows], dim=-2)


def alignment_loss(
    samples: PointSets, seen: Float[Tensor, "B K 3"], chunk: int = 4096
) -> Float[Tensor, " B"]:
    """One-sided surface alignment: mean over seen points q of min over samples p of |q - p|^2.

    samples: of the predicted Gaussians; seen: points of the depth map inside
    the object's mask (Coherent 3D Scene Diffusion, L_align). One-sided, because only what is seen
    is known. Gradients flow to the nearest samples; ``chunk`` bounds memory.
    """
    with torch.no_grad():
        parts = samples.float().split(chunk, dim=1)
        found = [torch.cdist(seen.float(), part).min(-1) for part in parts]
        best = torch.stack([near for near, _ in found]).argmin(0)
        place = torch.stack([where for _, where in found]).gather(0, best[None])[0]
        place = place + chunk * best
    nearest = samples.gather(1, place[..., None].expand(-1, -1, 3))
    return (seen - nearest).square().sum(-1).mean(-1)

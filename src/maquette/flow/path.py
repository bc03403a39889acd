"""THE convention: t in [0, 1] is the noise level, x_t = (1 - t) x0 + t eps, v = dx/dt = eps - x0
(I-Scene, eq. 5).
"""

from __future__ import annotations

import torch
from torch import Tensor


def per_row(values_B: Tensor, x: Tensor) -> Tensor:
    """Values (B,) or (1,), such as noise levels, in a shape that multiplies rows of x (B, ...)."""
    return values_B.reshape(-1, *[1] * (x.ndim - 1)).to(x)


def interpolate(x0: Tensor, noise: Tensor, t_B: Tensor) -> Tensor:
    """x_t of data (B, ...), noise (B, ...) and noise levels (B,)."""
    t = per_row(t_B, x0)
    return (1 - t) * x0 + t * noise


def velocity_target(x0: Tensor, noise: Tensor) -> Tensor:
    """What the network learns: eps - x0."""
    return noise - x0


def data_from_velocity(x_t: Tensor, velocity: Tensor, t_B: Tensor) -> Tensor:
    """x0 = x_t - t v."""
    return x_t - per_row(t_B, x_t) * velocity


def logit_normal_times(
    count: int, generator: torch.Generator, mean: float = 1.0, std: float = 1.0
) -> Tensor:
    """(count,) noise levels sigmoid(N(mean, std)); a positive mean trains more where the structure
    is decided.
    """
    return torch.sigmoid(mean + std * torch.randn(count, generator=generator))

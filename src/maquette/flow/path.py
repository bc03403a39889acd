"""THE convention: t in [0, 1] is the noise level, x_t = (1 - t) x0 + t eps, v = dx/dt = eps - x0
(I-Scene, eq. 5).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "B *rest"]  # data, noise, or what a network says of B samples
# one number for each sample, or one for all
Levels = Float[Tensor, "#B"] | Float[Tensor, ""]


def per_row(values_B: Levels, x: Rows) -> Float[Tensor, "#B *ones"]:
    """Values (B,) or (1,), such as noise levels, in a shape that multiplies rows of x (B, ...)."""
    return values_B.reshape(-1, *[1] * (x.ndim - 1)).to(x)


def interpolate(x0: Rows, noise: Rows, t_B: Levels) -> Rows:
    """x_t of data, noise and noise levels."""
    t = per_row(t_B, x0)
    return (1 - t) * x0 + t * noise


def noise_like(latents: Rows, generator: torch.Generator) -> Rows:
    """Normal noise for latents, drawn on the processor: the same on every device."""
    return torch.randn(latents.shape, generator=generator).to(latents)


def velocity_target(x0: Rows, noise: Rows) -> Rows:
    """What the network learns: eps - x0."""
    return noise - x0


def data_from_velocity(x_t: Rows, velocity: Rows, t_B: Levels) -> Rows:
    """x0 = x_t - t v."""
    return x_t - per_row(t_B, x_t) * velocity


def logit_normal_times(
    count: int,
    generator: torch.Generator,
    mean: float = 1.0,
    std: float = 1.0,
) -> Float[Tensor, " {count}"]:
    """Noise levels sigmoid(N(mean, std)); a positive mean trains more where the structure
    is decided.
    """
    return torch.sigmoid(mean + std * torch.randn(count, generator=generator))

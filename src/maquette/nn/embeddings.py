"""Where and when a token is: sinusoidal time and position embeddings, as the published structure
flow computes them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float32, Real
from torch import Tensor, nn

from maquette.nn.devices import sent
from maquette.nn.layers import matrix_dtype


def learned_positions(*shape: int) -> nn.Parameter:
    """What is added to tokens of this shape, at random before the training."""
    return nn.Parameter(0.02 * torch.randn(shape))


def time_rates(count: int) -> Float32[Tensor, " {count}"]:
    """(count,) float32 rates exp(-ln(10000) i / count) of the sinusoids of a noise level.

    The exponential is taken in float64: in float32 it differs in the last bit from processor to
    processor, and times of up to 1000 turn that bit into 3e-5 of a sinusoid.
    """
    exponents = -math.log(10000.0) * torch.arange(count, dtype=torch.float32) / count
    return exponents.double().exp().float()


def level_angles(t_B: Float[Tensor, " B"], count: int) -> Float32[Tensor, "B {count}"]:
    """Angles of the sinusoids of noise levels t (B,) in [0, 1]."""
    return (1000.0 * t_B).float()[:, None] * sent(time_rates(count), t_B.device)


class TimestepEmbedder(nn.Module):
    """Noise level t in [0, 1] -> (B, C): sinusoids of 1000 t ([cos | sin], 256 wide), then a
    two-layer MLP.
    """

    def __init__(self, width: int, frequencies: int = 256):
        super().__init__()
        self.frequencies = frequencies
        self.mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t_B: Float[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Embedded noise levels."""
        angles = level_angles(t_B, self.frequencies // 2)
        sinusoids = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(sinusoids.to(matrix_dtype(self.mlp)))


def position_embedding(
    coordinates_N3: Real[Tensor, "N 3"], width: int
) -> Float32[Tensor, "N {width}"]:
    """(N, C) absolute embedding of integer cells (x, y, z): per axis [sin | cos] of width // 6
    rates, zero-padded to C.
    """
    rates = width // 6
    steps = torch.arange(rates, dtype=torch.float32, device=coordinates_N3.device)
    angles = coordinates_N3.float()[:, :, None] * (1.0 / 10000.0 ** (steps / rates))
    embedding = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return torch.nn.functional.pad(embedding, (0, width - embedding.shape[1]))


def grid_position_embedding(
    resolution: int, width: int
) -> Float32[Tensor, "{resolution}**3 {width}"]:
    """(R^3, C) embedding of all cells of a grid in [x, y, z] order."""
    axis = torch.arange(resolution, dtype=torch.float32)
    return position_embedding(torch.cartesian_prod(axis, axis, axis), width)

"""Samplers are pure functions of a velocity, a start and a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity


def euler(
    velocity: Velocity,
    noise: Tensor,
    schedule: Tensor,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Integrate dx/dt = v from schedule[0] to schedule[-1]; ``callback(step, x)`` after each step."""
    x = noise
    levels = [float(t) for t in schedule]
    for step, (t, t_next) in enumerate(zip(levels[:-1], levels[1:])):
        x = x + (t_next - t) * velocity(x, t)
        if callback is not None:
            callback(step, x)
    return x


def seeded_noise(shape: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """(len(seeds), *shape) standard normal noise, one CPU generator per instance, so that instances
    never share randomness.
    """
    return torch.stack(
        [
            torch.randn(tuple(shape), generator=torch.Generator().manual_seed(int(seed)))
            for seed in seeds
        ]
    )

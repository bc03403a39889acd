"""Samplers are pure functions of a velocity, a start and a schedule."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.flow.guidance import Velocity
from maquette.flow.path import Rows

StepCallback = Callable[[int, Tensor], None]  # step that is done, x


def euler(
    velocity: Velocity,
    noise: Rows,
    schedule: Float[Tensor, " levels"],
    callback: StepCallback | None = None,
) -> Rows:
    """Integrate dx/dt = v from schedule[0] to schedule[-1]; ``callback`` after each step."""
    x = noise
    for step, (t, t_next) in enumerate(itertools.pairwise(schedule.tolist())):
        x = x + (t_next - t) * velocity(x, t)
        if callback is not None:
            callback(step, x)
    return x


def seeded_noise(shape: Sequence[int], seeds: Sequence[int]) -> Rows:
    """(len(seeds), *shape) standard normal noise, one CPU generator per instance, so that instances
    never share randomness.
    """
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])

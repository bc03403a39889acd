"""From a condition to latents: draw noise, integrate the flow.

In the flow: Condition -> latents of volumes in cubes of the scene frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maquette.flow.guidance import Velocity, guide
from maquette.flow.path import interpolate
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.models.generator import Condition
from maquette.stages.lift import Models
from maquette.stages.seeds import instance_seed


@dataclass(frozen=True)
class Sampling:
    """How latents are drawn."""

    steps: int = 3
    zoom_steps: int = 3
    guidance: float = 1.0  # v_u + w (v_c - v_u); 1 = off
    shift: float = 1.0  # of the schedule; 1 = linear
    # standard deviation of the noise; less gives what is likely, more gives variety
    temperature: float = 0.5
    # noise level at which sampling starts, around the lift's guess; 1 = from noise alone
    start: float = 0.6
    seed: int = 0  # of the scene; each instance has its own, see ``seeds.instance_seed``


def label_noise(models: Models, seed: int, labels: Sequence[int]) -> Tensor:
    """Noise (N, channels, R, R, R) from one CPU generator per label, moved to the models'
    device.
    """
    seeds = [instance_seed(seed, label) for label in labels]
    return seeded_noise(models.generator.config.flow.latent_shape, seeds).to(models.device)


def sample(
    velocity_of: Callable[[Condition], Velocity],
    condition: Condition,
    noise: Tensor,
    steps: int,
    sampling: Sampling,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Integrate the flow to latents, from the lift's guess with as much noise as ``sampling.start``
    says.

    The guess is the posterior mean that regression found; a small transformer is of no help at the
    highest noise levels, where the mean is all there is. Guidance is against the same rows without
    their picture tokens.
    """
    x = sampling.temperature * noise
    begin = 1.0
    if condition.lift is not None:
        begin = sampling.start
        level = torch.full((len(noise),), begin, device=noise.device)
        x = interpolate(condition.lift[1], x, level)
    pictureless = Condition(torch.zeros_like(condition.context), condition.lift)
    velocity = guide(velocity_of(condition), velocity_of(pictureless), sampling.guidance)
    schedule = begin * shifted_schedule(steps, sampling.shift)
    return euler(velocity, x, schedule, lambda step, x: progress((step + 1) / steps))

"""The four steps of every method that samples latents of volumes: encode the picture, draw noise,
integrate the flow, decode.

In the flow: photo + Perception -> Condition -> latents -> volumes in cubes of the scene frame. A
*row* is one sequence of the generator: one object (or, in I-Scene's scene branch, all of them) in
one cube.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maquette.flow.guidance import Velocity, guide
from maquette.flow.path import interpolate
from maquette.flow.sample import euler, seeded_noise
from maquette.flow.schedule import shifted_schedule
from maquette.models.conditioning import instance_crop
from maquette.models.generator import Condition, Generator
from maquette.models.lifting import lifted_grid
from maquette.models.volume_vae import VolumeVAE
from maquette.scene.perceive import Perception

CHUNK = 4  # sequences that are encoded or decoded at once, to bound memory


@dataclass(frozen=True, eq=False)
class Models:
    """The instance generator and its VAE, on their device, in eval mode."""

    generator: Generator
    vae: VolumeVAE


@dataclass(frozen=True)
class Sampling:
    """How latents are drawn."""

    steps: int = 3
    zoom_steps: int = 3
    guidance: float = 1.0  # v_u + w (v_c - v_u); 1 = off
    shift: float = 1.0  # of the schedule; 1 = linear
    temperature: float = (
        0.5  # standard deviation of the noise; less gives what is likely, more gives variety
    )
    start: float = (
        0.6  # noise level at which sampling starts, around the lift's guess; 1 = from noise alone
    )


@dataclass(frozen=True, eq=False)
class Shape:
    """One instance as a volume in a cube of the scene frame."""

    label: int
    seed: int
    volume: Tensor  # (4, R, R, R) TSDF and colour in [-1, 1], on the CPU
    scene_from_cube: np.ndarray  # (4, 4), axes of the scene frame
    state: dict[str, np.ndarray]  # for regenerate()


Row = tuple[
    int | None, np.ndarray, Tensor | None
]  # label (None = the scene branch), scene_from_cube, coarse volume


def encode(
    models: Models, image: np.ndarray, perception: Perception, rows: Sequence[Row]
) -> Condition:
    """What every step needs to know of the rows' picture (H, W, 3)."""
    config = models.generator.config
    device = next(models.generator.parameters()).device
    parts = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        crops = [
            torch.from_numpy(instance_crop(image, perception.label_map, label, config.picture.size))
            for label, _, _ in chunk
        ]
        lifted = [
            lifted_grid(perception.view(), perception.boxes, *row, config.flow.lift_resolution)
            for row in chunk
        ]
        parts.append(
            models.generator.encode(
                torch.stack(crops).to(device), torch.stack(lifted).to(device), models.vae
            )
        )
    return Condition(
        torch.cat([p.context for p in parts]),
        tuple(torch.cat(tensors) for tensors in zip(*(p.lift for p in parts))),
    )


def draw_noise(models: Models, seeds: Sequence[int]) -> Tensor:
    """Noise (N, channels, R, R, R) from one CPU generator per row, moved to the model's device."""
    flow = models.generator.config.flow
    return seeded_noise((flow.channels, *(flow.resolution,) * 3), seeds).to(
        next(models.generator.parameters()).device
    )


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
    noise = sampling.temperature * noise
    begin = sampling.start if condition.lift is not None else 1.0
    x = (
        noise
        if condition.lift is None
        else interpolate(
            condition.lift[1], noise, torch.full((len(noise),), begin, device=noise.device)
        )
    )
    unconditional = velocity_of(Condition(torch.zeros_like(condition.context), condition.lift))
    velocity = guide(velocity_of(condition), unconditional, sampling.guidance)
    return euler(
        velocity,
        x,
        begin * shifted_schedule(steps, sampling.shift),
        lambda step, x: progress((step + 1) / steps),
    )


def decode(models: Models, latents: Tensor) -> Tensor:
    """Volumes (N, 4, R, R, R) on the CPU."""
    return torch.cat([models.vae.decode(part).float().cpu() for part in latents.split(CHUNK)])

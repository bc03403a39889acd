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
from maquette.scene.place import instance_seed

CHUNK = 4  # sequences that are encoded or decoded at once, to bound memory


@dataclass(frozen=True, eq=False)
class Models:
    """The instance generator and its VAE, on their device, in eval mode."""

    generator: Generator
    vae: VolumeVAE

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return next(self.generator.parameters()).device


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
    seed: int = 0  # of the scene; each instance has its own, see ``place.instance_seed``


@dataclass(frozen=True, eq=False)
class ObjectVolume:
    """One instance as a volume in a cube of the scene frame."""

    label: int
    seed: int
    volume: Tensor  # (4, R, R, R) TSDF and colour in [-1, 1], on the CPU
    scene_from_cube: np.ndarray  # (4, 4), axes of the scene frame
    state: dict[str, np.ndarray]  # for regenerate()


@dataclass(frozen=True, eq=False)
class CubeRow:
    """One sequence of the generator: who is in which cube, and roughly what is known already."""

    label: int | None  # None = the scene branch: all objects
    scene_from_cube: np.ndarray  # (4, 4)
    coarse: Tensor | None = None  # (G, G, G) volume of a first pass


def encode(models: Models, perception: Perception, rows: Sequence[CubeRow]) -> Condition:
    """What every step needs to know of the rows' picture."""
    config = models.generator.config

    def inputs(row: CubeRow) -> tuple[Tensor, Tensor]:
        crop = instance_crop(perception.photo, perception.label_map, row.label, config.picture.size)
        lifted = lifted_grid(
            perception.view,
            perception.boxes,
            row.label,
            row.scene_from_cube,
            row.coarse,
            config.flow.lift_resolution,
        )
        return torch.from_numpy(crop), lifted

    parts = []
    for start in range(0, len(rows), CHUNK):
        crops, lifted = zip(*map(inputs, rows[start : start + CHUNK]))
        given = (torch.stack(tensors).to(models.device) for tensors in (crops, lifted))
        parts.append(models.generator.encode(*given, models.vae))
    lifts = zip(*(part.lift for part in parts))
    context = torch.cat([part.context for part in parts])
    return Condition(context, tuple(torch.cat(tensors) for tensors in lifts))


def label_noise(models: Models, seed: int, labels: Sequence[int]) -> Tensor:
    """Noise (N, channels, R, R, R) from one CPU generator per label, moved to the models'
    device.
    """
    flow = models.generator.config.flow
    seeds = [instance_seed(seed, label) for label in labels]
    return seeded_noise((flow.channels, *(flow.resolution,) * 3), seeds).to(models.device)


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


def decode(models: Models, latents: Tensor) -> Tensor:
    """Volumes (N, 4, R, R, R) on the CPU."""
    return torch.cat([models.vae.decode(part).float().cpu() for part in latents.split(CHUNK)])

"""What every method is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from maquette.models.generator import Generator
from maquette.models.volume_vae import VolumeVAE
from maquette.types import Failure


@dataclass(frozen=True, eq=False)
class Models:
    """The networks a method runs, on their device, in eval mode."""

    generator: Generator
    vae: VolumeVAE


@dataclass(frozen=True)
class Sampling:
    """How latents are drawn."""

    steps: int = 6
    zoom_steps: int = 6
    guidance: float = 1.0  # v_u + w (v_c - v_u); 1 = off
    shift: float = 3.0  # of the schedule


@dataclass(frozen=True, eq=False)
class Shape:
    """One instance as a volume in a cube of the scene frame."""

    label: int
    seed: int
    volume: Tensor  # (4, R, R, R) TSDF and colour in [-1, 1], on the CPU
    scene_from_cube: np.ndarray  # (4, 4)
    state: dict[str, np.ndarray]  # for regenerate()


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method makes of a photo."""

    shapes: tuple[Shape, ...]
    failures: tuple[Failure, ...] = ()


Progress = Callable[[str, float], None]  # stage, share done in [0, 1]


def silent(stage: str, share: float) -> None:
    """The progress callback of those who do not look."""

"""What the photo shows of an object, lifted into its cube and encoded: all that the generator is
told.

In the flow: Perception and cubes -> Condition. A *row* is one sequence of the generator: one object
(or, in I-Scene's scene branch, all of them) in one cube.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maquette.errors import present
from maquette.models.conditioning import instance_crop
from maquette.models.generator import Condition, Generator
from maquette.models.lifting import lifted_grid
from maquette.models.volume_vae import VolumeVAE
from maquette.stages.perceive import Perception

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


@dataclass(frozen=True, eq=False)
class CubeRow:
    """One sequence of the generator: who is in which cube, and roughly what is known already."""

    label: int | None  # None = the scene branch: all objects
    scene_from_cube: np.ndarray  # (4, 4)
    coarse: Tensor | None = None  # (G, G, G) volume of a first pass


def encode(
    models: Models,
    perception: Perception,
    rows: Sequence[CubeRow],
    zoomed: bool = False,
) -> Condition:
    """What every step needs to know of the rows' picture. zoomed: each is an instance in a cube of
    its own.
    """
    config = models.generator.config

    def inputs(row: CubeRow) -> tuple[Tensor, Tensor]:
        crop = instance_crop(perception.photo, perception.label_map, row.label, config.picture.size)
        lifted = lifted_grid(
            perception.view,
            perception.boxes,
            row.label,
            row.scene_from_cube,
            row.coarse,
            config,
        )
        return torch.from_numpy(crop), lifted

    parts = []
    for start in range(0, len(rows), CHUNK):
        crops, lifted = zip(*map(inputs, rows[start : start + CHUNK]))
        pictures = torch.stack(crops).to(models.device)
        grids = torch.stack(lifted).to(models.device)
        parts.append(models.generator.encode(pictures, grids, models.vae, zoomed))
    lifts = [present(part.lift, "lift") for part in parts]
    context = torch.cat([part.context for part in parts])
    tokens, guesses, volumes = (torch.cat(tensors) for tensors in zip(*lifts))
    return Condition(context, (tokens, guesses, volumes))

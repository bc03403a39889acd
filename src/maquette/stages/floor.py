"""What an object stands on, told to the field of its volume: nothing of it lies below that, and
what ends above it was not made whole.

In the flow: heights (``Perception.floors``) + a generated field in the cube of an instance ->
``fuse``. A thing whose feet are hidden is generated a third too short (docs/log.md). Fields are
truncated signed distances, negative inside; axis 1 goes up.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.transforms import transform_points
from maquette.geometry.volumes import TRUNCATION

SHORTEST = 0.4  # of the height that it must have, what is drawn out


def drawn_down(field: Tensor, height: float, scene_from_cube: np.ndarray) -> Tensor:
    """A field (R, R, R) of what ends above the height of what it stands on, drawn out down to that;
    its top stays. Something hides its feet, else the photo would show where it ends.
    """
    layers = (field < 0).any(dim=2).any(dim=0).nonzero()[:, 0].tolist()
    floor = (height - scene_from_cube[1, 3]) / scene_from_cube[1, 1] + 0.5
    floor = max(floor * len(field), 0.0)
    if not layers or layers[0] <= floor + 1:
        return field
    top = layers[-1] + 1
    shorter = (top - layers[0]) / (top - floor)
    if shorter < SHORTEST:
        return field
    centres = np.arange(len(field)) + 0.5
    at = np.where(centres < top, top - (top - centres) * shorter, centres) - 0.5
    first = np.clip(at.astype(int), 0, len(field) - 2)
    share = torch.from_numpy(at - first).to(field.dtype)[:, None]
    return torch.lerp(field[:, first], field[:, first + 1], share)


def layers_below(count: int, height: float, scene_from_cube: np.ndarray) -> np.ndarray:
    """(1, count, 1) how far each layer of a cube lies below a height (scene), in truncations."""
    layers = np.zeros((count, 3))
    layers[:, 1] = (np.arange(count) + 0.5) / count - 0.5
    below = height - transform_points(scene_from_cube, layers)[:, 1]
    truncations = float(scene_from_cube[0, 0]) * TRUNCATION
    return (below / truncations).clip(-1, 1).astype(np.float32)[None, :, None]

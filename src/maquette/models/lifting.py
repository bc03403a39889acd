"""The grid that the generator sees of a picture: one function for training and generation, so that
they cannot drift apart.

In the flow: depth view + boxes + coarse volume -> lifted grid -> LiftEncoder. Channels, in this
order: what the picture says of each cell (geometry.volumes.lift_view), the instance's estimated
box, a coarse volume of the instance, whether there is one, is this the scene branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.volumes import LIFT_CHANNELS, DepthView, lift_view, transform_cells
from maquette.models.generator import GeneratorConfig

BOX, COARSE, HAS_COARSE, IS_SCENE = range(LIFT_CHANNELS, LIFT_CHANNELS + 4)
CHANNELS = LIFT_CHANNELS + 4
BOX_SHARPNESS = 6.0  # the box channel is tanh(BOX_SHARPNESS * signed distance in cube sides)


def box_field(box: np.ndarray, scene_from_cube: Tensor, resolution: int) -> Tensor:
    """(R, R, R) signed distance of each cell of a cube to a scene-frame box (2, 3), in cube sides,
    negative inside.
    """
    cells = transform_cells(scene_from_cube, resolution)
    low, high = torch.from_numpy(np.asarray(box, np.float32))
    beyond = torch.maximum(low - cells, cells - high)
    distance = beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)
    return distance / scene_from_cube[:3, 0].norm().float()


def own_surface(view: DepthView, label: int) -> DepthView:
    """The view of which one instance knows its own surface only (I-Scene's division of labour).

    The other objects' pixels stand right before the camera: what they show is unknown, and they may
    hide whatever is on their rays.
    """
    others = (view.labels > 0) & (view.labels != label)
    return replace(view, depth=view.depth.masked_fill(others, 0.0))


def lifted_grid(
    view: DepthView | None,
    boxes: Mapping[int, np.ndarray],
    label: int | None,
    scene_from_cube: np.ndarray,
    coarse: Tensor | None,
    config: GeneratorConfig,
) -> Tensor:
    """(CHANNELS, G, G, G) for one instance, or with ``label=None`` for the scene branch: all
    objects together. What an instance sees of the others, and G, the generator's ``config`` says.

    view: None = the picture is kept back (the pure form of I-Scene), then its channels and the box
    are 0. boxes: label -> (2, 3) in the scene frame. coarse: (G, G, G) in [-1, 1] or None.
    """
    resolution = config.flow.lift_resolution
    cube = torch.from_numpy(scene_from_cube)
    grid = torch.zeros(CHANNELS, resolution, resolution, resolution)
    if view is not None:
        if label is not None and config.instances_see == "own":
            view = own_surface(view, label)
        grid[:LIFT_CHANNELS] = lift_view(view, cube, label, resolution)
        wanted = list(boxes.values()) if label is None else [boxes[label]]
        nearest = torch.stack([box_field(box, cube, resolution) for box in wanted]).amin(0)
        grid[BOX] = torch.tanh(BOX_SHARPNESS * nearest)
    if coarse is not None:
        grid[COARSE] = coarse
        grid[HAS_COARSE] = 1.0
    grid[IS_SCENE] = float(label is None)
    return grid

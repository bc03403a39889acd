"""The pose of an object as seven numbers that a picture shows (Coherent 3D Scene Diffusion, section
3.1), and back; differentiable.

    offset    2  from the centre of the object's 2-D box to where its 3-D centre appears, in
                 longer picture sides
    distance  1  log of its depth over that of its visible surface
    size      3  log of its sides along its own axes over those of its visible surface
    yaw       1  turn about +Y, radians

Each is normalised as (value - mean) / range. The paper's distances and sizes are metres; a scene
frame has no unit, hence the logs. That they count from the visible surface is ours: what is left to
learn is what the surface does not show. The centre is the back-projection of the offset at the
distance. Shapes: B objects; every object carries how it is seen (``Sight``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.boxes import pixel_box
from maquette.geometry.cameras import project
from maquette.geometry.part_gaussians import PartGaussians, yaw_rotations
from maquette.models.part_shapes import CANONICAL_SIZE
from maquette.nn.devices import sent
from maquette.types import Camera

POSE_NUMBERS = 7
# Measured on 805 objects of training views, the yaw's range as in the paper.
MEAN = (0.0, 0.0, 0.025, 0.13, 0.08, 0.0, 0.0)
RANGE = (0.02, 0.02, 0.05, 0.45, 0.25, 0.6, math.pi)
# The same where there is no picture, and so no box and no surface to count from.
UNSEEN_MEAN = (0.0, 0.0, 0.0, -1.85, -2.0, -2.15, 0.0)
UNSEEN_RANGE = (0.2, 0.14, 0.14, 0.7, 0.8, 0.8, math.pi)
FREQUENCIES = 10  # of the box encoding
SMALLEST = 0.02  # scene units, of a visible side
OBJECT_CUES = (
    4 * (1 + 2 * FREQUENCIES) + 9
)  # 84 of the box, 9 of the visible surface and the camera


@dataclass(frozen=True, eq=False)
class Sight:
    """How B objects are seen."""

    focal: Tensor  # (B,) focal length in longer picture sides
    depth: Tensor  # (B,) z-depth of the scene's centre, scene units
    scene_from_camera: Tensor  # (B, 4, 4) rigid
    # (B, 4) left, top, right, bottom of the 2-D boxes, from the picture's centre, in longer picture
    # sides
    boxes: Tensor
    # (B, 4) log depth over ``depth``, and log extents, of what is visible: see ``visible_extent``
    surface: Tensor
    # (B,) bool; False: no box and no surface is known, offsets count from the picture's centre
    seen: Tensor

    def unseen(self, dropped: Tensor) -> Sight:
        """The same with some objects ((B,) bool) not seen: the prior knows no boxes and no
        surfaces.
        """
        boxes, surface = (x.masked_fill(dropped[:, None], 0) for x in (self.boxes, self.surface))
        return replace(
            self,
            boxes=boxes,
            surface=surface,
            seen=self.seen & ~dropped,
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Sight:
        return Sight(*(change(getattr(self, each.name)) for each in fields(self)))

    def to(self, device: torch.device | str) -> Sight:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def of(self, rows: Tensor) -> Sight:
        """Some of the objects."""
        return self._each(lambda tensor: tensor[rows])

    def normalisation(self) -> tuple[Tensor, Tensor]:
        """Mean and range (B, 7) of the numbers."""
        table = torch.tensor([MEAN, UNSEEN_MEAN, RANGE, UNSEEN_RANGE], dtype=self.depth.dtype)
        mean, unseen_mean, spread, unseen_spread = sent(table, self.depth.device)
        known = self.seen[:, None]
        return torch.where(known, mean, unseen_mean), torch.where(known, spread, unseen_spread)

    @property
    def centres(self) -> Tensor:
        """(B, 2) centres of the 2-D boxes."""
        return 0.5 * (self.boxes[:, :2] + self.boxes[:, 2:])


@dataclass(frozen=True, eq=False)
class Pose:
    """Where B objects stand in the scene frame."""

    centre: Tensor  # (B, 3)
    size: Tensor  # (B, 3) sides along the object's own axes
    yaw: Tensor  # (B,)

    @classmethod
    def of(cls, numbers: Tensor, sight: Sight) -> Pose:
        """From normalised numbers (B, 7)."""
        mean, spread = sight.normalisation()
        values = numbers.float() * spread + mean
        offset, nearness, size, yaw = values.split([2, 1, 3, 1], dim=1)
        z = sight.depth[:, None] * (sight.surface[:, :1] + nearness).exp()
        seen = (sight.centres + offset) / sight.focal[:, None]
        local = z * torch.cat([seen, torch.ones_like(z)], dim=1)
        rotation = sight.scene_from_camera[:, :3, :3]
        origin = sight.scene_from_camera[:, :3, 3]
        centre = torch.einsum("bij,bj->bi", rotation, local) + origin
        return cls(centre, (sight.surface[:, 1:] + size).exp(), yaw[:, 0])

    def numbers(self, sight: Sight) -> Tensor:
        """(B, 7) normalised numbers, from which ``of`` makes the same pose."""
        rotation = sight.scene_from_camera[:, :3, :3]
        origin = sight.scene_from_camera[:, :3, 3]
        local = torch.einsum("bij,bi->bj", rotation, self.centre - origin)
        seen, z = local.split([2, 1], dim=1)
        offset = sight.focal[:, None] * seen / z - sight.centres
        yaw = torch.remainder(self.yaw + math.pi, 2 * math.pi) - math.pi
        distance = (z / sight.depth[:, None]).log()
        beyond = torch.cat([distance, self.size.log()], dim=1) - sight.surface
        values = torch.cat([offset, beyond, yaw[:, None]], dim=1)
        mean, spread = sight.normalisation()
        return (values - mean) / spread

    def placed(self, gaussians: PartGaussians) -> PartGaussians:
        """Gaussians of the canonical cube in the scene frame. The longest side decides the scale;
        shapes are not stretched.
        """
        scale = self.size.amax(-1) / CANONICAL_SIZE
        return gaussians.moved(yaw_rotations(self.yaw), scale, self.centre)


def picture_box(own: np.ndarray) -> np.ndarray:
    """(4,) 2-D box, as in ``Sight``, of an object's pixels (S, S) bool in a square picture that the
    photo's longer side spans.
    """
    return (np.array(pixel_box(own), np.float64) / own.shape[0] - 0.5).astype(np.float32)


def _extremes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,) and (3,) of the box of points (N, 3) without the outermost ones."""
    return np.quantile(points, 0.02, axis=0), np.quantile(points, 0.98, axis=0)


def visible_extent(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(4,) float32 of the visible surface (N, 3) in the scene frame: log of its median depth over
    that of the scene's centre, and logs of its sides without its outermost points, none below
    SMALLEST.
    """
    _, depths = project(camera, points)
    _, centre = project(camera, np.zeros(3))
    depth = np.median(depths) / max(float(centre), 1e-3)
    low, high = _extremes(points)
    sides = np.maximum(high - low, SMALLEST)
    return np.log(np.array([max(depth, 1e-3), *sides])).astype(np.float32)


def object_cues(
    box: np.ndarray,
    points: np.ndarray,
    depth: float,
    pitch: float,
    focal: float,
) -> np.ndarray:
    """(OBJECT_CUES,) float32 what is known of an object besides its picture.

    box: (4,) as in ``Sight``, encoded with ten frequencies (84 numbers, as in the paper). Ours,
    because a small encoder without pre-training sees no depth: box and median of its visible
    ``points`` (N, 3) in the scene frame, over the camera's ``depth`` of the scene's centre, the
    camera's ``pitch`` (radians) and ``focal`` (longer picture sides).
    """
    angles = np.pi * box[:, None] * 2.0 ** np.arange(FREQUENCIES)
    encoded = np.concatenate([box[:, None], np.sin(angles), np.cos(angles)], axis=1)
    view = [math.log(depth), pitch, math.log(focal)]
    return np.concatenate([encoded.reshape(-1), *_extremes(points), view]).astype(np.float32)

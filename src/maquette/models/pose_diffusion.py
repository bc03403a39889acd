"""The pose of an object as seven numbers that a picture shows (Coherent 3D Scene Diffusion, section 3.1), and back; differentiable.

    offset    2  from the centre of the object's 2-D box to where its 3-D centre appears, in longer picture sides
    distance  1  log of its depth over that of the scene's centre
    size      3  log of its sides along its own axes, scene units
    yaw       1  turn about +Y, radians

Each is normalised as (value - mean) / range. The paper's distances and sizes are metres; a scene frame has no unit, hence the logs.
The centre is the back-projection of the offset at the distance. Shapes: B objects; every object carries how it is seen (``Sight``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from maquette.geometry.part_gaussians import PartGaussians, yaw_rotations
from maquette.models.part_shapes import CANONICAL_SIZE

POSE_NUMBERS = 7
MEAN = (0.0, 0.0, 0.0, -1.85, -2.0, -2.15, 0.0)  # and ranges: measured on 604 objects of training views, the yaw's as in the paper
RANGE = (0.08, 0.08, 0.15, 0.8, 0.8, 0.8, math.pi)
FREQUENCIES = 10  # of the box encoding
CUES = 4 * (1 + 2 * FREQUENCIES) + 9  # 84 of the box, 9 of the visible surface and the camera


@dataclass(frozen=True, eq=False)
class Sight:
    """How B objects are seen."""

    focal: Tensor  # (B,) focal length in longer picture sides
    depth: Tensor  # (B,) z-depth of the scene's centre, scene units
    scene_from_camera: Tensor  # (B, 4, 4) rigid
    boxes: Tensor  # (B, 4) left, top, right, bottom of the 2-D boxes, from the picture's centre, in longer picture sides

    def unboxed(self, dropped: Tensor) -> Sight:
        """The same without the boxes of some objects ((B,) bool): the prior knows no boxes, its offsets count from the picture's centre."""
        return replace(self, boxes=torch.where(dropped[:, None], torch.zeros_like(self.boxes), self.boxes))

    def to(self, device: torch.device | str) -> Sight:
        """The same on a device."""
        return Sight(*(tensor.to(device) for tensor in (self.focal, self.depth, self.scene_from_camera, self.boxes)))

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
        values = numbers.float() * numbers.new_tensor(RANGE).float() + numbers.new_tensor(MEAN).float()
        z = sight.depth * values[:, 2].exp()
        seen = (sight.centres + values[:, :2]) / sight.focal[:, None]
        local = z[:, None] * torch.cat([seen, torch.ones_like(z)[:, None]], dim=1)
        centre = torch.einsum("bij,bj->bi", sight.scene_from_camera[:, :3, :3], local) + sight.scene_from_camera[:, :3, 3]
        return cls(centre, values[:, 3:6].exp(), values[:, 6])

    def numbers(self, sight: Sight) -> Tensor:
        """(B, 7) normalised numbers, from which ``of`` makes the same pose."""
        rotation, origin = sight.scene_from_camera[:, :3, :3], sight.scene_from_camera[:, :3, 3]
        local = torch.einsum("bij,bi->bj", rotation, self.centre - origin)
        offset = sight.focal[:, None] * local[:, :2] / local[:, 2:] - sight.centres
        yaw = torch.remainder(self.yaw + math.pi, 2 * math.pi) - math.pi
        values = torch.cat([offset, (local[:, 2] / sight.depth).log()[:, None], self.size.log(), yaw[:, None]], dim=1)
        return (values - values.new_tensor(MEAN)) / values.new_tensor(RANGE)

    def placed(self, gaussians: PartGaussians) -> PartGaussians:
        """Gaussians of the canonical cube in the scene frame. The longest side decides the scale; shapes are not stretched."""
        return gaussians.moved(yaw_rotations(self.yaw), self.size.amax(-1) / CANONICAL_SIZE, self.centre)


def picture_box(own: np.ndarray) -> np.ndarray:
    """(4,) 2-D box, as in ``Sight``, of an object's pixels (S, S) bool in a square picture that the photo's longer side spans."""
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    return (edges / own.shape[0] - 0.5).astype(np.float32)


def object_cues(box: np.ndarray, points: np.ndarray, depth: float, pitch: float, focal: float) -> np.ndarray:
    """(CUES,) float32 what is known of an object besides its picture.

    box: (4,) as in ``Sight``, encoded with ten frequencies (84 numbers, as in the paper). Ours, because a small encoder without
    pre-training sees no depth: box and median of its visible ``points`` (N, 3) in the scene frame, over the camera's ``depth`` of the
    scene's centre, the camera's ``pitch`` (radians) and ``focal`` (longer picture sides).
    """
    angles = np.pi * box[:, None] * 2.0 ** np.arange(FREQUENCIES)
    encoded = np.concatenate([box[:, None], np.sin(angles), np.cos(angles)], axis=1).reshape(-1)
    low, high = np.quantile(points, 0.02, axis=0), np.quantile(points, 0.98, axis=0)
    return np.concatenate([encoded, low, high, [math.log(depth), pitch, math.log(focal)]]).astype(np.float32)

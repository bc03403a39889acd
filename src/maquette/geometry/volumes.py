"""Volumes over a cube, and what a picture says about them: sampling, and lifting of a depth map
into a grid.

Frames: a *cube* frame spans [-0.5, 0.5]^3; ``a_from_cube`` is a similarity whose scale is the
cube's side in frame a. Volumes index as [x, y, z]; the cell (i, j, k) of an R^3 grid has its centre
at ((i, j, k) + 0.5) / R - 0.5. Everything here is torch, single precision, and works on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.geometry.transforms import rotation_y

TRUNCATION = (
    1.0 / 16.0
)  # of the cube's side: a volume's signed distances are clipped here and divided by it


def cell_centres(resolution: int, device: torch.device | str = "cpu") -> Tensor:
    """(R, R, R, 3) positions of the cells' centres in the cube frame."""
    axis = (torch.arange(resolution, device=device, dtype=torch.float32) + 0.5) / resolution - 0.5
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def sample_volume(volume: Tensor, points: Tensor) -> Tensor:
    """Trilinear samples of a volume (C, R, R, R) at cube-frame points (..., 3) -> (C, ...); clamped
    at the border.
    """
    grid = (2.0 * points).flip(-1).reshape(1, 1, 1, -1, 3).to(volume.dtype)
    samples = F.grid_sample(
        volume[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return samples.reshape(volume.shape[0], *points.shape[:-1])


def turn_volume(volume: Tensor, yaw: float, growth: float = 1.0) -> Tensor:
    """A volume (C, R, R, R), its content turned by ``yaw`` about the cube's vertical axis, in a
    cube ``growth`` times as wide.

    Channel 0 is a signed distance: 1 where the old cube does not reach, and in units of the new
    cube's truncation.
    """
    turn = torch.from_numpy(rotation_y(yaw)).to(volume.device).float()
    cells = growth * cell_centres(volume.shape[-1], volume.device) @ turn  # rows: R(-yaw) x
    outside = (cells.abs() > 0.5).any(-1)
    resampled = sample_volume(volume, cells)
    resampled[0] = torch.where(outside, torch.ones_like(resampled[0]), resampled[0] / growth)
    return resampled


def transform_cells(a_from_cube: Tensor, resolution: int) -> Tensor:
    """(R, R, R, 3) centres of the cube's cells in frame a; ``a_from_cube`` (4, 4)."""
    centres = cell_centres(resolution, a_from_cube.device)
    return centres @ a_from_cube[:3, :3].T.float() + a_from_cube[:3, 3].float()


@dataclass(frozen=True, eq=False)
class DepthView:
    """What is known of a picture: its depth map, labels and colours, and the camera they were seen
    with.
    """

    depth: Tensor  # (H, W) z-depth in scene units, > 0 everywhere; far for background
    labels: Tensor  # (H, W) int64, 0 = background
    image: Tensor  # (3, H, W) float32 in [-1, 1]
    intrinsics: Tensor  # (3, 3) pixels
    camera_from_scene: Tensor  # (4, 4) rigid


LIFT_CHANNELS = 9


def lift_view(
    view: DepthView, scene_from_cube: Tensor, label: int | None, resolution: int
) -> Tensor:
    """What the picture says about every cell of a cube, for one instance (or, with ``label=None``,
    for all objects together).

    Each cell's centre is projected into the picture and compared with what is seen there. Returns
    (9, R, R, R): 0 fine and 1 coarse signed distance along the ray to the visible surface (positive
    in front of it), where it is the instance's; 2 the pixel is the instance's; 3 the cell is seen
    to be empty; 4 something else may hide the cell; 5 the cell is outside the picture; 6..8 the
    pixel's colour where it is the instance's, in [-1, 1]. This is the "lift" of design.md 4.2.
    """
    height, width = view.depth.shape
    cells = transform_cells(view.camera_from_scene.float() @ scene_from_cube.float(), resolution)
    depth = cells[..., 2].clamp(min=1e-3)
    pixels = cells @ view.intrinsics.T.float()
    u = pixels[..., 0] / depth
    v = pixels[..., 1] / depth
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (cells[..., 2] > 1e-3)
    flat = v.long().clamp(0, height - 1) * width + u.long().clamp(0, width - 1)
    seen_depth = view.depth.reshape(-1)[flat]
    seen_label = view.labels.reshape(-1)[flat]
    side = scene_from_cube[:3, 0].norm().float()
    own = inside & ((seen_label > 0) if label is None else (seen_label == label))
    other = inside & (seen_label > 0) & ~own
    gap = (seen_depth - depth) / side  # > 0: the cell is in front of what is seen
    own_f = own.float()
    empty = (inside & (seen_label == 0)) | (other & (gap > 0.02)) | (own & (gap > 0.08))
    channels = [
        (gap / 0.1).clamp(-1, 1) * own_f,
        torch.tanh(2.0 * gap) * own_f,
        own_f,
        empty.float(),
        (other & (gap <= 0.02)).float(),
        (~inside).float(),
    ]
    colour = view.image.reshape(3, -1)[:, flat.reshape(-1)].reshape(3, *flat.shape) * own_f
    return torch.cat([torch.stack(channels), colour])

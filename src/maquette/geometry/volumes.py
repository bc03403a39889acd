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
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from maquette.geometry.transforms import rotation_y

# Of the cube's side: a volume's signed distances are clipped here and divided by it.
TRUNCATION = 1.0 / 16.0
# Of the lift, in cube sides. A cell this far before what is seen there is empty: before the
# instance itself, whose depth may be wrong, and before something else.
EMPTY_BEFORE_OWN = 0.08
EMPTY_BEFORE_OTHER = 0.02


def cell_centres(
    resolution: int, device: torch.device | str = "cpu"
) -> Float32[Tensor, "{resolution} {resolution} {resolution} 3"]:
    """Positions of the cells' centres in the cube frame."""
    steps = torch.arange(resolution, device=device, dtype=torch.float32) + 0.5
    axis = steps / resolution - 0.5
    return torch.cartesian_prod(axis, axis, axis).unflatten(0, (resolution,) * 3)


def sample_volume(
    volume: Float[Tensor, "C R R R"], points: Float[Tensor, "*any 3"]
) -> Float[Tensor, " C *any"]:
    """Trilinear samples of a volume at cube-frame points; clamped at the border."""
    zyx = (2.0 * points).flip(-1)
    grid = zyx.to(volume.dtype).reshape(1, 1, 1, -1, 3)
    samples = F.grid_sample(volume[None], grid, padding_mode="border", align_corners=False)
    return samples.reshape(volume.shape[0], *points.shape[:-1])


def turn_volume(
    volume: Float[Tensor, "C R R R"], yaw: float, growth: float = 1.0
) -> Float[Tensor, "C R R R"]:
    """A volume, its content turned by ``yaw`` about the cube's vertical axis, in a
    cube ``growth`` times as wide.

    Channel 0 is a signed distance: 1 where the old cube does not reach, and in units of the new
    cube's truncation.
    """
    turn = torch.from_numpy(rotation_y(yaw)).to(volume.device).float()
    cells = growth * cell_centres(volume.shape[-1], volume.device) @ turn  # rows: R(-yaw) x
    outside = (cells.abs() > 0.5).any(-1)
    resampled = sample_volume(volume, cells)
    resampled[0] = torch.where(outside, 1.0, resampled[0] / growth)
    return resampled


def transform_cells(
    a_from_cube: Float[Tensor, "4 4"], resolution: int
) -> Float32[Tensor, "{resolution} {resolution} {resolution} 3"]:
    """Centres of the cube's cells in frame a."""
    linear = a_from_cube[:3, :3].float()
    return cell_centres(resolution, linear.device) @ linear.T + a_from_cube[:3, 3].float()


@dataclass(frozen=True, eq=False)
class DepthView:
    """What is known of a picture: its depth map, labels and colours, and the camera they were seen
    with.
    """

    depth: Float[Tensor, "H W"]  # z-depth in scene units, > 0 everywhere; far for background
    labels: Int64[Tensor, "H W"]  # 0 = background
    image: Float32[Tensor, "3 H W"]  # in [-1, 1]
    intrinsics: Float[Tensor, "3 3"]  # pixels
    camera_from_scene: Float[Tensor, "4 4"]  # rigid


LIFT_CHANNELS = 9


def lift_view(
    view: DepthView,
    scene_from_cube: Float[Tensor, "4 4"],
    label: int | None,
    resolution: int,
) -> Float32[Tensor, "9 {resolution} {resolution} {resolution}"]:
    """What the picture says about every cell of a cube, for one instance (or, with ``label=None``,
    for all objects together).

    Each cell's centre is projected into the picture and compared with what is seen there. Returns
    (9, R, R, R): 0 fine and 1 coarse signed distance along the ray to the visible surface (positive
    in front of it), where it is the instance's; 2 the pixel is the instance's; 3 the cell is seen
    to be empty; 4 something else may hide the cell; 5 the cell is outside the picture; 6..8 the
    pixel's colour where it is the instance's, in [-1, 1].
    """
    camera_from_cube = view.camera_from_scene.float() @ scene_from_cube.float()
    depth, flat, inside = _project_cells(view, transform_cells(camera_from_cube, resolution))
    seen_label = view.labels.flatten()[flat]
    own = inside & ((seen_label > 0) if label is None else (seen_label == label))
    other = inside & (seen_label > 0) & ~own
    # > 0: the cell is in front of what is seen
    side = scene_from_cube[:3, 0].norm().float()
    gap = (view.depth.flatten()[flat] - depth) / side
    own_f = own.float()
    fine = (gap / 0.1).clamp(-1, 1) * own_f
    coarse = torch.tanh(2.0 * gap) * own_f
    background = inside & (seen_label == 0)
    clear = gap > EMPTY_BEFORE_OTHER
    empty = background | (other & clear) | (own & (gap > EMPTY_BEFORE_OWN))
    hidden = other & ~clear
    flags = [flag.float() for flag in (empty, hidden, ~inside)]
    colour = view.image.flatten(1)[:, flat] * own_f
    return torch.cat([torch.stack([fine, coarse, own_f, *flags]), colour])


def _project_cells(view: DepthView, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of cells (R, R, R, 3) in the camera's frame: z-depth, index of the pixel that they appear in,
    clamped to the picture, and whether they are in the picture; (R, R, R) each.
    """
    height, width = view.depth.shape
    depth = cells[..., 2].clamp(min=1e-3)
    pixels = cells @ view.intrinsics.T.float()
    u, v, _ = (pixels / depth[..., None]).unbind(-1)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    column = u.long().clamp(0, width - 1)
    row = v.long().clamp(0, height - 1)
    return depth, row * width + column, inside & (cells[..., 2] > 1e-3)

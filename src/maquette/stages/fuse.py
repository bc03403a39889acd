"""Hold the generator to what the photo shows: carve with the silhouette, keep the visible surface.

In the flow: a generated volume + Perception -> the volume that agrees with the photo, before it
becomes a mesh. What is hidden stays the generator's; what is visible is the depth map's. Ours, not
I-Scene's: a small model needs it, a large one hardly notices.

All fields are truncated signed distances in the cube of the instance, negative inside:
    result = min( max(generated, hull, front), max(shell, hull) )
hull: the cells that project into the mask (or may be hidden); front: the cells not in front of the
visible surface;
shell: a thin layer just behind the visible surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from maquette.geometry.cameras import project
from maquette.geometry.transforms import transform_points
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.stages.perceive import Perception

SHELL = 0.05  # thickness of the visible layer, in cube sides
CONTACT = 0.02  # an object must be this much nearer (scene units) to count as hiding a cell


@dataclass(frozen=True, eq=False)
class SeenCells:
    """What a photo says of N cells, for one instance."""

    pixel: tuple[np.ndarray, np.ndarray]  # row and column (N,) of each, clipped to the photo
    share: np.ndarray  # (N,) of the mask around that pixel; 1 outside of the photo
    visible: np.ndarray  # (N,) bool: the photo shows the instance's surface there
    gap: np.ndarray  # (N,) > 0: in front of that surface, in truncations
    hidden: np.ndarray  # (N,) bool: something else may hide the cell


def fuse_evidence(
    volume: Tensor, perception: Perception, label: int, scene_from_cube: np.ndarray
) -> Tensor:
    """Volume (4, R, R, R) of one instance -> the same, agreeing with the photo where that shows the
    instance.
    """
    shape = volume.shape[1:]
    cells = see_cells(perception, label, scene_from_cube, shape[-1])
    half = 0.5 * SHELL / TRUNCATION
    hull = np.where(cells.hidden, -1.0, 4.0 * (0.5 - cells.share))
    front = np.where(cells.visible, cells.gap, -1.0)
    shell = np.where(cells.visible, np.abs(cells.gap + half) - half, 1.0)
    generated = volume[0].reshape(-1).double().numpy()
    carved = np.maximum.reduce([generated, hull, front])
    fused = np.minimum(carved, np.maximum(shell, hull)).clip(-1, 1)
    fused = _without_hidden_islands(fused.reshape(shape), (shell < 0).reshape(shape)).reshape(-1)
    result = volume.clone(memory_format=torch.contiguous_format)
    result[0] = torch.from_numpy(fused.astype(np.float32)).reshape(shape)
    uncoloured = cells.visible & (np.abs(generated) >= 1) & (np.abs(fused) < 1)
    rows, columns = (index[uncoloured] for index in cells.pixel)
    colours = perception.photo[rows, columns].astype(np.float32).T / 127.5 - 1.0
    result.view(4, -1)[1:, torch.from_numpy(uncoloured)] = torch.from_numpy(colours)
    return result


def see_cells(
    perception: Perception, label: int, scene_from_cube: np.ndarray, resolution: int
) -> SeenCells:
    """Project the cells of an instance's cube into the photo."""
    camera = perception.camera
    centres = cell_centres(resolution).numpy().reshape(-1, 3).astype(np.float64)
    pixel, depth = project(camera, transform_points(scene_from_cube, centres))
    size = np.array([camera.width, camera.height])
    inside = ((pixel >= 0) & (pixel < size)).all(1) & (depth > 1e-3)
    columns, rows = np.clip(pixel.astype(int), 0, size - 1).T
    mask = (perception.label_map == label).astype(np.float32)
    sigma = 0.6 * max(1.0, max(mask.shape) / len(perception.picture.labels))
    share = bilinear(cv2.GaussianBlur(mask, (0, 0), sigma), pixel)
    weight = bilinear(mask, pixel)
    surface = np.where(mask > 0, perception.photo_depth, 0.0).astype(np.float32)
    seen = bilinear(surface, pixel) / np.maximum(weight, 1e-6)
    others = (perception.label_map > 0) & (mask == 0)
    nearest = np.where(others, perception.photo_depth, np.inf).astype(np.float32)[rows, columns]
    gap = (seen - depth) / float(scene_from_cube[0, 0]) / TRUNCATION
    visible = inside & (weight > 0.05)
    hidden = inside & (nearest < depth - CONTACT)
    return SeenCells((rows, columns), np.where(inside, share, 1.0), visible, gap, hidden)


def _without_hidden_islands(field: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Drop solid parts (R, R, R) that are not connected with anything visible: nothing in the photo
    speaks for them.
    """
    parts, _ = ndimage.label(field < 0)
    seen = np.unique(parts[visible & (parts > 0)])
    if len(seen) == 0:
        return field
    return np.where((parts > 0) & ~np.isin(parts, seen), 1.0, field)


def bilinear(
    picture: np.ndarray, pixel: np.ndarray, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """(N, ...) float64 samples of a picture (H, W, ...) at pixel coordinates (N, 2), centres at
    +0.5; outside 0, or what OpenCV's ``border`` says.
    """
    rows = 1 << 12  # remap takes less than 32768 rows and columns
    padded = np.zeros((-(-len(pixel) // rows) * rows, 2), np.float32)
    padded[: len(pixel)] = np.clip(pixel - 0.5, -1e4, 1e5)
    at = padded.reshape(rows, -1, 2)
    sampled = cv2.remap(  # type: ignore[call-overload]  # the second map may be absent
        picture, at, None, cv2.INTER_LINEAR, borderMode=border
    )
    return sampled.reshape(-1, *picture.shape[2:])[: len(pixel)].astype(np.float64)

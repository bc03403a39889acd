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

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from maquette.geometry.cameras import project
from maquette.geometry.transforms import transform_points
from maquette.geometry.volumes import TRUNCATION, cell_centres
from maquette.scene.perceive import Perception, depth_of_photo

SHELL = 0.05  # thickness of the visible layer, in cube sides
CONTACT = 0.02  # an object must be this much nearer (scene units) to count as hiding a cell


def fuse_evidence(
    volume: Tensor,
    image: np.ndarray,
    perception: Perception,
    label: int,
    scene_from_cube: np.ndarray,
) -> Tensor:
    """Volume (4, R, R, R) of one instance -> the same, agreeing with the photo (H, W, 3) where the
    photo shows the instance.
    """
    resolution = volume.shape[-1]
    cells = transform_points(
        scene_from_cube, cell_centres(resolution).numpy().reshape(-1, 3).astype(np.float64)
    )
    pixel, depth = project(perception.camera, cells)
    camera = perception.camera
    inside = (
        (pixel >= 0).all(1)
        & (pixel[:, 0] < camera.width)
        & (pixel[:, 1] < camera.height)
        & (depth > 1e-3)
    )
    mask = (perception.label_map == label).astype(np.float32)
    photo_depth = depth_of_photo(perception)
    sigma = 0.6 * max(1.0, max(mask.shape) / perception.picture.labels.shape[0])
    share = np.where(inside, _sample(cv2.GaussianBlur(mask, (0, 0), sigma), pixel), 1.0)
    weight = _sample(mask, pixel)
    seen = _sample(np.where(mask > 0, photo_depth, 0.0).astype(np.float32), pixel) / np.maximum(
        weight, 1e-6
    )
    own = inside & (weight > 0.05)
    others = np.where((perception.label_map > 0) & (mask == 0), photo_depth, np.inf).astype(
        np.float32
    )
    rows, columns = (
        np.clip(pixel[:, i].astype(int), 0, side - 1)
        for i, side in ((1, camera.height), (0, camera.width))
    )
    hidden = inside & (others[rows, columns] < depth - CONTACT)

    side = float(scene_from_cube[0, 0])
    gap = (seen - depth) / side / TRUNCATION  # > 0: in front of the visible surface
    half = 0.5 * SHELL / TRUNCATION
    hull = np.where(hidden, -1.0, 4.0 * (0.5 - share))
    front = np.where(own, gap, -1.0)
    shell = np.where(own, np.abs(gap + half) - half, 1.0)
    generated = volume[0].reshape(-1).double().numpy()
    fused = np.minimum(np.maximum.reduce([generated, hull, front]), np.maximum(shell, hull)).clip(
        -1, 1
    )
    fused = _without_hidden_islands(
        fused.reshape(volume.shape[1:]), (shell < 0).reshape(volume.shape[1:])
    ).reshape(-1)
    result = volume.clone()
    result[0] = torch.from_numpy(fused.astype(np.float32)).reshape(volume.shape[1:])
    uncoloured = torch.from_numpy(own & (np.abs(generated) >= 1) & (np.abs(fused) < 1)).reshape(
        volume.shape[1:]
    )
    if bool(uncoloured.any()):
        colours = image[rows, columns].astype(np.float32).T / 127.5 - 1.0
        result[1:, uncoloured] = torch.from_numpy(colours.reshape(3, *volume.shape[1:]))[
            :, uncoloured
        ]
    return result


def _without_hidden_islands(field: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Drop solid parts (R, R, R) that are not connected with anything visible: nothing in the photo
    speaks for them.
    """
    parts, _ = ndimage.label(field < 0)
    seen = np.unique(parts[visible & (parts > 0)])
    if len(seen) == 0:
        return field
    return np.where((parts > 0) & ~np.isin(parts, seen), 1.0, field)


def _sample(field: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """(N,) bilinear samples of (H, W) at pixel coordinates (N, 2), centres at +0.5; 0 outside."""
    rows = 1 << 12  # remap takes less than 32768 rows and columns
    padded = np.zeros((-(-len(pixel) // rows) * rows, 2), np.float32)
    padded[: len(pixel)] = np.clip(pixel - 0.5, -1e4, 1e5)
    sampled = cv2.remap(
        field, padded.reshape(rows, -1, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return sampled.reshape(-1)[: len(pixel)].astype(np.float64)

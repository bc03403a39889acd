"""Axis-aligned boxes as (2, 3) arrays: lower corner, upper corner."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Real

from maquette.geometry.transforms import Matrix3, Points, Transform, similarity

PixelBox = tuple[int, int, int, int]  # x0, y0, x1, y1; x1 and y1 exclusive
UNIT_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def bounding_box(points: Real[np.ndarray, "N D"]) -> Real[np.ndarray, "2 D"]:
    """Box of points; N >= 1."""
    return np.stack([points.min(0), points.max(0)])


def middle_of(box: Real[np.ndarray, " sides"]) -> Real[np.ndarray, " 2"]:
    """The middle (x, y) of a box of a picture: x0, y0, x1, y1."""
    return (box[:2] + box[2:]) / 2


def longest_side(points: Real[np.ndarray, "N D"]) -> float:
    """The longest side of the box of points, or of the box (2, D) itself; N >= 1."""
    return float(np.ptp(points, axis=0).max())


def cube_cells(resolution: int, side: float = 1.0) -> Points:
    """Centres of the R^3 cells of a cube about the origin, x slowest."""
    axis = ((np.arange(resolution) + 0.5) / resolution - 0.5) * side
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def pixel_box(mask: Bool[np.ndarray, "H W"]) -> PixelBox:
    """Left, top, right and bottom of the pixels of a mask; right and bottom exclusive. ValueError
    when it has none.
    """
    columns = np.flatnonzero(mask.any(0)).tolist()
    rows = np.flatnonzero(mask.any(1)).tolist()
    if not rows:
        raise ValueError("the mask has no pixel, so it has no box")
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def shared_box(a: Real[np.ndarray, "2 D"], b: Real[np.ndarray, "2 D"]) -> Real[np.ndarray, "2 D"]:
    """What two boxes have in common; its upper corner is below the lower one where that is
    nothing.
    """
    return np.stack([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])])


def box_iou(a: Real[np.ndarray, "2 D"], b: Real[np.ndarray, "2 D"]) -> float:
    """Volume of the intersection over volume of the union of two boxes (2, 3); 0 for two empty
    boxes.
    """
    low, high = shared_box(a, b)
    overlap = np.clip(high - low, 0.0, None).prod()
    volume, other = (np.diff(box, axis=0).prod() for box in (a, b))
    union = volume + other - overlap
    return float(overlap / union) if union > 0 else 0.0


def scene_from_world(box: Float[np.ndarray, "2 3"], yaw: Matrix3 | None = None) -> Transform:
    """Similarity that turns by ``yaw``, centres ``box`` (already in turned axes) and
    makes its longest side 1.
    """
    scale = 1.0 / max(longest_side(box), 1e-9)
    return similarity(scale, yaw, -scale * box.mean(0))

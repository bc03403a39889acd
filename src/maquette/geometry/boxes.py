"""Axis-aligned boxes as (2, 3) arrays: lower corner, upper corner."""

from __future__ import annotations

import numpy as np


def bounding_box(points: np.ndarray) -> np.ndarray:
    """(2, 3) box of points (N, 3); N >= 1."""
    return np.stack([points.min(0), points.max(0)])


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Volume of the intersection over volume of the union of two boxes (2, 3); 0 for two empty
    boxes.
    """
    overlap = np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0.0, None).prod()
    union = (a[1] - a[0]).prod() + (b[1] - b[0]).prod() - overlap
    return float(overlap / union) if union > 0 else 0.0


def scene_from_world(box: np.ndarray, yaw: np.ndarray | None = None) -> np.ndarray:
    """(4, 4) similarity that turns by ``yaw`` (3, 3), centres ``box`` (already in turned axes) and
    makes its longest side 1.
    """
    scale = 1.0 / max(float((box[1] - box[0]).max()), 1e-9)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * (np.eye(3) if yaw is None else yaw)
    matrix[:3, 3] = -scale * box.mean(0)
    return matrix

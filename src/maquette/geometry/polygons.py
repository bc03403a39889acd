"""Polygons in space -> triangles, for mesh files that hold faces of any number of corners.

A fan from the first corner is right for convex polygons only. Others are cut by ear clipping
(Meisters, "Polygons have ears", 1975) in the plane that fits them best.
"""

from __future__ import annotations

import numpy as np

_FLAT = 1e-9  # of the polygon's area: what counts as no area


def area_vector(corners: np.ndarray) -> np.ndarray:
    """(..., 3) normal of polygons (..., N, 3) as long as their area, by Newell's sum."""
    shifted = corners - corners[..., :1, :]
    return 0.5 * np.cross(shifted, np.roll(shifted, -1, axis=-2)).sum(axis=-2)


def fan_covers(corners: np.ndarray) -> np.ndarray:
    """(M,) bool: which polygons (M, N, 3) a fan from the first corner covers exactly."""
    spokes = corners[:, 1:] - corners[:, :1]
    normals = np.cross(spokes[:, :-1], spokes[:, 1:])  # of the fan's triangles
    whole = area_vector(corners)
    along = np.einsum("mnc,mc->mn", normals, whole)
    return along.min(axis=1) >= -_FLAT * np.einsum("mc,mc->m", whole, whole)


def ear_clipped(corners: np.ndarray) -> np.ndarray:
    """(N - 2, 3) indices of triangles that cover a simple polygon (N, 3) and turn as it does.

    Corners in one line make triangles without area; a polygon that crosses itself is cut somehow.
    """
    flat = _in_plane(corners)
    remaining = np.arange(len(corners))
    triangles = []
    while len(remaining) > 3:
        ear = _find_ear(flat[remaining])
        triangles.append(remaining[[ear - 1, ear, (ear + 1) % len(remaining)]])
        remaining = np.delete(remaining, ear)
    return np.array([*triangles, remaining])


def _in_plane(corners: np.ndarray) -> np.ndarray:
    """(N, 2) anticlockwise: the polygon without the axis that its normal is closest to."""
    normal = area_vector(corners)
    axis = int(np.abs(normal).argmax())
    kept = [(axis + 1) % 3, (axis + 2) % 3]
    return corners[:, kept if normal[axis] >= 0 else kept[::-1]]


def _find_ear(polygon: np.ndarray) -> int:
    """Index of a corner of an anticlockwise polygon (N, 2) that can be cut off: it points outward
    and its triangle holds no other corner. The flattest come last.
    """
    before = np.roll(polygon, 1, axis=0)
    after = np.roll(polygon, -1, axis=0)
    turn = _cross(polygon - before, after - polygon)
    reflex = polygon[turn <= 0]
    for corner in np.argsort(-turn, kind="stable"):
        triangle = np.stack([before[corner], polygon[corner], after[corner]])
        if turn[corner] >= 0 and not _holds_any(triangle, reflex):
            return int(corner)
    return int(turn.argmax())  # only where the polygon crosses itself


def _holds_any(triangle: np.ndarray, points: np.ndarray) -> bool:
    """Whether points (P, 2), other than its corners, lie in an anticlockwise triangle (3, 2)."""
    others = points[(points[:, None] != triangle).any(axis=2).all(axis=1)]
    sides = np.roll(triangle, -1, axis=0) - triangle
    return bool((_cross(sides, others[:, None] - triangle) >= 0).all(axis=1).any())


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    ax, ay = np.moveaxis(a, -1, 0)
    bx, by = np.moveaxis(b, -1, 0)
    return ax * by - ay * bx

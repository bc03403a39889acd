"""Which way is down, from the largest level plane of a depth map: the floor or the table top.

In the flow: z-depth that a user gave, and roughly where down is -> the direction of gravity in the
camera's axes.
Random sample consensus (Fischler and Bolles, 1981) over triples of points; the plane is fitted once
more to all that lie on it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from maquette.geometry.transforms import Matrix3

TRIES = 400
POINTS = 4000  # of the depth map that are looked at
NEAR = 0.008  # of a point's depth; how far a point may lie off the plane
LEVEL = np.cos(np.deg2rad(25.0))  # cosine between a ground's normal and where down is expected
SHARE = 0.15  # of the points that a ground must hold
BELOW = 0.02  # share of the points that may lie below the ground


def ground_down(
    depth: Float[np.ndarray, "H W"],
    intrinsics: Matrix3,
    objects: Bool[np.ndarray, "H W"],
    expected: Float[np.ndarray, " 3"],
) -> Float[np.ndarray, " 3"] | None:
    """Unit normal of the ground, away from the camera, in the camera's OpenCV axes; None where
    there is no such plane. depth: nan = unknown; objects: not ground; expected: roughly where
    down is.
    """
    points = _points(depth, intrinsics, objects)
    if len(points) < 100:
        return None
    rng = np.random.default_rng(0)
    best: np.ndarray | None = None
    most = SHARE * len(points)
    tolerance = NEAR * points[:, 2]
    for triple in rng.integers(0, len(points), (TRIES, 3)):
        plane = _plane(points[triple], expected)
        if plane is None:
            continue
        height = points @ plane[:3] - plane[3]  # above 0: below the ground
        on = np.abs(height) < tolerance
        if on.sum() > most and (height > 3 * tolerance).mean() < BELOW:
            most = on.sum()
            best = on
    if best is None:
        return None
    centre = points[best].mean(0)
    _, _, axes = np.linalg.svd(points[best] - centre, full_matrices=False)
    normal = axes[2]
    return normal if normal @ expected > 0 else -normal


def _points(depth: np.ndarray, intrinsics: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(N, 3) of at most POINTS pixels, evenly over the picture."""
    known = np.isfinite(depth) & ~objects
    rows, columns = np.nonzero(known)
    step = max(1, len(rows) // POINTS)
    rows = rows[::step]
    columns = columns[::step]
    z = depth[rows, columns].astype(np.float64)
    x = (columns + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (rows + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1] * z
    return np.stack([x, y, z], axis=1)


def _plane(triple: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    """(4,) normal that points down and offset of the plane through three points; None when it lies
    otherwise than expected, or the points are in line.
    """
    normal = np.cross(triple[1] - triple[0], triple[2] - triple[0])
    length = float(np.linalg.norm(normal))
    if length < 1e-9:
        return None
    normal = normal / length
    if normal @ expected < 0:
        normal = -normal
    if normal @ expected < LEVEL:
        return None
    return np.array([*normal, float(normal @ triple[0])])

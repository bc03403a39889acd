"""How well an object is posed: ADD-S, rotation errors with and without symmetry, and the rotation
that an ICP still finds.

For methods that predict poses, and for layout protocols. Angles are in degrees, because papers
print them so.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from maquette.errors import InputError
from maquette.evaluate.metrics import SurfaceDistances
from maquette.geometry.nearest import PointTree, as_tree
from maquette.geometry.registration import point_to_point
from maquette.geometry.transforms import cos_and_sin

ICP_REACH = 0.1  # of the true object's diameter: longest correspondence of ``icp_rotation``
MOST_FLAT = 2000  # points without a hull of which all pairs are compared
LEAST_FITNESS = 1e-4  # share of points with a correspondence below which no rotation can be told


def diameter(points: np.ndarray) -> float:
    """Largest distance between any two of the points (N, 3), in their units; exact (both ends are
    corners of the convex hull).
    """
    try:
        points = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        points = np.unique(points, axis=0)
        if len(points) > MOST_FLAT:
            points = _extremes_in_plane(points)
    return float(pdist(points).max()) if len(points) > 1 else 0.0


def _extremes_in_plane(points: np.ndarray) -> np.ndarray:
    """Of many points (N, 3) in a plane those that are the farthest ones in some direction."""
    angles = np.linspace(0, np.pi, 256)
    plane = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][:2]
    along = (points @ plane.T) @ np.stack(cos_and_sin(angles))
    return points[np.unique(np.concatenate([along.argmin(0), along.argmax(0)]))]


def add_s(distances: SurfaceDistances, true_diameter: float) -> float:
    """(mean d from prediction to truth + mean d from truth to prediction) / (2 * diameter of the
    truth): plain d, no unit; 0 is best.

    The symmetric form of SAM 3D Objects and Mira-Scene. PoseCNN (Xiang et al. 2018), where it comes
    from, poses one known model and takes the mean over its points in one direction.
    """
    both_ways = distances.to_truth.mean() + distances.to_predicted.mean()
    return float(both_ways / (2.0 * max(true_diameter, 1e-12)))


def rotation_error(
    predicted: np.ndarray, truth: np.ndarray, symmetries: np.ndarray | None = None
) -> float:
    """Angle in degrees of the rotation between two orientations (3, 3), both world_from_object:
    arccos((tr(R_p^T R_t) - 1) / 2).

    ``symmetries`` (K, 3, 3) are rotations in the object's own frame that leave it unchanged
    (``fold_symmetry``); the smallest angle over them counts. Raises InputError for matrices that
    are no rotations, reflections in particular.
    """
    for name, matrix in (("predicted", predicted), ("true", truth)):
        orthonormal = np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-4)
        if matrix.shape != (3, 3) or not orthonormal or np.linalg.det(matrix) < 0:
            raise InputError(
                f"the {name} orientation is no rotation matrix; "
                "give an orthonormal (3, 3) with determinant +1"
            )
    same = np.eye(3) if symmetries is None else symmetries
    return float(rotation_angle(predicted.T @ truth @ same).min())


def axis_error(predicted: np.ndarray, truth: np.ndarray, axis: np.ndarray) -> float:
    """Angle in degrees between where two orientations (3, 3) put an object's ``axis`` (3,): for
    full symmetry round it.
    """
    axis = axis / np.linalg.norm(axis)
    return float(_degrees((predicted @ axis) @ (truth @ axis)))


def rotation_angle(rotation: np.ndarray) -> np.ndarray:
    """Angles in degrees, (...,), of rotations (..., 3, 3)."""
    return _degrees((np.trace(rotation, axis1=-2, axis2=-1) - 1.0) / 2.0)


def _degrees(cosine: np.ndarray) -> np.ndarray:
    """Of cosines, which rounding may have carried beyond 1."""
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def fold_symmetry(axis: np.ndarray, fold: int) -> np.ndarray:
    """(fold, 3, 3) turns about ``axis`` (3,) by multiples of 360 / fold degrees: a square table has
    4 about +Y.
    """
    angles = 2.0 * np.pi * np.arange(fold) / fold
    return Rotation.from_rotvec(angles[:, None] * axis / np.linalg.norm(axis)).as_matrix()


def icp_rotation(
    predicted: np.ndarray | PointTree, truth: np.ndarray | PointTree, true_diameter: float
) -> float | None:
    """Angle in degrees of the rotation that a plain ICP finds between an object and its truth; None
    when nothing corresponds.

    Both clouds are centred on their means and divided by the true diameter; point-to-point ICP from
    the identity, correspondences up to 0.1, at most 100 iterations. The ICP-Rot of SAM 3D Objects,
    as coded by Mira-Scene. A symmetric object scores 0 however it is turned, and far turns stay
    hidden: ICP is local.
    """
    clouds = [as_tree(predicted).points, as_tree(truth).points]
    scale = max(true_diameter, 1e-12)
    unit = [(points - points.mean(0)) / scale for points in clouds]
    fit = point_to_point(*unit, reach=ICP_REACH, iterations=100)
    if fit.fitness <= LEAST_FITNESS:
        return None
    return float(rotation_angle(fit.target_from_source[:3, :3]))

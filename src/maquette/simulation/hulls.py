"""Convex shapes that simulators collide: few vertices, and never flat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.connectivity import without_unused
from maquette.geometry.polygons import doubled_normals

MOST_VERTICES = 64  # of a convex shape; PhysX and MuJoCo want no more
RIM = 0.1  # tangent from an axis, of the directions in which a flat side's rim is looked for
THINNEST = 2e-3  # of an object's longest side; what is thinner gets this thickness


@dataclass(frozen=True, eq=False)
class ConvexPart:
    """A convex solid."""

    vertices: np.ndarray  # (V, 3) float64
    faces: np.ndarray  # (F, 3) that look outward

    @property
    def volume(self) -> float:
        """That it encloses, in cubed units of the vertices."""
        a, b, c = (self.vertices - self.vertices[0])[self.faces].swapaxes(0, 1)
        return float((a * np.cross(b, c)).sum() / 6)

    def transformed(self, linear: np.ndarray) -> ConvexPart:
        """Its image under a linear map (3, 3)."""
        flipped = self.faces[:, ::-1] if np.linalg.det(linear) < 0 else self.faces
        return ConvexPart(self.vertices @ linear.T, flipped)


def convex_part(points: np.ndarray, thickness: float, most: int = MOST_VERTICES) -> ConvexPart:
    """The convex hull of points (N, 3), at least about ``thickness`` thick everywhere, with at most
    ``most`` vertices; its axis-aligned box stays that of the points.
    """
    solid = _thickened(np.asarray(points, dtype=np.float64), thickness)
    try:
        corners = solid[ConvexHull(solid).vertices]
        corners = corners[_spread(corners, most)]
        return _part(corners, ConvexHull(corners))
    except QhullError:  # thinner than Qhull can tell: its box is a solid
        return box_part(solid, thickness)


def box_part(points: np.ndarray, thickness: float) -> ConvexPart:
    """The axis-aligned box of points (N, 3), at least ``thickness`` thick."""
    low, high = bounding_box(np.asarray(points, dtype=np.float64))
    missing = np.maximum(thickness - (high - low), 0.0) / 2
    ends = np.stack([low - missing, high + missing])
    corners = np.array(list(itertools.product(*ends.T)))
    return _part(corners, ConvexHull(corners))


def least_thickness(points: np.ndarray) -> float:
    """Of the parts of an object with these points (N, 3)."""
    return THINNEST * longest_side(points)


def _thickened(points: np.ndarray, thickness: float) -> np.ndarray:
    """The points and, along each principal axis in which they are thin, copies to both sides."""
    centred = points - points.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    for axis in axes.T:
        along = points @ axis
        missing = thickness - float(np.ptp(along))
        if missing > 0:
            points = np.concatenate([points - axis * missing / 2, points + axis * missing / 2])
    return points


def _spread(points: np.ndarray, most: int) -> np.ndarray:
    """Indices of the extreme points along the axes, of those around them, so that a flat side on
    which an object stands keeps its rim, and then of the farthest from those chosen.
    """
    if len(points) <= most:
        return np.arange(len(points))
    chosen = list(dict.fromkeys((points @ _sides().T).argmax(0).tolist()))[:most]
    nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(1)
    while len(chosen) < most:
        farthest = int(nearest.argmax())
        chosen.append(farthest)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[farthest], axis=1))
    return np.sort(chosen)


def _sides() -> np.ndarray:
    """(54, 3) the six axes, then eight directions close around each."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    around = np.arange(8) * np.pi / 4
    near = []
    for axis in axes:
        first = np.outer(np.cos(around), np.roll(axis, 1))
        second = np.outer(np.sin(around), np.roll(axis, 2))
        near.append(axis + RIM * (first + second))
    return np.concatenate([axes, *near])


def _part(corners: np.ndarray, hull: ConvexHull) -> ConvexPart:
    """A hull of scipy with faces that look outward; its unused corners are left out."""
    triangles = hull.simplices
    outward = hull.equations[:, :3]
    inward = (doubled_normals(corners, triangles) * outward).sum(1) < 0
    triangles = np.where(inward[:, None], triangles[:, ::-1], triangles)
    return ConvexPart(*without_unused(corners, triangles))


def overlap_along(
    some: Sequence[ConvexPart], others: Sequence[ConvexPart], direction: np.ndarray
) -> float:
    """How far the first parts must move against a direction (3,), of length 1, for none of them to
    overlap the others; 0 when none does.
    """
    pairs = itertools.product(some, others)
    return max((_overlap(one.vertices, other.vertices, direction) for one, other in pairs))


def _overlap(some: np.ndarray, others: np.ndarray, direction: np.ndarray) -> float:
    """Of two hulls: the longest way along the direction from a point of the others to one of the
    first, as a linear program over the weights of their corners.
    """
    low = np.maximum(some.min(0), others.min(0))
    if (low > np.minimum(some.max(0), others.max(0))).any():
        return 0.0
    count = len(some)
    differ = np.concatenate([some, -others, -direction[None]]).T
    ones = np.zeros((2, differ.shape[1]))
    ones[0, :count] = 1.0
    ones[1, count:-1] = 1.0
    aim = np.zeros(differ.shape[1])
    aim[-1] = -1.0
    solved = linprog(aim, A_eq=np.concatenate([differ, ones]), b_eq=[0.0, 0.0, 0.0, 1.0, 1.0])
    return float(solved.x[-1]) if solved.status == 0 else 0.0

"""Polygons in space -> triangles, for mesh files that hold faces of any number of corners.

A fan from the first corner is right for convex polygons only. Others are cut by ear clipping
(Meisters, "Polygons have ears", 1975) in the plane that fits them best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from maquette.geometry.transforms import Faces, Points

_FLAT = 1e-9  # of the polygon's area: what counts as no area


def area_vector(corners: Float[np.ndarray, "*any N 3"]) -> Float[np.ndarray, "*any 3"]:
    """Normal of polygons as long as their area, by Newell's sum."""
    shifted = corners - corners[..., :1, :]
    return 0.5 * np.cross(shifted, np.roll(shifted, -1, axis=-2)).sum(axis=-2)


def doubled_normals(vertices: Real[np.ndarray, "V 3"], faces: Faces) -> Real[np.ndarray, "F 3"]:
    """Normals of triangles, each twice as long as its area. Faces: any whole numbers."""
    return normals_of(vertices[faces])


def normals_of(corners: Real[np.ndarray, "F 3 3"]) -> Real[np.ndarray, "F 3"]:
    """``doubled_normals`` of triangles by their corners."""
    a, b, c = corners.swapaxes(0, 1)
    return np.cross(b - a, c - a)


def doubled_areas(vertices: Real[np.ndarray, "V 3"], faces: Faces) -> Real[np.ndarray, " F"]:
    """Areas of triangles, twice."""
    return np.linalg.norm(doubled_normals(vertices, faces), axis=1)


def fan_covers(corners: Float[np.ndarray, "M N 3"]) -> Bool[np.ndarray, " M"]:
    """Which polygons a fan from the first corner covers exactly."""
    spokes = corners[:, 1:] - corners[:, :1]
    normals = np.cross(spokes[:, :-1], spokes[:, 1:])  # of the fan's triangles
    whole = area_vector(corners)
    along = np.einsum("mnc,mc->mn", normals, whole)
    return along.min(axis=1) >= -_FLAT * np.einsum("mc,mc->m", whole, whole)


def fan(corners: int) -> Faces:
    """Corners of the triangles of a fan from the first one; none below three corners."""
    last = np.arange(2, max(corners, 2))
    return np.stack([np.zeros_like(last), last - 1, last], axis=1)


def ear_clipped(corners: Points) -> Int[np.ndarray, "N-2 3"]:
    """Indices of triangles that cover a simple polygon and turn as it does.

    The ear with the largest turn goes first, so that flat ones come last. Cutting one off changes
    whether its neighbours are ears, and nothing else (Eberly, "Triangulation by Ear Clipping",
    2002), which makes the work the square of the corners.
    Corners in one line make triangles without area; a polygon that crosses itself is cut somehow.
    """
    ring = _Ring.of(_in_plane(corners))
    ring.look_for_ears(np.arange(len(corners)))
    triangles = []
    for _ in range(len(corners) - 3):
        triangle = ring.triangle(ring.best_ear())
        triangles.append(triangle)
        ring.cut_off(triangle[1])
    return np.array([*triangles, np.flatnonzero(ring.left)])


@dataclass(frozen=True, eq=False)
class _Ring:
    """What is left of an anticlockwise polygon (N, 2), of which corners are cut off."""

    points: np.ndarray  # (N, 2)
    before: np.ndarray  # (N,) the neighbours of each corner
    after: np.ndarray
    left: np.ndarray  # (N,) bool: not cut off yet
    turn: np.ndarray  # (N,) twice the area of a corner's triangle, negative where it points inward
    ear: np.ndarray  # (N,) bool: it can be cut off

    @classmethod
    def of(cls, points: np.ndarray) -> _Ring:
        """A polygon (K, 2) of which nothing is cut off yet."""
        numbers = np.arange(len(points))
        turn = np.zeros(len(points))
        whole = np.ones(len(points), bool)
        return cls(points, np.roll(numbers, 1), np.roll(numbers, -1), whole, turn, ~whole)

    def triangle(self, corner: int) -> list[int]:
        """The corner between those that are its neighbours by now."""
        return [int(self.before[corner]), corner, int(self.after[corner])]

    def look_for_ears(self, corners: Int[np.ndarray, " K"]) -> None:
        """Whether corners point outward and their triangles hold no other corner."""
        points = self.points[corners]
        arriving = points - self.points[self.before[corners]]
        self.turn[corners] = cross_2d(arriving, self.points[self.after[corners]] - points)
        reflex = self.points[self.left & (self.turn <= 0)]
        for corner in corners.tolist():
            triangle = self.points[self.triangle(corner)]
            self.ear[corner] = self.turn[corner] >= 0 and not _holds_any(triangle, reflex)

    def best_ear(self) -> int:
        """The ear with the largest turn; of a polygon that crosses itself perhaps no ear."""
        if not (self.ear & self.left).any():
            self.look_for_ears(np.flatnonzero(self.left))
        among = self.ear & self.left
        if not among.any():
            among = self.left
        return int(np.where(among, self.turn, -np.inf).argmax())

    def cut_off(self, corner: int) -> None:
        """Take a corner away; its neighbours may become ears."""
        before, _, after = self.triangle(corner)
        self.left[corner] = False
        self.after[before] = after
        self.before[after] = before
        self.look_for_ears(np.array([before, after]))


def _in_plane(corners: np.ndarray) -> np.ndarray:
    """(N, 2) anticlockwise: the polygon without the axis that its normal is closest to."""
    normal = area_vector(corners)
    axis = int(np.abs(normal).argmax())
    kept = [(axis + 1) % 3, (axis + 2) % 3]
    return corners[:, kept if normal[axis] >= 0 else kept[::-1]]


def _holds_any(triangle: np.ndarray, points: np.ndarray) -> bool:
    """Whether points (P, 2), other than its corners, lie in an anticlockwise triangle (3, 2)."""
    near = ((points >= triangle.min(axis=0)) & (points <= triangle.max(axis=0))).all(axis=1)
    points = points[near]
    others = points[(points[:, None] != triangle).any(axis=2).all(axis=1)]
    sides = np.roll(triangle, -1, axis=0) - triangle
    return bool((cross_2d(sides, others[:, None] - triangle) >= 0).all(axis=1).any())


def cross_2d(
    a: Real[np.ndarray, "*#any 2"], b: Real[np.ndarray, "*#any 2"]
) -> Real[np.ndarray, "*#any"]:
    """Cross products of vectors: signed areas of the parallelograms between them."""
    ax, ay = np.moveaxis(a, -1, 0)
    bx, by = np.moveaxis(b, -1, 0)
    return ax * by - ay * bx

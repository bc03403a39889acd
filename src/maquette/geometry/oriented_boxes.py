"""Boxes that are turned: seven numbers (centre, sides, yaw) or a full rotation; their exact
intersection, and the smallest ones.

Used by the layout metrics. The intersection of two boxes is a convex polyhedron; it is cut out face
by face, so the volume is exact up to rounding for any rotation. No randomness, no sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError

from maquette.errors import InputError
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import Matrix3, Points, Vector, cos_and_sin, rotation_y

# Corners of each side, in order round it.
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
DESCENTS = 24  # candidates of the smallest box that are turned further
FLAT = 1e-9  # relative to a box's size: thinner than this is flat, nearer than this is on a plane


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box with its own axes."""

    centre: Float[np.ndarray, " 3"]
    sides: Float[np.ndarray, " 3"]  # full lengths along the box's axes, >= 0
    rotation: Matrix3  # world_from_box

    @property
    def volume(self) -> float:
        """Product of the sides."""
        return float(np.prod(self.sides))

    @classmethod
    def around(cls, points: Points, rotation: Matrix3) -> OrientedBox:
        """The smallest box of this rotation around points."""
        box = bounding_box(points @ rotation)
        return cls(rotation @ box.mean(0), np.ptp(box, axis=0), rotation)

    @property
    def corners(self) -> Float[np.ndarray, "8 3"]:
        """Corner k takes the upper side of axis 0, 1, 2 where bit 2, 1, 0 of k is set."""
        bits = (np.arange(8)[:, None] >> np.array([2, 1, 0])) & 1
        return self.centre + ((bits - 0.5) * self.sides) @ self.rotation.T

    @property
    def planes(self) -> Float[np.ndarray, "6 4"]:
        """Rows (n, d) with outward unit normals: the box is where n . x <= d for all six."""
        normals = np.concatenate([self.rotation.T, -self.rotation.T])
        return np.column_stack([normals, normals @ self.centre + np.tile(self.sides / 2, 2)])


def yaw_box(
    centre: Vector,
    sides: Vector,
    yaw: float,
) -> OrientedBox:
    """Box of seven numbers: centre, sides along its own x, y, z, and a turn about +Y in radians."""
    centre, sides = (np.asarray(numbers, dtype=np.float64) for numbers in (centre, sides))
    return OrientedBox(centre, sides, rotation_y(yaw))


def axis_aligned(box: Float[np.ndarray, "2 3"]) -> OrientedBox:
    """The same box with axes of its own."""
    return OrientedBox(box.mean(0), np.ptp(box, axis=0), np.eye(3))


def oriented_box_iou(a: OrientedBox, b: OrientedBox) -> float:
    """Volume of the intersection over volume of the union of two boxes in any rotation; exact. 0
    when both are flat.
    """
    overlap = intersection_volume(a, b)
    union = a.volume + b.volume - overlap
    return float(overlap / union) if union > 0 else 0.0


def intersection_volume(a: OrientedBox, b: OrientedBox) -> float:
    """Volume of the common part, found by cutting ``a`` with the six planes of ``b``."""
    for box in (a, b):
        if not np.isfinite(box.corners).all() or (box.sides < 0).any():
            raise InputError(
                f"box with centre {box.centre} and sides {box.sides} is unusable; give finite "
                "numbers and sides >= 0"
            )
    if min(a.volume, b.volume) == 0.0:
        return 0.0
    origin = a.centre  # far from the world's origin the cut would lose digits
    tolerance = FLAT * float(min(a.sides.max(), b.sides.max()))
    polygons = [a.corners[list(face)] - origin for face in FACES]
    for *normal, offset in b.planes:
        direction = np.array(normal)
        polygons = _cut(polygons, direction, float(offset - direction @ origin), tolerance)
        if not polygons:
            return 0.0
    return polyhedron_volume(polygons)


def polyhedron_volume(polygons: list[Float[np.ndarray, "_ 3"]]) -> float:
    """Volume of a convex polyhedron given as its faces, each a convex polygon; their
    orientation does not matter.
    """
    middle = np.concatenate(polygons).mean(0)
    volume = 0.0
    for polygon in polygons:
        fan = polygon - polygon[0]
        area = 0.5 * np.cross(fan[1:-1], fan[2:]).sum(0)  # the face's area times its normal
        volume += abs(float(area @ (polygon[0] - middle))) / 3.0
    return volume


def _cut(
    polygons: list[np.ndarray],
    normal: np.ndarray,
    offset: float,
    tolerance: float,
) -> list[np.ndarray]:
    """The part of a convex polyhedron with normal . x <= offset, closed with a new face."""
    kept = []
    rim: list[np.ndarray] = []
    touched = False
    for polygon in polygons:
        height = polygon @ normal - offset
        if (height <= tolerance).all():
            kept.append(polygon)
            rim += list(polygon[np.abs(height) <= tolerance])
            continue
        touched = True
        inside, on_plane = _cut_polygon(polygon, height, tolerance)
        rim += on_plane
        if len(inside) >= 3:
            kept.append(np.array(inside))
    if not any((polygon @ normal - offset < -tolerance).any() for polygon in kept):
        return []  # nothing but a face is left
    if touched and len(rim) >= 3:
        kept.append(_ordered(np.array(rim), normal))
    return kept


def _cut_polygon(
    polygon: np.ndarray, height: np.ndarray, tolerance: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Corners of the part of a polygon (K, 3) that is not above the plane, and those of them that
    are on it; ``height`` (K,) is over the plane.
    """
    inside = []
    on_plane = []
    following = np.roll(polygon, -1, axis=0)
    for p, q, hp, hq in zip(polygon, following, height, np.roll(height, -1)):
        if hp <= tolerance:
            inside.append(p)
            if hp >= -tolerance:
                on_plane.append(p)
        low, high = sorted((hp, hq))
        if low < -tolerance and high > tolerance:
            crossing = p + (q - p) * (hp / (hp - hq))
            inside.append(crossing)
            on_plane.append(crossing)
    return inside, on_plane


def _ordered(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Coplanar points in the order of their angle round their middle."""
    first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    second = np.cross(normal, first)
    spokes = points - points.mean(0)
    return points[np.argsort(np.arctan2(spokes @ second, spokes @ first), kind="stable")]


def smallest_yaw_box(points: Points) -> OrientedBox:
    """The smallest box with a vertical (+Y) axis around points (N, 3): one side lies along an edge
    of the hull seen from above.
    """
    return OrientedBox.around(points, rotation_y(-_rectangle_angle(points[:, [0, 2]])))


def smallest_box(points: Points) -> OrientedBox:
    """A small box in any rotation, found by descent: candidates with a side on a face of the convex
    hull and another along its edge, the best of which are turned about their own axes in turn, each
    time to the smallest rectangle, until nothing shrinks.

    The smallest of all (O'Rourke 1985) may be a few percent smaller still. Flat points get the
    axis-aligned box.
    """
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        return axis_aligned(bounding_box(points))
    corners = points[hull.vertices]
    axes = _axes_on_faces(hull)
    chunks = np.array_split(axes, max(1, len(axes) * len(corners) // 2_000_000))
    volumes = np.concatenate([np.ptp(chunk @ corners.T, axis=2).prod(1) for chunk in chunks])
    best = np.argsort(volumes, kind="stable")[:DESCENTS]
    shrunk = [_shrunk(axes[number].T, corners) for number in best]
    return OrientedBox.around(corners, min(shrunk, key=lambda turned: _extent(turned, corners)))


def _axes_on_faces(hull: ConvexHull) -> np.ndarray:
    """(K, 3, 3) box_from_world, right-handed, of boxes with a side on a face of a hull and another
    along an edge of the face.
    """
    triangles = hull.points[hull.simplices]  # (F, 3, 3)
    edges = (np.roll(triangles, -1, axis=1) - triangles).reshape(-1, 3)
    normals = np.repeat(hull.equations[:, :3], 3, axis=0)
    lengths = np.linalg.norm(edges, axis=1)
    usable = lengths > FLAT * np.ptp(hull.points[hull.vertices])
    edges = edges[usable] / lengths[usable, None]
    normals = normals[usable]
    return np.stack([edges, np.cross(normals, edges), normals], axis=1)


def _extent(rotation: np.ndarray, corners: np.ndarray) -> float:
    """Volume of the box of this rotation around corners (N, 3)."""
    return float(np.ptp(corners @ rotation, axis=0).prod())


def _shrunk(rotation: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(3, 3) world_from_box after turns about the box's own axes that make it smaller."""
    volume = _extent(rotation, corners)
    while True:
        for axis in range(3):
            plane = rotation[:, [(axis + 1) % 3, (axis + 2) % 3]]
            angle = _rectangle_angle(corners @ plane)
            c, s = cos_and_sin(angle)
            columns = [rotation[:, axis], plane @ [c, s], plane @ [-s, c]]
            rotation = np.roll(np.column_stack(columns), axis, axis=1)  # in the order x, y, z
        smaller = _extent(rotation, corners)
        if smaller > volume * (1.0 - 1e-9):
            return rotation
        volume = smaller


def _rectangle_angle(plan: np.ndarray) -> float:
    """Angle in radians of the smallest rectangle round points (N, 2): along an edge of their hull,
    or 0 when nothing is smaller.
    """
    try:
        rim = plan[ConvexHull(plan).vertices]
    except (QhullError, ValueError):  # on a line or in one place: along the line
        spread = plan - plan.mean(0)
        x, y = np.linalg.svd(spread, full_matrices=False)[2][0]
        return float(np.arctan2(y, x)) if np.abs(spread).max() > 0 else 0.0
    x, y = (np.roll(rim, -1, axis=0) - rim).T
    angles = np.append(0.0, np.arctan2(y, x) % (np.pi / 2))
    cos, sin = cos_and_sin(angles)
    along = np.stack([cos, sin], axis=1) @ rim.T
    across = np.stack([-sin, cos], axis=1) @ rim.T
    areas = np.ptp(along, axis=1) * np.ptp(across, axis=1)
    best = int(areas.argmin())
    smaller = areas[best] < areas[0] * (1.0 - 1e-12)
    return float(angles[best]) if smaller else 0.0

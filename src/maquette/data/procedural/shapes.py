"""A small algebra of solids as signed distances: primitives, unions, cuts, motions, each part with
its own paint.

The families of this package compose solids; `meshing` turns them into assets. The formulas are the
usual exact or bounding
distances (see e.g. Hart, "Sphere tracing", 1996; the smooth minimum is the quadratic polynomial
one). Units are free,
+Y is up, points are (N, 3) float32 arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

Distance = Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N,), negative inside
Paint = Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N, 3) sRGB in 0..255


@dataclass(frozen=True, eq=False)
class Part:
    """A region of one paint: a surface point has the paint of the part that it is closest to."""

    distance: Distance
    paint: Paint


@dataclass(frozen=True, eq=False)
class Solid:
    """A shape: its distance, a box that contains it, and the parts that colour it."""

    distance: Distance
    box: np.ndarray  # (2, 3) lower and upper corner
    parts: tuple[Part, ...]


def plain(color: np.ndarray | tuple[float, float, float]) -> Paint:
    """One colour everywhere."""
    return lambda p: np.broadcast_to(np.asarray(color, np.float32), p.shape)


def solid(distance: Distance, lower: np.ndarray, upper: np.ndarray) -> Solid:
    """Wrap a distance function as a grey solid of one part."""
    return Solid(
        distance, np.array([lower, upper], np.float64), (Part(distance, plain((160, 160, 160))),)
    )


def box(
    size: tuple[float, float, float],
    center: tuple[float, float, float] = (0, 0, 0),
    rounding: float = 0.0,
) -> Solid:
    """Make a box with full side lengths ``size``; ``rounding`` is the radius of its edges, bounded
    by half the smallest side.
    """
    half = np.asarray(size, np.float32) / 2
    middle = np.asarray(center, np.float32)
    radius = np.float32(min(rounding, 0.98 * half.min()))

    def distance(p: np.ndarray) -> np.ndarray:
        q = np.abs(p - middle) - (half - radius)
        return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0) - radius

    return solid(distance, middle - half, middle + half)


def ellipsoid(
    radii: tuple[float, float, float], center: tuple[float, float, float] = (0, 0, 0)
) -> Solid:
    """Make an ellipsoid with half axes ``radii`` (the distance is of first order)."""
    r = np.asarray(radii, np.float32)
    middle = np.asarray(center, np.float32)

    def distance(p: np.ndarray) -> np.ndarray:
        q = (p - middle) / r
        k = np.linalg.norm(q, axis=1)
        return (
            k * (k - 1) / np.maximum(np.linalg.norm(q / r, axis=1), 1e-6)
            if r.min() < r.max()
            else (k - 1) * r[0]
        )

    return solid(distance, middle - r, middle + r)


def capsule(
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
    end_radius: float | None = None,
) -> Solid:
    """Make a round stick between two points whose radius changes linearly."""
    a = np.asarray(start, np.float32)
    b = np.asarray(end, np.float32)
    axis = b - a
    tip = np.float32(radius if end_radius is None else end_radius)
    length2 = max(float(axis @ axis), 1e-9)

    def distance(p: np.ndarray) -> np.ndarray:
        t = np.clip((p - a) @ axis / np.float32(length2), 0, 1)
        return np.linalg.norm(p - a - t[:, None] * axis, axis=1) - (
            radius + t * (tip - np.float32(radius))
        )

    reach = max(radius, float(tip))
    return solid(distance, np.minimum(a, b) - reach, np.maximum(a, b) + reach)


def torus(radius: float, thickness: float, center: tuple[float, float, float] = (0, 0, 0)) -> Solid:
    """Make a ring about the vertical through ``center``; ``thickness`` is the tube's radius."""
    middle = np.asarray(center, np.float32)

    def distance(p: np.ndarray) -> np.ndarray:
        q = p - middle
        return np.hypot(np.hypot(q[:, 0], q[:, 2]) - np.float32(radius), q[:, 1]) - np.float32(
            thickness
        )

    reach = np.array([radius + thickness, thickness, radius + thickness])
    return solid(distance, middle - reach, middle + reach)


@numba.njit(cache=True, nogil=True)
def polygon_distance(p: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance (N,) float32 of points (N, 2) to a simple closed polygon (K, 2), negative
    inside.
    """
    out = np.empty(len(p), np.float32)
    for n in range(len(p)):
        x = p[n, 0]
        y = p[n, 1]
        squared = np.inf
        inside = False
        ax, ay = corners[-1]
        for k in range(len(corners)):
            bx, by = corners[k]
            ex = bx - ax
            ey = by - ay
            wx = x - ax
            wy = y - ay
            t = min(max((wx * ex + wy * ey) / max(ex * ex + ey * ey, 1e-12), 0.0), 1.0)
            squared = min(squared, (wx - t * ex) ** 2 + (wy - t * ey) ** 2)
            if (ay > y) != (by > y) and wx < ex * wy / ey:  # a ray along +x crosses this side
                inside = not inside
            ax = bx
            ay = by
        out[n] = -np.sqrt(squared) if inside else np.sqrt(squared)
    return out


def lathe(profile: list[tuple[float, float]], rounding: float = 0.0) -> Solid:
    """Turn a closed (radius, y) polygon about the vertical axis; sides on the axis do not count as
    surface.
    """
    corners = np.asarray(profile, np.float64)
    # what touches the axis is mirrored, so that the axis itself is no border
    outline = (
        np.concatenate([corners, corners[::-1] * [-1, 1]])
        if (corners[[0, -1], 0] <= 0).all()
        else corners
    )

    def distance(p: np.ndarray) -> np.ndarray:
        return polygon_distance(
            np.stack([np.hypot(p[:, 0], p[:, 2]), p[:, 1]], axis=1), outline
        ) - np.float32(rounding)

    r = corners[:, 0].max() + rounding
    low = corners[:, 1].min() - rounding
    high = corners[:, 1].max() + rounding
    return solid(distance, np.array([-r, low, -r]), np.array([r, high, r]))


def prism(outline: list[tuple[float, float]], depth: float, rounding: float = 0.0) -> Solid:
    """Extrude a simple (x, y) polygon to z in [-depth / 2, depth / 2]; ``rounding`` grows the
    outline and rounds all edges.
    """
    corners = np.asarray(outline, np.float64)

    def distance(p: np.ndarray) -> np.ndarray:
        across = polygon_distance(np.ascontiguousarray(p[:, :2]), corners)
        along = np.abs(p[:, 2]) - np.float32(depth / 2 - rounding)
        return (
            np.hypot(np.maximum(across, 0), np.maximum(along, 0))
            + np.minimum(np.maximum(across, along), 0)
            - np.float32(rounding)
        )

    lower = corners.min(0) - rounding
    upper = corners.max(0) + rounding
    return solid(distance, np.array([*lower, -depth / 2]), np.array([*upper, depth / 2]))


def cylinder(
    radius: float,
    height: float,
    center: tuple[float, float, float] = (0, 0, 0),
    top: float | None = None,
    rounding: float = 0.0,
) -> Solid:
    """Make an upright cylinder, or with another ``top`` radius a frustum."""
    r = radius - rounding
    upper = (radius if top is None else top) - rounding
    h = height / 2 - rounding
    return moved(
        lathe([(0, -h), (max(r, 1e-3), -h), (max(upper, 1e-3), h), (0, h)], rounding), center
    )


def moved(
    shape: Solid,
    offset: tuple[float, float, float] = (0, 0, 0),
    rotation: np.ndarray | None = None,
    scale: float = 1.0,
) -> Solid:
    """Scale, then rotate by (3, 3), then shift a solid, paint included."""
    turn = np.eye(3) if rotation is None else rotation
    shift = np.asarray(offset, np.float64)
    back = (turn / scale).astype(np.float32)
    origin = shift.astype(np.float32)
    factor = np.float32(scale)

    def local(p: np.ndarray) -> np.ndarray:
        return (p - origin) @ back

    def carried(distance: Distance) -> Distance:
        return lambda p: factor * distance(local(p))

    def repainted(paint: Paint) -> Paint:
        return lambda p: paint(local(p))

    signs = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1)
    corners = scale * shape.box[signs, np.arange(3)[:, None]].T @ turn.T + shift
    parts = tuple(Part(carried(part.distance), repainted(part.paint)) for part in shape.parts)
    return Solid(carried(shape.distance), np.stack([corners.min(0), corners.max(0)]), parts)


def mirrored(shape: Solid, axis: int = 0) -> Solid:
    """Unite a solid with its mirror image across the plane where coordinate ``axis`` is 0."""
    flip = np.ones(3, np.float32)
    flip[axis] = -1

    def both(distance: Distance) -> Distance:
        return lambda p: np.minimum(distance(p), distance(p * flip))

    reach = np.abs(shape.box[:, axis]).max()
    bounds = shape.box.copy()
    bounds[:, axis] = -reach, reach
    return Solid(
        both(shape.distance),
        bounds,
        tuple(Part(both(part.distance), part.paint) for part in shape.parts),
    )


def union(*shapes: Solid) -> Solid:
    """Everything that is in one of the shapes."""

    def distance(p: np.ndarray) -> np.ndarray:
        total = shapes[0].distance(p)
        for shape in shapes[1:]:
            near, other = _near(shape, p, total)
            total[near] = np.minimum(total[near], other)
        return total

    return Solid(
        distance, _common_box(shapes), tuple(part for shape in shapes for part in shape.parts)
    )


def smooth_union(width: float, *shapes: Solid) -> Solid:
    """Unite shapes with fillets of about ``width``."""

    def distance(p: np.ndarray) -> np.ndarray:
        total = shapes[0].distance(p)
        for shape in shapes[1:]:
            near, other = _near(shape, p, total + np.float32(width))
            blend = np.maximum(width - np.abs(total[near] - other), 0) / np.float32(width)
            total[near] = np.minimum(total[near], other) - blend * blend * np.float32(width / 4)
        return total

    grown = _common_box(shapes) + np.array([[-1.0], [1.0]]) * width / 4
    return Solid(distance, grown, tuple(part for shape in shapes for part in shape.parts))


def _near(shape: Solid, p: np.ndarray, limit: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray]:
    """Which points may be closer to the shape than ``limit`` (N,), judged by its box, and their
    distances.
    """
    middle = shape.box.mean(0).astype(np.float32)
    half = (np.ptp(shape.box, axis=0) / 2).astype(np.float32)
    away = np.abs(p[:, 0] - middle[0]) - half[0]
    for axis in (1, 2):
        np.maximum(away, np.abs(p[:, axis] - middle[axis]) - half[axis], out=away)
    near = np.flatnonzero(away < limit)
    return (
        (slice(None), shape.distance(p)) if len(near) == len(p) else (near, shape.distance(p[near]))
    )


def cut(shape: Solid, tool: Solid) -> Solid:
    """Take ``tool`` away; the new surface has the shape's paint."""
    return Solid(lambda p: np.maximum(shape.distance(p), -tool.distance(p)), shape.box, shape.parts)


def painted(shape: Solid, paint: Paint | np.ndarray | tuple[float, float, float]) -> Solid:
    """Give the whole shape one paint or colour."""
    return Solid(
        shape.distance,
        shape.box,
        (Part(shape.distance, paint if callable(paint) else plain(paint)),),
    )


def _common_box(shapes: tuple[Solid, ...]) -> np.ndarray:
    return np.stack(
        [np.min([s.box[0] for s in shapes], axis=0), np.max([s.box[1] for s in shapes], axis=0)]
    )

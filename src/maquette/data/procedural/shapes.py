"""A small algebra of solids as signed distances: primitives, unions, cuts, motions, each part with
its own paint.

The families of this package compose solids; `meshing` turns them into assets. The formulas are the
usual exact or bounding distances (see e.g. Hart, "Sphere tracing", 1996; the smooth minimum is the
quadratic polynomial one). Units are free, +Y is up, points are (N, 3) float32 arrays. ``place``
stands for the keywords of `Place`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from maquette.geometry.boxes import bounding_box
from maquette.geometry.nearest import compiled
from maquette.geometry.transforms import from_upright

if TYPE_CHECKING:
    from typing_extensions import Unpack

Distance = Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N,), negative inside
Paint = Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N, 3) sRGB in 0..255
Colour = np.ndarray | tuple[float, float, float]  # sRGB in 0..255
Point = tuple[float, float, float]
Outline = Sequence[tuple[float, float]] | np.ndarray  # (K, 2) corners of a simple polygon


class Place(TypedDict, total=False):
    """Where a centre lies: coordinates, 0 unless given, or a point."""

    x: float
    y: float
    z: float
    at: Point


X, Y, Z = range(3)  # axes: of a mirror, a pattern, a gradient


@dataclass(frozen=True, eq=False)
class PaintedPart:
    """A region of one paint: a surface point has the paint of the part that it is closest to."""

    distance: Distance
    paint: Paint


@dataclass(frozen=True, eq=False)
class PaintedSolid:
    """A shape: its distance, a box that contains it, and the parts that colour it."""

    distance: Distance
    box: np.ndarray  # (2, 3) lower and upper corner
    parts: tuple[PaintedPart, ...]


def plain(colour: Colour) -> Paint:
    """One colour everywhere."""
    return lambda p: np.broadcast_to(np.asarray(colour, np.float32), p.shape)


def painted(*shapes: PaintedSolid, paint: Paint | Colour) -> PaintedSolid:
    """Everything that is in one of the shapes, as one part of one paint or colour."""
    whole = union(*shapes)
    return _of_one_part(whole.distance, whole.box, paint if callable(paint) else plain(paint))


def _of_one_part(distance: Distance, box: np.ndarray, paint: Paint) -> PaintedSolid:
    """A solid that is one region of one paint."""
    return PaintedSolid(distance, box, (PaintedPart(distance, paint),))


def _grey(distance: Distance, lower: Point | np.ndarray, upper: Point | np.ndarray) -> PaintedSolid:
    """A distance function between two corners (3,) as a grey solid."""
    return _of_one_part(distance, np.array([lower, upper], np.float64), plain((160, 160, 160)))


def near(
    origin: Point,
    unit: float,
    x: float = 0.0,
    y: float = 0.0,
    z: float = 0.0,
) -> Point:
    """The point that lies x, y and z units from ``origin``."""
    from_x, from_y, from_z = origin
    return from_x + unit * x, from_y + unit * y, from_z + unit * z


def _centre(**place: Unpack[Place]) -> np.ndarray:
    """The point (3,) that a place names."""
    xyz = (place.get("x", 0.0), place.get("y", 0.0), place.get("z", 0.0))
    return np.array(place.get("at", xyz), np.float64)


def box(
    width: float,
    height: float,
    depth: float,
    *,
    rounding: float = 0.0,
    **place: Unpack[Place],
) -> PaintedSolid:
    """Make a box with these sides along x, y and z; ``rounding`` is the radius of its edges,
    bounded by half the smallest side.
    """
    half = np.array([width, height, depth], np.float32) / 2
    centre = _centre(**place).astype(np.float32)
    radius = np.float32(min(rounding, 0.98 * half.min()))

    def distance(p: np.ndarray) -> np.ndarray:
        q = np.abs(p - centre) - (half - radius)
        outside = np.linalg.norm(np.maximum(q, 0), axis=1)
        return outside + np.minimum(q.max(1), 0) - radius

    return _grey(distance, centre - half, centre + half)


def ellipsoid(
    width: float,
    height: float,
    depth: float,
    **place: Unpack[Place],
) -> PaintedSolid:
    """Make an ellipsoid with these half axes along x, y and z (the distance is of first order)."""
    radii = np.array([width, height, depth], np.float32)
    centre = _centre(**place).astype(np.float32)

    def distance(p: np.ndarray) -> np.ndarray:
        q = (p - centre) / radii
        k = np.linalg.norm(q, axis=1)
        if radii.min() == radii.max():
            return (k - 1) * radii[0]
        return k * (k - 1) / np.maximum(np.linalg.norm(q / radii, axis=1), 1e-6)

    return _grey(distance, centre - radii, centre + radii)


def ball(radius: float, **place: Unpack[Place]) -> PaintedSolid:
    """Make a sphere."""
    return ellipsoid(radius, radius, radius, **place)


def capsule(
    start: Point,
    end: Point,
    radius: float,
    end_radius: float | None = None,
) -> PaintedSolid:
    """Make a round stick between two points whose radius changes linearly."""
    a = np.asarray(start, np.float32)
    b = np.asarray(end, np.float32)
    axis = b - a
    squared_length = np.float32(max(float(axis @ axis), 1e-9))
    tip = np.float32(radius if end_radius is None else end_radius)
    growth = tip - np.float32(radius)

    def distance(p: np.ndarray) -> np.ndarray:
        from_start = p - a
        t = np.clip(from_start @ axis / squared_length, 0, 1)
        from_axis = np.linalg.norm(from_start - t[:, None] * axis, axis=1)
        return from_axis - (radius + t * growth)

    reach = max(radius, float(tip))
    return _grey(distance, np.minimum(a, b) - reach, np.maximum(a, b) + reach)


def torus(radius: float, thickness: float, **place: Unpack[Place]) -> PaintedSolid:
    """Make a ring about the vertical through its centre; ``thickness`` is the tube's radius."""
    centre = _centre(**place).astype(np.float32)

    def distance(p: np.ndarray) -> np.ndarray:
        q = p - centre
        from_circle = from_upright(q) - np.float32(radius)
        return np.hypot(from_circle, q[:, 1]) - np.float32(thickness)

    reach = np.array([radius + thickness, thickness, radius + thickness])
    return _grey(distance, centre - reach, centre + reach)


@compiled
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
            along = (wx * ex + wy * ey) / max(ex * ex + ey * ey, 1e-12)
            t = min(max(along, 0.0), 1.0)
            squared = min(squared, (wx - t * ex) ** 2 + (wy - t * ey) ** 2)
            if (ay > y) != (by > y) and wx < ex * wy / ey:  # a ray along +x crosses this side
                inside = not inside
            ax = bx
            ay = by
        out[n] = -np.sqrt(squared) if inside else np.sqrt(squared)
    return out


def lathe(profile: Outline, rounding: float = 0.0) -> PaintedSolid:
    """Turn a closed (radius, y) polygon about the vertical axis; sides on the axis do not count as
    surface.
    """
    corners = np.asarray(profile, np.float64)
    outline = corners
    if (corners[[0, -1], 0] <= 0).all():
        # what touches the axis is mirrored, so that the axis itself is no border
        outline = np.concatenate([corners, corners[::-1] * [-1, 1]])

    def distance(p: np.ndarray) -> np.ndarray:
        half_plane = np.stack([from_upright(p), p[:, Y]], axis=1)
        return polygon_distance(half_plane, outline) - np.float32(rounding)

    radius = corners[:, 0].max() + rounding
    low = corners[:, 1].min() - rounding
    high = corners[:, 1].max() + rounding
    return _grey(distance, (-radius, low, -radius), (radius, high, radius))


def prism(outline: Outline, depth: float, rounding: float = 0.0) -> PaintedSolid:
    """Extrude a simple (x, y) polygon to z in [-depth / 2, depth / 2]; ``rounding`` grows the
    outline and rounds all edges.
    """
    corners = np.asarray(outline, np.float64)

    def distance(p: np.ndarray) -> np.ndarray:
        across = polygon_distance(np.ascontiguousarray(p[:, :2]), corners)
        along = np.abs(p[:, 2]) - np.float32(depth / 2 - rounding)
        outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
        return outside + np.minimum(np.maximum(across, along), 0) - np.float32(rounding)

    lower = corners.min(0) - rounding
    upper = corners.max(0) + rounding
    return _grey(distance, (*lower, -depth / 2), (*upper, depth / 2))


def cylinder(
    radius: float,
    height: float,
    *,
    top: float | None = None,
    rounding: float = 0.0,
    **place: Unpack[Place],
) -> PaintedSolid:
    """Make an upright cylinder, or with another ``top`` radius a frustum."""
    bottom = max(radius - rounding, 1e-3)
    upper = max((radius if top is None else top) - rounding, 1e-3)
    h = height / 2 - rounding
    profile = [(0, -h), (bottom, -h), (upper, h), (0, h)]
    return transformed(lathe(profile, rounding), **place)


def transformed(
    shape: PaintedSolid,
    *,
    rotation: np.ndarray | None = None,
    scale: float = 1.0,
    **place: Unpack[Place],
) -> PaintedSolid:
    """Scale, then rotate by (3, 3), then shift a solid, paint included."""
    turn = np.eye(3) if rotation is None else rotation
    shift = _centre(**place)
    back = (turn / scale).astype(np.float32)
    origin = shift.astype(np.float32)
    factor = np.float32(scale)

    def local(p: np.ndarray) -> np.ndarray:
        return (p - origin) @ back

    def carried(distance: Distance) -> Distance:
        return lambda p: factor * distance(local(p))

    def repainted(paint: Paint) -> Paint:
        return lambda p: paint(local(p))

    corners = scale * np.array(list(product(*shape.box.T))) @ turn.T + shift
    bounds = bounding_box(corners)
    parts = (PaintedPart(carried(p.distance), repainted(p.paint)) for p in shape.parts)
    return PaintedSolid(carried(shape.distance), bounds, tuple(parts))


def with_mirror_image(shape: PaintedSolid, axis: int = X) -> PaintedSolid:
    """Unite a solid with its mirror image across the plane where coordinate ``axis`` is 0."""
    flip = np.ones(3, np.float32)
    flip[axis] = -1

    def both(distance: Distance) -> Distance:
        return lambda p: np.minimum(distance(p), distance(p * flip))

    reach = np.abs(shape.box[:, axis]).max()
    bounds = shape.box.copy()
    bounds[:, axis] = -reach, reach
    parts = (PaintedPart(both(part.distance), part.paint) for part in shape.parts)
    return PaintedSolid(both(shape.distance), bounds, tuple(parts))


def at_corners(shape: PaintedSolid) -> PaintedSolid:
    """Unite a solid with its three mirror images across the planes x = 0 and z = 0."""
    return with_mirror_image(with_mirror_image(shape, X), Z)


def union(*shapes: PaintedSolid) -> PaintedSolid:
    """Everything that is in one of the shapes."""
    return _joined(shapes, np.minimum, 0.0)


def smooth_union(width: float, *shapes: PaintedSolid) -> PaintedSolid:
    """Unite shapes with fillets of about ``width``."""

    def smooth_minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        blend = np.maximum(width - np.abs(a - b), 0) / np.float32(width)
        return np.minimum(a, b) - blend * blend * np.float32(width / 4)

    return _joined(shapes, smooth_minimum, width)


def _joined(
    shapes: tuple[PaintedSolid, ...], minimum: Callable[..., np.ndarray], width: float
) -> PaintedSolid:
    """Unite shapes by a ``minimum`` of two distances that differs from the smaller one, by at most
    ``width`` / 4, only where they are within ``width`` of each other.
    """

    def distance(p: np.ndarray) -> np.ndarray:
        total = shapes[0].distance(p)
        for shape in shapes[1:]:
            near = _nearby(shape.box, p, total + np.float32(width))
            total[near] = minimum(total[near], shape.distance(p[near]))
        return total

    lower = np.min([s.box[0] for s in shapes], axis=0) - width / 4
    upper = np.max([s.box[1] for s in shapes], axis=0) + width / 4
    parts = (part for shape in shapes for part in shape.parts)
    return PaintedSolid(distance, np.stack([lower, upper]), tuple(parts))


def _nearby(box: np.ndarray, p: np.ndarray, limit: np.ndarray) -> np.ndarray | slice:
    """Select the points that may be closer to what is in the box than ``limit`` (N,)."""
    centre = box.mean(0).astype(np.float32)
    half = (np.ptp(box, axis=0) / 2).astype(np.float32)
    away = np.abs(p[:, X] - centre[X]) - half[X]
    for axis in (Y, Z):
        outside = np.abs(p[:, axis] - centre[axis]) - half[axis]
        np.maximum(away, outside, out=away)
    close = np.flatnonzero(away < limit)
    return slice(None) if len(close) == len(p) else close


def subtracted(shape: PaintedSolid, tool: PaintedSolid) -> PaintedSolid:
    """Take ``tool`` away; the new surface has the shape's paint."""

    def distance(p: np.ndarray) -> np.ndarray:
        return np.maximum(shape.distance(p), -tool.distance(p))

    return PaintedSolid(distance, shape.box, shape.parts)

"""Polygons of the plane: hull, area, centroid, which points lie inside, and how far they are from
the border.

Used where things stand on the outline of a table's top (layout.py).
"""

from __future__ import annotations

import numpy as np

from maquette.geometry.polygons import cross_2d

Corner = tuple[float, float]


def convex_hull(points: np.ndarray) -> np.ndarray:
    """(K, 2) corners of the convex hull of points (N, 2), anticlockwise; empty for fewer than three
    points.
    """
    ordered = [(x, y) for x, y in sorted(set(map(tuple, points.tolist())))]
    if len(ordered) < 3:
        return np.zeros((0, 2))
    return np.array(_half_hull(ordered) + _half_hull(ordered[::-1]))


def _half_hull(ordered: list[Corner]) -> list[Corner]:
    """The chain of left turns through points in the order of x, without its last point (Andrew's
    monotone chain, 1979).
    """
    chain: list[Corner] = []
    for point in ordered:
        while len(chain) >= 2 and not _turns_left(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    return chain[:-1]


def _turns_left(a: Corner, b: Corner, c: Corner) -> bool:
    """Whether the way from a over b to c turns left."""
    (ax, ay), (bx, by), (cx, cy) = a, b, c
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0


def signed_area(polygon: np.ndarray) -> float:
    """Area of a polygon (K, 2), positive when anticlockwise."""
    return 0.5 * float(_cross_with_next(polygon).sum())


def polygon_centroid(polygon: np.ndarray) -> np.ndarray:
    """(2,) centroid of the area of a polygon (K, 2)."""
    following = np.roll(polygon, -1, axis=0)
    weight = _cross_with_next(polygon)
    doubled_area = weight.sum()
    moment = ((polygon + following) * weight[:, None]).sum(0)
    return moment / (3.0 * max(abs(doubled_area), 1e-12) * np.sign(doubled_area))


def _cross_with_next(polygon: np.ndarray) -> np.ndarray:
    """(K,) cross product of each corner with the next: twice the signed areas of the triangles
    that the edges span with the origin (the shoelace formula).
    """
    return cross_2d(polygon, np.roll(polygon, -1, axis=0))


def inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(P,) bool, which points (P, 2) lie inside a polygon (K, 2), by the parity of crossings."""
    ax, ay = polygon.T
    bx, by = np.roll(polygon, -1, axis=0).T
    x = points[:, :1]
    y = points[:, 1:]
    straddles = (ay > y) != (by > y)
    rise = np.where(ay == by, 1.0, by - ay)
    crossing = ax + (y - ay) / rise * (bx - ax)  # where the edge meets the point's height
    return (straddles & (x < crossing)).sum(1) % 2 == 1


def distance_to_edges(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(P,) distance of points (P, 2) to the nearest edge of a polygon (K, 2)."""
    edge = np.roll(polygon, -1, axis=0) - polygon
    offset = points[:, None] - polygon
    squared_length = np.maximum((edge**2).sum(-1), 1e-18)
    along = np.clip((offset * edge).sum(-1) / squared_length, 0.0, 1.0)
    return np.linalg.norm(offset - along[..., None] * edge, axis=-1).min(1)

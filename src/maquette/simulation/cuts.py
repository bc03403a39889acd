"""A surface -> convex parts by straight cuts, in a fraction of a second: what settling collides.

Greedy: of all pieces the one is cut, and there, where the volume of the convex hulls falls most, by
a plane along one of the sides of the object's smallest upright box. A cut piece falls into what of
it hangs together. At last pieces are joined whose common hull is hardly larger than they are, or
that are too many. Approximate decomposition by what hulls hold too much is Lien and Amato's (2007).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError

from maquette.geometry.boxes import bounding_box
from maquette.geometry.oriented_boxes import smallest_yaw_box

PLACES = np.linspace(0.0, 1.0, 8)[1:-1]  # of a piece's side, where it may be cut
LEAST_GAIN = 0.01  # of the object's hull by which a cut must lessen the hulls
JOINED = 0.005  # of the object's hull by which the hull of two pieces may be larger
MOST_CUTS = 16
ON_PLANE = 1e-9  # of the side of a cube around the object
MOST_PARTS = 16


@dataclass(frozen=True, eq=False)
class _Piece:
    """A part of a surface that hangs together."""

    vertices: np.ndarray  # (V, 3) in the axes of the cuts
    faces: np.ndarray  # (F, 3)
    volume: float  # of its hull


@dataclass(frozen=True)
class _Cut:
    """A plane across a piece."""

    gain: float  # by which the hulls of both sides are smaller than that of the piece
    axis: int
    place: float


def cut_parts(vertices: np.ndarray, faces: np.ndarray) -> list[np.ndarray]:
    """Points (V, 3) of the convex parts of a surface, +Y up; each one's hull is a part."""
    box_from_world = smallest_yaw_box(vertices).rotation
    turned = vertices @ box_from_world.T
    whole = hull_volume(turned)
    pieces = [(piece, _best_cut(piece)) for piece in _hanging(turned, faces)]
    for _ in range(MOST_CUTS):
        number = max(range(len(pieces)), key=lambda k: pieces[k][1].gain)
        piece, cut = pieces[number]
        if cut.gain < LEAST_GAIN * whole:
            break
        pieces[number : number + 1] = [(side, _best_cut(side)) for side in _sides(piece, cut)]
    joined = _joined([piece.vertices for piece, _ in pieces], JOINED * whole)
    return [points @ box_from_world for points in joined]


def hull_volume(points: np.ndarray) -> float:
    """Of the convex hull of points (N, 3); 0 where they are flat or few."""
    try:
        return float(ConvexHull(points).volume)
    except (QhullError, ValueError):
        return 0.0


def _hanging(vertices: np.ndarray, faces: np.ndarray) -> list[_Piece]:
    """The pieces of a surface that hang together; a hollow, whose surface looks inward, stays with
    the piece that it is in.
    """
    group = _groups(len(vertices), np.concatenate([faces[:, :2], faces[:, 1:]]))[faces[:, 0]]
    numbers = np.unique(group)
    corners = vertices[faces]
    shares = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    volumes = np.bincount(group, shares)[numbers]
    solid = numbers[volumes > 0]
    if len(solid) in (0, len(numbers)):
        return [_piece(vertices, faces[group == number]) for number in numbers]
    boxes = {number: bounding_box(corners[group == number].reshape(-1, 3)) for number in numbers}
    for number in numbers[volumes <= 0]:
        middle = boxes[number].mean(0)
        beyond = [np.abs(middle - np.clip(middle, *boxes[one])).max() for one in solid]
        group[group == number] = solid[int(np.argmin(beyond))]
    return [_piece(vertices, faces[group == number]) for number in solid]


def _piece(vertices: np.ndarray, faces: np.ndarray) -> _Piece:
    used, renumbered = np.unique(faces, return_inverse=True)
    points = vertices[used]
    return _Piece(points, renumbered.reshape(-1, 3), hull_volume(points))


def _groups(count: int, edges: np.ndarray) -> np.ndarray:
    """(count,) of each vertex, the number of those with which edges (E, 2) connect it."""
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _best_cut(piece: _Piece) -> _Cut:
    low = piece.vertices.min(0)
    high = piece.vertices.max(0)
    edges = np.concatenate([piece.faces[:, [0, 1]], piece.faces[:, [1, 2]], piece.faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    found = [_Cut(0.0, 0, 0.0)]
    for axis, share in itertools.product(range(3), PLACES):
        place = float(low[axis] + share * (high[axis] - low[axis]))
        sides = _split(piece.vertices, edges, axis, place)
        found.append(_Cut(piece.volume - sum(map(hull_volume, sides)), axis, place))
    return max(found, key=lambda cut: cut.gain)


def _split(
    vertices: np.ndarray,
    edges: np.ndarray,
    axis: int,
    place: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The vertices on both sides of a plane, each with the points where edges cross it."""
    height = vertices[:, axis] - place
    first, second = height[edges].T
    crosses = first * second < 0
    share = (first[crosses] / (first[crosses] - second[crosses]))[:, None]
    start, end = vertices[edges[crosses]].swapaxes(0, 1)
    on_plane = start + share * (end - start)
    return (
        np.concatenate([vertices[height <= 0], on_plane]),
        np.concatenate([vertices[height >= 0], on_plane]),
    )


def _sides(piece: _Piece, cut: _Cut) -> Iterable[_Piece]:
    """What hangs together of a piece on both sides of a plane."""
    normal = np.eye(3)[cut.axis]
    for side in (normal, -normal):
        vertices, faces, _ = trimesh.intersections.slice_faces_plane(
            piece.vertices, piece.faces, side, cut.place * normal
        )
        welded = trimesh.Trimesh(vertices, faces, process=False)
        welded.merge_vertices()
        points = np.asarray(welded.vertices)
        on_plane = np.abs(points[:, cut.axis] - cut.place) < ON_PLANE
        yield from _hanging(points, _capped(np.asarray(welded.faces), on_plane))


def _capped(faces: np.ndarray, on_plane: np.ndarray) -> np.ndarray:
    """Faces with a fan over each border that is on a plane, so that what is behind hangs together
    and encloses what the surface did. Fans that overlap do not matter: hulls have no other points.
    """
    count = len(on_plane)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forth = edges[:, 0] * count + edges[:, 1]
    back = edges[:, 1] * count + edges[:, 0]
    border = edges[on_plane[edges].all(1) & ~np.isin(back, forth)]
    if not len(border):
        return faces
    group = _groups(count, border)
    _, first, of = np.unique(group[border[:, 0]], return_index=True, return_inverse=True)
    apex = border[first, 0][of]
    fans = np.stack([border[:, 1], border[:, 0], apex], axis=1)
    return np.concatenate([faces, fans[(fans[:, 0] != apex) & (fans[:, 1] != apex)]])


def _joined(pieces: Sequence[np.ndarray], most: float) -> list[np.ndarray]:
    """Corners of the hulls of pieces, of which those are one that would grow by less than ``most``,
    or that grow least while they are too many.
    """
    parts = {k: (_corners(points), hull_volume(points)) for k, points in enumerate(pieces)}
    growth: dict[tuple[int, int], float] = {}
    while len(parts) > 1:
        for pair in itertools.combinations(parts, 2):
            if pair not in growth:
                (some, volume), (others, more) = parts[pair[0]], parts[pair[1]]
                growth[pair] = hull_volume(np.concatenate([some, others])) - volume - more
        pair = min(growth, key=lambda pair: growth[pair])
        if growth[pair] > most and len(parts) <= MOST_PARTS:
            break
        points = np.concatenate([parts.pop(k)[0] for k in pair])
        growth = {key: value for key, value in growth.items() if not set(key) & set(pair)}
        parts[max(parts, default=0) + max(pair) + 1] = (_corners(points), hull_volume(points))
    return [corners for corners, _ in parts.values()]


def _corners(points: np.ndarray) -> np.ndarray:
    """Those of points (N, 3) that their convex hull has; all where it has no volume."""
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        return points

"""A surface -> convex parts by straight cuts, in a fraction of a second: what settling collides.

Greedy: of all pieces the one is cut, and there, where the volume of the convex hulls falls most, by
a plane along one of the sides of the object's smallest upright box. A cut piece falls into what of
it hangs together. Approximate decomposition by what hulls hold too much: Lien and Amato (2007).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from scipy.spatial import ConvexHull, QhullError

from maquette.geometry.boxes import bounding_box
from maquette.geometry.connectivity import components, edges_of, without_unused
from maquette.geometry.oriented_boxes import smallest_yaw_box
from maquette.simulation.mass import capped

PLACES = np.linspace(0.0, 1.0, 8)[1:-1]  # of a piece's side, where it may be cut
COARSE = [1, 4]  # of these, which tell along which side it is cut
LEAST_GAIN = 0.01  # of the object's hull by which a cut must lessen the hulls
MOST_CUTS = 12
MOST_PARTS = 24  # the largest; smaller ones are crumbs


@dataclass(frozen=True, eq=False)
class _Piece:
    """A part of a surface that hangs together."""

    vertices: np.ndarray  # (V, 3) in the axes of the cuts
    faces: np.ndarray  # (F, 3)
    volume: float  # of its hull

    @cached_property
    def filled(self) -> float:
        """Of its hull, what the surface encloses: parts of any cut have as much."""
        first, second, third = self.vertices[self.faces].swapaxes(0, 1)
        return float((first * np.cross(second, third)).sum() / 6)

    @cached_property
    def edges(self) -> np.ndarray:
        """(E, 2) each once."""
        return np.unique(np.sort(edges_of(self.faces), axis=1), axis=0)


@dataclass(frozen=True)
class _CuttingPlane:
    """A plane across a piece."""

    gain: float  # by which the hulls of both sides are smaller than that of the piece
    axis: int
    place: float


def cut_parts(vertices: np.ndarray, faces: np.ndarray) -> list[np.ndarray]:
    """Points (V, 3) of the convex parts of a surface, +Y up; each one's hull is a part."""
    box_from_world = smallest_yaw_box(vertices).rotation
    turned = vertices @ box_from_world.T
    whole = _volume(turned)
    least = LEAST_GAIN * whole
    pieces = [(piece, _best_cut(piece, least)) for piece in _hanging(turned, faces)]
    for _ in range(MOST_CUTS):
        number = max(range(len(pieces)), key=lambda k: pieces[k][1].gain)
        piece, cut = pieces[number]
        if cut.gain <= least:
            break
        sides = _sides(piece, cut)
        pieces[number : number + 1] = [(side, _best_cut(side, least)) for side in sides]
    pieces.sort(key=lambda pair: -pair[0].volume)
    return [piece.vertices @ box_from_world for piece, _ in pieces[:MOST_PARTS]]


def _hanging(vertices: np.ndarray, faces: np.ndarray) -> list[_Piece]:
    """The pieces of a surface that hang together; a hollow, whose surface looks inward, stays with
    the piece that it is in.
    """
    group = components(edges_of(faces), len(vertices))[faces[:, 0]]
    numbers = np.unique(group)
    corners = vertices[faces]
    first, second, third = corners.swapaxes(0, 1)
    shares = (first * np.cross(second, third)).sum(1)
    volumes = np.bincount(group, shares)[numbers]
    solid = numbers[volumes > 0]
    solid = solid if len(solid) else numbers
    pieces = {number: vertices[faces[group == number]] for number in numbers}
    boxes = {number: bounding_box(piece.reshape(-1, 3)) for number, piece in pieces.items()}
    for number in np.setdiff1d(numbers[volumes <= 0], solid):
        middle = boxes[number].mean(0)
        inside = [np.clip(middle, *boxes[one]) for one in solid]
        group[group == number] = solid[np.abs(middle - inside).max(1).argmin()]
    return [_piece(vertices, faces[group == number]) for number in solid]


def _piece(vertices: np.ndarray, faces: np.ndarray) -> _Piece:
    points, own = without_unused(vertices, faces)
    return _Piece(points, own, _volume(points))


def _best_cut(piece: _Piece, least: float) -> _CuttingPlane:
    """None of any gain for a piece that fills its hull but for the least."""
    if piece.volume - piece.filled <= least:
        return _CuttingPlane(0.0, 0, 0.0)
    low = piece.vertices.min(0)
    side = np.ptp(piece.vertices, axis=0)

    def best(places: np.ndarray, axes: Iterable[int]) -> _CuttingPlane:
        planes = itertools.product(places, axes)
        found = [_cut_at(piece, axis, low[axis] + place * side[axis]) for place, axis in planes]
        return max(found, key=lambda cut: cut.gain)

    coarse = best(PLACES[COARSE], range(3))
    fine = best(np.delete(PLACES, COARSE), [coarse.axis])
    return max(coarse, fine, key=lambda cut: cut.gain)


def _cut_at(piece: _Piece, axis: int, place: float) -> _CuttingPlane:
    """Both hulls hold the vertices on their side, and the points where edges cross the plane."""
    height = piece.vertices[:, axis] - place
    first, second = height[piece.edges].T
    crosses = first * second < 0
    share = (first[crosses] / (first[crosses] - second[crosses]))[:, None]
    start, end = piece.vertices[piece.edges[crosses]].swapaxes(0, 1)
    on_plane = start + share * (end - start)
    below = np.concatenate([piece.vertices[height <= 0], on_plane])
    above = np.concatenate([piece.vertices[height >= 0], on_plane])
    left = _volume(below) + _volume(above)
    return _CuttingPlane(piece.volume - left, axis, place)


def _sides(piece: _Piece, cut: _CuttingPlane) -> Iterable[_Piece]:
    """What hangs together of a piece on both sides of a plane. Closed there, it encloses what the
    surface did; how does not matter, for hulls have no other points.
    """
    normal = np.eye(3)[cut.axis]
    for side in (normal, -normal):
        vertices, faces, _ = trimesh.intersections.slice_faces_plane(
            piece.vertices, piece.faces, side, cut.place * normal
        )
        welded = trimesh.Trimesh(vertices, faces, process=False)
        welded.merge_vertices()
        closed = capped(welded)
        yield from _hanging(np.asarray(closed.vertices), np.asarray(closed.faces))


def _volume(points: np.ndarray) -> float:
    """Of the convex hull of points (N, 3); 0 where they are flat or few."""
    try:
        return float(ConvexHull(points).volume)
    except (QhullError, ValueError):
        return 0.0

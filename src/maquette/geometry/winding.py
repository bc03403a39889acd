"""Inside or outside a triangle mesh, also an open one: generalised winding numbers, fast.

The winding number of a point is the solid angle under which the surface is seen, divided by 4 pi: 1
inside a closed mesh, 0 outside, in between near holes (Jacobson et al. 2013). Far groups of
triangles act like one dipole (Barill et al. 2018), near ones are summed exactly. What happens to
imperfect meshes: holes are closed smoothly, overlapping closed parts count as their union, an
inside-out mesh counts as itself, a flat sheet has no inside. Faces of mixed orientation cancel:
nothing says where their inside would be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maquette.errors import InputError
from maquette.geometry.nearest import STACK, build_tree, compiled, inlined
from maquette.geometry.polygons import normals_of
from maquette.geometry.transforms import Faces, OtherPoints, Points
from maquette.geometry.vectors import cross, dot, minus, row_of


@dataclass(frozen=True, eq=False)
class TriangleTree:
    """A complete binary tree over triangles: node i has the children 2 i + 1 and 2 i + 2, the last
    level are leaves.
    """

    triangles: Float64[np.ndarray, "F 3 3"]  # corners, neighbours in space are neighbours in memory
    starts: Int64[np.ndarray, " leaves"]  # K + 1: leaf l holds triangles[starts[l]:starts[l + 1]]
    centres: Float64[np.ndarray, "nodes 3"]  # 2 K - 1: mean of each node's surface
    dipoles: Float64[np.ndarray, "nodes 3"]  # sum of its area vectors
    radii: Float64[np.ndarray, " nodes"]  # of the ball round its centre that holds it


def build_triangle_tree(vertices: Points, faces: Faces) -> TriangleTree:
    """Index a mesh, F >= 1; faces without area are left out."""
    triangles = np.asarray(vertices, dtype=np.float64)[np.asarray(faces)]
    triangles = triangles[np.linalg.norm(_area_vectors(triangles), axis=1) > 0]
    if not len(triangles):
        raise InputError("a mesh without area has no inside; give one with faces")
    tree = build_tree(triangles.mean(1))
    ordered = np.ascontiguousarray(triangles[tree.order])
    return TriangleTree(ordered, tree.starts, *_dipoles(ordered, tree.starts))


def winding_number(
    tree: TriangleTree, points: OtherPoints, accuracy: float = 3.0
) -> Float64[np.ndarray, " M"]:
    """Winding numbers of points; a group is summed as a whole from ``accuracy`` times
    its radius on (errors up to 0.05).
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    return _winding(
        points, tree.triangles, tree.starts, tree.centres, tree.dipoles, tree.radii, accuracy
    )


def inside(tree: TriangleTree, points: OtherPoints) -> Bool[np.ndarray, " M"]:
    """The winding number's magnitude is above one half."""
    return np.abs(winding_number(tree, points)) > 0.5


def _area_vectors(triangles: np.ndarray) -> np.ndarray:
    """(F, 3) normals of triangles (F, 3, 3), as long as their areas."""
    return 0.5 * normals_of(triangles)


def _dipoles(
    triangles: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, summed area vector and radius of every node; a node of any level holds a contiguous
    run of triangles.
    """
    vectors = _area_vectors(triangles)
    areas = np.linalg.norm(vectors, axis=1)
    moments = areas[:, None] * triangles.mean(1)
    levels = []
    run = len(starts) - 1
    while run >= 1:  # from the root, one node, down to the leaves
        first = starts[:-1:run]
        centres = np.add.reduceat(moments, first) / np.add.reduceat(areas, first)[:, None]
        home = np.repeat(centres, np.diff(first, append=len(triangles)), axis=0)
        reach = np.linalg.norm(triangles - home[:, None], axis=2).max(1)
        radii = np.maximum.reduceat(reach, first)
        levels.append((centres, np.add.reduceat(vectors, first), radii))
        run //= 2
    centres, dipoles, radii = (np.concatenate(level) for level in zip(*levels))
    return centres, dipoles, radii


@inlined
@no_type_check  # numba has types of its own
def _solid_angle(triangle: np.ndarray, point: tuple[float, float, float]) -> float:
    """Signed solid angle of a triangle seen from a point, over 4 pi (van Oosterom and Strackee
    1983).
    """
    a = minus(row_of(triangle, 0), point)
    b = minus(row_of(triangle, 1), point)
    c = minus(row_of(triangle, 2), point)
    length_a = np.sqrt(dot(a, a))
    length_b = np.sqrt(dot(b, b))
    length_c = np.sqrt(dot(c, c))
    volume = dot(a, cross(b, c))
    across = length_a * length_b * length_c + dot(a, b) * length_c
    across = across + dot(b, c) * length_a + dot(c, a) * length_b
    return np.arctan2(volume, across) / (2.0 * np.pi)


@compiled
@no_type_check  # numba has types of its own
def _winding(
    points: np.ndarray,
    triangles: np.ndarray,
    starts: np.ndarray,
    centres: np.ndarray,
    dipoles: np.ndarray,
    radii: np.ndarray,
    accuracy: float,
) -> np.ndarray:
    """(N,) sums over the tree: dipoles of what is far (``accuracy``), solid angles of the rest."""
    leaves = len(starts) - 1
    numbers = np.zeros(len(points))
    nodes = np.empty(STACK, np.int64)
    for q in range(len(points)):
        point = row_of(points, q)
        top = 1
        total = 0.0
        nodes[0] = 0
        while top > 0:
            top -= 1
            node = nodes[top]
            way = minus(row_of(centres, node), point)
            squared = dot(way, way)
            if squared > (accuracy * radii[node]) ** 2:
                flux = dot(row_of(dipoles, node), way)
                total += flux / (4.0 * np.pi * squared * np.sqrt(squared))
            elif node >= leaves - 1:
                for i in range(starts[node - leaves + 1], starts[node - leaves + 2]):
                    total += _solid_angle(triangles[i], point)
            else:
                nodes[top] = 2 * node + 1
                nodes[top + 1] = 2 * node + 2
                top += 2
        numbers[q] = total
    return numbers

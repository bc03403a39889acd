"""Meshes as solids: what they enclose, what two of them share. Cells on a grid, inside or outside
by winding number.

Right for closed meshes up to the grid, and defined for others (geometry/winding.py): holes are
closed, overlapping parts count once, sheets enclose nothing. Volumes are in cubed units of the
vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maquette.geometry.boxes import bounding_box, shared_box
from maquette.geometry.polygons import normals_of
from maquette.geometry.winding import TriangleTree, build_triangle_tree, inside
from maquette.photos.pixels import iou_of
from maquette.types import arrays_of

if TYPE_CHECKING:
    import trimesh

TOUCHING = 1e-6  # of the larger side: boxes that overlap by less only touch


@dataclass(frozen=True, eq=False)
class SolidMesh:
    """A mesh that has been made ready for many questions about its inside."""

    box: np.ndarray  # (2, 3) of the vertices that faces use; nan without faces
    corners: np.ndarray  # (F, 3, 3) of its triangles
    tree: TriangleTree | None  # None: without area, so that nothing is inside


def solid_of(mesh: trimesh.Trimesh) -> SolidMesh:
    """Index a mesh. Raises nothing: a mesh without surface is a solid that holds nothing."""
    vertices, faces = arrays_of(mesh)
    corners = vertices.astype(np.float64)[faces].reshape(-1, 3, 3)
    if not len(corners):
        return SolidMesh(np.full((2, 3), np.nan), corners, None)
    tree = build_triangle_tree(vertices, faces) if normals_of(corners).any() else None
    return SolidMesh(bounding_box(corners.reshape(-1, 3)), corners, tree)


def volumetric_iou(
    predicted: trimesh.Trimesh, truth: trimesh.Trimesh, resolution: int = 64
) -> float:
    """Volume of the intersection over volume of the union of two solids; in [0, 1]. 0 when neither
    encloses anything.

    On cells of 1 / ``resolution`` of the longest side of the common box. SAM 3D Objects' vIoU is
    this on 64 cells after each mesh has been normalised to [-1, 1] and aligned. Two sheets, or
    faces of mixed orientation, enclose nothing and score 0: look at F instead.
    """
    first = solid_of(predicted)
    second = solid_of(truth)
    if first.tree is None or second.tree is None:
        return 0.0
    cells, _ = grid(bounding_box(np.concatenate([first.box, second.box])), resolution)
    return iou_of(contains(first, cells), contains(second, cells))


def overlap_volume(a: SolidMesh, b: SolidMesh, resolution: int = 48) -> float:
    """Volume that two solids share, in cubed units; on a grid over the common part of their boxes
    only.
    """
    box = shared_box(a.box, b.box)
    thin = TOUCHING * np.maximum(np.ptp(a.box, axis=0), np.ptp(b.box, axis=0))
    if not (box[1] - box[0] > thin).all():
        return 0.0
    cells, volume = grid(box, resolution)
    for solid in (a, b):
        cells = cells[contains(solid, cells)]
    return volume * len(cells)


def volume_and_centre(solid: SolidMesh, resolution: int = 32) -> tuple[float, np.ndarray]:
    """Enclosed volume and its centre (3,), that is the centre of mass of even density; a sheet has
    volume 0 and its area's centre.
    """
    cells, volume = grid(solid.box, resolution)
    cells = cells[contains(solid, cells)]
    if len(cells):
        return volume * len(cells), cells.mean(0)
    areas = np.linalg.norm(normals_of(solid.corners), axis=1)
    middles = solid.corners.mean(1)
    if areas.sum() > 0:
        return 0.0, np.average(middles, axis=0, weights=areas)
    return 0.0, solid.corners.reshape(-1, 3).mean(0)


def contains(solid: SolidMesh, points: np.ndarray) -> np.ndarray:
    """(N,) bool for points (N, 3); those outside of the solid's box need no search."""
    if solid.tree is None:
        return np.zeros(len(points), dtype=bool)
    found = ((points >= solid.box[0]) & (points <= solid.box[1])).all(1)
    found[found] = inside(solid.tree, points[found])
    return found


def grid(box: np.ndarray, resolution: int) -> tuple[np.ndarray, float]:
    """Centres (N, 3) of nearly cubic cells that fill a box (2, 3), ``resolution`` along its longest
    side, and the volume of one.
    """
    sides = np.ptp(box, axis=0)
    cells_along = resolution * sides / max(float(sides.max()), 1e-300)
    counts = np.maximum(1, np.ceil(cells_along - 1e-9).astype(int))
    steps = sides / counts
    cells = np.ascontiguousarray(np.indices(counts).reshape(3, -1).T)
    return box[0] + steps * (cells + 0.5), float(steps.prod())

"""Solid -> Asset: evaluate the distance where it matters, extract the surface, simplify it, paint
it.

The distances are bounds, so a coarse grid tells which fine cells can be near the surface, and only
those are evaluated.
"""

from __future__ import annotations

import numpy as np
import trimesh

from maquette.data.assets import Asset, split_by_label, weld
from maquette.data.procedural.shapes import PaintedSolid
from maquette.geometry.boxes import bounding_box, cube_cells, longest_side
from maquette.geometry.isosurface import extract_isosurface
from maquette.geometry.transforms import VerticesAndFaces

_RESOLUTION = 88  # cells along the longest side
_MARGIN = 1.05  # grid over longest side
_COARSE = 4  # fine cells per coarse cell
_SLACK = 1.35  # smooth unions and ellipsoids are not exact distances


def asset_from_solid(
    shape: PaintedSolid,
    name: str,
    *,
    face_budget: int = 5000,
    resolution: int = _RESOLUTION,
) -> Asset:
    """Mesh and paint a solid: watertight when welded, normalised, vertices split where the paint
    changes. ValueError when nothing is inside at this resolution.

    Without fast_simplification the mesh keeps all its faces.
    """
    centre = shape.box.mean(0)
    side = longest_side(shape.box) * _MARGIN
    vertices, faces = extract_isosurface(_sample(shape, centre, side, resolution))
    if not len(faces):
        raise ValueError(f"the solid {name!r} has no surface at a resolution of {resolution}")
    if trimesh.Trimesh(vertices, faces, process=False).volume < 0:
        faces = faces[:, ::-1]
    vertices, faces = _simplified(vertices, faces, face_budget)
    points = (vertices * side + centre).astype(np.float32)
    middle = points[faces].mean(1)
    nearest = np.argmin([part.distance(middle) for part in shape.parts], axis=0)
    source, faces, label = split_by_label(faces, nearest)
    colours = np.empty((len(source), 3), np.float32)
    for index, part in enumerate(shape.parts):
        chosen = label == index
        colours[chosen] = part.paint(points[source[chosen]])
    low, high = bounding_box(points)
    unit = (points - (low + high) / 2) / (high - low).max()
    corners = unit[source].astype(np.float32)
    tints = np.rint(colours.clip(0, 255)).astype(np.uint8)
    return Asset(name, corners, faces.astype(np.int32), tints, "procedural", "CC0-1.0")


def _sample(
    shape: PaintedSolid,
    centre: np.ndarray,
    side: float,
    resolution: int,
) -> np.ndarray:
    """(R, R, R) float32 distances; exact near the surface, of the right sign elsewhere."""
    coarse = shape.distance(_cells(centre, side, resolution // _COARSE)).astype(np.float32)
    count = resolution // _COARSE
    reach = _SLACK * 0.5 * np.sqrt(3.0) * side / count
    field = coarse.reshape(count, count, count)
    for axis in range(3):
        field = field.repeat(_COARSE, axis)
    near = np.flatnonzero(np.abs(field) < reach)
    field.reshape(-1)[near] = shape.distance(_cells(centre, side, resolution)[near])
    return field


def _cells(centre: np.ndarray, side: float, resolution: int) -> np.ndarray:
    """(R^3, 3) float32 centres of the cells of a cube."""
    return (cube_cells(resolution, side) + centre).astype(np.float32)


def _simplified(vertices: np.ndarray, faces: np.ndarray, budget: int) -> VerticesAndFaces:
    """Collapse edges by quadric error; pinched results (an edge of four faces) are tried again more
    patiently.
    """
    if len(faces) <= budget:
        return vertices, faces
    try:
        import fast_simplification
    except ImportError:  # a finer mesh is as good a mesh
        return vertices, faces
    for attempt, patience in enumerate((7, 5, 3, 6, 4, 2)):
        target = int(budget * 0.97**attempt)
        points, fewer = fast_simplification.simplify(
            vertices, faces, target_count=target, agg=patience
        )
        points, fewer = weld(np.round(points, 6), fewer)
        collapsed = fewer == np.roll(fewer, 1, axis=1)
        fewer = fewer[~collapsed.any(1)]
        if trimesh.Trimesh(points, fewer, process=False).is_watertight:
            return points, fewer
    return vertices, faces

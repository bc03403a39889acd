"""Solid -> Asset: evaluate the distance where it matters, extract the surface, simplify it, paint
it.

The distances are bounds, so a coarse grid tells which fine cells can be near the surface, and only
those are evaluated.
"""

from __future__ import annotations

import numpy as np

from maquette.data.assets import Asset, split_by_label, weld
from maquette.data.procedural.shapes import Solid
from maquette.geometry.isosurface import extract_isosurface

_RESOLUTION = 88  # cells along the longest side
_MARGIN = 1.05  # grid over longest side
_COARSE = 4  # fine cells per coarse cell
_SLACK = 1.35  # smooth unions and ellipsoids are not exact distances


def asset_from_solid(
    shape: Solid, name: str, *, face_budget: int = 5000, resolution: int = _RESOLUTION
) -> Asset:
    """Mesh and paint a solid: watertight when welded, normalised, vertices split where the paint
    changes.

    Without fast_simplification the mesh keeps all its faces.
    """
    center = shape.box.mean(0)
    side = float(np.ptp(shape.box, axis=0).max()) * _MARGIN
    vertices, faces = extract_isosurface(_sample(shape, center, side, resolution))
    if not len(faces):
        raise ValueError(f"the solid {name!r} has no surface at a resolution of {resolution}")
    vertices, faces = _simplified(vertices, _outward(vertices, faces), face_budget)
    points = (vertices * side + center).astype(np.float32)
    middle = points[faces].mean(1)
    part = np.argmin([part.distance(middle) for part in shape.parts], axis=0)
    source, faces, label = split_by_label(faces, part)
    colors = np.empty((len(source), 3), np.float32)
    for index, painter in enumerate(shape.parts):
        chosen = label == index
        colors[chosen] = painter.paint(points[source[chosen]])
    low = points.min(0)
    high = points.max(0)
    unit = (points - (low + high) / 2) / (high - low).max()
    tints = np.rint(colors.clip(0, 255)).astype(np.uint8)
    return Asset(
        name,
        unit[source].astype(np.float32),
        faces.astype(np.int32),
        tints,
        "procedural",
        "CC0-1.0",
    )


def _sample(shape: Solid, center: np.ndarray, side: float, resolution: int) -> np.ndarray:
    """(R, R, R) float32 distances; exact near the surface, of the right sign elsewhere."""
    coarse = shape.distance(_cells(center, side, resolution // _COARSE)).astype(np.float32)
    count = resolution // _COARSE
    reach = _SLACK * 0.5 * np.sqrt(3.0) * side / count
    field = coarse.reshape((count,) * 3).repeat(_COARSE, 0).repeat(_COARSE, 1).repeat(_COARSE, 2)
    near = np.flatnonzero(np.abs(field) < reach)
    field.reshape(-1)[near] = shape.distance(_cells(center, side, resolution)[near])
    return field


def _cells(center: np.ndarray, side: float, resolution: int) -> np.ndarray:
    axis = ((np.arange(resolution) + 0.5) / resolution - 0.5) * side
    return (
        np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) + center
    ).astype(np.float32)


def _simplified(
    vertices: np.ndarray, faces: np.ndarray, budget: int
) -> tuple[np.ndarray, np.ndarray]:
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
        points, fewer = fast_simplification.simplify(
            vertices, faces, target_count=int(budget * 0.97**attempt), agg=patience
        )
        points, fewer = weld(np.round(points, 6), fewer)
        fewer = fewer[(fewer != np.roll(fewer, 1, axis=1)).all(1)]
        if _every_edge_twice(fewer):
            return points, fewer
    return vertices, faces


def _every_edge_twice(faces: np.ndarray) -> bool:
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    return bool((np.unique(edges[:, 0] << 32 | edges[:, 1], return_counts=True)[1] == 2).all())


def _outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces (F, 3) of a closed mesh, turned so that it encloses a positive volume."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return faces if np.einsum("ni,ni->", a, np.cross(b, c)) >= 0 else faces[:, ::-1]

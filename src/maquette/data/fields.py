"""Mesh -> signed distance and colour on a grid, for meshes as people really make them.

Assets are open, overlapping, inconsistently oriented or single sheets, so "inside" is what the
generalised winding number says (Jacobson et al. 2013; evaluated by the fast hierarchical form of
Barill et al. 2018, in libigl), after orienting each patch and cancelling faces that appear in both
directions. Rooms that the surface seals off count as inside, walls buried in a solid do not count
as surface, and sheets that enclose nothing get about one cell of thickness.

Distances are exact in a narrow band; beyond it each cell takes the closest surface point of its
nearest band cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from maquette.data.assets import Asset, weld
from maquette.data.orientation import libigl, orient
from maquette.geometry.boxes import cube_cells
from maquette.geometry.nearest import compiled
from maquette.geometry.polygons import doubled_normals
from maquette.geometry.transforms import unit_vectors
from maquette.photos.pixels import nearest_inside

FIELD_RESOLUTION = 64
FIELD_EXTENT = 1.125  # side of the grid's cube; the asset's longest side is 1
FIELD_CLIP = 0.5  # distances are clipped to +- this
CELL = FIELD_EXTENT / FIELD_RESOLUTION
_CUBE = (FIELD_RESOLUTION,) * 3
_BAND = 3.0 * CELL  # half width of the narrow band
_NEAR = 1.2 * CELL  # cells that look for the solid behind their surface
# solids thinner than the first grow by the second on either side
_THIN = ((1.2 * CELL, 0.25 * CELL), (0.6 * CELL, 0.5 * CELL))
_WALL_PROBE = 0.9 * CELL  # how far to either side of a face a buried wall looks for the outside


@dataclass(frozen=True, eq=False)
class AssetField:
    """An asset on the 64^3 grid, index [x, y, z], cell centres ((i, j, k) + 0.5) / 64 - 0.5 times
    FIELD_EXTENT.
    """

    # (64, 64, 64) float16, signed distance in asset units, negative inside, clipped to +-
    # FIELD_CLIP
    sdf: np.ndarray
    rgb: np.ndarray  # (64, 64, 64, 3) uint8 sRGB colour of the closest surface point


@dataclass(frozen=True, eq=False)
class _WeldedMesh:
    """An asset's surface without seams, as it is and fit for winding numbers."""

    vertices: np.ndarray  # (V, 3) float64
    faces: np.ndarray  # (F, 3) int64
    oriented: np.ndarray  # (F', 3) int64

    def closest(
        self, points: np.ndarray, faces: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squared distance (N,), row of the faces (N,), and place (N, 3) of what is closest."""
        faces = self.faces if faces is None else faces
        return libigl().point_mesh_squared_distance(points, self.vertices, faces)

    def windings(self, points: np.ndarray) -> np.ndarray:
        """(N,) |winding number|; the sign is dropped because single components may be inverted."""
        if not len(self.oriented) or not len(points):
            return np.zeros(len(points))
        points = np.ascontiguousarray(points)
        return np.abs(libigl().fast_winding_number(self.vertices, self.oriented, points))


@dataclass(frozen=True, eq=False)
class _Closest:
    """Closest surface points: exact ones of K chosen cells, and which of them each of the N cells
    of the grid uses.
    """

    face: np.ndarray  # (K,) int64
    point: np.ndarray  # (K, 3) float64
    of_cell: np.ndarray  # (N,) int64 into the K
    distance: np.ndarray  # (N,) float64, of each cell to its point


def grid_points(resolution: int = FIELD_RESOLUTION) -> np.ndarray:
    """(R^3, 3) float64 cell centres of the field's cube in asset units, x slowest."""
    return cube_cells(resolution, FIELD_EXTENT)


def compute_field(asset: Asset) -> AssetField:
    """Signed distance and colour of an asset on the 64^3 grid; MissingExtraError without libigl."""
    positions = np.asarray(asset.vertices, np.float64)
    vertices, faces = weld(positions, np.asarray(asset.faces, np.int64))
    mesh = _WeldedMesh(vertices, faces, orient(vertices, faces))
    closest = _closest_points(mesh)
    solid = _winding_inside(mesh, closest.distance) | _sealed(closest.distance)
    growth = _sheet_growth(mesh, closest, solid)
    closest = _without_buried_walls(mesh, closest, solid)
    signed = np.where(solid, -closest.distance, closest.distance) - growth
    sdf = np.clip(signed, -FIELD_CLIP, FIELD_CLIP).astype(np.float16)
    seen = _surface_colors(asset, closest.face, closest.point)
    return AssetField(sdf.reshape(_CUBE), seen[closest.of_cell].reshape(*_CUBE, 3))


def _closest_points(mesh: _WeldedMesh) -> _Closest:
    """Exact in the narrow band; elsewhere the nearest band cell's closest point (a tight upper
    bound).
    """
    cells = grid_points()
    band = _band_cells(mesh)
    _, face, point = mesh.closest(cells[band])
    number = (np.cumsum(band) - 1).reshape(_CUBE)
    of_cell = number[nearest_inside(band.reshape(_CUBE))].reshape(-1)
    return _Closest(face, point, of_cell, np.linalg.norm(cells - point[of_cell], axis=1))


def _band_cells(mesh: _WeldedMesh) -> np.ndarray:
    """(R^3,) bool, all cells within _BAND of the surface and some more: coarse cells first, then
    the halves of the near ones.
    """
    near: np.ndarray = np.ones(16**3, bool)
    for resolution in (16, 32):
        squared, _, _ = mesh.closest(grid_points(resolution)[near])
        half_diagonal = 0.5 * np.sqrt(3.0) * FIELD_EXTENT / resolution
        near[near] = np.sqrt(squared) < _BAND + half_diagonal
        grid = near.reshape((resolution,) * 3)
        near = grid.repeat(2, 0).repeat(2, 1).repeat(2, 2).reshape(-1)
    return near


def _winding_inside(mesh: _WeldedMesh, distance: np.ndarray) -> np.ndarray:
    """(R^3,) bool. The winding number is harmonic away from the surface, so far cells are decided
    by one sample per block.

    Blocks of 4^3, then 2^3, then cells: a cell is settled when no surface lies between it and the
    sample at the centre of its block, and the sample is not near 0.5.
    """
    inside = np.zeros(FIELD_RESOLUTION**3, bool)
    undecided = np.ones(FIELD_RESOLUTION**3, bool)
    for block in (4, 2, 1):
        side = FIELD_RESOLUTION // block
        blocked = undecided.reshape(side, block, side, block, side, block)
        blocks = np.argwhere(blocked.any((1, 3, 5)))
        winding = mesh.windings(((blocks + 0.5) / side - 0.5) * FIELD_EXTENT)
        within = np.indices((block,) * 3).reshape(3, -1).T
        cells = _flat_index(blocks[:, None] * block + within)
        inside[cells] = np.where(undecided[cells], (winding > 0.5)[:, None], inside[cells])
        reach = 0.5 * np.sqrt(3.0) * (block - 1) * CELL
        unclear = np.abs(winding - 0.5) < 0.25
        undecided[cells] &= unclear[:, None] | (distance[cells] <= reach)
        if block == 2:
            grids = (array.reshape(_CUBE) for array in (inside, undecided, distance))
            _follow_neighbours(*grids)
    return inside


def _sealed(distance: np.ndarray) -> np.ndarray:
    """(R^3,) bool: cells that no path from the border reaches without crossing the surface."""
    # two neighbours across the surface cannot both be free
    free = (distance > 0.5 * CELL).reshape(_CUBE)
    label, _ = ndimage.label(free)
    return (free & (label != label[0, 0, 0])).reshape(-1)


def _sheet_growth(mesh: _WeldedMesh, closest: _Closest, solid: np.ndarray) -> np.ndarray:
    """(R^3,) how much thicker the surface must be for the grid to hold it, where the solid behind
    it is thin or missing.

    Cells near the surface look below their closest point on both sides of the face; farther cells
    follow their face.
    """
    looking = np.flatnonzero(~solid & (closest.distance < _NEAR))
    used = closest.of_cell[looking]
    face = closest.face[used]
    normal = unit_vectors(doubled_normals(mesh.vertices, mesh.faces[face]), 1e-12)
    offset = _centre_of(looking) - closest.point[used]
    away = np.einsum("ni,ni->n", offset, normal) / np.maximum(closest.distance[looking], 1e-12)
    point = _off_the_border(mesh, face, closest.point[used])
    growth = np.zeros(len(looking))
    thin = np.arange(len(looking))
    for depth, amount in _THIN:
        for side in (1.0, -1.0):  # a cell straight above its face need only look below it
            asked = thin[side * away[thin] < 0.7]
            below = point[asked] + side * depth * normal[asked]
            full = _solid_at(mesh, below, solid, closest.distance)
            thin = np.setdiff1d(thin, asked[full], assume_unique=True)
        growth[thin] = amount
    lookers = np.maximum(np.bincount(face, minlength=len(mesh.faces)), 1)
    of_face = np.bincount(face, weights=growth, minlength=len(mesh.faces)) / lookers
    grown = of_face[closest.face][closest.of_cell]
    grown[looking] = growth
    return grown


def _off_the_border(mesh: _WeldedMesh, face: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Points (N, 3) of faces (N,), moved by a cell towards the middle of their face, or to it: a
    look from the face's border would slide along its neighbour.
    """
    inward = mesh.vertices[mesh.faces[face]].mean(1) - point
    share = CELL / np.maximum(np.linalg.norm(inward, axis=1), CELL)
    return point + inward * share[:, None]


def _solid_at(
    mesh: _WeldedMesh,
    points: np.ndarray,
    solid: np.ndarray,
    distance: np.ndarray,
) -> np.ndarray:
    """(N,) bool, whether points (N, 3) are inside: their cell knows when no surface lies between,
    else the winding number does.
    """
    cell = _cell_of(points)
    offset = points - _centre_of(cell)
    full = solid[cell]
    unsure = np.einsum("ni,ni->n", offset, offset) >= distance[cell] ** 2
    full[unsure] = mesh.windings(points[unsure]) > 0.5
    return full


def _cell_of(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) -> flat index (...) of the cell they lie in, the nearest one for points
    outside of the grid.
    """
    index = ((points / FIELD_EXTENT + 0.5) * FIELD_RESOLUTION).astype(np.int64)
    return _flat_index(index.clip(0, FIELD_RESOLUTION - 1))


def _flat_index(index: np.ndarray) -> np.ndarray:
    """Numbers of the samples at indices (..., 3) of the cube."""
    return np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), _CUBE)


def _centre_of(cell: np.ndarray) -> np.ndarray:
    """Flat cell index (...) -> cell centres (..., 3)."""
    index = np.stack(np.unravel_index(cell, _CUBE), axis=-1)
    return ((index + 0.5) / FIELD_RESOLUTION - 0.5) * FIELD_EXTENT


def _without_buried_walls(mesh: _WeldedMesh, closest: _Closest, solid: np.ndarray) -> _Closest:
    """Give inside cells whose closest face lies wholly in the solid the closest point of the other
    faces instead.
    """
    buried = _buried(mesh, solid)
    asking = np.flatnonzero(solid & buried[closest.face][closest.of_cell])
    kept = np.flatnonzero(~buried)
    if not len(asking) or not len(kept):
        return closest
    squared, face, point = mesh.closest(_centre_of(asking), mesh.faces[kept])
    of_cell = closest.of_cell.copy()
    of_cell[asking] = len(closest.face) + np.arange(len(asking))
    distance = closest.distance.copy()
    distance[asking] = np.sqrt(squared)
    faces = np.concatenate([closest.face, kept[face]])
    return _Closest(faces, np.concatenate([closest.point, point]), of_cell, distance)


def _buried(mesh: _WeldedMesh, solid: np.ndarray) -> np.ndarray:
    """(F,) bool: faces with the solid on both sides of their corners, middle and edges."""
    corners = mesh.vertices[mesh.faces]
    normal = doubled_normals(mesh.vertices, mesh.faces)
    normal *= _WALL_PROBE / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    step = normal[:, None]
    halfway = 0.5 * (corners + np.roll(corners, 1, 1))
    samples = np.concatenate([corners.mean(1, keepdims=True), corners, halfway], axis=1)
    probes = np.concatenate([samples + step, samples - step], axis=1)
    return solid[_cell_of(probes)].all(1)


@compiled
def _follow_neighbours(inside: np.ndarray, undecided: np.ndarray, distance: np.ndarray) -> None:
    """Settle undecided cells (R, R, R) next to a settled one whose empty ball reaches them: no
    surface lies between.
    """
    size = inside.shape[0]
    settled = ~undecided
    for i, j, k in np.argwhere(undecided):
        for di in range(max(i - 1, 0), min(i + 2, size)):
            for dj in range(max(j - 1, 0), min(j + 2, size)):
                for dk in range(max(k - 1, 0), min(k + 2, size)):
                    apart = (di - i) ** 2 + (dj - j) ** 2 + (dk - k) ** 2
                    step = CELL * np.sqrt(apart)
                    if settled[di, dj, dk] and step < distance[di, dj, dk]:
                        inside[i, j, k] = inside[di, dj, dk]
                        undecided[i, j, k] = False


def _surface_colors(asset: Asset, face: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(K, 3) uint8: vertex colours of the closest faces, interpolated at the closest points by
    barycentric coordinates.
    """
    corners = asset.faces[face]
    first, second, third = np.asarray(asset.vertices, np.float64)[corners].swapaxes(0, 1)
    u = second - first
    v = third - first
    w = point - first
    uu = (u * u).sum(1)
    uv = (u * v).sum(1)
    vv = (v * v).sum(1)
    wu = (w * u).sum(1)
    wv = (w * v).sum(1)
    area = np.maximum(uu * vv - uv * uv, 1e-18)
    b = ((vv * wu - uv * wv) / area).clip(0.0, 1.0)
    c = np.minimum(((uu * wv - uv * wu) / area).clip(0.0), 1.0 - b)
    shares = np.stack([1.0 - b - c, b, c], axis=1)[..., None]
    red_green_blue = (asset.colors[corners] * shares).sum(1)
    return (red_green_blue + 0.5).astype(np.uint8)

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
from types import ModuleType

import numba
import numpy as np
from scipy import ndimage

from maquette.data.assets import Asset, weld
from maquette.errors import MissingExtraError

FIELD_RESOLUTION = 64
FIELD_EXTENT = 1.125  # side of the grid's cube; the asset's longest side is 1
FIELD_CLIP = 0.5  # distances are clipped to +- this
CELL = FIELD_EXTENT / FIELD_RESOLUTION
_CUBE = (FIELD_RESOLUTION,) * 3
_BAND = 3.0 * CELL  # half width of the narrow band
_THIN = (
    (1.2 * CELL, 0.25 * CELL),
    (0.6 * CELL, 0.5 * CELL),
)  # solids thinner than the first grow by the second on either side
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
    axis = ((np.arange(resolution) + 0.5) / resolution - 0.5) * FIELD_EXTENT
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def compute_field(asset: Asset) -> AssetField:
    """Signed distance and colour of an asset on the 64^3 grid; MissingExtraError without libigl."""
    igl = _libigl()
    vertices, faces = weld(
        np.asarray(asset.vertices, np.float64), np.asarray(asset.faces, np.int64)
    )
    oriented = orient(vertices, faces)
    cells = grid_points()
    closest = _closest_points(igl, vertices, faces, cells)
    solid = _winding_inside(igl, vertices, oriented, cells, closest.distance)
    solid |= _sealed(closest.distance)
    growth = _sheet_growth(igl, vertices, faces, oriented, cells, closest, solid)
    closest = _without_buried_walls(igl, vertices, faces, cells, closest, solid)
    signed = np.where(solid, -closest.distance, closest.distance) - growth
    positions = np.asarray(asset.vertices, np.float64)
    tints = np.asarray(asset.colors, np.float64)
    colors = _surface_colors(
        positions, np.asarray(asset.faces, np.int64), tints, closest.face, closest.point
    )[closest.of_cell]
    return AssetField(
        np.clip(signed, -FIELD_CLIP, FIELD_CLIP).astype(np.float16).reshape(_CUBE),
        colors.reshape(*_CUBE, 3),
    )


def orient(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces (F', 3) fit for winding numbers: opposite twins cancelled, then each patch made
    consistent. Needs libigl.
    """
    kept = _cancel_twins(faces)
    return np.where(flipped(vertices, kept)[:, None], kept[:, ::-1], kept)


def flipped(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) bool: which faces of a welded mesh must turn so that each patch is consistent, and
    outward where it is closed.

    An open patch keeps the direction that most of its area had. MissingExtraError without libigl.
    """
    if not len(faces):
        return np.zeros(0, bool)
    turned, patch = _libigl().bfs_orient(faces)
    same = (
        (turned == faces).all(1)
        | (turned == np.roll(faces, 1, 1)).all(1)
        | (turned == np.roll(faces, 2, 1)).all(1)
    )
    corners = vertices[turned]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    agreement = np.bincount(patch, weights=np.where(same, area, -area))
    volume = np.bincount(patch, weights=np.einsum("ni,ni->n", corners.mean(1), normal))
    outward = np.where(_closed_patches(turned, patch), volume, agreement) >= 0
    return same != outward[patch]


def _libigl() -> ModuleType:
    try:
        import igl
    except ImportError as error:
        raise MissingExtraError(
            'computing asset fields needs libigl; install it with: pip install "maquette[data]"'
        ) from error
    return igl


def _cancel_twins(faces: np.ndarray) -> np.ndarray:
    """Drop collapsed faces, repeats, and pairs of opposite faces (double-sided sheets wind around
    nothing).
    """
    collapsed = (
        (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 0] == faces[:, 2])
    )
    proper = faces[~collapsed]
    if not len(proper):
        return proper
    # an even permutation of the sorted corners is a rotation; the sign tells the two directions of
    # a face apart
    even = (proper[:, 1] > proper[:, 0]).astype(int) + (proper[:, 2] > proper[:, 1]) + (
        proper[:, 0] > proper[:, 2]
    ) == 2
    ordered = np.sort(proper, axis=1)
    key = (ordered[:, 0] * (faces.max() + 1) + ordered[:, 1]) * (faces.max() + 1) + ordered[:, 2]
    _, group = np.unique(key, return_inverse=True)
    balance = np.bincount(group, weights=np.where(even, 1.0, -1.0))
    wanted = np.flatnonzero((balance[group] != 0) & (even == (balance[group] > 0)))
    _, first = np.unique(group[wanted], return_index=True)
    return proper[wanted[np.sort(first)]]


def _closed_patches(faces: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """(P,) bool: every edge of the patch belongs to exactly two of its faces."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    owner = np.repeat(patch, 3)
    top = faces.max() + 1
    key = (owner * top + edges[:, 0]) * top + edges[:, 1]
    unique, count = np.unique(key, return_counts=True)
    return np.bincount(unique // (top * top), weights=count != 2, minlength=patch.max() + 1) == 0


def _closest_points(
    igl: ModuleType, vertices: np.ndarray, faces: np.ndarray, cells: np.ndarray
) -> _Closest:
    """Exact in the narrow band; elsewhere the nearest band cell's closest point (a tight upper
    bound).
    """
    band = _band_cells(igl, vertices, faces)
    inside_band = np.flatnonzero(band)
    _, face, point = igl.point_mesh_squared_distance(cells[inside_band], vertices, faces)
    return _propagate(cells, band, face, point)


def _band_cells(igl: ModuleType, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(R^3,) bool, all cells within _BAND of the surface and some more: coarse cells first, then
    the halves of the near ones.
    """
    near = np.ones(16**3, bool)
    for resolution in (16, 32):
        centres = grid_points(resolution)
        squared = igl.point_mesh_squared_distance(centres[near], vertices, faces)[0]
        near[near] = np.sqrt(squared) < _BAND + 0.5 * np.sqrt(3.0) * FIELD_EXTENT / resolution
        near = near.reshape((resolution,) * 3).repeat(2, 0).repeat(2, 1).repeat(2, 2).reshape(-1)
    return near


def _propagate(
    cells: np.ndarray, known: np.ndarray, face: np.ndarray, point: np.ndarray
) -> _Closest:
    """Let every cell use the face and point of the nearest known cell; ``face`` and ``point``
    belong to the known cells in order.
    """
    i, j, k = ndimage.distance_transform_edt(
        ~known.reshape(_CUBE), return_distances=False, return_indices=True
    )
    slot = (np.cumsum(known) - 1).reshape(_CUBE)
    of_cell = slot[i, j, k].reshape(-1)
    return _Closest(face, point, of_cell, _distances(cells, point, of_cell))


def _winds(
    igl: ModuleType, vertices: np.ndarray, oriented: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """(N,) |winding number|; the sign is dropped because single components may be inverted."""
    if not len(oriented) or not len(points):
        return np.zeros(len(points))
    return np.abs(igl.fast_winding_number(vertices, oriented, np.ascontiguousarray(points)))


def _winding_inside(
    igl: ModuleType,
    vertices: np.ndarray,
    oriented: np.ndarray,
    cells: np.ndarray,
    distance: np.ndarray,
) -> np.ndarray:
    """(R^3,) bool. The winding number is harmonic away from the surface, so far cells are decided
    by one sample per block.

    Blocks of 4^3, then 2^3, then cells: a cell is settled when no surface lies between it and the
    sample at the centre of its block, and the sample is not near 0.5.
    """
    inside = np.zeros(FIELD_RESOLUTION**3, bool)
    undecided = np.ones(FIELD_RESOLUTION**3, bool)
    for block in (4, 2, 1):
        side = FIELD_RESOLUTION // block
        blocks = np.argwhere(
            undecided.reshape(side, block, side, block, side, block).any((1, 3, 5))
        )
        winding = _winds(igl, vertices, oriented, ((blocks + 0.5) / side - 0.5) * FIELD_EXTENT)
        rows = blocks[:, None] * block + np.indices((block,) * 3).reshape(3, -1).T
        flat = (rows[..., 0] * FIELD_RESOLUTION + rows[..., 1]) * FIELD_RESOLUTION + rows[..., 2]
        inside[flat] = np.where(undecided[flat], (winding > 0.5)[:, None], inside[flat])
        reach = 0.5 * np.sqrt(3.0) * (block - 1) * CELL
        undecided[flat] &= (np.abs(winding - 0.5) < 0.25)[:, None] | (distance[flat] <= reach)
        if block == 2:
            _follow_neighbours(
                inside.reshape(_CUBE), undecided.reshape(_CUBE), distance.reshape(_CUBE)
            )
    return inside


def _sealed(distance: np.ndarray) -> np.ndarray:
    """(R^3,) bool: cells that no path from the border reaches without crossing the surface."""
    free = (distance > 0.5 * CELL).reshape(
        _CUBE
    )  # two neighbours across the surface cannot both be free
    label, _ = ndimage.label(free)
    return (free & (label != label[0, 0, 0])).reshape(-1)


def _sheet_growth(
    igl: ModuleType,
    vertices: np.ndarray,
    faces: np.ndarray,
    oriented: np.ndarray,
    cells: np.ndarray,
    closest: _Closest,
    solid: np.ndarray,
) -> np.ndarray:
    """(R^3,) how much thicker the surface must be for the grid to hold it, where the solid behind
    it is thin or missing.

    Cells near the surface look below their closest point on both sides of the face; farther cells
    follow their face.
    """
    looking = np.flatnonzero(~solid & (closest.distance < 1.2 * CELL))
    used = closest.of_cell[looking]
    face = closest.face[used]
    point = closest.point[used]
    corners = vertices[faces[face]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    inward = (
        corners.mean(1) - point
    )  # step off the face's border, or the look would slide along its neighbour
    point = point + inward * (CELL / np.maximum(np.linalg.norm(inward, axis=1), CELL))[:, None]
    away = np.einsum("ni,ni->n", cells[looking] - closest.point[used], normal) / np.maximum(
        closest.distance[looking], 1e-12
    )
    growth = np.zeros(len(looking))
    thin = np.arange(len(looking))
    for depth, amount in _THIN:
        for side in (1.0, -1.0):  # a cell straight above its face need only look below it
            asked = thin[side * away[thin] < 0.7]
            full = _solid_at(
                igl,
                vertices,
                oriented,
                point[asked] + side * depth * normal[asked],
                solid,
                closest.distance,
            )
            thin = np.setdiff1d(thin, asked[full], assume_unique=True)
        growth[thin] = amount
    count = np.maximum(np.bincount(face, minlength=len(faces)), 1)
    grown = (np.bincount(face, weights=growth, minlength=len(faces)) / count)[closest.face][
        closest.of_cell
    ]
    grown[looking] = growth
    return grown


def _solid_at(
    igl: ModuleType,
    vertices: np.ndarray,
    oriented: np.ndarray,
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
    full[unsure] = _winds(igl, vertices, oriented, points[unsure]) > 0.5
    return full


def _cell_of(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) -> flat index (...) of the cell they lie in, the nearest one for points
    outside of the grid.
    """
    index = (
        ((points / FIELD_EXTENT + 0.5) * FIELD_RESOLUTION)
        .astype(np.int64)
        .clip(0, FIELD_RESOLUTION - 1)
    )
    return (index[..., 0] * FIELD_RESOLUTION + index[..., 1]) * FIELD_RESOLUTION + index[..., 2]


def _centre_of(cell: np.ndarray) -> np.ndarray:
    """Flat cell index (...) -> cell centres (..., 3)."""
    return (
        (np.stack(np.unravel_index(cell, _CUBE), axis=-1) + 0.5) / FIELD_RESOLUTION - 0.5
    ) * FIELD_EXTENT


def _without_buried_walls(
    igl: ModuleType,
    vertices: np.ndarray,
    faces: np.ndarray,
    cells: np.ndarray,
    closest: _Closest,
    solid: np.ndarray,
) -> _Closest:
    """Give inside cells whose closest face lies wholly in the solid the closest point of the other
    faces instead.
    """
    corners = vertices[faces]
    centre = corners.mean(1)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal *= _WALL_PROBE / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    samples = np.concatenate(
        [centre[:, None], corners, 0.5 * (corners + np.roll(corners, 1, 1))], axis=1
    )
    probes = np.concatenate([samples + normal[:, None], samples - normal[:, None]], axis=1)
    buried = solid[_cell_of(probes)].all(1)
    asking = np.flatnonzero(solid & buried[closest.face][closest.of_cell])
    kept = np.flatnonzero(~buried)
    if not len(asking) or not len(kept):
        return closest
    squared, face, point = igl.point_mesh_squared_distance(cells[asking], vertices, faces[kept])
    of_cell = closest.of_cell.copy()
    distance = closest.distance.copy()
    of_cell[asking], distance[asking] = len(closest.face) + np.arange(len(asking)), np.sqrt(squared)
    return _Closest(
        np.concatenate([closest.face, kept[face]]),
        np.concatenate([closest.point, point]),
        of_cell,
        distance,
    )


@numba.njit(cache=True, nogil=True)
def _distances(cells: np.ndarray, point: np.ndarray, of_cell: np.ndarray) -> np.ndarray:
    out = np.empty(len(cells))
    for n in range(len(cells)):
        x, y, z = cells[n] - point[of_cell[n]]
        out[n] = np.sqrt(x * x + y * y + z * z)
    return out


@numba.njit(cache=True, nogil=True)
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
                    step = CELL * np.sqrt((di - i) ** 2 + (dj - j) ** 2 + (dk - k) ** 2)
                    if settled[di, dj, dk] and step < distance[di, dj, dk]:
                        inside[i, j, k] = inside[di, dj, dk]
                        undecided[i, j, k] = False


@numba.njit(cache=True, nogil=True)
def _surface_colors(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, face: np.ndarray, point: np.ndarray
) -> np.ndarray:
    """(K, 3) uint8: vertex colours of the closest faces, interpolated at the closest points by
    barycentric coordinates.
    """
    out = np.empty((len(face), 3), np.uint8)
    for n in range(len(face)):
        ia, ib, ic = faces[face[n]]
        u = vertices[ib] - vertices[ia]
        v = vertices[ic] - vertices[ia]
        w = point[n] - vertices[ia]
        uu = (u * u).sum()
        uv = (u * v).sum()
        vv = (v * v).sum()
        wu = (w * u).sum()
        wv = (w * v).sum()
        area = max(uu * vv - uv * uv, 1e-18)
        b = min(max((vv * wu - uv * wv) / area, 0.0), 1.0)
        c = min(max((uu * wv - uv * wu) / area, 0.0), 1.0 - b)
        for channel in range(3):
            mixed = (
                (1.0 - b - c) * colors[ia, channel]
                + b * colors[ib, channel]
                + c * colors[ic, channel]
            )
            out[n, channel] = np.uint8(mixed + 0.5)
    return out

"""Placed assets -> the volume of any cube: what the VAE learns to compress and the generator learns
to make.

In the flow: AssetLibrary fields + placements -> training targets. One numba kernel, because this
runs for every training row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numba
import numpy as np

from maquette.data.fields import FIELD_EXTENT
from maquette.geometry.transforms import scale_of
from maquette.geometry.vectors import affine, minus, squared_distance
from maquette.geometry.volumes import TRUNCATION

inlined = numba.njit(inline="always", fastmath=True)


class FieldSource(Protocol):
    """An AssetLibrary, or anything with its two field accessors."""

    def sdf(self, index: int) -> np.ndarray:
        """(64, 64, 64) float16 signed distance in asset units."""

    def rgb(self, index: int) -> np.ndarray:
        """(64, 64, 64, 3) uint8 colours."""


def placed_volume(
    library: FieldSource,
    placed: Iterable[tuple[int, np.ndarray]],
    resolution: int,
    truncation: float = TRUNCATION,
) -> np.ndarray:
    """(4, R, R, R) float32 union of assets ``(index, cube_from_asset)``.

    TSDF in [-1, 1] (negative inside; ``truncation`` is in cube sides) and the nearest object's
    colour in [-1, 1] inside the truncation band, 0 beyond it.
    """
    distance = np.full((resolution,) * 3, np.inf, np.float32)
    colour = np.zeros((*distance.shape, 3), np.float32)
    for index, cube_from_asset in placed:
        sdf = np.asarray(library.sdf(index), np.float32)
        rgb = np.asarray(library.rgb(index))
        asset_from_cube = np.linalg.inv(cube_from_asset).astype(np.float32)
        # side of the asset's grid in asset units, cube units per asset unit, truncation
        lengths = np.array([FIELD_EXTENT, scale_of(cube_from_asset), truncation], np.float32)
        _blend(sdf, rgb, asset_from_cube, lengths, distance, colour)
    tsdf = np.clip(distance / truncation, -1, 1)
    colour = (colour * (2 / 255) - 1) * (np.abs(tsdf) < 1)[..., None]
    return np.concatenate([tsdf[None], colour.transpose(3, 0, 1, 2)]).astype(np.float32)


@numba.njit(
    cache=True,
    nogil=True,
    fastmath=True,
)
def _blend(
    sdf,
    rgb,
    asset_from_cube,
    lengths,
    distance,
    colour,
):
    """Lower ``distance`` (R, R, R) to this asset's where it is nearer, and take its ``colour``
    there. Beyond the asset's grid, the value on its border grows by the way to it.
    """
    extent, scale, truncation = lengths
    size = sdf.shape[0]
    resolution = distance.shape[0]
    for i in range(resolution):
        x = (i + 0.5) / resolution - 0.5
        for j in range(resolution):
            y = (j + 0.5) / resolution - 0.5
            for k in range(resolution):
                z = (k + 0.5) / resolution - 0.5
                place = _in_cells(asset_from_cube, (x, y, z), extent, size)
                inside = _clamped(place, size - 1.001)  # eight cells surround it
                outside = np.sqrt(squared_distance(place, inside)) * extent / size
                if outside > 1e-3 and outside * scale > min(truncation, distance[i, j, k]):
                    if distance[i, j, k] == np.inf:
                        distance[i, j, k] = outside * scale
                    continue
                corner = int(inside[0]), int(inside[1]), int(inside[2])
                value = (_trilinear(sdf, corner, inside) + outside) * scale
                if value < distance[i, j, k]:
                    distance[i, j, k] = value
                    if abs(value) < truncation:
                        _mix_colours(rgb, corner, inside, colour[i, j, k])


# Inlined before compilation: the compiler may reorder sums, and does so as in one function.
@inlined
def _in_cells(
    asset_from_cube,
    point,
    extent,
    size,
):
    """A point of the cube in cells of the asset's grid; 0 = centre of the first cell."""
    x = _coordinate(asset_from_cube, 0, point, extent, size)
    y = _coordinate(asset_from_cube, 1, point, extent, size)
    z = _coordinate(asset_from_cube, 2, point, extent, size)
    return x, y, z


@inlined
def _coordinate(
    asset_from_cube,
    axis,
    point,
    extent,
    size,
):
    """One index, in cells of the asset's grid, of a point in the cube."""
    return (affine(asset_from_cube, axis, point) / extent + 0.5) * size - 0.5


@inlined
def _clamped(place, last):
    """The nearest place between 0 and ``last`` on each axis."""
    x = min(max(place[0], 0.0), last)
    y = min(max(place[1], 0.0), last)
    z = min(max(place[2], 0.0), last)
    return x, y, z


@inlined
def _trilinear(grid, corner, place):
    """The value of a grid (S, S, S) at a place whose lower cell is ``corner``."""
    a, b, c = corner
    u, v, w = minus(place, corner)
    low = _bilinear(grid[a], b, c, v, w)
    high = _bilinear(grid[a + 1], b, c, v, w)
    return low * (1 - u) + high * u


@inlined
def _bilinear(
    plane,
    b,
    c,
    v,
    w,
):
    """Between four neighbours of a plane: fractions v of the rows and w of the columns."""
    near = _linear(plane[b], c, w)
    far = _linear(plane[b + 1], c, w)
    return near * (1 - v) + far * v


@inlined
def _linear(row, c, w):
    """Between two neighbours in a row: fraction w of the second."""
    return row[c] * (1 - w) + row[c + 1] * w


@inlined
def _mix_colours(
    rgb,
    corner,
    place,
    mixed,
):
    """Write the colour of a grid (S, S, S, 3) at a place into ``mixed`` (3,)."""
    a, b, c = corner
    u, v, w = minus(place, corner)
    cells = rgb[a : a + 2, b : b + 2, c : c + 2]
    for n in range(3):
        near = 0.0
        far = 0.0
        for q in range(4):
            down = v if q & 2 else 1 - v
            along = w if q & 1 else 1 - w
            near += down * along * cells[0, q >> 1, q & 1, n]
            far += down * along * cells[1, q >> 1, q & 1, n]
        mixed[n] = near * (1 - u) + far * u

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
from maquette.geometry.volumes import TRUNCATION


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
    colour = np.zeros((resolution, resolution, resolution, 3), np.float32)
    for index, cube_from_asset in placed:
        asset_from_cube = np.linalg.inv(cube_from_asset)
        scale = np.float32(scale_of(cube_from_asset))  # asset units -> cube units
        sdf = np.asarray(library.sdf(index), np.float32)
        _blend(
            sdf,
            np.asarray(library.rgb(index)),
            asset_from_cube.astype(np.float32),
            np.float32(FIELD_EXTENT),
            scale,
            np.float32(truncation),
            distance,
            colour,
        )
    tsdf = np.clip(distance / truncation, -1, 1)
    colour = (colour * (2 / 255) - 1) * (np.abs(tsdf) < 1)[..., None]
    return np.concatenate([tsdf[None], colour.transpose(3, 0, 1, 2)]).astype(np.float32)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _blend(sdf, rgb, asset_from_cube, extent, scale, truncation, distance, colour):
    """Lower ``distance`` (R, R, R) to this asset's where it is nearer, and take its ``colour``
    there; trilinear, clamped at the border.
    """
    size = sdf.shape[0]
    resolution = distance.shape[0]
    m = asset_from_cube
    for i in range(resolution):
        x = (i + 0.5) / resolution - 0.5
        for j in range(resolution):
            y = (j + 0.5) / resolution - 0.5
            for k in range(resolution):
                z = (k + 0.5) / resolution - 0.5
                gx = (
                    (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) / extent + 0.5
                ) * size - 0.5
                gy = (
                    (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) / extent + 0.5
                ) * size - 0.5
                gz = (
                    (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]) / extent + 0.5
                ) * size - 0.5
                cx = min(max(gx, 0.0), size - 1.001)
                cy = min(max(gy, 0.0), size - 1.001)
                cz = min(max(gz, 0.0), size - 1.001)
                outside = np.sqrt((gx - cx) ** 2 + (gy - cy) ** 2 + (gz - cz) ** 2) * extent / size
                if outside > 1e-3 and outside * scale > min(truncation, distance[i, j, k]):
                    if distance[i, j, k] == np.inf:
                        distance[i, j, k] = outside * scale
                    continue
                a = int(cx)
                b = int(cy)
                c = int(cz)
                u = cx - a
                v = cy - b
                w = cz - c
                x0 = sdf[a]
                x1 = sdf[a + 1]
                low = (x0[b, c] * (1 - w) + x0[b, c + 1] * w) * (1 - v) + (
                    x0[b + 1, c] * (1 - w) + x0[b + 1, c + 1] * w
                ) * v
                high = (x1[b, c] * (1 - w) + x1[b, c + 1] * w) * (1 - v) + (
                    x1[b + 1, c] * (1 - w) + x1[b + 1, c + 1] * w
                ) * v
                value = (low * (1 - u) + high * u + outside) * scale
                if value < distance[i, j, k]:
                    distance[i, j, k] = value
                    if abs(value) < truncation:
                        for n in range(3):
                            near = 0.0
                            far = 0.0
                            for q in range(4):
                                weight = (v if q & 2 else 1 - v) * (w if q & 1 else 1 - w)
                                near += weight * rgb[a, b + (q >> 1), c + (q & 1), n]
                                far += weight * rgb[a + 1, b + (q >> 1), c + (q & 1), n]
                            colour[i, j, k, n] = near * (1 - u) + far * u

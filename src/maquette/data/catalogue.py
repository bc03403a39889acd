"""What layouts and pictures need to know of assets, each measured once: extents, discs, which are
tables, tops, normals.

Between the library and the layouts: a `Catalogue` wraps any source of assets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from maquette.data.assets import Asset
from maquette.data.table_tops import is_table, top_polygon
from maquette.errors import InputError
from maquette.render.assemble import vertex_normals
from maquette.types import Arrays


class AssetLike(Protocol):
    """What layouts need of an asset: longest side 1, box centred on the origin, +Y up."""

    @property
    def name(self) -> str:
        """What it is called; rooms guess from it what it is good for."""

    @property
    def vertices(self) -> np.ndarray:
        """(V, 3) float32."""

    @property
    def faces(self) -> np.ndarray:
        """(F, 3) int32."""

    @property
    def colors(self) -> np.ndarray:
        """(V, 3) uint8, sRGB."""


class LibraryLike(Protocol):
    """A sized accessor of assets: an AssetLibrary, or a list in a thin wrapper."""

    def __len__(self) -> int: ...

    def asset(self, index: int) -> AssetLike:
        """Return one asset."""


@dataclass(frozen=True, eq=False)
class AssetList:
    """A library of assets held in memory."""

    assets: tuple[Asset, ...]

    def __len__(self) -> int:
        return len(self.assets)

    def asset(self, index: int) -> Asset:
        """Return one asset."""
        return self.assets[index]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """A library with the measurements that layouts need, made once by `Catalogue.of`; itself a
    library.
    """

    library: LibraryLike
    names: tuple[str, ...]
    # (N, 3) float64, sides of the smallest box about the origin (stored assets are not quite
    # centred) that holds it
    extents: np.ndarray
    # (N,) float64, of the smallest disc about the asset's vertical axis that covers it from above
    radii: np.ndarray
    tables: np.ndarray  # (M,) int, assets with a wide flat top
    # filled by rooms on first use: which assets serve as chairs, ...
    roles: Arrays = field(default_factory=dict)
    _tops: dict[int, np.ndarray] = field(default_factory=dict)  # top polygons, measured on demand
    _normals: dict[int, np.ndarray] = field(default_factory=dict)  # vertex normals, likewise

    @classmethod
    def of(cls, library: LibraryLike | Catalogue) -> Catalogue:
        """Measure every asset (about 0.1 ms each); a Catalogue is returned as it is. InputError
        when there is no asset.
        """
        if isinstance(library, Catalogue):
            return library
        if len(library) == 0:
            raise InputError(
                "the asset library is empty, expected at least one asset; import a folder with "
                "'maquette data import'"
            )
        assets = [library.asset(i) for i in range(len(library))]
        names = tuple(asset.name for asset in assets)
        half_sides = [np.abs(asset.vertices).max(0) for asset in assets]
        radii = [_radius(asset.vertices) for asset in assets]
        flat = [is_table(asset.vertices, asset.faces) for asset in assets]
        extents = 2.0 * np.array(half_sides, dtype=np.float64)
        return cls(library, names, extents, np.array(radii), np.flatnonzero(flat))

    def __len__(self) -> int:
        return len(self.names)

    def asset(self, index: int) -> AssetLike:
        """Return the asset itself."""
        return self.library.asset(index)

    def top(self, index: int) -> np.ndarray:
        """(K, 2) x/z corners of the top polygon of an asset, in the asset's frame; K = 0 when it
        has none.
        """
        return self._measured(self._tops, index, top_polygon)

    def normals(self, index: int) -> np.ndarray:
        """(V, 3) float32 unit vertex normals of an asset for smooth shading, across the seams
        between its vertices.
        """
        return self._measured(self._normals, index, seamless_normals)

    def _measured(
        self,
        kept: dict[int, np.ndarray],
        index: int,
        measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """What is kept of an asset, measured when it is first asked for."""
        if index not in kept:
            asset = self.library.asset(index)
            kept[index] = measure(asset.vertices, asset.faces)
        return kept[index]


def _radius(vertices: np.ndarray) -> float:
    """Largest distance of vertices (V, 3) from the vertical axis."""
    return math.sqrt(float((vertices[:, ::2] ** 2).sum(1).max()))


def seamless_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 area-weighted normals of vertices (V, 3), the same for all vertices at one
    position.
    """
    steps = np.round(vertices.astype(np.float64) * 16384.0)
    keys = steps @ np.array([1.0, 2.0**17, 2.0**34])  # one number per position
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return vertex_normals(vertices[first], group[faces])[group]

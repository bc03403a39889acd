"""Where objects stand: random layouts without meaning, after the appendix of I-Scene (arXiv
2512.13683).

First half of a training scene (assets -> layout -> scene -> views). Every object is a disc on the
floor whose radius comes from its x/z extents; variable-radius Poisson-disc sampling, larger discs
first, keeps them apart, and small objects are stacked on the top polygon of a table. Layouts know
shapes only through a `Catalogue`, which measures each asset once.

World frame of a layout: +Y up, the floor is y = 0, lengths are arbitrary units. Placements turn
about +Y only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from maquette.errors import InputError
from maquette.geometry.transforms import rotation_y, similarity
from maquette.render.assemble import vertex_normals

# of the footprint that must be flat, near the top and look up, for an asset to serve as a table
TABLE_TOP_SHARE = 0.55
TOP_LAYER = 0.06  # thickness of the "near the top" layer, relative to the height


class AssetLike(Protocol):
    """What layouts need of an asset: longest side 1, box centred on the origin, +Y up."""

    name: str
    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32
    colors: np.ndarray  # (V, 3) uint8, sRGB


class LibraryLike(Protocol):
    """A sized accessor of assets: an AssetLibrary, or a list in a thin wrapper."""

    def __len__(self) -> int: ...

    def asset(self, index: int) -> AssetLike:
        """Return one asset."""
        ...


@dataclass(frozen=True, eq=False)
class AssetList:
    """A library of assets held in memory."""

    assets: tuple[AssetLike, ...]

    def __len__(self) -> int:
        return len(self.assets)

    def asset(self, index: int) -> AssetLike:
        """Return one asset."""
        return self.assets[index]


@dataclass(frozen=True, eq=False)
class Placement:
    """An asset and where it stands."""

    asset: int
    world_from_asset: np.ndarray  # (4, 4) float64, a similarity whose rotation is a yaw


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
    roles: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # filled by rooms on first use: which assets serve as chairs, ...
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
        extents = 2.0 * np.array([np.abs(a.vertices).max(0) for a in assets], dtype=np.float64)
        radii = np.array([math.sqrt(float((a.vertices[:, ::2] ** 2).sum(1).max())) for a in assets])
        tables = np.array(
            [i for i, a in enumerate(assets) if is_table(a.vertices, a.faces)], dtype=np.int64
        )
        return cls(library, tuple(a.name for a in assets), extents, radii, tables)

    def __len__(self) -> int:
        return len(self.names)

    def asset(self, index: int) -> AssetLike:
        """Return the asset itself."""
        return self.library.asset(index)

    def top(self, index: int) -> np.ndarray:
        """(K, 2) x/z corners of the top polygon of an asset, in the asset's frame; K = 0 when it
        has none.
        """
        if index not in self._tops:
            asset = self.library.asset(index)
            self._tops[index] = top_polygon(asset.vertices, asset.faces)
        return self._tops[index]

    def normals(self, index: int) -> np.ndarray:
        """(V, 3) float32 unit vertex normals of an asset for smooth shading, across the seams
        between its vertices.
        """
        if index not in self._normals:
            asset = self.library.asset(index)
            self._normals[index] = smooth_normals(asset.vertices, asset.faces)
        return self._normals[index]


@dataclass(frozen=True)
class LayoutConfig:
    """Ranges of a random layout; lengths in world units, where a typical large object has a longest
    side of 1.
    """

    count: tuple[int, int] = (2, 12)
    size: tuple[float, float] = (
        0.3,
        1.2,
    )  # longest side of an object standing on the floor, log-uniform
    density: tuple[float, float] = (
        0.0,
        0.7,
    )  # clearance = mean radius times a factor drawn once per scene from this range
    table_probability: float = 0.35
    table_size: tuple[float, float] = (0.9, 1.6)
    stack_probability: float = 0.75  # that something stands on the table
    stacked: tuple[int, int] = (1, 4)
    attempts: int = 30  # per disc, before the region grows
    growth: float = 1.1


def place(
    asset: int, extent: np.ndarray, size: float, yaw: float, foot: tuple[float, float, float]
) -> Placement:
    """Stand an asset of `extent` (3,) with longest side `size`, turned by `yaw` radians, with the
    centre of its base at `foot`.
    """
    x, y, z = foot
    return Placement(
        asset, similarity(size, rotation_y(yaw), np.array([x, y + 0.5 * size * extent[1], z]))
    )


def poisson_discs(
    radii: np.ndarray,
    gap: float,
    rng: np.random.Generator,
    *,
    attempts: int = 30,
    growth: float = 1.1,
) -> np.ndarray:
    """Centres (N, 2) of discs of `radii` (N,) in the order given, any two at least r_i + r_j +
    `gap` apart.

    Darts are thrown into a square that starts as large as the discs' bounding squares together and
    grows by `growth` whenever a disc finds no place within `attempts`. A uniform grid with cells as
    wide as the largest possible distance limits the comparisons to nine cells.
    """
    cell = 2.0 * float(radii.max()) + gap
    side = math.sqrt(float(((2.0 * radii + gap) ** 2).sum()))
    grid: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    centres = np.empty((len(radii), 2))
    for index, radius in enumerate(radii.tolist()):
        while (spot := _throw(radius, gap, side, cell, grid, rng.random((attempts, 2)))) is None:
            side *= growth
        centres[index] = spot
        grid.setdefault((math.floor(spot[0] / cell), math.floor(spot[1] / cell)), []).append(
            (*spot, radius)
        )
    return centres


def _throw(
    radius: float, gap: float, side: float, cell: float, grid: dict, darts: np.ndarray
) -> tuple[float, float] | None:
    """Find the first of the darts (K, 2) in the unit square that is free in a square of `side`
    about the origin.
    """
    for u, v in darts.tolist():
        x = (u - 0.5) * side
        z = (v - 0.5) * side
        column = math.floor(x / cell)
        row = math.floor(z / cell)
        near = (
            disc
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            for disc in grid.get((column + i, row + j), ())
        )
        if all((x - a) ** 2 + (z - b) ** 2 >= (radius + other + gap) ** 2 for a, b, other in near):
            return x, z
    return None


def layout_on_floor(
    catalogue: Catalogue,
    assets: np.ndarray,
    sizes: np.ndarray,
    rng: np.random.Generator,
    config: LayoutConfig,
) -> tuple[Placement, ...]:
    """Stand `assets` (N,) with longest sides `sizes` (N,) on the floor, the first one first and
    then the larger ones first.

    Random yaws; placements come back in the order of `assets`, disjoint because their discs are.
    """
    radii = catalogue.radii[assets] * sizes
    order = np.concatenate([[0], 1 + np.argsort(-radii[1:], kind="stable")]).astype(np.int64)
    gap = float(radii.mean() * rng.uniform(*config.density))
    centres = np.empty((len(assets), 2))
    centres[order] = poisson_discs(
        radii[order], gap, rng, attempts=config.attempts, growth=config.growth
    )
    yaws = rng.uniform(-math.pi, math.pi, len(assets))
    return tuple(
        place(int(a), catalogue.extents[a], float(s), float(yaw), (x, 0.0, z))
        for a, s, yaw, (x, z) in zip(assets, sizes, yaws, centres.tolist())
    )


def stack_on(
    catalogue: Catalogue,
    table: Placement,
    assets: np.ndarray,
    rng: np.random.Generator,
    *,
    fill: tuple[float, float] = (0.35, 0.9),
) -> tuple[Placement, ...]:
    """Stand `assets` (N,) on the top of a placed table; fewer come back when there is no room, none
    without a top polygon.

    The first one is anchored at the polygon's centroid (when that lies inside) and scaled by the
    distance to the nearest edge; each further one goes to the roomiest of some random points of the
    polygon, scaled by the distance to the nearest edge or neighbour. `fill` is the range of the
    share of that distance which an object's disc takes.
    """
    polygon = catalogue.top(table.asset)
    if len(polygon) < 3:
        return ()
    scale = math.sqrt(float((table.world_from_asset[:3, 0] ** 2).sum()))
    height = float(table.world_from_asset[1, 3] + 0.5 * scale * catalogue.extents[table.asset, 1])
    corners = (
        polygon @ table.world_from_asset[np.ix_([0, 2], [0, 2])].T
        + table.world_from_asset[[0, 2], 3]
    )
    limit = 0.5 * scale * float(np.ptp(polygon, axis=0).min())
    placed: list[tuple[float, float, float]] = []
    stacked = []
    for position, asset in enumerate(assets.tolist()):
        spots = (
            polygon_centroid(corners)[None]
            if position == 0 and len(assets) == 1
            else _points_inside(corners, rng, 24)
        )
        room = _room(spots, corners, placed)
        best = int(np.argmax(room))
        radius = float(min(room[best], 0.6 * limit) * rng.uniform(*fill))
        if radius < 0.03 * limit:
            continue
        size = min(radius / max(float(catalogue.radii[asset]), 1e-3), 0.7 * scale)
        x, z = spots[best].tolist()
        placed.append((x, z, size * float(catalogue.radii[asset])))
        stacked.append(
            place(
                asset,
                catalogue.extents[asset],
                size,
                float(rng.uniform(-math.pi, math.pi)),
                (x, height, z),
            )
        )
    return tuple(stacked)


def _room(
    points: np.ndarray, polygon: np.ndarray, discs: list[tuple[float, float, float]]
) -> np.ndarray:
    """(P,) radius of the largest disc at each point (P, 2) inside the polygon and outside the
    discs; negative when there is none.
    """
    room = np.where(inside_polygon(points, polygon), distance_to_edges(points, polygon), -1.0)
    for x, z, radius in discs:
        room = np.minimum(room, np.hypot(points[:, 0] - x, points[:, 1] - z) - radius)
    return room


def _points_inside(polygon: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    low = polygon.min(0)
    high = polygon.max(0)
    return low + rng.random((count, 2)) * (high - low)


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 area-weighted normals of vertices (V, 3), the same for all vertices at one
    position.
    """
    keys = np.round(vertices.astype(np.float64) * 16384.0) @ np.array([1.0, 2.0**17, 2.0**34])
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return vertex_normals(vertices[first], group[faces])[group]


# ---- tops of tables
#   ------------------------------------------------------------------------------------------------


def is_table(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether an asset has a wide flat top: most of its footprint is covered by faces that look up
    near its top.
    """
    low = vertices.min(0)
    high = vertices.max(0)
    extent = high - low
    if extent[[0, 2]].min() < 0.4 * extent.max() or not 0.15 <= extent[1] <= 0.95:
        return False
    level = high[1] - TOP_LAYER * extent[1]
    top = faces[(vertices[faces, 1] >= level).all(1)]
    a = vertices[top[:, 0]]
    b = vertices[top[:, 1]]
    c = vertices[top[:, 2]]
    normal = np.cross(b - a, c - a)
    flat = np.abs(normal[:, 1]) > 0.98 * np.linalg.norm(
        normal, axis=1
    )  # open meshes have faces of either orientation
    heights = (a + b + c)[flat, 1] / 3.0
    if not len(heights):
        return False
    uppermost = heights >= heights.max() - 0.01
    area = 0.5 * np.abs(normal[flat, 1])[uppermost].sum()
    return bool(
        TABLE_TOP_SHARE * extent[0] * extent[2] <= area <= 1.3 * extent[0] * extent[2]
        and heights.max() > high[1] - 0.005
    )


def top_polygon(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(K, 2) x/z outline of the slice just below the top of a mesh: the largest closed loop, else
    the hull of the cut; K may be 0.
    """
    height = float(vertices[:, 1].max()) - 0.02 * float(np.ptp(vertices[:, 1]))
    segments = slice_segments(vertices, faces, height)
    loops = [loop for loop in chain_loops(segments) if len(loop) >= 3]
    if loops:
        return max(loops, key=lambda loop: abs(signed_area(loop)))
    return convex_hull(segments.reshape(-1, 2))


def slice_segments(vertices: np.ndarray, faces: np.ndarray, height: float) -> np.ndarray:
    """(S, 2, 2) x/z segments in which the faces cut the plane y = `height`."""
    corners = vertices[faces].astype(np.float64)  # (F, 3, 3)
    above = corners[..., 1] > height
    corners = corners[above.any(1) & ~above.all(1)]
    above = corners[..., 1] > height
    lone = np.where(
        above.sum(1) == 1, above.argmax(1), (~above).argmax(1)
    )  # the corner alone on its side of the plane
    rows = np.arange(len(corners))
    apex, first, second = (corners[rows, (lone + k) % 3] for k in range(3))
    ends = [
        apex + ((height - apex[:, 1]) / (other[:, 1] - apex[:, 1]))[:, None] * (other - apex)
        for other in (first, second)
    ]
    return np.stack(ends, axis=1)[..., ::2]


def chain_loops(segments: np.ndarray, tolerance: float = 1e-4) -> list[np.ndarray]:
    """Find the closed loops (K, 2) made of segments (S, 2, 2) whose ends agree within about
    `tolerance`; open chains are left out.
    """
    keys = np.round(segments / tolerance).astype(np.int64)
    links: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (ax, ay), (bx, by) in keys.tolist():
        if (ax, ay) != (bx, by):
            links.setdefault((ax, ay), []).append((bx, by))
            links.setdefault((bx, by), []).append((ax, ay))
    loops = []
    while links:
        start = previous = next(iter(links))
        chain = [start]
        current = links[start][0]
        while current != start and len(links.get(current, ())) == 2:
            chain.append(current)
            a, b = links[current]
            previous, current = current, (b if a == previous else a)
            if len(chain) > len(segments):
                break
        if current == start:
            loops.append(np.array(chain, dtype=np.float64) * tolerance)
        for key in chain:
            links.pop(key, None)
    return loops


def convex_hull(points: np.ndarray) -> np.ndarray:
    """(K, 2) corners of the convex hull of points (N, 2), anticlockwise; empty for fewer than three
    points.
    """
    ordered = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:
        return np.zeros((0, 2))

    def half(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for x, y in sequence:
            while len(chain) >= 2:
                (ax, ay) = chain[-2]
                (bx, by) = chain[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def signed_area(polygon: np.ndarray) -> float:
    """Area of a polygon (K, 2), positive when anticlockwise."""
    following = np.roll(polygon, -1, axis=0)
    return 0.5 * float((polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]).sum())


def polygon_centroid(polygon: np.ndarray) -> np.ndarray:
    """(2,) centroid of the area of a polygon (K, 2)."""
    following = np.roll(polygon, -1, axis=0)
    weight = polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]
    return ((polygon + following) * weight[:, None]).sum(0) / (
        3.0 * max(abs(weight.sum()), 1e-12) * np.sign(weight.sum())
    )


def inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(P,) bool, which points (P, 2) lie inside a polygon (K, 2), by the parity of crossings."""
    a = polygon
    b = np.roll(polygon, -1, axis=0)
    x = points[:, :1]
    y = points[:, 1:]
    straddles = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(a[:, 1] == b[:, 1], 1.0, b[:, 1] - a[:, 1])
    return (straddles & (x < a[:, 0] + (y - a[:, 1]) / rise * (b[:, 0] - a[:, 0]))).sum(1) % 2 == 1


def distance_to_edges(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(P,) distance of points (P, 2) to the nearest edge of a polygon (K, 2)."""
    a = polygon
    edge = np.roll(polygon, -1, axis=0) - polygon
    offset = points[:, None] - a
    along = np.clip((offset * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-18), 0.0, 1.0)
    return np.linalg.norm(offset - along[..., None] * edge, axis=-1).min(1)

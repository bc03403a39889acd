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
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.random import Generator

from maquette.data.catalogue import Catalogue
from maquette.data.polygons import distance_to_edges, inside_polygon, polygon_centroid
from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import rotation_y, similarity

FLOOR = [0, 2]  # the axes of the floor's plane, x and z

_Spot = tuple[float, float]  # x and z
_Disc = tuple[float, float, float]  # x, z and radius


@dataclass(frozen=True, eq=False)
class Placement:
    """An asset and where it stands."""

    asset: int
    world_from_asset: np.ndarray  # (4, 4) float64, a similarity whose rotation is a yaw


@dataclass(frozen=True)
class LayoutConfig:
    """Ranges of a random layout; lengths in world units, where a typical large object has a longest
    side of 1.
    """

    count: tuple[int, int] = (2, 12)
    # longest side of an object standing on the floor, log-uniform
    size: tuple[float, float] = (0.3, 1.2)
    # clearance = mean radius times a factor drawn once per scene from this range
    density: tuple[float, float] = (0.0, 0.7)
    table_probability: float = 0.35
    table_size: tuple[float, float] = (0.9, 1.6)
    stack_probability: float = 0.75  # that something stands on the table
    stacked: tuple[int, int] = (1, 4)
    attempts: int = 30  # per disc, before the region grows
    growth: float = 1.1


def any_yaw(rng: Generator) -> float:
    """A turn about the vertical, radians, every one as likely."""
    return float(rng.uniform(-math.pi, math.pi))


def placed_asset(
    catalogue: Catalogue,
    asset: int,
    size: float,
    yaw: float,
    foot: tuple[float, float, float],
) -> Placement:
    """Stand an asset with longest side `size`, turned by `yaw` radians, with the centre of its base
    at `foot`.
    """
    x, y, z = foot
    centre = np.array([x, y + 0.5 * size * catalogue.extents[asset, 1], z])
    return Placement(asset, similarity(size, rotation_y(yaw), centre))


def poisson_discs(
    radii: np.ndarray,
    gap: float,
    rng: Generator,
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
    discs = _DiscGrid(gap, 2.0 * float(radii.max()) + gap)
    side = math.sqrt(float(((2.0 * radii + gap) ** 2).sum()))
    centres = np.empty((len(radii), 2))
    for index, radius in enumerate(radii.tolist()):
        spot = None
        while spot is None:
            darts = (rng.random((attempts, 2)) - 0.5) * side
            spot = discs.first_free(darts, radius)
            if spot is None:
                side *= growth
        centres[index] = spot
        discs.add(spot, radius)
    return centres


class _DiscGrid:
    """Discs that keep a gap between each other, in a grid of cells as wide as two of them."""

    def __init__(self, gap: float, cell: float) -> None:
        self.gap = gap
        self.cell = cell
        self.discs: dict[_Spot, list[_Disc]] = {}

    def first_free(self, spots: np.ndarray, radius: float) -> _Spot | None:
        """The first of the spots (K, 2) where a disc of this radius meets no other."""
        for x, z in spots.tolist():
            if all(
                _apart(x - a, z - b, radius + other + self.gap) for a, b, other in self._near(x, z)
            ):
                return x, z
        return None

    def add(self, spot: _Spot, radius: float) -> None:
        """Put a disc there."""
        self.discs.setdefault(self._cell_of(*spot), []).append((*spot, radius))

    def _near(self, x: float, z: float) -> Iterator[_Disc]:
        """The discs in the cell of a point and in its eight neighbours."""
        column, row = self._cell_of(x, z)
        for i, j in product((-1, 0, 1), repeat=2):
            yield from self.discs.get((column + i, row + j), ())

    def _cell_of(self, x: float, z: float) -> tuple[int, int]:
        """Column and row of the cell of a point."""
        return math.floor(x / self.cell), math.floor(z / self.cell)


def _apart(dx: float, dz: float, reach: float) -> bool:
    """Whether two points that differ by dx and dz are at least ``reach`` apart."""
    return dx**2 + dz**2 >= reach**2


def layout_on_floor(
    catalogue: Catalogue,
    assets: np.ndarray,
    sizes: np.ndarray,
    rng: Generator,
    config: LayoutConfig,
) -> tuple[Placement, ...]:
    """Stand `assets` (N,) with longest sides `sizes` (N,) on the floor, the first one first and
    then the larger ones first.

    Random yaws; placements come back in the order of `assets`, disjoint because their discs are.
    """
    radii = catalogue.radii[assets] * sizes
    larger_first = 1 + np.argsort(-radii[1:], kind="stable")
    order = np.concatenate([[0], larger_first]).astype(np.int64)
    gap = float(radii.mean() * rng.uniform(*config.density))
    ordered = radii[order]
    centres = np.empty((len(assets), 2))
    centres[order] = poisson_discs(
        ordered, gap, rng, attempts=config.attempts, growth=config.growth
    )
    yaws = rng.uniform(-math.pi, math.pi, len(assets))
    places = zip(assets.tolist(), sizes.tolist(), yaws.tolist(), centres.tolist())
    return tuple(
        placed_asset(catalogue, a, size, yaw, (x, 0.0, z)) for a, size, yaw, (x, z) in places
    )


def stack_on(
    catalogue: Catalogue,
    table: Placement,
    assets: np.ndarray,
    rng: Generator,
    *,
    fill: tuple[float, float] = (0.35, 0.9),
) -> tuple[Placement, ...]:
    """Stand `assets` (N,) on the top of a placed table; fewer come back when there is no room, none
    without a top polygon.

    One alone is anchored at the polygon's centroid (when that lies inside) and scaled by the
    distance to the nearest edge; of several, each goes to the roomiest of some random points of the
    polygon, scaled by the distance to the nearest edge or neighbour. `fill` is the range of the
    share of that distance which an object's disc takes.
    """
    if len(catalogue.top(table.asset)) < 3:
        return ()
    top = _placed_top(catalogue, table)
    discs: list[_Disc] = []
    stacked = []
    for asset in assets.tolist():
        spots = polygon_centroid(top.corners)[None]
        if len(assets) > 1:
            spots = _points_around(top.corners, rng, 24)
        room = _room(spots, top.corners, discs)
        best = int(np.argmax(room))
        radius = float(min(room[best], 0.6 * top.half_width) * rng.uniform(*fill))
        if radius < 0.03 * top.half_width:
            continue
        unscaled = float(catalogue.radii[asset])
        size = min(radius / max(unscaled, 1e-3), 0.7 * top.scale)
        x, z = spots[best].tolist()
        discs.append((x, z, size * unscaled))
        stacked.append(placed_asset(catalogue, asset, size, any_yaw(rng), (x, top.height, z)))
    return tuple(stacked)


@dataclass(frozen=True, eq=False)
class _PlacedTop:
    """The top of a table where it stands."""

    corners: np.ndarray  # (K, 2) x/z, world frame
    height: float  # above the floor
    scale: float  # of the table
    half_width: float  # half the smaller side of the top


def _placed_top(catalogue: Catalogue, table: Placement) -> _PlacedTop:
    """Where a table's top lies on the floor plan (x, z), how high, and how wide it is."""
    polygon = catalogue.top(table.asset)
    world_from_table = table.world_from_asset
    scale = math.sqrt(float((world_from_table[:3, 0] ** 2).sum()))
    height = world_from_table[1, 3] + 0.5 * scale * catalogue.extents[table.asset, 1]
    corners = polygon @ world_from_table[np.ix_(FLOOR, FLOOR)].T + world_from_table[FLOOR, 3]
    half_width = 0.5 * scale * float(np.ptp(polygon, axis=0).min())
    return _PlacedTop(corners, float(height), scale, half_width)


def _room(points: np.ndarray, polygon: np.ndarray, discs: list[_Disc]) -> np.ndarray:
    """(P,) radius of the largest disc at each point (P, 2) inside the polygon and outside the
    discs; negative when there is none.
    """
    room = np.where(inside_polygon(points, polygon), distance_to_edges(points, polygon), -1.0)
    for x, z, radius in discs:
        from_centre = np.hypot(points[:, 0] - x, points[:, 1] - z)
        room = np.minimum(room, from_centre - radius)
    return room


def _points_around(polygon: np.ndarray, rng: Generator, count: int) -> np.ndarray:
    """``count`` points (K, 2), uniform in the box of a polygon."""
    low, high = bounding_box(polygon)
    return low + rng.random((count, 2)) * (high - low)

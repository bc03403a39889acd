"""Could the scene stand? Objects that run into each other, float, or would tip over: numbers that
papers of this field leave out.

Objects are seen as columns: over every cell of an object's footprint, the heights at which a
vertical line crosses its own surface and that of the others. +Y is up, the ground is a horizontal
plane, everything is at rest and of even density. Lengths are in units of the meshes. What hangs on
a wall or from a ceiling counts as floating; friction and joint stability of stacks are a
simulator's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from maquette.errors import InputError
from maquette.evaluate.solids import (
    SolidMesh,
    contains,
    grid,
    overlap_volume,
    solid_of,
    volume_and_centre,
)
from maquette.evaluate.surfaces import Meshes, why_no_surface
from maquette.geometry.boxes import bounding_box, longest_side
from maquette.geometry.polygons import cross_2d

GROUND = -1  # as the owner of a surface
CELL_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
BLOCK = 2000  # triangles whose crossings are looked for together, so that memory stays small
# Where a vertical line at a cell's centre crosses a surface: i nz + k of the cell (i, k), y,
# whether the surface faces up, and whose it is.
CROSSING = np.dtype([("column", int), ("height", float), ("up", bool), ("owner", int)])


@dataclass(frozen=True)
class ObjectPhysics:
    """One object at rest. Lengths in units of the meshes, volumes in cubed units."""

    name: str
    penetration: float  # volume shared with other objects and with the ground below, summed
    share: float  # that volume over its own, in [0, 1] (for two objects in the same place: 1)
    gap: float  # how far it can fall until it touches something; 0 when it touches
    supporters: tuple[str, ...]  # objects it rests on; "ground" is the plane
    volume: float  # that it encloses
    # of its centre of mass inside the hull of its contacts, seen from above; negative: it tips;
    # None: no contact
    margin: float | None

    @property
    def stable(self) -> bool:
        """It touches something, and its centre of mass is above the hull of its contacts."""
        return self.margin is not None and self.margin >= 0.0


@dataclass(frozen=True)
class ScenePhysics:
    """All objects of a scene."""

    penetration: float  # volume, each pair of objects once, plus what is below the ground
    share: float  # that volume over the volume of all objects, in [0, 1]
    gap: float  # mean over objects
    floating: float  # share of objects without any contact, in [0, 1]
    stable: float  # share of objects that touch something and would not tip, in [0, 1]
    objects: tuple[ObjectPhysics, ...]
    ground: float  # height of the plane that was used
    tolerance: float  # gaps up to this count as contact


@dataclass(frozen=True, eq=False)
class _RestingScene:
    """The objects, and what holds for all of them. Objects go by their position in ``names``."""

    names: tuple[str, ...]
    solids: tuple[SolidMesh, ...]
    triangles: tuple[np.ndarray, ...]  # (F, 3, 3) of every object, facing outwards
    ground: float  # height of the plane
    contact: float  # a gap up to this is none
    resolution: int


@dataclass(frozen=True, eq=False)
class _Columns:
    """The cells of an object's footprint in x, z."""

    origin: np.ndarray  # (2,) lower corner
    side: float
    counts: np.ndarray  # (2,) int


def scene_physics(
    meshes: Meshes,
    ground: float | None = None,
    *,
    tolerance: float = 0.01,
    resolution: int = 64,
) -> ScenePhysics:
    """Measure objects given as name -> mesh in one world frame, +Y up.

    ``ground`` is the height of the floor, by default the lowest vertex. ``tolerance`` is the
    contact distance as a share of the scene's longest side; ``resolution`` the cells along an
    object's longer horizontal side, and along the overlap of two boxes. Faces must point outwards
    (whole meshes that are inside out are turned). Meshes without surface are left out. InputError
    when nothing is left.
    """
    solids = {
        name: solid_of(mesh) for name, mesh in meshes.items() if not why_no_surface(mesh, name)
    }
    if not solids:
        raise InputError(
            f"none of {len(meshes)} objects has a surface; physical measures need at least one mesh"
        )
    box = bounding_box(np.concatenate([solid.box for solid in solids.values()]))
    floor = float(box[0, 1]) if ground is None else float(ground)
    every = tuple(solids.values())
    triangles = tuple(_outward(solid.corners) for solid in every)
    contact = tolerance * longest_side(box)
    scene = _RestingScene(tuple(solids), every, triangles, floor, contact, resolution)
    shared = _shared_volumes(scene)
    rows = tuple(_object_physics(index, scene, shared) for index in range(len(solids)))
    penetration = float(sum(shared.values()))
    share = _share(penetration, sum(row.volume for row in rows))
    gap = float(np.mean([row.gap for row in rows]))
    floating = float(np.mean([row.margin is None for row in rows]))
    stable = float(np.mean([row.stable for row in rows]))
    return ScenePhysics(penetration, share, gap, floating, stable, rows, floor, contact)


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole > 0 else 0.0


def _outward(corners: np.ndarray) -> np.ndarray:
    """Triangles (F, 3, 3), reversed when the volume that they enclose is negative."""
    a, b, c = (corners - corners.reshape(-1, 3).mean(0)).swapaxes(0, 1)
    return corners[:, ::-1] if (np.cross(a, b) * c).sum() < 0 else corners


def _shared_volumes(scene: _RestingScene) -> dict[tuple[int, int], float]:
    """Volume of every pair of objects that overlap, and of each object with what lies below the
    ground.
    """
    shared = {}
    for index, solid in enumerate(scene.solids):
        for other in range(index + 1, len(scene.solids)):
            volume = overlap_volume(solid, scene.solids[other], scene.resolution)
            if volume:
                shared[index, other] = volume
        if solid.box[0, 1] < scene.ground - 1e-9 * max(longest_side(solid.box), 1e-12):
            sunk = solid.box.copy()
            sunk[1, 1] = min(sunk[1, 1], scene.ground)
            cells, volume = grid(sunk, scene.resolution)
            shared[index, GROUND] = volume * np.count_nonzero(contains(solid, cells))
    return shared


def _object_physics(
    index: int, scene: _RestingScene, shared: Mapping[tuple[int, int], float]
) -> ObjectPhysics:
    volume, centre = volume_and_centre(scene.solids[index], min(scene.resolution, 32))
    penetration = float(sum(part for pair, part in shared.items() if index in pair))
    gap, touching, owners = _contacts(index, scene)
    supporters = [scene.names[owner] for owner in np.unique(owners[owners != GROUND])]
    if (owners == GROUND).any():
        supporters.insert(0, "ground")
    name = scene.names[index]
    share = _share(penetration, volume)
    margin = margin_in_hull(centre[[0, 2]], touching) if len(touching) else None
    return ObjectPhysics(name, penetration, share, gap, tuple(supporters), volume, margin)


def _contacts(index: int, scene: _RestingScene) -> tuple[float, np.ndarray, np.ndarray]:
    """Gap of an object, the corners (K, 2) in x, z of the cells where it touches, and on whose
    surface (C,) each cell rests.
    """
    corners = scene.triangles[index].reshape(-1, 3)
    columns = _footprint(corners, scene.resolution)
    found = [_crossings(t, columns, owner) for owner, t in enumerate(scene.triangles)]
    bottoms, gaps, below = _rests(np.concatenate(found), index, scene)
    above_ground = max(0.0, float(corners[:, 1].min()) - scene.ground)
    gap = min(float(gaps.min(initial=np.inf)), above_ground)
    touches = gaps <= scene.contact
    cells = np.column_stack(np.divmod(bottoms[touches], columns.counts[1]))
    points = [columns.origin + (cells + corner) * columns.side for corner in CELL_CORNERS]
    # vertices near the ground, so that feet thinner than a cell count
    feet = corners[corners[:, 1] <= scene.ground + scene.contact]
    points.append(feet[:, [0, 2]])
    owners = np.append(below[touches], np.full(len(feet), GROUND))
    return (0.0 if gap <= scene.contact else gap), np.concatenate(points), owners


def _footprint(corners: np.ndarray, resolution: int) -> _Columns:
    """Cells below an object, ``resolution`` along its longer horizontal side."""
    low, high = bounding_box(corners[:, [0, 2]])
    least = 1e-9 * float(np.abs(corners).max() + 1.0)
    side = max(float((high - low).max()), least) / resolution
    counts = np.maximum(1, np.ceil((high - low) / side).astype(int))
    return _Columns(low, side, counts)


def _crossings(triangles: np.ndarray, columns: _Columns, owner: int) -> np.ndarray:
    """(C,) CROSSING of one object, in the order of its triangles (F, 3, 3), then of the cells."""
    blocks = np.array_split(triangles, range(BLOCK, len(triangles), BLOCK))
    found = np.concatenate([_block_crossings(block, columns) for block in blocks])
    found["owner"] = owner
    return found


def _block_crossings(triangles: np.ndarray, columns: _Columns) -> np.ndarray:
    """(C,) CROSSING of some triangles, without their owner."""
    flat = triangles[:, :, [0, 2]]
    ab = flat[:, 1] - flat[:, 0]
    ac = flat[:, 2] - flat[:, 0]
    area = cross_2d(ac, ab)  # > 0: the outward normal points up
    of, cells = _cells_around(flat[area != 0.0], columns)
    of = np.flatnonzero(area)[of]
    from_a = columns.origin + (cells + 0.5) * columns.side - flat[of, 0]
    u = cross_2d(ac[of], from_a) / area[of]
    v = cross_2d(from_a, ab[of]) / area[of]
    inside = (u >= -1e-12) & (v >= -1e-12) & (u + v <= 1.0 + 1e-12)
    a, b, c = triangles[of, :, 1].T
    found = np.zeros(len(of), CROSSING)
    found["column"] = cells[:, 0] * columns.counts[1] + cells[:, 1]
    found["height"] = a + u * (b - a) + v * (c - a)
    found["up"] = area[of] > 0
    return found[inside]


def _cells_around(flat: np.ndarray, columns: _Columns) -> tuple[np.ndarray, np.ndarray]:
    """The cells (C, 2) in the boxes around triangles (F, 3, 2), and whose box (C,) it is."""
    low = np.ceil((flat.min(1) - columns.origin) / columns.side - 0.5)
    high = np.floor((flat.max(1) - columns.origin) / columns.side - 0.5)
    first = np.maximum(low, 0).astype(int)
    spans = np.minimum(high, columns.counts - 1).astype(int) - first + 1
    spans = np.maximum(spans, 0)
    number = spans.prod(1)
    of = np.repeat(np.arange(len(flat)), number)
    within = np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number)
    return of, first[of] + np.column_stack(np.divmod(within, spans[of, 1]))


def _rests(
    crossings: np.ndarray, index: int, scene: _RestingScene
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every down-facing crossing of object ``index``: its column, how far it is above what is
    below, and whose surface that is.

    Something whose top is up to the contact distance above counts as touching, and so does a bottom
    that lies inside another object.
    """
    crossings = crossings[np.lexsort((crossings["height"], crossings["column"]))]
    own = crossings["owner"] == index
    bottoms = crossings[own & ~crossings["up"]]
    height = bottoms["height"]
    tops = ~own & crossings["up"]
    top = _last_below(crossings, tops, bottoms["column"], height + scene.contact)
    bottom = _last_below(crossings, ~own & ~tops, bottoms["column"], height)
    below = crossings[np.maximum(bottom, top)]
    inside = bottom > top
    drop = height - below["height"]
    to_ground = np.maximum(0.0, height - scene.ground)
    held = inside | ((top >= 0) & (drop < to_ground))
    gaps = np.where(held, np.maximum(0.0, drop), to_ground)
    gaps[inside] = 0.0
    return bottoms["column"], gaps, np.where(held, below["owner"], GROUND)


def _last_below(
    crossings: np.ndarray,
    among: np.ndarray,
    column: np.ndarray,
    height: np.ndarray,
) -> np.ndarray:
    """Position of the highest crossing ``among`` those of the same column that is not above a
    height; -1 where there is none.
    """
    positions = np.append(-1, np.flatnonzero(among))
    # complex numbers are in order of their real, then of their imaginary parts
    keys = crossings["column"][among] + 1j * crossings["height"][among]
    last = positions[np.searchsorted(keys, column + 1j * height, side="right")]
    return np.where((last >= 0) & (crossings["column"][last] == column), last, -1)


def margin_in_hull(point: np.ndarray, contacts: np.ndarray) -> float:
    """Signed distance of a point (2,) to the rim of the convex hull of contacts (K, 2) not on one
    line: positive inside.
    """
    thin = 1e-9 * (1e-300 + np.abs(contacts).max())
    if np.linalg.matrix_rank(contacts - contacts[0], tol=thin) < 2:
        # a line or a point supports nothing
        return -float(np.linalg.norm(contacts - point, axis=1).min())
    hull = ConvexHull(contacts)
    inward = -(hull.equations[:, :2] @ point + hull.equations[:, 2])
    if inward.min() >= 0:
        return float(inward.min())
    starts, ends = (contacts[hull.simplices[:, k]] for k in range(2))
    sides = ends - starts
    along = ((point - starts) * sides).sum(1) / (sides**2).sum(1)
    nearest = starts + np.clip(along, 0.0, 1.0)[:, None] * sides
    return -float(np.linalg.norm(nearest - point, axis=1).min())

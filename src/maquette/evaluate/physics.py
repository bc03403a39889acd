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
from typing import TYPE_CHECKING

import numba
import numpy as np
from scipy.spatial import ConvexHull

from maquette.errors import InputError
from maquette.evaluate.solids import (
    Solid,
    contains,
    grid,
    overlap_volume,
    solid_of,
    volume_and_centre,
)
from maquette.evaluate.surfaces import check_mesh
from maquette.geometry.boxes import bounding_box

if TYPE_CHECKING:
    import trimesh

GROUND = -1  # as the owner of a surface


@dataclass(frozen=True)
class ObjectPhysics:
    """One object at rest. Lengths in units of the meshes, volumes in cubed units."""

    name: str
    penetration: float  # volume shared with other objects and with the ground below, summed
    share: (
        float  # that volume over the object's own, in [0, 1] (for two objects in the same place: 1)
    )
    gap: float  # how far it can fall until it touches something; 0 when it touches
    supporters: tuple[str, ...]  # objects it rests on; "ground" is the plane
    volume: float  # that it encloses
    margin: (
        float | None
        # of its centre of mass inside the hull of its contacts, seen from above; negative: it tips.
        # None: no contact
    )

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


def scene_physics(
    meshes: Mapping[str, trimesh.Trimesh],
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
    solids = {name: solid_of(mesh) for name, mesh in meshes.items() if not check_mesh(mesh, name)}
    if not solids:
        raise InputError(
            f"none of {len(meshes)} objects has a surface; physical measures need at least one mesh"
        )
    corners = {name: _outward(solid.corners) for name, solid in solids.items()}
    box = bounding_box(np.concatenate([solid.box for solid in solids.values()]))
    ground = float(box[0, 1]) if ground is None else float(ground)
    contact = tolerance * float(np.ptp(box, axis=0).max())
    shared = _shared_volumes(solids, ground, resolution)
    names = tuple(solids)
    rows = tuple(
        _object_physics(k, names, solids[name], corners, shared, ground, contact, resolution)
        for k, name in enumerate(names)
    )
    gaps = np.array([row.gap for row in rows])
    penetration = float(sum(shared.values()))
    volume = sum(row.volume for row in rows)
    return ScenePhysics(
        penetration=penetration,
        share=min(1.0, penetration / volume) if volume > 0 else 0.0,
        gap=float(gaps.mean()),
        floating=float(np.mean([row.margin is None for row in rows])),
        stable=float(np.mean([row.stable for row in rows])),
        objects=rows,
        ground=ground,
        tolerance=contact,
    )


def _outward(corners: np.ndarray) -> np.ndarray:
    """Triangles (F, 3, 3), reversed when the volume that they enclose is negative."""
    middle = corners.reshape(-1, 3).mean(0)
    a, b, c = (corners[:, k] - middle for k in range(3))
    return corners[:, ::-1] if float((np.cross(a, b) * c).sum()) < 0 else corners


def _shared_volumes(
    solids: Mapping[str, Solid], ground: float, resolution: int
) -> dict[tuple[str, str], float]:
    """Volume of every pair of objects that overlap, and of each object with what lies below the
    ground.
    """
    names = list(solids)
    shared = {}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if volume := overlap_volume(solids[first], solids[second], resolution):
                shared[first, second] = volume
        low, high = solids[first].box
        if low[1] < ground - 1e-9 * max(float((high - low).max()), 1e-12):
            cells, volume = grid(
                np.stack([low, [high[0], min(high[1], ground), high[2]]]), resolution
            )
            shared[first, "ground"] = volume * np.count_nonzero(contains(solids[first], cells))
    return shared


def _object_physics(
    index: int,
    names: tuple[str, ...],
    solid: Solid,
    corners: Mapping[str, np.ndarray],
    shared: Mapping[tuple[str, str], float],
    ground: float,
    contact: float,
    resolution: int,
) -> ObjectPhysics:
    name = names[index]
    volume, centre = volume_and_centre(solid, min(resolution, 32))
    penetration = float(sum(v for pair, v in shared.items() if name in pair))
    gap, touching, owners = _contacts(index, list(corners.values()), ground, contact, resolution)
    supporters = tuple(
        ["ground"] * bool((owners == GROUND).any())
        + [names[k] for k in np.unique(owners[owners >= 0])]
    )
    margin = margin_in_hull(centre[[0, 2]], touching) if len(touching) else None
    return ObjectPhysics(
        name,
        penetration,
        min(1.0, penetration / volume) if volume > 0 else 0.0,
        gap,
        supporters,
        volume,
        margin,
    )


def _contacts(
    index: int, corners: list[np.ndarray], ground: float, contact: float, resolution: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Gap of an object, the corners (K, 2) in x, z of the cells where it touches, and on whose
    surface (C,) each cell rests.
    """
    own = corners[index]
    low = own.reshape(-1, 3).min(0)
    high = own.reshape(-1, 3).max(0)
    cell = (
        max(float((high - low)[[0, 2]].max()), 1e-9 * float(np.abs(own).max() + 1.0)) / resolution
    )
    origin = low[[0, 2]]
    nx, nz = (max(1, int(np.ceil((high - low)[k] / cell))) for k in (0, 2))
    crossings = [
        _crossings(np.ascontiguousarray(c), origin[0], origin[1], cell, nx, nz) for c in corners
    ]
    column, height, facing = (np.concatenate([found[k] for found in crossings]) for k in range(3))
    owner = np.repeat(np.arange(len(corners)), [len(found[0]) for found in crossings])
    order = np.lexsort((height, column))
    bottoms, gaps, below = _rest(
        column[order], height[order], facing[order], owner[order], index, ground, contact
    )
    gap = min(float(gaps.min()) if len(gaps) else np.inf, max(0.0, float(low[1]) - ground))
    touches = gaps <= contact
    cells = np.column_stack(np.divmod(bottoms[touches], nz))
    points = [origin + (cells + [dx, dz]) * cell for dx in (0, 1) for dz in (0, 1)]
    feet = own.reshape(-1, 3)[
        own.reshape(-1, 3)[:, 1] <= ground + contact
    ]  # vertices, so that feet thinner than a cell count
    owners = np.append(below[touches], np.full(len(feet), GROUND))
    points.append(feet[:, [0, 2]])
    return (0.0 if gap <= contact else gap), np.concatenate(points), owners


@numba.njit(cache=True, nogil=True)
def _crossings(
    triangles: np.ndarray, x0: float, z0: float, cell: float, nx: int, nz: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column i nz + k, height, and whether the surface faces up (+1) or down (-1), where vertical
    lines at cell centres meet triangles.
    """
    columns = np.empty(0, np.int64)
    heights = np.empty(0)
    facing = np.empty(0)
    for fill in range(2):  # count, then write
        count = 0
        for f in range(len(triangles)):
            ax = triangles[f, 0, 0]
            ay = triangles[f, 0, 1]
            az = triangles[f, 0, 2]
            bx = triangles[f, 1, 0]
            by = triangles[f, 1, 1]
            bz = triangles[f, 1, 2]
            cx = triangles[f, 2, 0]
            cy = triangles[f, 2, 1]
            cz = triangles[f, 2, 2]
            area = (bz - az) * (cx - ax) - (bx - ax) * (
                cz - az
            )  # > 0: the outward normal points up
            if area == 0.0:
                continue
            first = max(0, int(np.ceil((min(ax, bx, cx) - x0) / cell - 0.5)))
            last = min(nx - 1, int(np.floor((max(ax, bx, cx) - x0) / cell - 0.5)))
            front = max(0, int(np.ceil((min(az, bz, cz) - z0) / cell - 0.5)))
            back = min(nz - 1, int(np.floor((max(az, bz, cz) - z0) / cell - 0.5)))
            for i in range(first, last + 1):
                for k in range(front, back + 1):
                    dx = x0 + (i + 0.5) * cell - ax
                    dz = z0 + (k + 0.5) * cell - az
                    u = (dz * (cx - ax) - dx * (cz - az)) / area
                    v = (dx * (bz - az) - dz * (bx - ax)) / area
                    if u < -1e-12 or v < -1e-12 or u + v > 1.0 + 1e-12:
                        continue
                    if fill:
                        columns[count] = i * nz + k
                        heights[count] = ay + u * (by - ay) + v * (cy - ay)
                        facing[count] = 1.0 if area > 0 else -1.0
                    count += 1
        if not fill:
            columns = np.empty(count, np.int64)
            heights = np.empty(count)
            facing = np.empty(count)
    return columns, heights, facing


@numba.njit(cache=True, nogil=True)
def _rest(
    column: np.ndarray,
    height: np.ndarray,
    facing: np.ndarray,
    owner: np.ndarray,
    index: int,
    ground: float,
    contact: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every down-facing crossing of object ``index``: its column, how far it is above what is
    below, and whose surface that is.

    Crossings are sorted by column, then height. Something whose top is up to ``contact`` above
    counts as touching, and so does a bottom that lies inside another object.
    """
    count = 0
    columns = np.empty(len(column), np.int64)
    gaps = np.empty(len(column))
    below = np.empty(len(column), np.int64)
    for i in range(len(column)):
        if owner[i] != index or facing[i] > 0:
            continue
        j = i
        while (
            j + 1 < len(column)
            and column[j + 1] == column[i]
            and height[j + 1] <= height[i] + contact
        ):
            j += 1
        gap = max(0.0, height[i] - ground)
        under = GROUND
        while j >= 0 and column[j] == column[i]:
            if owner[j] != index:
                if facing[j] > 0:
                    if height[i] - height[j] < gap:
                        gap = max(0.0, height[i] - height[j])
                        under = owner[j]
                    break
                if height[j] <= height[i]:
                    # inside that object
                    gap = 0.0
                    under = owner[j]
                    break
            j -= 1
        columns[count] = column[i]
        gaps[count] = gap
        below[count] = under
        count += 1
    return columns[:count], gaps[:count], below[:count]


def margin_in_hull(point: np.ndarray, contacts: np.ndarray) -> float:
    """Signed distance of a point (2,) to the rim of the convex hull of contacts (K, 2) not on one
    line: positive inside.
    """
    if (
        np.linalg.matrix_rank(contacts - contacts[0], tol=1e-9 * (1e-300 + np.abs(contacts).max()))
        < 2
    ):
        return -float(
            np.linalg.norm(contacts - point, axis=1).min()
        )  # a line or a point supports nothing
    hull = ConvexHull(contacts)
    inward = -(hull.equations[:, :2] @ point + hull.equations[:, 2])
    if inward.min() >= 0:
        return float(inward.min())
    starts = contacts[hull.simplices[:, 0]]
    ends = contacts[hull.simplices[:, 1]]
    along = np.clip(
        ((point - starts) * (ends - starts)).sum(1) / ((ends - starts) ** 2).sum(1), 0.0, 1.0
    )
    return -float(np.linalg.norm(starts + along[:, None] * (ends - starts) - point, axis=1).min())

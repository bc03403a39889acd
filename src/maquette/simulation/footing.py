"""An object whose underside carries it: what a generator leaves ragged, slanted or undone below is
put right, as little of it as is needed, so that the object stands as the photo shows it.

Part of settling, before physics. An object stands when its centre of mass is above the convex hull
of its contacts. On its own it would roll onto the facet of its convex hull that is below its centre
of mass: where that is only slanted, what collides is sheared until the facet is level; where its
contacts still do not reach far enough around the centre, feet are put below the lowest places that
do. The surface that is seen stays, but for what would be below the ground: feet and soles that
nobody saw are no part of the true objects (docs/log.md, "Settling").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import ConvexHull, Delaunay, QhullError

from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import cos_and_sin, transform_points
from maquette.simulation.hulls import ConvexPart, convex_part, least_thickness
from maquette.simulation.mass import mesh_mass

STEEPEST = np.tan(np.deg2rad(25.0))  # slope of an underside that is levelled
CONTACT = 0.02  # of the object's height: what is so near its lower end touches the ground
SUNK = 0.3  # of its height that an object may be below the ground for that to be made flat
DIRECTIONS = 64  # around the centre of mass: between fewer, a long thing has room to tip
FOOT = 0.05  # of the longer side of the plan: radius of a foot
CLOSE = 0.01  # of the wanted reach, which may lack
SOLE = 0.05  # of the object's height: what of a foot's surroundings becomes its sole
LEVEL = np.array([1.0, 0.0, 1.0])  # what keeps the plan of a point
PATCHED = 0.2  # of its height that a supporter's surface may be raised for a level patch
# axis and end (0 = lower) of the sides of a box at which what is in it is cut out
CUT_ORDER = ((1, 0), (0, 0), (0, 1), (2, 0), (2, 1), (1, 1))
MOST_LEVELLED = 0.7  # of the height in which a levelled underside is made up for


@dataclass(frozen=True, eq=False)
class Standing:
    """An object in the scene's axes, +Y up."""

    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)
    parts: tuple[ConvexPart, ...]  # what collides

    @cached_property
    def centre(self) -> np.ndarray:
        """(3,) of mass, of even density."""
        corners = self.corners
        hull = convex_part(corners, least_thickness(corners), most=len(corners))
        found, _ = mesh_mass(self.vertices, self.faces, hull, density=1.0)
        return found.centre

    @property
    def base(self) -> np.ndarray:
        """(N, 3) corners at its lower end."""
        heights = self.corners[:, 1]
        return self.corners[heights < heights.min() + 1e-3 * np.ptp(heights)]

    @property
    def corners(self) -> np.ndarray:
        """(N, 3) of all parts."""
        return np.concatenate([part.vertices for part in self.parts])

    def placed(self, pose: np.ndarray) -> Standing:
        """Multiplied with a similarity (4, 4)."""
        moved = [replace(p, vertices=transform_points(pose, p.vertices)) for p in self.parts]
        return Standing(transform_points(pose, self.vertices), self.faces, tuple(moved))


def footed(
    given: Standing,
    reach: float,
    floor: float,
    gap: float,
) -> Standing:
    """The object with contacts that reach, in all directions, at least ``reach`` of the way from
    its centre of mass to its rim, seen from above: parts that collide, for nobody has seen them.
    What of it is below ``floor`` is raised to it, unless that is much; its contacts are drawn down
    to it from no more than ``gap`` above.
    """
    heights = given.corners[:, 1]
    low = float(heights.min())
    height = np.ptp(heights)
    if low - gap < floor < low + SUNK * height:
        low = floor
    return _with_feet(_soled(given, low, gap + CONTACT * height), low, reach)


def levelled(given: Standing, eye: np.ndarray) -> Standing:
    """What collides sheared, so that the facet onto which it would roll is level; what of the facet
    is nearest to the eye (3,) stays, for the photo shows it.
    """
    facet = _facet_below(given)
    if facet is None:
        return given
    slope, offset = facet
    corners = given.corners
    height = float(np.ptp(corners[:, 1]))
    above = corners[:, 1] - corners[:, [0, 2]] @ slope - offset
    touching = corners[above < CONTACT * height]
    pivot = touching[np.linalg.norm(touching - eye, axis=1).argmin(), [0, 2]]
    most = np.abs((corners[:, [0, 2]] - pivot) @ slope).max()
    if most < 1e-6 * height:
        return given
    band = most / MOST_LEVELLED  # of heights that make up for it; what is above stays

    def level(points: np.ndarray) -> np.ndarray:
        plan = points[:, [0, 2]]
        rise = (plan - pivot) @ slope
        over = points[:, 1] - (plan @ slope + offset)
        share = np.clip(1.0 - over / band, 0.0, 1.0) if band < height else 1.0
        return points - np.outer(rise * share, [0.0, 1.0, 0.0])

    thickness = least_thickness(given.vertices)
    parts = tuple(convex_part(level(part.vertices), thickness) for part in given.parts)
    return replace(given, parts=parts)


def with_base(given: Standing, floor: float, reach: float) -> Standing:
    """What ends above a height, drawn down to it: its lower end becomes a straight leg on a flat
    base, wide enough for contacts to reach as far as ``footed`` asks.
    """
    vertices = given.vertices
    height = float(np.ptp(vertices[:, 1]))
    low = float(vertices[:, 1].min())
    end = vertices[vertices[:, 1] < low + SOLE * height]
    middle = bounding_box(end).mean(0) * LEVEL
    wider = _widening(given, end, middle, reach)
    plate = floor + 2 * CONTACT * height

    def drawn(points: np.ndarray) -> np.ndarray:
        above = (points[:, 1] - low) / (SOLE * height)
        heights = np.interp(above, [0.0, 0.5, 1.0], [floor, plate, low + SOLE * height])
        spread = np.interp(above, [0.25, 0.5], [wider, 1.0])[:, None]
        plan = middle + (points - middle) * LEVEL * spread
        moved = plan + np.outer(heights, [0.0, 1.0, 0.0])
        return np.where(above[:, None] < 1.0, moved, points)

    made = drawn(vertices)
    thickness = least_thickness(made)
    leg = np.concatenate([end, end * LEVEL + (0.0, floor, 0.0)])
    base = made[made[:, 1] <= plate]
    more = [convex_part(points, thickness) for points in (leg, base)]
    return Standing(made, given.faces, (*given.parts, *more))


def _widening(
    given: Standing,
    end: np.ndarray,
    middle: np.ndarray,
    reach: float,
) -> float:
    """How many times wider a lower end (N, 3) around a middle (3,) must be for its rim to reach
    that share of the way from the centre of mass to the object's rim.
    """
    centre = given.centre * LEVEL
    rim = np.linalg.norm((given.vertices - centre) * LEVEL, axis=1).max()
    wanted = reach * rim + np.linalg.norm(centre - middle)
    widest = np.linalg.norm((end - middle) * LEVEL, axis=1).max()
    return max(float(wanted / max(widest, 1e-12)), 1.0)


def _facet_below(given: Standing) -> tuple[np.ndarray, float] | None:
    """The facet of the convex hull below the centre of mass, as y = slope (2,) @ (x, z) + offset;
    None where it is too steep for an underside, or there is no hull.
    """
    try:
        hull = ConvexHull(given.corners)
    except QhullError:
        return None
    planes = hull.equations[hull.equations[:, 1] < -1e-3]
    slopes = -planes[:, [0, 2]] / planes[:, 1:2]
    offsets = -planes[:, 3] / planes[:, 1]
    below = np.argmax(slopes @ given.centre[[0, 2]] + offsets)
    slope = slopes[below]
    return None if np.linalg.norm(slope) > STEEPEST else (slope, offsets[below])


def with_patch(given: Standing, base: np.ndarray) -> Standing:
    """What carries an object with a level patch under its base (N, 3), so that it does not stand on
    a bump alone: a convex part. Nothing where the surface is far below, or the base has no area.
    """
    level = base[:, 1].min()
    deepest = level - PATCHED * np.ptp(given.vertices[:, 1])
    try:
        plan = Delaunay(base[:, [0, 2]])
    except QhullError:
        return given
    heights = given.vertices[:, 1]
    below = (heights < level) & (heights > deepest)
    below &= plan.find_simplex(given.vertices[:, [0, 2]]) >= 0
    if not below.any():
        return given
    low = heights[below].min()
    solid = np.concatenate([base * LEVEL + (0.0, height, 0.0) for height in (low, level)])
    patch = convex_part(solid, least_thickness(given.vertices))
    return replace(given, parts=(*given.parts, patch))


def with_hollow(given: Standing, box: np.ndarray) -> Standing:
    """What carries an object without what of its convex parts is in a box (2, 3): they fill the
    hollow in which the object lies. What is below the box is cut off first, for each piece that
    reaches the ground is in contact with it.
    """
    pieces: list[ConvexPart] = []
    for part in given.parts:
        low, high = bounding_box(part.vertices)
        if np.any((low >= box[1]) | (high <= box[0])):
            pieces.append(part)
            continue
        rest = part
        for axis, end in CUT_ORDER:
            outward = np.eye(3)[axis] * (2 * end - 1)
            place = outward @ box[end]
            pieces += beyond(rest, outward, place)
            inside = beyond(rest, -outward, -place)
            if not inside:
                break
            (rest,) = inside
    return replace(given, parts=tuple(pieces))


def beyond(part: ConvexPart, outward: np.ndarray, place: float) -> list[ConvexPart]:
    """What of a convex part is farther than ``place`` along a direction (3,); nothing where that is
    thin.
    """
    height = part.vertices @ outward - place
    is_kept = height >= 0
    kept = part.vertices[is_kept]
    lost = part.vertices[~is_kept]
    ahead = height[is_kept][:, None]
    share = ahead / (ahead - height[~is_kept])
    ways = lost - kept[:, None]
    crossing = kept[:, None] + share[..., None] * ways
    points = np.concatenate([kept, crossing.reshape(-1, 3)])
    thickness = least_thickness(part.vertices)
    if not len(points) or np.ptp(points, axis=0).min() < thickness:
        return []
    return [convex_part(points, thickness)]


def _soled(given: Standing, low: float, band: float) -> Standing:
    """What collides less than ``band`` above a height, or below it, is at it; what is seen below it
    is raised to it.
    """
    thickness = least_thickness(given.vertices)
    solids = []
    for part in given.parts:
        points = part.vertices.copy()
        points[points[:, 1] < low + band, 1] = low
        solids.append(_raised(convex_part(points, thickness), low))
    raised = np.maximum(given.vertices, (-np.inf, low, -np.inf))
    return Standing(raised, given.faces, tuple(solids))


def _raised(part: ConvexPart, low: float) -> ConvexPart:
    """Not below a height, as what is thin would be, so that the other contacts are none."""
    return replace(part, vertices=np.maximum(part.vertices, (-np.inf, low, -np.inf)))


def _with_feet(given: Standing, low: float, reach: float) -> Standing:
    """Feet where contacts do not reach far enough: below the lowest of the places that do."""
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    directions = np.stack(cos_and_sin(angles))
    centre = given.centre[[0, 2]]
    reaches = (given.vertices[:, [0, 2]] - centre) @ directions
    wanted = reach * reaches.max(0)
    for _ in range(DIRECTIONS):
        offsets = given.base[:, [0, 2]] - centre
        lacking = wanted - (offsets @ directions).max(0)
        worst = lacking.argmax()
        if lacking[worst] <= CLOSE * wanted[worst]:
            break
        outside = np.flatnonzero(reaches[:, worst] >= wanted[worst])
        lowest = outside[given.vertices[outside, 1].argmin()]
        given = _with_foot(given, lowest, low)
    return given


def _with_foot(given: Standing, vertex: int, low: float) -> Standing:
    """With a part from the surroundings of a vertex of the underside down to a height."""
    vertices = given.vertices
    size = np.ptp(vertices, axis=0)
    radius = FOOT * max(size[0], size[2])
    away = np.linalg.norm((vertices - vertices[vertex]) * LEVEL, axis=1)
    highest = vertices[vertex, 1] + SOLE * size[1]
    above = vertices[(away < radius) & (vertices[:, 1] < highest)]
    solid = np.concatenate([above, above * LEVEL + (0.0, low, 0.0)])
    foot = _raised(convex_part(solid, least_thickness(vertices)), low)
    return replace(given, parts=(*given.parts, foot))

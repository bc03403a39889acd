"""An object whose underside carries it: what a generator leaves ragged, slanted or undone below is
put right, as little of it as is needed, so that the object stands as the photo shows it.

Part of settling, before physics. An object stands when its centre of mass is above the convex hull
of its contacts. On its own it would roll onto the facet of its convex hull that is below its centre
of mass: where that is only slanted, the object is sheared until the facet is level; where its
contacts still do not reach far enough around the centre, the lowest places that do are drawn down
as feet. Every step is made to the surface and to the convex parts alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import ConvexHull, Delaunay, QhullError

from maquette.export.glb import smooth_normals
from maquette.simulation.hulls import ConvexPart, convex_part, least_thickness
from maquette.simulation.mass import mesh_mass

STEEPEST = np.tan(np.deg2rad(25.0))  # slope of an underside that is levelled
CONTACT = 0.02  # of the object's height: what is so near its lower end touches the ground
SUNK = 0.15  # of its height that an object may be below the ground for that to be made flat
DIRECTIONS = 16  # around the centre of mass
FOOT = 0.05  # of the longer side of the plan: radius of a foot
LONGEST_SOLE = 0.4  # of the same, by which a contact gets longer
CLOSE = 0.01  # of the wanted reach, which may lack
SOLE = 0.05  # of the object's height: what of a foot's surroundings becomes its sole
LEVEL = np.array([1.0, 0.0, 1.0])  # what keeps the plan of a point
DOWNWARD = -0.3  # y of a normal; what faces down more than this is underside
PATCHED = 0.2  # of its height that a supporter's surface may be raised for a level patch
MOST_LEVELLED = 0.7  # of the height in which a levelled underside is made up for
MOST_SQUEEZED = 0.1  # of its width by which a side of an object gives way, in each round
MOST_FLATTENED = 0.25  # of the same, along rays
SHOWN = 2.0  # of its height that a foot may be longer for none of it to show in the photo
ALONG = np.linspace(0.0, 0.9, 4)  # where a foot is looked at, from its sole up

Shown = Callable[[np.ndarray], np.ndarray]  # points (N, 3) -> (N,) whether matter there would show


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


def footed(
    given: Standing,
    reach: float,
    floor: float,
    shown: Shown,
) -> Standing:
    """The object with contacts that reach, in all directions, at least ``reach`` of the way from
    its centre of mass to its rim, seen from above. What of it is below ``floor`` is raised to it,
    unless that is much.
    """
    heights = given.corners[:, 1]
    low = float(heights.min())
    height = np.ptp(heights)
    if low < floor < low + SUNK * height:
        low = floor
    return _with_feet(_soled(given, low, CONTACT * height), low, reach, shown)


def levelled(given: Standing, eye: np.ndarray) -> Standing:
    """Sheared, so that the facet onto which it would roll is level; what of the facet is nearest to
    the eye (3,) stays, for the photo shows it.
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

    return _warped(given, level)


def with_base(given: Standing, floor: float, reach: float) -> Standing:
    """What ends above a height, drawn down to it: its lower end becomes a straight leg on a flat
    base, wide enough for contacts to reach as far as ``footed`` asks.
    """
    vertices = given.vertices
    height = float(np.ptp(vertices[:, 1]))
    low = float(vertices[:, 1].min())
    end = vertices[vertices[:, 1] < low + SOLE * height]
    middle = (end.min(0) + end.max(0)) / 2 * LEVEL
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
    below = int(np.argmax(slopes @ given.centre[[0, 2]] + offsets))
    slope = slopes[below]
    return None if np.linalg.norm(slope) > STEEPEST else (slope, float(offsets[below]))


def with_patch(given: Standing, base: np.ndarray) -> Standing:
    """What carries an object with a level patch under its base (N, 3), so that it does not stand on
    a bump alone: a convex part, to which the surface below is raised. Nothing where that is far
    below, or the base has no area.
    """
    level = float(base[:, 1].min())
    deepest = level - PATCHED * np.ptp(given.vertices[:, 1])
    try:
        plan = Delaunay(base[:, [0, 2]])
    except QhullError:
        return given
    vertices = given.vertices.copy()
    below = (vertices[:, 1] < level) & (vertices[:, 1] > deepest)
    below &= plan.find_simplex(vertices[:, [0, 2]]) >= 0
    if not below.any():
        return given
    low = float(vertices[below, 1].min())
    vertices[below, 1] = level
    solid = np.concatenate([base * LEVEL + (0.0, height, 0.0) for height in (low, level)])
    patch = convex_part(solid, least_thickness(given.vertices))
    return Standing(vertices, given.faces, (*given.parts, patch))


def with_hollow(given: Standing, box: np.ndarray) -> Standing:
    """What carries an object without what of its convex parts is in a box (2, 3) or above that:
    they fill the hollow in which the object lies.
    """
    pieces: list[ConvexPart] = []
    for part in given.parts:
        rest = part
        for axis, end in ((0, 0), (0, 1), (2, 0), (2, 1), (1, 0)):
            outward = 1 if end else -1
            pieces += _beyond(rest, axis, box[end, axis], outward)
            inside = _beyond(rest, axis, box[end, axis], -outward)
            if not inside:
                break
            (rest,) = inside
    return replace(given, parts=tuple(pieces))


def _beyond(
    part: ConvexPart,
    axis: int,
    place: float,
    side: int,
) -> list[ConvexPart]:
    """What of a convex part is on one side of a plane; nothing where that is thin."""
    height = side * (part.vertices[:, axis] - place)
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


def squeezed(given: Standing, push: np.ndarray, eye: np.ndarray | None) -> Standing:
    """The object narrower, on its side towards ``push`` (3,), by its length, or by a share of its
    width; from its middle on, ever more. With an eye (3,) points move along their rays, so that
    the picture stays; but what it stands on stays level.
    """
    most = MOST_SQUEEZED if eye is None else MOST_FLATTENED
    length = float(np.linalg.norm(push))
    direction = push / length
    corners = given.corners
    along = corners @ direction
    middle = (along.min() + along.max()) / 2
    half = max(along.max() - middle, 1e-12)
    step = min(length, 2 * most * half)
    low = corners[:, 1].min()
    foot = SUNK * np.ptp(corners[:, 1])

    def narrower(points: np.ndarray) -> np.ndarray:
        share = np.clip((points @ direction - middle) / half, 0.0, 1.0)
        if eye is None:
            return points - np.outer(step * share, direction)
        rays = points - eye
        nearer = step * share / (rays @ direction)
        moved = points - nearer[:, None] * rays
        above = np.clip((points[:, 1] - low) / foot, 0.0, 1.0)
        lowest = np.minimum(points[:, 1], low)
        rise = moved[:, 1] - points[:, 1]
        heights = points[:, 1] + above * rise
        moved[:, 1] = np.maximum(heights, lowest)
        return moved

    return _warped(given, narrower)


def _warped(given: Standing, warp: Callable[[np.ndarray], np.ndarray]) -> Standing:
    thickness = least_thickness(given.vertices)
    parts = tuple(convex_part(warp(part.vertices), thickness) for part in given.parts)
    return Standing(warp(given.vertices), given.faces, parts)


def _soled(given: Standing, low: float, band: float) -> Standing:
    """What is less than ``band`` above a height, or below it, is at it."""

    def flat(points: np.ndarray) -> np.ndarray:
        heights = np.where(points[:, 1] < low + band, low, points[:, 1])
        return np.stack([points[:, 0], heights, points[:, 2]], axis=1)

    return _warped(given, flat)


def _with_feet(
    given: Standing,
    low: float,
    reach: float,
    shown: Shown,
) -> Standing:
    """Feet where contacts do not reach far enough; of the places that do, the lowest, rather where
    the photo does not show it; a longer sole where it would, and little is lacking.
    """
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    directions = np.stack([np.cos(angles), np.sin(angles)])
    centre = given.centre[[0, 2]]
    reaches = (given.vertices[:, [0, 2]] - centre) @ directions
    wanted = reach * reaches.max(0)
    size = np.ptp(given.vertices, axis=0)
    costs = _costs(given.vertices, low, shown)
    thin = SHOWN * CONTACT * size[1]  # what a sole shows
    longest = LONGEST_SOLE * max(size[0], size[2])
    for _ in range(DIRECTIONS):
        offsets = given.base[:, [0, 2]] - centre
        reached = (offsets @ directions).max(0)
        lacking = wanted - reached
        worst = int(lacking.argmax())
        if lacking[worst] <= CLOSE * wanted[worst]:
            break
        outside = np.flatnonzero(reaches[:, worst] >= wanted[worst])
        cheapest = int(outside[costs[outside].argmin()])
        length = given.vertices[cheapest, 1] - low
        if lacking[worst] < longest and costs[cheapest] > length + thin:
            given = _with_sole(given, lacking[worst] * directions[:, worst], low)
        else:
            given = _with_foot(given, cheapest, low)
    return given


def _costs(vertices: np.ndarray, low: float, shown: Shown) -> np.ndarray:
    """(V,) of a foot from each vertex down to a height."""
    lengths = vertices[:, 1] - low
    size = np.ptp(vertices, axis=0)
    radius = FOOT * max(size[0], size[2])
    share = np.zeros(len(vertices))
    for along, side in itertools.product(ALONG, (-radius, 0.0, radius)):
        points = vertices + (side, 0.0, 0.0)
        points[:, 1] = low + along * lengths
        share += shown(points) / (3 * len(ALONG))
    return lengths + SHOWN * size[1] * share


def _with_foot(given: Standing, vertex: int, low: float) -> Standing:
    """The surroundings of a vertex of the underside, drawn down to a height."""
    vertices = given.vertices.copy()
    plan = vertices[:, [0, 2]]
    size = np.ptp(vertices, axis=0)
    radius = FOOT * max(size[0], size[2])
    near = np.linalg.norm(plan - plan[vertex], axis=1) < radius
    near &= vertices[:, 1] < vertices[vertex, 1] + SOLE * size[1]
    near &= smooth_normals(vertices, given.faces)[:, 1] < DOWNWARD
    near[vertex] = True
    before = vertices[near]
    vertices[near, 1] = low
    return _with_part(given, vertices, [before, vertices[near]], low)


def _with_sole(given: Standing, longer: np.ndarray, low: float) -> Standing:
    """The contact that is farthest in a direction, longer by a way (2,), seen from above."""
    vertices = given.vertices.copy()
    plan = vertices[:, [0, 2]]
    size = np.ptp(vertices, axis=0)
    radius = FOOT * max(size[0], size[2])
    touching = vertices[:, 1] <= low + 1e-3 * size[1]
    along = plan @ longer / np.linalg.norm(longer)
    tip = np.where(touching, along, -np.inf).argmax()
    near = touching & (np.linalg.norm(plan - plan[tip], axis=1) < radius)
    before = vertices[near]
    front = near & (along >= np.median(along[near]))  # which is as wide as it was
    vertices[np.ix_(front, [0, 2])] += longer
    above = vertices[near] + (0.0, CONTACT * size[1], 0.0)
    return _with_part(given, vertices, [before, vertices[near], above], low)


def _with_part(
    given: Standing,
    vertices: np.ndarray,
    solid: list[np.ndarray],
    low: float,
) -> Standing:
    """With other vertices, and one convex part more, which even where it is thin is not below a
    height, or the other contacts would be none.
    """
    part = convex_part(np.concatenate(solid), least_thickness(vertices))
    raised = np.maximum(part.vertices, (-np.inf, low, -np.inf))
    more = replace(part, vertices=raised)
    return Standing(vertices, given.faces, (*given.parts, more))

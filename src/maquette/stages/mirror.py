"""The mirror planes of an object, where what is measured of it speaks for them: its hidden side is
then the mirror image of the visible one. Most things have one upright plane, many a second one at
right angles to it.

In the flow: a fused field + the visible surface -> this module -> what the generator said, held to
the mirrors, before it is fused (fuse.py). Only for depth that was measured: with estimated depth
the plane that fits best is 20 to 90 degrees off for most objects, no score tells, and even the true
plane gains next to nothing (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from maquette.geometry.boxes import cube_cells

ANGLES = np.deg2rad(np.arange(0.0, 180.0, 2.5))  # of a vertical plane's normal
OFFSETS = np.linspace(-0.12, 0.12, 7)  # of the plane from the middle of the matter, in cube sides
FINER = (0.5, 0.25)  # of the steps above, around the best
BEST = 5  # planes that are tried more finely
EVERY = 4  # point is asked until then
QUARTER = np.pi / 2 + ANGLES[1] * np.arange(-3, 4)  # from the first plane to the second
LEAST_POINTS = 50  # of the visible surface; fewer speak for no plane
EMPTY = 1.5 / 64  # cube sides: so deep in seen emptiness is a contradiction
MOST_EMPTY = 0.04  # of the points, that may contradict
FARTHEST = 0.1  # cube sides; deeper in emptiness costs no more
OF_EMPTY = 50.0  # weights of the cost
OF_FIELD = 0.35
OF_OUTSIDE = 0.5
ALONG_SIGHT = np.cos(np.deg2rad(30.0))  # a plane that faces the camera would copy front to back

Emptiness = Callable[[np.ndarray], np.ndarray]  # points (N, 3) -> (N,) depth in seen empty space


@dataclass(frozen=True)
class MirrorPlane:
    """x . normal = offset, vertical, in the frame of an object's cube unless said otherwise."""

    angle: float  # of the normal (cos, 0, sin)
    offset: float  # cube sides

    @property
    def normal(self) -> np.ndarray:
        """(3,) of length 1."""
        return np.array([np.cos(self.angle), 0.0, np.sin(self.angle)])

    def moved(self, scene_from_cube: np.ndarray) -> MirrorPlane:
        """The same plane in the scene frame; cubes are not turned."""
        side, place = float(scene_from_cube[0, 0]), scene_from_cube[:3, 3]
        return MirrorPlane(self.angle, float(self.offset * side + self.normal @ place))

    def reflect(self, points: np.ndarray) -> np.ndarray:
        """Mirror images of points (N, 3)."""
        beyond = points @ self.normal - self.offset
        return points - 2 * beyond[:, None] * self.normal


@dataclass(frozen=True, eq=False)
class VisibleMatter:
    """What is known of an object, in the frame of its cube."""

    field: np.ndarray  # (R, R, R) of all of it, in truncations
    points: np.ndarray  # (N, 3) on the visible surface
    emptiness: Emptiness
    sight: np.ndarray  # (3,) from the object to the camera, of length 1

    def find_plane(self) -> MirrorPlane | None:
        """The vertical plane that what is visible speaks for; None when nothing does."""
        if len(self.points) < LEAST_POINTS:
            return None
        best = self._best(filter(self._is_across, self._planes(ANGLES)))
        return best if best is not None and self._is_across(best) else None

    def find_second(self, first: MirrorPlane) -> MirrorPlane | None:
        """The plane at right angles to a first one, which ``field`` already follows; None when what
        is visible and its mirror image speak against it. It may face the camera: the image tells
        of sides that the photo does not show.
        """
        image = first.reflect(self.points)
        inside = (np.abs(image) < 0.5).all(1)
        both = replace(self, points=np.concatenate([self.points, image[inside]]))
        return both._best(both._planes(first.angle + QUARTER))

    def _best(self, planes: Iterable[MirrorPlane]) -> MirrorPlane | None:
        """The best one near any of some planes, if hardly anything contradicts it."""
        few = replace(self, points=self.points[::EVERY])
        tried = sorted(planes, key=few._cost)[:BEST]
        if not tried:
            return None
        for share in FINER:
            tried = [min(_around(plane, share), key=few._cost) for plane in tried]
        best = min(tried, key=self._cost)
        deep = self.emptiness(best.reflect(self.points)) > EMPTY
        return best if deep.mean() < MOST_EMPTY else None

    def _middle(self) -> np.ndarray:
        """(3,) of the box of what is solid."""
        solid = np.argwhere(self.field < 0)
        if len(solid) == 0:
            return np.zeros(3)
        return ((solid.min(0) + solid.max(0) + 1) / 2) / len(self.field) - 0.5

    def _planes(self, angles: np.ndarray) -> Iterator[MirrorPlane]:
        middle = self._middle()
        for angle in angles:
            through = MirrorPlane(float(angle), 0.0).normal @ middle
            for offset in OFFSETS:
                yield MirrorPlane(float(angle), float(through + offset))

    def _is_across(self, plane: MirrorPlane) -> bool:
        """Whether a plane leaves the camera's line of sight on its own side."""
        level = self.sight * [1.0, 0.0, 1.0]
        return bool(abs(plane.normal @ level) < ALONG_SIGHT * np.linalg.norm(level))

    def _cost(self, plane: MirrorPlane) -> float:
        image = plane.reflect(self.points)
        inside = (np.abs(image) < 0.5).all(1)
        deep = self.emptiness(image).clip(0, FARTHEST)
        off = np.abs(sampled(self.field, image))
        return float(OF_EMPTY * deep.mean() + OF_FIELD * off.mean() + OF_OUTSIDE * (~inside).mean())


def mirrored_field(field: np.ndarray, plane: MirrorPlane) -> np.ndarray:
    """A field (R, R, R) as the plane shows it; 1, nothing, beyond the cube."""
    return sampled(field, plane.reflect(cube_cells(len(field)))).reshape(field.shape)


def sampled(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) trilinear samples of a field at points (N, 3) of the cube; 1 beyond."""
    at = (points.T + 0.5) * len(field) - 0.5
    return ndimage.map_coordinates(field, at, order=1, mode="constant", cval=1.0)


def _around(plane: MirrorPlane, share: float) -> Iterator[MirrorPlane]:
    """The plane and its neighbours, at a share of the steps of the search."""
    turn = share * (ANGLES[1] - ANGLES[0])
    step = share * (OFFSETS[1] - OFFSETS[0])
    for turned in (-turn, 0.0, turn):
        for moved in (-step, 0.0, step):
            yield MirrorPlane(plane.angle + turned, plane.offset + moved)

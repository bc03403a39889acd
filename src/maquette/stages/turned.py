"""Bodies of revolution: the solid, its surface in a depth map, and its place in the scene.

In the flow: what ``profile`` finds in a photo -> the depth of its visible surface (``perceive``),
and later what is behind it (``fuse``). Shapes: N rays or points, M heights of a profile. Level axes
are those of the scene (Y up); the eye is their origin, and a body's axis is at distance 1 from it,
for how far away a thing is, no outline tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from maquette.geometry.boxes import bounding_box
from maquette.geometry.transforms import scale_of, similarity, transform_points
from maquette.models.conditioning import letterboxed_camera
from maquette.stages.frame import DepthPicture
from maquette.stages.mirror import MirrorPlane
from maquette.types import Camera

STEPS = 48  # along a ray, for the first place inside
ROUND = 16  # points of a rim
LID = 0.02  # of the height; nearer to the upper end is its lid
LEAST_LID = 20  # pixels of one that is judged
LEAST_SIDES = 0.1  # of a body's pixels, that tell its distance
# Widths by which the inside of a vessel is seen below its rim. Of 27 bodies of the training library
# whose lid shows, five are estimated to be as deep, and all five are.
DEEP = 0.175


class KnownShape(Protocol):
    """What is known of the shape of an object from its outline, about the eye."""

    @property
    def own_from_level(self) -> np.ndarray:
        """(3, 3) rotation by which it stands."""
        ...

    @property
    def rims(self) -> np.ndarray:
        """(K, 3) points in its own axes, around all of it."""
        ...

    @property
    def width(self) -> float:
        """How wide it is."""
        ...

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) about how far points (N, 3) in its own axes are outside of it; negative inside."""
        ...

    def first_met(self, rays: np.ndarray) -> np.ndarray:
        """(N,) multiples of level rays (N, 3) at which they enter; inf where they do not."""
        ...

    def on_lid(self, heights: np.ndarray) -> np.ndarray:
        """(N,) bool: whether heights (N,) of its surface are of a lid that may be missing."""
        ...

    def mirror_angles(self, towards: float) -> tuple[float, ...]:
        """Of the normals of its upright planes of symmetry, in level axes; towards: that of the
        direction to the eye.
        """
        ...


@dataclass(frozen=True, eq=False)
class TurnedBody:
    """A solid between two discs about an axis at distance 1 from the eye, which is upright in the
    body's own axes.
    """

    axis: np.ndarray  # (2,) x and z
    heights: np.ndarray  # (M,) ascending
    radii: np.ndarray  # (M,)
    own_from_level: np.ndarray  # (3, 3) rotation by which it leans

    @property
    def rims(self) -> np.ndarray:
        """(M * ROUND, 3) of its discs."""
        turns = np.linspace(0.0, 2 * np.pi, ROUND, endpoint=False)
        x = self.axis[0] + self.radii[:, None] * np.cos(turns)
        z = self.axis[1] + self.radii[:, None] * np.sin(turns)
        y = np.broadcast_to(self.heights[:, None], x.shape)
        return np.stack([x, y, z], axis=-1).reshape(-1, 3)

    @property
    def width(self) -> float:
        """Of its widest disc."""
        return float(2 * self.radii.max())

    def on_lid(self, heights: np.ndarray) -> np.ndarray:
        """(N,) bool: whether heights (N,) of its surface are of the disc that closes it above."""
        return self.heights[-1] - heights < LID * np.ptp(self.heights)

    def mirror_angles(self, towards: float) -> tuple[float, ...]:
        """Of the plane that faces the eye."""
        return (towards,)

    @property
    def slimness(self) -> float:
        """Height over width."""
        return float(np.ptp(self.heights) / max(2 * self.radii.max(), 1e-12))

    @cached_property
    def _steepness(self) -> np.ndarray:
        """(M,) distance from the surface over that along the radius."""
        if len(self.heights) < 2:
            return np.ones(len(self.heights))
        return 1.0 / np.hypot(1.0, np.gradient(self.radii, self.heights))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) about how far points (N, 3) in its own axes are outside of it; negative inside."""
        height = points[:, 1]
        radius = np.linalg.norm(points[:, [0, 2]] - self.axis, axis=1)
        off = radius - np.interp(height, self.heights, self.radii)
        aside = off * np.interp(height, self.heights, self._steepness)
        beyond = np.maximum(self.heights[0] - height, height - self.heights[-1])
        return np.maximum(aside, beyond)

    def first_met(self, rays: np.ndarray) -> np.ndarray:
        """(N,) multiples of level rays (N, 3) at which they enter; inf where they do not."""
        rays = rays @ self.own_from_level.T
        level = np.maximum(np.hypot(rays[:, 0], rays[:, 2]), 1e-9)
        reach = 1.01 * self.radii.max()
        steps = np.linspace(1.0 - reach, 1.0 + reach, STEPS)
        at = steps / level[:, None]
        places = at[..., None] * rays[:, None]
        off = self.distance(places.reshape(-1, 3)).reshape(at.shape)
        first = (off < 0).argmax(1)[:, None]
        both = np.concatenate([first, np.maximum(first - 1, 0)], axis=1)
        here, there = np.take_along_axis(off, both, 1).T
        near, nearer = np.take_along_axis(at, both, 1).T
        share = np.clip(here / np.minimum(here - there, -1e-12), 0.0, 1.0)
        return np.where(here < 0, near + share * (nearer - near), np.inf)


@dataclass(frozen=True, eq=False)
class PlacedBody:
    """Such a solid in the scene."""

    body: KnownShape
    body_from_scene: np.ndarray  # (4, 4) similarity

    @classmethod
    def at(cls, body: KnownShape, eye: np.ndarray, distance: float) -> PlacedBody:
        """A body whose axis is as far away from the eye (3,)."""
        turn = body.own_from_level
        return cls(body, similarity(1 / distance, turn, -turn @ eye / distance))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) about how far points (N, 3) of the scene are outside of it."""
        own = transform_points(self.body_from_scene, points)
        return self.body.distance(own) / scale_of(self.body_from_scene)

    @property
    def box(self) -> np.ndarray:
        """(2, 3) around it."""
        scene_from_body = np.linalg.inv(self.body_from_scene)
        return bounding_box(transform_points(scene_from_body, self.body.rims))

    def mirrors(self, eye: np.ndarray) -> tuple[MirrorPlane, ...]:
        """Its upright planes of symmetry that tell what the eye (3,) does not see."""
        middle = self.box.mean(0)[[0, 2]]
        away = eye[[0, 2]] - middle
        towards = float(np.arctan2(away[1], away[0]))
        planes = [MirrorPlane(angle, 0.0) for angle in self.body.mirror_angles(towards)]
        return tuple(
            replace(plane, offset=float(plane.normal[[0, 2]] @ middle)) for plane in planes
        )


Bodies = Mapping[int, KnownShape]  # by label


def with_surfaces(seen: DepthPicture, bodies: Bodies) -> DepthPicture:
    """The depth map with the surfaces of bodies, each about as far away as it was. What is seen far
    below the rim of a vessel stays.
    """
    depth = seen.depth.copy()
    for label, body in bodies.items():
        shown = _Shown.of(seen, label, body)
        made = shown.distance * shown.made
        own = seen.depth[shown.where]
        if len(own) and shown.is_open(body):
            made = np.where(shown.on_lid, np.maximum(made, own), made)
        depth[shown.where] = made
    return replace(seen, depth=depth)


@dataclass(frozen=True, eq=False)
class _Shown:
    """The N pixels of the letterboxed picture that show an object, where they also show the body
    about the eye.
    """

    where: tuple[np.ndarray, np.ndarray]  # their rows and columns
    made: np.ndarray  # (N,) z-depth of the body
    farther: np.ndarray  # (N,) logarithm of the depth map over that
    on_lid: np.ndarray  # (N,) bool: on the disc that closes it above

    @classmethod
    def of(cls, seen: DepthPicture, label: int, body: KnownShape) -> _Shown:
        """Look for them."""
        rows, columns = np.nonzero(seen.picture.labels == label)
        square = letterboxed_camera(seen.camera, seen.picture)
        rays = level_rays(square, np.column_stack([columns, rows]) + 0.5)
        made = body.first_met(rays)
        met = np.isfinite(made)
        where = rows[met], columns[met]
        made = made[met]
        height = made * (rays[met] @ body.own_from_level[1])
        return cls(where, made, np.log(seen.depth[where]) - np.log(made), body.on_lid(height))

    @property
    def distance(self) -> float:
        """What brings the body to where the depth map has its side; 1 where none of it is."""
        sides = self.farther[~self.on_lid]
        if len(sides) < LEAST_SIDES * len(self.farther):
            sides = self.farther
        return float(np.exp(np.median(sides))) if len(sides) else 1.0

    def is_open(self, body: KnownShape) -> bool:
        """Whether the depth map shows the inside of a vessel where the body has its lid."""
        deep = self.farther[self.on_lid] - np.log(self.distance)
        return len(deep) >= LEAST_LID and float(np.median(deep)) > DEEP * body.width


def distance_of(seen: DepthPicture, label: int, body: KnownShape) -> float:
    """What brings a body about the eye to where the depth map has it; 1 where none of it is."""
    return _Shown.of(seen, label, body).distance


def placed_bodies(seen: DepthPicture, bodies: Bodies) -> dict[int, PlacedBody]:
    """Bodies where the depth map has them, by label."""
    eye = seen.camera.position
    return {
        label: PlacedBody.at(body, eye, distance_of(seen, label, body))
        for label, body in bodies.items()
    }


def level_rays(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """(N, 3) rays of pixels (N, 2) in level axes, whose z-depth is 1."""
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    return homogeneous @ np.linalg.inv(camera.intrinsics).T @ camera.rotation.T

"""Shapes that outlines tell: what all kinds of them have in common, their surfaces in a depth map,
and their places in the scene.

In the flow: what ``known`` finds in a photo -> the depth of its visible surface (``perceive``), and
later what is behind it (``fuse``). Shapes of arrays: N rays or points. Level axes are those of the
scene (Y up); the eye is their origin, and a thing is at a level distance of 1 from it, for how far
away it is, no outline tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from maquette.geometry.boxes import bounding_box
from maquette.geometry.cameras import world_rays
from maquette.geometry.transforms import scale_of, similarity, transform_points
from maquette.models.conditioning import letterboxed_camera
from maquette.stages.frame import DepthPicture
from maquette.stages.mirror import MirrorPlane

LEAST_LID = 20  # pixels of one that is judged
# A shape is where a measured depth has it if so many of CELLS x CELLS means of its picture are, but
# for so many widths.
CELLS = 8
AGREEING = 0.8
OFF = 0.02
LEAST_SIDES = 0.1  # of a shape's pixels, that tell its distance
# Widths by which the inside of a vessel is seen below its rim. Of 27 bodies of revolution of the
# training library whose lid shows, five are estimated to be as deep, and all five are.
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
class PlacedShape:
    """A known shape in the scene."""

    shape: KnownShape
    shape_from_scene: np.ndarray  # (4, 4) similarity

    @classmethod
    def at(cls, shape: KnownShape, eye: np.ndarray, distance: float) -> PlacedShape:
        """A shape whose middle is as far away from the eye (3,)."""
        turn = shape.own_from_level
        return cls(shape, similarity(1 / distance, turn, -turn @ eye / distance))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) about how far points (N, 3) of the scene are outside of it."""
        own = transform_points(self.shape_from_scene, points)
        return self.shape.distance(own) / scale_of(self.shape_from_scene)

    @property
    def box(self) -> np.ndarray:
        """(2, 3) around it."""
        scene_from_shape = np.linalg.inv(self.shape_from_scene)
        return bounding_box(transform_points(scene_from_shape, self.shape.rims))

    def mirrors(self, eye: np.ndarray) -> tuple[MirrorPlane, ...]:
        """Its upright planes of symmetry that tell what the eye (3,) does not see."""
        middle = self.box.mean(0)[[0, 2]]
        away = eye[[0, 2]] - middle
        towards = float(np.arctan2(away[1], away[0]))
        planes = [MirrorPlane(angle, 0.0) for angle in self.shape.mirror_angles(towards)]
        return tuple(
            replace(plane, offset=float(plane.normal[[0, 2]] @ middle)) for plane in planes
        )


KnownShapes = Mapping[int, KnownShape]  # by label


def with_surfaces(seen: DepthPicture, shapes: KnownShapes) -> DepthPicture:
    """The depth map with the surfaces of known shapes, each about as far away as it was. What is
    seen far below the rim of a vessel stays.
    """
    depth = seen.depth.copy()
    for label, shape in shapes.items():
        shown = _SharedPixels.of(seen, label, shape)
        made = shown.distance * shown.made
        own = seen.depth[shown.where]
        if len(own) and shown.is_open(shape):
            made = np.where(shown.on_lid, np.maximum(made, own), made)
        depth[shown.where] = made
    return replace(seen, depth=depth)


def as_measured(seen: DepthPicture, shapes: KnownShapes) -> KnownShapes:
    """The shapes that a measured depth map has where it shows them."""
    shown = {label: _SharedPixels.of(seen, label, shape) for label, shape in shapes.items()}
    return {label: shape for label, shape in shapes.items() if shown[label].agrees(shape)}


@dataclass(frozen=True, eq=False)
class _SharedPixels:
    """The N pixels of the letterboxed picture that show an object, where they also show the shape
    about the eye.
    """

    where: tuple[np.ndarray, np.ndarray]  # their rows and columns
    made: np.ndarray  # (N,) z-depth of the shape
    farther: np.ndarray  # (N,) logarithm of the depth map over that
    on_lid: np.ndarray  # (N,) bool: on the disc that closes it above

    @classmethod
    def of(cls, seen: DepthPicture, label: int, shape: KnownShape) -> _SharedPixels:
        """Look for them."""
        rows, columns = np.nonzero(seen.picture.labels == label)
        square = letterboxed_camera(seen.camera, seen.picture)
        rays = world_rays(square, np.column_stack([columns, rows]) + 0.5)
        made = shape.first_met(rays)
        met = np.isfinite(made)
        where = rows[met], columns[met]
        made = made[met]
        height = made * (rays[met] @ shape.own_from_level[1])
        return cls(where, made, np.log(seen.depth[where]) - np.log(made), shape.on_lid(height))

    @property
    def distance(self) -> float:
        """What brings the shape to where the depth map has its side; 1 where none of it is."""
        sides = self.farther[~self.on_lid]
        if len(sides) < LEAST_SIDES * len(self.farther):
            sides = self.farther
        return float(np.exp(np.median(sides))) if len(sides) else 1.0

    def agrees(self, shape: KnownShape) -> bool:
        """Whether most of the depth map is that of the shape, its noise aside."""
        if not len(self.made):
            return False
        cells = [CELLS * (at - at.min()) // (np.ptp(at) + 1) for at in self.where]
        _, cell = np.unique(CELLS * cells[0] + cells[1], return_inverse=True)
        means = np.bincount(cell, self.farther) / np.bincount(cell)
        off = np.abs(means - np.log(self.distance)) / shape.width
        return float(np.quantile(off, AGREEING)) < OFF

    def is_open(self, shape: KnownShape) -> bool:
        """Whether the depth map shows the inside of a vessel where the shape has its lid."""
        deep = self.farther[self.on_lid] - np.log(self.distance)
        return len(deep) >= LEAST_LID and float(np.median(deep)) > DEEP * shape.width


def distance_of(seen: DepthPicture, label: int, shape: KnownShape) -> float:
    """What brings a shape about the eye to where the depth map has it; 1 where none of it is."""
    return _SharedPixels.of(seen, label, shape).distance


def placed_shapes(seen: DepthPicture, shapes: KnownShapes) -> dict[int, PlacedShape]:
    """Shapes where the depth map has them, by label."""
    eye = seen.camera.position
    return {
        label: PlacedShape.at(shape, eye, distance_of(seen, label, shape))
        for label, shape in shapes.items()
    }

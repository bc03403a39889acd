"""The outline of one object in a window of the photo, along rays in level axes.

In the flow: masks, camera and estimated depth (``perceive``) -> what is the object, what is
background, and what may hide some of it -> which shape it has (``profile``, ``cuboid``). Shapes of
arrays: N rays or points, P pixels of a window's side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from maquette.geometry.cameras import moved, world_rays
from maquette.geometry.transforms import similarity
from maquette.masks.labels import labels_in
from maquette.models.conditioning import cut_window
from maquette.photos.pixels import grown, nearest_inside, square
from maquette.stages.frame import DepthPicture
from maquette.types import Camera

MARGIN = 1.25  # of the window around the mask's box
THIN = 0.045  # of the window's side
LEAST_THICK = 0.7  # of a mask's pixels, without what is thin
EVERY = 6  # pixels of the background, away from the outline
LEAST_OUTLINE = 20  # pixels of the object and of background along it, that tell something
LEAST_ROWS = 8  # of a mask whose middles tell an axis
MOST_LEAN = np.cos(np.deg2rad(12.0))
AROUND = square(1)  # a pixel
UP = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Outline:
    """One object of a photo in a window, seen along rays in level axes."""

    own: np.ndarray  # (P, P) bool
    unknown: np.ndarray  # (P, P) bool: of objects that may hide it, or outside of the photo
    depth: np.ndarray  # (P, P) as estimated
    pixels: np.ndarray  # (P * P, 2) of the photo
    rays: np.ndarray  # (P * P, 3) whose z-depth is 1
    camera: Camera

    @classmethod
    def of(
        cls,
        seen: DepthPicture,
        photo: np.ndarray,
        labels: np.ndarray,
        label: int,
        size: int,
    ) -> Outline:
        """Of an object of a photo (H, W, 3) with labels (H, W), in the window around it, of
        ``size`` pixels a side.
        """
        cut = cut_window(photo, labels, label, size, MARGIN)
        left, top, side = cut.window
        steps = (np.arange(size) + 0.5) * side / size
        grid = np.meshgrid(left + steps, top + steps)
        pixels = np.stack(grid, axis=-1).reshape(-1, 2)
        mask = (cut.labels == label) & cut.inside
        own = _without_thin(mask)
        depth = seen.at(pixels).reshape(own.shape)
        holes = ndimage.binary_fill_holes(own)  # a label on a lid: the outline is around it
        hides = _may_hide(mask, cut.labels, depth)
        unknown = ~own & (mask | hides | holes | ~cut.inside)
        return cls(own, unknown, depth, pixels, world_rays(seen.camera, pixels), seen.camera)

    @cached_property
    def _grown(self) -> np.ndarray:
        """(P, P) bool the object and the pixels around it."""
        return grown(self.own, AROUND)

    @cached_property
    def background(self) -> np.ndarray:
        """(N, 3) rays of the background: all along the outline, few elsewhere."""
        few = np.zeros_like(self.own)
        few[::EVERY, ::EVERY] = True
        shown = (self._grown | few) & ~self.own & ~self.unknown
        return self.rays[shown.reshape(-1)]

    @property
    def step(self) -> float:
        """Of its pixels, in the photo's."""
        return float(self.pixels[1, 0] - self.pixels[0, 0])

    @property
    def corner(self) -> np.ndarray:
        """(2,) upper left one of the window, in pixels of the photo."""
        return self.pixels[0] - 0.5 * self.step

    def rays_through(self, places: np.ndarray) -> np.ndarray:
        """(N, 3) rays through places (N, 2) of the window, in its pixels from its corner."""
        return world_rays(self.camera, self.corner + self.step * places)

    @cached_property
    def within(self) -> cv2.typing.Rect:
        """Left and upper end, width and height of the object, in pixels of the window."""
        return cv2.boundingRect(self.own.astype(np.uint8))

    @property
    def tells(self) -> bool:
        """Whether there is enough of it."""
        return min(int(self.own.sum()), len(self.background)) >= LEAST_OUTLINE

    @cached_property
    def inner_rays(self) -> np.ndarray:
        """(N, 3) of the object's pixels, without those along its outline."""
        eroded = cv2.erode(self.own.astype(np.uint8), AROUND) > 0
        return self.rays[(eroded if eroded.any() else self.own).reshape(-1)]

    @cached_property
    def outer_rays(self) -> np.ndarray:
        """(N, 3) of the background, without those along the outline."""
        return self.rays[~(self._grown | self.unknown).reshape(-1)]

    def leaning(self, own_from_level: np.ndarray) -> Outline:
        """The same along rays in axes that are turned against the level ones."""
        camera = moved(self.camera, similarity(1.0, own_from_level))
        return replace(self, camera=camera, rays=self.rays @ own_from_level.T)

    def lean(self) -> np.ndarray:
        """(3, 3) rotation that makes the axis upright on which the middles of the mask's rows lie;
        the identity where there is none, or it leans by more than MOST_LEAN.
        """
        rows, middles = self._middles()
        if len(rows) < LEAST_ROWS:
            return np.eye(3)
        ends = rows[[0, -1]]
        columns = _line(rows, middles)(ends)
        across = np.cross(*self.rays_through(np.column_stack([columns, ends]) + 0.5))
        across /= np.linalg.norm(across)
        axis = UP - across[1] * across
        axis /= np.linalg.norm(axis)
        if axis[1] < MOST_LEAN:
            return np.eye(3)
        turn, _ = Rotation.align_vectors(UP[None], axis[None])
        return turn.as_matrix()

    def _middles(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose both ends are seen, and the columns of their middles, (N,) each."""
        columns = np.arange(len(self.own))
        first = np.where(self.own, columns, len(columns)).min(1)
        last = np.where(self.own, columns, -1).max(1)
        beside = np.pad(self.unknown, 1)[1:-1]
        row = np.arange(len(self.own))
        is_cut = beside[row, np.minimum(first, last)] | beside[row, last + 2]
        rows = np.flatnonzero((last >= 0) & ~is_cut)
        return rows, 0.5 * (first + last)[rows]

    def holds(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool: whether points (N, 3) may be of the object, by the picture."""
        seen = points @ self.camera.rotation @ self.camera.intrinsics.T
        pixels = seen[:, :2] / seen[:, 2:]
        at = np.floor((pixels - self.corner) / self.step).astype(int)
        inside = ((at >= 0) & (at < len(self.own))).all(1)
        columns, rows = at.clip(0, len(self.own) - 1).T
        return inside & (self.own | self.unknown)[rows, columns]


def _line(x: np.ndarray, y: np.ndarray) -> np.poly1d:
    """The line through points (N,), N > 1, whose slope is the median of those of all pairs (Theil
    and Sen). SciPy's costs half a second to import.
    """
    first, second = np.triu_indices(len(x), 1)
    slopes = (y[second] - y[first]) / (x[second] - x[first])
    slope = float(np.median(slopes))
    return np.poly1d([slope, float(np.median(y - slope * x))])


def _without_thin(mask: np.ndarray) -> np.ndarray:
    """A mask (P, P) bool without poles and wires, which have a way of their own (thin.py); as it is
    where little would be left.
    """
    across = int(THIN * len(mask)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    thick = mask & (cv2.dilate(opened, disc) > 0)  # with its corners
    return thick if thick.sum() > LEAST_THICK * mask.sum() else mask


def _may_hide(own: np.ndarray, labels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(P, P) bool: other objects, less those that are farther away along their common border, as
    what it stands on is, and what it stands before.
    """
    hides = (labels > 0) & ~own
    if not own.any():
        return hides
    border = hides & grown(own, AROUND)
    nearest = tuple(axis[border] for axis in nearest_inside(own))
    farther = depth[border] > depth[nearest]
    for label in labels_in(labels[border]):
        if farther[labels[border] == label].mean() > 0.5:
            hides &= labels != label
    return hides

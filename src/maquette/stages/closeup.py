"""What the photo shows of one object: a window around it, at a bounded resolution.

In the flow: Perception -> Closeup -> ``fuse``, ``colour`` and ``texture``, which hold an object to
its own pixels. What they cost therefore depends on the object, not on the photo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from maquette.geometry.boxes import pixel_box
from maquette.photos.pixels import going_on, nearest_inside
from maquette.stages.frame import STEEPEST
from maquette.stages.perceive import Perception
from maquette.types import Camera

ALONG = 1.5  # pixels from what is outside, of those at an outline
EVENED = 7  # of them that the depth of one is the median of


@dataclass(frozen=True, eq=False)
class Closeup:
    """A window (H, W) of a photo, for one of its objects."""

    camera: Camera  # of the window, in the scene frame
    photo: np.ndarray  # (H, W, 3) uint8 sRGB
    mask: np.ndarray  # (H, W) bool: the object's pixels
    depth: np.ndarray  # (H, W) float32 its z-depth, going on beyond the mask; scene units
    others: np.ndarray  # (H, W) float32 z-depth of other objects' pixels; inf where there is none

    @property
    def scale(self) -> float:
        """The longer side of the mask, in pixels of the window."""
        rows, columns = (np.flatnonzero(self.mask.any(axis)) for axis in (1, 0))
        return float(max(np.ptp(rows), np.ptp(columns)) + 1)

    def inwards(self) -> np.ndarray:
        """(H, W) float32 distance of each pixel's centre from the mask's outline in pixels,
        negative outside. The photo's border is no outline.
        """
        inside, outside = (distance_within(part) for part in (self.mask, ~self.mask))
        return inside - outside - np.where(self.mask, 0.5, -0.5).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _PhotoCrop:
    """Which part of a photo a window is, and at what size."""

    part: tuple[slice, slice]  # rows and columns of the photo
    window_from_photo: np.ndarray  # (3, 3) of homogeneous pixels
    size: tuple[int, int]  # width and height of the window

    def shrunk(self, picture: np.ndarray) -> np.ndarray:
        """The part of a picture (H, W, ...) of the photo's size; every pixel of the window is the
        mean of what it covers.
        """
        part = picture[self.part]
        width, height = self.size
        if part.shape[:2] == (height, width):
            return part
        return cv2.resize(part, self.size, interpolation=cv2.INTER_AREA)

    def sampled(self, picture: np.ndarray) -> np.ndarray:
        """The part of a picture (H, W) of the photo's size, at the centres of the window's
        pixels.
        """
        part = picture[self.part]
        rows, columns = map(_centres, self.size[::-1], part.shape)
        return part[np.ix_(rows, columns)]


def _centres(count: int, side: int) -> np.ndarray:
    """(count,) int: where the centres of so many pixels lie among ``side`` others."""
    return ((np.arange(count) + 0.5) * side / count).astype(int)


def closeup(
    perception: Perception,
    label: int,
    resolution: int,
    box: np.ndarray | None = None,
) -> Closeup:
    """The window around an object's mask, joined with ``box`` (2, 2) of the photo's pixels (left,
    top; right, bottom).

    The mask's longer side has about ``resolution`` pixels at most. ValueError when the mask has
    none.
    """
    own = perception.label_map == label
    cut = _cut(own, resolution, box)
    width, height = cut.size
    intrinsics = cut.window_from_photo @ perception.camera.intrinsics
    camera = replace(
        perception.camera,
        intrinsics=intrinsics,
        width=width,
        height=height,
    )
    mask = cut.shrunk(own.view(np.uint8)) > 0  # rounded: at least half of what a pixel covers
    if not mask.any():  # thinner than a pixel of the window
        mask = cut.shrunk(own.astype(np.float32)) > 0
    labels = cut.sampled(perception.label_map)
    foreign = (labels > 0) & (labels != label)
    others = np.where(foreign, cut.sampled(perception.photo_depth), np.inf).astype(np.float32)
    depth = _carried_on(perception, label, cut)
    return Closeup(camera, cut.shrunk(perception.photo), mask, depth, others)


def _cut(own: np.ndarray, resolution: int, box: np.ndarray | None) -> _PhotoCrop:
    """The cut around a mask (H, W) bool of a photo, and around a box if one is given."""
    around = np.array(pixel_box(own)).reshape(2, 2)
    longest = int(np.ptp(around, axis=0).max())
    around = around + np.array([[-1], [1]]) * (2 + longest // 50)
    if box is not None:
        low = np.minimum(around[0], np.floor(box[0]))
        around = np.stack([low, np.maximum(around[1], np.ceil(box[1]))])
    height, width = own.shape
    left, top, right, bottom = np.clip(around, 0, (width, height)).astype(int).ravel()
    sides = np.array([right - left, bottom - top])
    size = np.maximum(1, np.rint(min(1.0, resolution / longest) * sides)).astype(int)
    window_from_photo = np.diag([*(size / sides), 1.0])
    window_from_photo[:2, 2] = np.array([-left, -top]) * (size / sides)
    part = (slice(top, bottom), slice(left, right))
    return _PhotoCrop(part, window_from_photo, (int(size[0]), int(size[1])))


def middle_lines(mask: np.ndarray, inwards: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels of a mask that no neighbour is farther inside than."""
    return mask & (inwards >= maximum_filter(inwards, 3))


def _carried_on(perception: Perception, label: int, cut: _PhotoCrop) -> np.ndarray:
    """(H, W) float32 depth of an object on a window's pixels: between pixels of the lifted picture
    linearly, beyond its outline that of the nearest. A depth map that was given is asked at the
    photo's own pixels.
    """
    if perception.given_depth is not None:
        own = perception.label_map[cut.part] == label
        whole = _even_at_outline(perception.given_depth[cut.part], own)[nearest_inside(own)]
        return cv2.resize(whole, cut.size, interpolation=cv2.INTER_NEAREST)
    picture = perception.picture
    steepest = STEEPEST / float(perception.camera.focal * picture.scale)
    log = going_on(np.log(perception.depth), picture.labels == label, steepest)
    filled = np.exp(log).astype(np.float32)
    corner_from_centre = np.eye(3)
    corner_from_centre[:2, 2] = 0.5  # OpenCV's pixels have their centres at whole numbers
    picture_from_window = picture.from_photo @ np.linalg.inv(cut.window_from_photo)
    change = np.linalg.inv(corner_from_centre) @ picture_from_window @ corner_from_centre
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(filled, change[:2], cut.size, flags=how, borderMode=cv2.BORDER_REPLICATE)


def _even_at_outline(depth: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A depth map (H, W) whose pixels at an outline have the median of those near them there: round
    things turn away, and where the outline cuts a pixel decides how far.
    """
    rim = np.argwhere(own & (distance_within(own) < ALONG))
    if len(rim) < EVENED:
        return depth
    place = tuple(rim.T)
    _, near = cKDTree(rim).query(rim, k=EVENED)
    evened = depth.copy()
    evened[place] = np.median(depth[place][near], axis=1)
    return evened


def distance_within(inside: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance of each pixel of a mask from the next pixel outside of it, to the
    bit.
    """
    framed = inside.astype(np.uint8)
    if framed.all():
        return np.full(framed.shape, float(max(framed.shape)), np.float32)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # its last bits depend on OpenCV's threads; the squares are whole numbers
    return np.sqrt(np.rint(np.square(distance)))

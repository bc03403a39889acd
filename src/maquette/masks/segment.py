"""Masks without any network: from boxes or clicks with GrabCut, or of everything on a plain
background. One of the proposers that ``propose`` describes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maquette.errors import InputError
from maquette.geometry.boxes import PixelBox, pixel_box
from maquette.masks.background import foreground_of_plain_background
from maquette.masks.grabcut import grabcut, undecided
from maquette.masks.propose import Click, Clicks, MaskProposer, Prompts, prompted_masks
from maquette.masks.regions import clicked_region
from maquette.photos.pixels import (
    Size,
    connected_parts,
    grown,
    reduced,
    resize_mask,
    square,
    working_size,
)
from maquette.types import InstanceMask

REGION_SIDE = 240  # pixels; where the region of a click is looked for
REACH = 0.1  # of the region's size: how far GrabCut may move its outline
# of the box's sides, on each side: the surroundings from which the background's colours are learnt
CONTEXT = 0.4
COLLAPSED = 0.2  # of the box; when GrabCut leaves less, it has lost the object
SPECK_SHARE = 0.0008  # of the photo; smaller components on a plain background are dust


@dataclass(frozen=True, eq=False)
class ByColour:
    """A photo whose objects are told apart by their colours; see ``PhotoMasks``."""

    image: np.ndarray  # (H, W, 3) uint8

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.image.shape[:2]

    def clicked(self, clicks: Clicks, before: np.ndarray | None = None) -> np.ndarray:
        """The object around clicks: first the region with the sharpest outline, from which GrabCut
        then learns the colours; of a mask, the pieces that are clicked change.
        """
        if before is not None:
            return refine_with_clicks(self.image, before, clicks)
        return _clicked(self.image, clicks)

    def boxed(self, box: PixelBox) -> np.ndarray:
        """GrabCut in a box."""
        return _boxed(self.image, box)

    def everything(self) -> list[InstanceMask]:
        """What stands on a plain background."""
        return segment_plain_background(self.image)


def segment(
    image: np.ndarray, prompts: Prompts, proposer: MaskProposer = ByColour
) -> list[InstanceMask]:
    """Masks of a photo (H, W, 3) uint8 by what the prompts say. Raises InputError."""
    return prompted_masks(proposer(image), prompts)


def _boxed(image: np.ndarray, box: PixelBox) -> np.ndarray:
    """Cut out the object (H, W) bool of one box."""
    x0, y0, x1, y1 = box
    inner = np.s_[y0:y1, x0:x1]
    state = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    state[inner] = cv2.GC_PR_FGD
    found = _cut_out(image, state, box)
    if found.sum() < COLLAPSED * state[inner].size:
        # the colours inside and outside are alike: insist on the middle
        state[inner] = _core(state[inner].shape)
        found = _cut_out(image, state, box)
    return found


def _cut_out(
    image: np.ndarray,
    state: np.ndarray,
    box: PixelBox,
    keep: Clicks = (),
) -> np.ndarray:
    """Run GrabCut in a box and its surroundings -> (H, W) bool, with the parts that are clicked."""
    x0, y0, x1, y1 = box
    dx = max(8, round(CONTEXT * (x1 - x0)))
    dy = max(8, round(CONTEXT * (y1 - y0)))
    left = max(x0 - dx, 0)
    top = max(y0 - dy, 0)
    window = np.s_[top : y1 + dy, left : x1 + dx]
    found = np.zeros(state.shape, bool)
    points = [(click.x - left, click.y - top) for click in keep]
    found[window] = grabcut(image[window], state[window], points)
    return found


def _by_sign(clicks: Clicks) -> list[list[Click]]:
    """Those on the object, and those beside it."""
    return [[click for click in clicks if click.positive == sign] for sign in (True, False)]


def _clicked(image: np.ndarray, clicks: Clicks) -> np.ndarray:
    """Cut out the object (H, W) bool of clicks."""
    own, negative = _by_sign(clicks)
    region = _region_of(image, own, negative)
    reach = max(2, round(REACH * np.sqrt(region.sum())))
    state = undecided(region)
    state[~grown(region, square(reach))] = cv2.GC_BGD
    state[_dots(own, state.shape)] = cv2.GC_FGD
    state[_dots(negative, state.shape)] = cv2.GC_BGD
    return _cut_out(image, state, pixel_box(state != cv2.GC_BGD), own)


def refine_with_clicks(image: np.ndarray, mask: np.ndarray, clicks: Clicks) -> np.ndarray:
    """Change a mask (H, W) bool where the clicks say so: a positive one adds what it stands on, a
    negative one takes it away.

    Only the connected pieces that a click stands on change, so an object never jumps elsewhere.
    """
    positive, negative = _by_sign(clicks)
    added = _region_of(image, positive, negative)
    removed = _region_of(image, negative, positive)
    pluses = _dots(positive, mask.shape)
    minuses = _dots(negative, mask.shape)
    state = undecided(mask | added)
    state[removed & mask] = cv2.GC_PR_BGD
    state[pluses] = cv2.GC_FGD
    state[minuses] = cv2.GC_BGD
    concerned = mask | added | removed | pluses | minuses
    found = _cut_out(image, state, pixel_box(concerned), positive)
    found = (found | pluses) & ~minuses
    return (mask | _touched(found & ~mask, pluses)) & ~_touched(mask & ~found, minuses)


def _region_of(image: np.ndarray, own: Clicks, others: Clicks) -> np.ndarray:
    """The region (H, W) bool that clicks mean, apart from what others mean; empty without any."""
    size = image.shape[:2]
    if not own:
        return np.zeros(size, bool)
    scale = min(1.0, REGION_SIDE / max(size))
    height, width = working_size(size, REGION_SIDE)

    def pixel(click: Click) -> tuple[int, int]:
        row = min(int(click.y * scale), height - 1)
        return row, min(int(click.x * scale), width - 1)

    small = reduced(image, (height, width))
    region = clicked_region(small, list(map(pixel, own)), list(map(pixel, others)))
    return resize_mask(region, size)


def _dots(clicks: Clicks, size: Size) -> np.ndarray:
    """Mark the pixels (H, W) bool around clicks, which are taken at their word."""
    canvas = np.zeros(size, np.uint8)
    radius = max(2, max(size) // 120)
    for click in clicks:
        cv2.circle(canvas, (int(click.x), int(click.y)), radius, 1, -1)
    return canvas.astype(bool)


def _touched(area: np.ndarray, dots: np.ndarray) -> np.ndarray:
    """Return the connected parts of an area (H, W) bool that have a pixel of the dots (H, W)."""
    number, _ = connected_parts(area, connectivity=4)
    return np.isin(number, np.setdiff1d(number[dots], [0]))


def segment_plain_background(image: np.ndarray) -> list[InstanceMask]:
    """Find the objects on a plain, perhaps unevenly lit background, one per connected part, left to
    right. Raises InputError.
    """
    foreground = foreground_of_plain_background(image)
    return _left_to_right(
        foreground, "no object stands out from the background; use boxes or clicks"
    )


def segment_alpha(alpha: np.ndarray) -> list[InstanceMask]:
    """Take the connected opaque parts of a cut-out, alpha (H, W) uint8, as objects, left to right.
    Raises InputError.
    """
    complaint = "the picture is transparent everywhere; use the original photo"
    return _left_to_right(alpha >= 128, complaint)


def _left_to_right(foreground: np.ndarray, complaint: str) -> list[InstanceMask]:
    number, areas = connected_parts(foreground)
    least = max(16.0, SPECK_SHARE * foreground.size)
    parts = [number == k for k in range(1, len(areas)) if areas[k] >= least]
    if not parts:
        raise InputError(complaint)

    def middle(part: np.ndarray) -> float:
        left, _, right, _ = pixel_box(part)
        return 0.5 * (left + right)

    ordered = sorted(parts, key=middle)
    return [InstanceMask(label, part) for label, part in enumerate(ordered, start=1)]


def _core(size: Size) -> np.ndarray:
    """A box's state with an ellipse in its middle for certain and its corners rather not."""
    y, x = (np.linspace(-1, 1, side) for side in size)
    radius = np.hypot(x, y[:, None])
    state = np.where(radius < 1.0, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    state[radius < 0.5] = cv2.GC_FGD
    return state.astype(np.uint8)

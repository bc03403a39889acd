"""What pictures and masks have in common: boxes, connected parts, other sizes of the same thing.

Below all other modules of the images package. Sizes are (H, W); boxes are x0, y0, x1, y1 in whole
pixels, x1 and y1 exclusive.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

from maquette.geometry.boxes import PixelBox

WORKING_SIDE = 2048  # pixels; more detail than any model here can use
# relative; masks made on a reduced copy of the photo differ by the rounding of its sides
ASPECT_TOLERANCE = 0.01

GOES_ON = 2.0  # pixels beyond a mask in which its values keep their slope

Size = tuple[int, int]  # (H, W)


def shown(size: Size) -> str:
    """A size for people: width x height."""
    return f"{size[1]} x {size[0]}"


def crop(
    picture: np.ndarray,
    box: PixelBox,
    fill: float | tuple[float, ...] = 0,
) -> np.ndarray:
    """The part of a picture (H, W, ...) inside a box, which may reach beyond it: there lies
    ``fill``, one value or one per channel.
    """
    x0, y0, x1, y1 = box
    out = np.empty((y1 - y0, x1 - x0, *picture.shape[2:]), picture.dtype)
    out[...] = fill
    left = max(x0, 0)
    top = max(y0, 0)
    inside = picture[top : max(y1, 0), left : max(x1, 0)]
    height, width = inside.shape[:2]
    out[top - y0 :, left - x0 :][:height, :width] = inside
    return out


def connected_parts(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Number (H, W) int32 of the connected part that each pixel of a mask belongs to, 0 = outside;
    and the pixels (K + 1,) of each number.
    """
    _, number, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    return number, stats[:, cv2.CC_STAT_AREA]


def large_parts(areas: np.ndarray, share: float) -> np.ndarray:
    """Of the pixels of ``connected_parts``: the numbers of those with a share of the largest's."""
    return 1 + np.flatnonzero(areas[1:] >= share * areas[1:].max())


def square(reach: int) -> np.ndarray:
    """The pixels (2 R + 1, 2 R + 1) that a chess king reaches in R steps, for cv2.dilate."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def disc(radius: int) -> np.ndarray:
    """The pixels (2 R + 1, 2 R + 1) within ``radius``, for cv2.dilate."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def grown(mask: np.ndarray, kernel: np.ndarray, steps: int = 1) -> np.ndarray:
    """A mask and the pixels around it that a kernel reaches."""
    return cv2.dilate(mask.astype(np.uint8), kernel, iterations=steps) > 0


def encoded(picture: Image.Image, kind: str, **how: Any) -> bytes:
    """A picture as a file of a kind, such as PNG; ``how``: what Pillow takes."""
    stream = io.BytesIO()
    picture.save(stream, kind, **how)
    return stream.getvalue()


def iou_of(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two bool arrays, 0 when both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def nearest_inside(inside: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of every cell of a mask the index of the nearest cell inside, an array per axis."""
    outside = ~inside
    return tuple(
        ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)
    )


def going_on(values: np.ndarray, own: np.ndarray, steepest: float) -> np.ndarray:
    """Values (H, W) of a mask's pixels, and beyond its outline as the nearest of them slope, for
    GOES_ON pixels. If they merely stayed as they are, the top of a box would rise where its picture
    ends. ``steepest``: by which values of neighbours differ, at most, without being torn.
    """
    nearest = nearest_inside(own)
    found = np.where(own, values, 0.0)[nearest]
    for axis, (at, place) in enumerate(zip(nearest, np.indices(own.shape))):
        slope = _slope(values, own, axis, steepest)[nearest]
        found += slope * np.clip(place - at, -GOES_ON, GOES_ON)
    return found


def _slope(values: np.ndarray, own: np.ndarray, axis: int, steepest: float) -> np.ndarray:
    """(H, W) by how much values rise along an axis from pixel to pixel of a mask: the mean of a
    pixel's neighbours.
    """
    both = own & np.roll(own, -1, axis)
    step = np.where(both, np.roll(values, -1, axis) - values, 0.0)
    step = np.where(np.abs(step) > steepest, 0.0, step)
    summed, counted = (cv2.blur(part, (3, 3)) for part in (step, both.astype(np.float64)))
    return summed / np.maximum(counted, 1e-6)


def working_size(size: Size, max_side: int = WORKING_SIDE) -> Size:
    """Return (H, W) reduced so that no side is above ``max_side``; unchanged when it is not."""
    scale = max_side / max(size)
    if scale >= 1:
        return size[0], size[1]
    return scaled_size(size, scale)


def scaled_size(size: Size, scale: float) -> Size:
    """Whole sides that are so many times as long, at least a pixel each."""
    first, second = (max(1, round(side * scale)) for side in size)
    return first, second


def reduced(picture: np.ndarray, size: Size) -> np.ndarray:
    """A picture (H, W, 3) in a smaller size, each new pixel the mean of what it covers."""
    if picture.shape[:2] == size:
        return picture
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)


def resize_mask(mask: np.ndarray, size: Size) -> np.ndarray:
    """Resample a mask (h, w) bool to (H, W) by the nearest pixel; an object that would vanish keeps
    the pixel at its centre.
    """
    if mask.shape == tuple(size):
        return mask
    nearest = cv2.INTER_NEAREST_EXACT
    resized = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=nearest) > 0
    if mask.any() and not resized.any():
        places = np.argwhere(mask)
        row, column = places[len(places) // 2] * size // mask.shape
        resized[row, column] = True
    return resized


def same_aspect(a: Size, b: Size) -> bool:
    """Tell whether two sizes (H, W) are scaled copies of each other, within the rounding of a pixel
    or one per cent.
    """
    small, large = sorted((a, b))
    # what the small one should measure
    height = large[0] * small[1] / large[1]
    width = large[1] * small[0] / large[0]
    pixels = min(abs(height - small[0]), abs(width - small[1]))
    return pixels <= 1 or abs(height / small[0] - 1) <= ASPECT_TOLERANCE

"""The pictures of I-Scene's slots: the instance in the scene's crop, the whole scene, and the
instance in its own crop.

In the flow: photo and masks -> (N, S, 3, 518, 518) for the image encoder. The released
preprocessing is followed exactly, because the weights were trained with it: hard masks, black
around them, boxes in whole pixels, and Lanczos resampling without anti-aliasing (eight taps
whatever the scale). One thing is not: objects so thin that their crop would be empty get one of two
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 518  # pixels
MARGIN = 1.2  # side of a crop over the longer side of what it shows


def slot_pictures(
    image: np.ndarray, masks: Sequence[np.ndarray], slots: int = 3, size: int = SIDE
) -> np.ndarray:
    """(N, S, 3, size, size) float32 in [0, 1] of a photo (H, W, 3) uint8 and the masks (H, W) bool
    of its N instances.

    Slots: 0 the instance, 1 the scene, 2 the instance in its own crop (only with three slots).
    """
    colours = image.astype(np.float32) / 255.0
    union = np.any(masks, axis=0)
    box = crop_box(union)
    scene = cut(colours, box)
    whole = cut(union, box)
    shown = scene * whole[..., None]
    of_scene = _resized(shown, size)
    pictures = []
    for mask in masks:
        own = cut(np.asarray(mask, dtype=bool), box)
        alone = shown * own[..., None]
        pictures.append([_resized(alone, size), of_scene])
        if slots > 2:
            inner = crop_box(own)
            pictures[-1].append(_resized(cut(scene, inner) * cut(own, inner)[..., None], size))
    return np.stack([np.stack(instance) for instance in pictures])[:, :slots]


def crop_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the square crop around a mask (H, W) bool with at least one pixel, in whole
    pixels, x1 and y1 exclusive.

    Centred on the middle of the extreme pixels; its side is 1.2 times their larger distance, made
    even, ends rounded half to even.
    """
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    side = int(MARGIN * max(columns[-1] - columns[0], rows[-1] - rows[0]))
    half = max(side // 2, 1)
    x = (columns[0] + columns[-1]) / 2
    y = (rows[0] + rows[-1]) / 2
    return round(x - half), round(y - half), round(x + half), round(y + half)


def cut(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of a picture (H, W, ...) inside a box; zero beyond the picture."""
    x0, y0, x1, y1 = box
    out = np.zeros((y1 - y0, x1 - x0, *image.shape[2:]), image.dtype)
    left = max(x0, 0)
    top = max(y0, 0)
    right = min(x1, image.shape[1])
    bottom = min(y1, image.shape[0])
    if left < right and top < bottom:
        out[top - y0 : bottom - y0, left - x0 : right - x0] = image[top:bottom, left:right]
    return out


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LANCZOS4)
    return np.clip(resized, 0.0, 1.0).transpose(2, 0, 1)

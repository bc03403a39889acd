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

from maquette.framing.trellis import SIDE, crop_box
from maquette.photos.pixels import crop

LEAST = 1  # pixels; half the side of the crop of objects so thin that theirs would be empty


def slot_pictures(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    slots: int = 3,
    size: int = SIDE,
) -> np.ndarray:
    """(N, S, 3, size, size) float32 in [0, 1] of a photo (H, W, 3) uint8 and the masks (H, W) bool
    of its N instances.

    Slots: 0 the instance, 1 the scene, 2 the instance in its own crop (only with three slots).
    """
    colours = image.astype(np.float32) / 255.0
    union = np.any(masks, axis=0)
    box = crop_box(union, LEAST)
    scene = crop(colours, box)
    shown = scene * crop(union, box)[..., None]
    of_scene = _resized(shown, size)
    pictures = []
    for mask in masks:
        own = crop(np.asarray(mask, dtype=bool), box)
        pictures.append([_resized(shown * own[..., None], size), of_scene])
        if slots > 2:
            inner = crop_box(own, LEAST)
            near = crop(scene, inner) * crop(own, inner)[..., None]
            pictures[-1].append(_resized(near, size))
    return np.array(pictures)[:, :slots]


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, C) -> (C, size, size) in 0..1."""
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_LANCZOS4)
    return np.clip(resized, 0.0, 1.0).transpose(2, 0, 1)

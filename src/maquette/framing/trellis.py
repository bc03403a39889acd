"""How TRELLIS frames a picture: the object's box with a margin, on black, 518 pixels a side. Every
step is that of the original, rounding included, because the weights depend on it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from maquette.errors import InputError
from maquette.geometry.boxes import PixelBox, pixel_box

SIDE = 518  # pixels: 37 patches of 14
MARGIN = 1.2  # side of the crop over the longer side of the object's box
OPAQUE = 0.8 * 255  # what is above counts as the object when the box is taken


def crop_box(mask: np.ndarray, least: int = 0) -> PixelBox:
    """x0, y0, x1, y1 of the square crop around a mask (H, W) bool with at least one pixel, in whole
    pixels, x1 and y1 exclusive; empty around a single pixel unless ``least`` is above 0.

    Centred on the middle of the extreme pixels; its side is 1.2 times their larger distance, made
    even, and twice ``least`` at least; ends are rounded half to even.
    """
    left, top, right, bottom = pixel_box(mask)
    distance = max(right - left, bottom - top) - 1
    half = max(int(MARGIN * distance) // 2, least)
    x = (left + right - 1) / 2
    y = (top + bottom - 1) / 2
    return round(x - half), round(y - half), round(x + half), round(y + half)


def crop_object(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 with the background removed -> (518, 518, 3) uint8. Raises InputError when
    nothing is opaque.

    The box ends at the last opaque pixel, not behind it.
    """
    opaque = rgba[:, :, 3] > OPAQUE
    if not opaque.any():
        raise InputError(
            f"the picture of {rgba.shape[1]} x {rgba.shape[0]} has no pixel with opacity above "
            "80 %; pass one with an object"
        )
    box = crop_box(opaque)
    if box[0] == box[2]:
        raise InputError("the object of the picture is a single pixel; pass a larger picture")
    crop = Image.fromarray(rgba).crop(box).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    values = np.asarray(crop).astype(np.float32) / 255
    color, alpha = np.split(values, [3], axis=-1)
    return (color * alpha * 255).astype(np.uint8)

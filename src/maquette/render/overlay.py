"""A photo with its instance masks drawn over it: darkened surroundings, coloured objects, thin
outlines, label numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from maquette.masks.overlay import instance_color
from maquette.render.silhouette import resample_mask
from maquette.types import InstanceMask

DARKEN = 0.42  # brightness that is left of what no mask covers


def mask_overlay(
    image: np.ndarray,
    masks: Sequence[InstanceMask],
    width: int,
    height: int,
) -> Image.Image:
    """Draw masks (H, W) over the photo (H, W, 3) uint8, at a new size."""
    photo = np.asarray(fit_photo(image, width, height), np.float32)
    grey = photo.mean(-1, keepdims=True)
    canvas = 0.5 * DARKEN * (photo + grey)
    # Twice the resolution, halved after cutting out, makes soft edges.
    outlines = [_MaskBorder.of(resample_mask(m.mask, 2 * width, 2 * height)) for m in masks]
    for m, outline in zip(masks, outlines, strict=True):
        part = canvas[outline.area]
        color = np.array(instance_color(m.label))
        inside = 0.4 * grey[outline.area] + 0.6 * color
        part += outline.cover[..., None] * (inside - part)
        part += outline.line[..., None] * (0.3 * color + 0.7 * 255.0 - part)
    picture = Image.fromarray(np.clip(canvas, 0.0, 255.0).astype(np.uint8))
    for m, outline in zip(masks, outlines, strict=True):
        x, y, radius = outline.innermost()
        if radius > height / 65:  # a number would hide what is smaller
            size = round(np.clip(0.75 * radius, height / 42, height / 22))
            _draw_number(picture, str(m.label), (x, y), size)
    return picture


@dataclass(frozen=True, eq=False)
class _MaskBorder:
    """The part of a picture around a mask, and how much of each pixel there belongs to the mask and
    to its border line.
    """

    area: tuple[slice, slice]  # rows, columns
    cover: np.ndarray  # (h, w) float32 in 0..1
    line: np.ndarray  # (h, w) float32 in 0..1

    @classmethod
    def of(cls, mask: np.ndarray) -> _MaskBorder:
        """Halve a mask (2H, 2W) bool."""
        top, bottom = _occupied_pairs(np.asarray(mask.any(1)))
        left, right = _occupied_pairs(np.asarray(mask.any(0)))
        part = mask[2 * top : 2 * bottom, 2 * left : 2 * right]
        inner = ndimage.binary_erosion(np.pad(part, 1), iterations=3)[1:-1, 1:-1]
        area = (slice(top, bottom), slice(left, right))
        return cls(area, _halved(part), _halved(part & ~inner))

    def innermost(self) -> tuple[int, int, float]:
        """(x, y) in the picture of the pixel that is farthest from the mask's border, and how far
        that is.
        """
        distance = ndimage.distance_transform_edt(np.pad(self.cover > 0.5, 1))
        y, x = np.unravel_index(np.argmax(distance), distance.shape)
        rows, columns = self.area
        return int(columns.start + x - 1), int(rows.start + y - 1), float(distance.max())


def _occupied_pairs(occupied: np.ndarray) -> tuple[int, int]:
    """First and behind the last pair of elements (2N,) bool of which one is set; the first pair
    when none is.
    """
    pairs = np.flatnonzero(occupied) // 2
    return (int(pairs[0]), int(pairs[-1]) + 1) if len(pairs) else (0, 1)


def fit_photo(image: np.ndarray, width: int, height: int) -> Image.Image:
    """Resize a photo (H, W, 3) uint8 with little aliasing, quickly also when it is huge."""
    return Image.fromarray(image).resize(
        (width, height), Image.Resampling.LANCZOS, reducing_gap=3.0
    )


def _halved(mask: np.ndarray) -> np.ndarray:
    """A mask at half the size: shares of the four pixels."""
    height, width = mask.shape
    return mask.reshape(height // 2, 2, width // 2, 2).mean((1, 3), dtype=np.float32)


def _draw_number(
    picture: Image.Image,
    text: str,
    centre: tuple[int, int],
    size: int,
) -> None:
    """Put a number in a small white pill at ``centre``, inside of the picture; drawn four times
    larger for smooth edges.
    """
    font = ImageFont.load_default(size=4 * size)
    left, top, right, bottom = font.getbbox(text)
    height = 4 * round(1.45 * size)
    padded = right - left + 4 * size * 3 // 4
    width = max(height, 4 * int(padded // 4))
    pill = Image.new("L", (width, height), 0)
    ImageDraw.Draw(pill).rounded_rectangle((0, 0, width - 1, height - 1), height // 2, fill=235)
    face = Image.new("RGB", (width, height), (255, 255, 255))
    at = ((width - left - right) / 2, (height - top - bottom) / 2)
    ImageDraw.Draw(face).text(at, text, font=font, fill=(38, 38, 40))
    face = face.reduce(4)
    pill = pill.reduce(4)
    x = _kept_inside(centre[0], face.width, picture.width)
    y = _kept_inside(centre[1], face.height, picture.height)
    picture.paste(face, (x, y), pill)


def _kept_inside(centre: int, length: int, whole: int) -> int:
    """Where something of a length begins that is centred, but two pixels from the border."""
    return max(min(centre - length // 2, whole - length - 2), 2)

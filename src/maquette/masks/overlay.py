"""Pictures of masks for people: each object tinted in its own colour, outlined and numbered, on top
of the photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maquette.geometry.boxes import pixel_box
from maquette.photos.pixels import disc
from maquette.types import InstanceMask

Rgb = tuple[int, int, int]
# golden ratio: consecutive hues are far apart however many there are
_TURN = (math.sqrt(5) - 1) / 2
_TONES = ((0.74, 0.17), (0.83, 0.15), (0.65, 0.20))  # lightness and chroma, in turn
_TEXT_SUPERSAMPLING = 4


def instance_color(label: int) -> Rgb:
    """Return the sRGB colour of a label: evenly bright, neighbours in number far apart in hue
    (OKLCH; Ottosson 2020).
    """
    lightness, chroma = _TONES[label % len(_TONES)]
    hue = 2 * math.pi * ((0.08 + label * _TURN) % 1.0)
    return _srgb_from_oklab(lightness, chroma * math.cos(hue), chroma * math.sin(hue))


def overlay(
    image: np.ndarray,
    masks: Sequence[InstanceMask],
    *,
    opacity: float = 0.45,
    numbers: bool = True,
) -> np.ndarray:
    """Draw masks (H, W) over a photo (H, W, 3) uint8 -> (H, W, 3) uint8; smaller objects lie on
    top.
    """
    ordered = sorted(masks, key=lambda m: -int(m.mask.sum()))
    drawn = image.copy()
    if masks:  # the objects step forward
        background = ~np.any([m.mask for m in masks], axis=0)
        drawn[background] = _mixed(drawn[background], (255, 255, 255), 0.25)
    for m in ordered:
        drawn[m.mask] = _mixed(image[m.mask], instance_color(m.label), opacity)
    width = max(1, round(max(image.shape[:2]) / 450))
    for m in ordered:
        _draw_outline(drawn, m, width)
    return _with_numbers(drawn, ordered) if numbers else drawn


def _mixed(pixels: np.ndarray, color: Rgb, opacity: float) -> np.ndarray:
    return np.rint(pixels * (1.0 - opacity) + np.array(color) * opacity).astype(np.uint8)


def _draw_outline(drawn: np.ndarray, instance: InstanceMask, width: int) -> None:
    """Draw the object's rim, inside its mask, in its full colour."""
    x0, y0, x1, y1 = pixel_box(instance.mask)
    window = drawn[y0:y1, x0:x1]
    inside = instance.mask[y0:y1, x0:x1]
    kernel = disc(width)
    core = cv2.erode(inside.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rim = inside & (core == 0)
    window[rim] = _mixed(window[rim], instance_color(instance.label), 0.9)


def _with_numbers(drawn: np.ndarray, masks: Sequence[InstanceMask]) -> np.ndarray:
    height, width = drawn.shape[:2]
    size = max(9.0, min(height, width) / 28)
    picture = Image.fromarray(drawn)
    for m in masks:
        badge = _badge(str(m.label), instance_color(m.label), size)
        x, y = _middle(m.mask)
        right = max(width - badge.width, 0)  # the last places at which it is in the picture
        bottom = max(height - badge.height, 0)
        left = min(max(round(x - badge.width / 2), 0), right)
        top = min(max(round(y - badge.height / 2), 0), bottom)
        picture.paste(badge, (left, top), badge)
    return np.array(picture)


def _badge(text: str, color: Rgb, size: float) -> Image.Image:
    """Draw a number on a rounded plate of the instance's colour with a white rim, RGBA."""
    scale = _TEXT_SUPERSAMPLING
    font = ImageFont.load_default(size * scale)
    left, top, right, bottom = font.getbbox(text)
    height = round(size * 1.5)
    width = max(height, round((right - left) / scale + size * 0.9))
    large = (width * scale, height * scale)
    badge = Image.new("RGBA", large)
    draw = ImageDraw.Draw(badge)
    white = (255, 255, 255, 255)
    dark = tuple(int(c * 0.55) for c in color)
    rim = round(max(1.0, size / 10) * scale)
    for inset, fill in ((0, white), (rim, dark)):
        plate = (inset, inset, large[0] - 1 - inset, large[1] - 1 - inset)
        draw.rounded_rectangle(plate, radius=large[1] / 2 - inset, fill=fill)
    across, down = large
    centre = ((across - left - right) / 2, (down - top - bottom) / 2)
    draw.text(centre, text, fill=white, font=font)
    return badge.resize((width, height), Image.Resampling.BOX)


def _middle(mask: np.ndarray) -> tuple[float, float]:
    """Return the pixel (x, y) deepest inside a mask."""
    x0, y0, x1, y1 = pixel_box(mask)
    inside = np.pad(mask[y0:y1, x0:x1], 1).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return x - 0.5 + x0, y - 0.5 + y0


def _srgb_from_oklab(lightness: float, a: float, b: float) -> Rgb:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    return _encoded(red), _encoded(green), _encoded(blue)


def _encoded(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    low = 12.92 * linear
    return round(255 * (low if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))

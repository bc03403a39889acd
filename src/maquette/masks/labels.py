"""Label pictures: one picture in which the value or the colour of a pixel says to which object it
belongs.

Between read (pixels) and masks (instances). Palette indices and grey values are labels as they
stand; in a colour picture each distinct colour is an object and black is the background. Pictures
that went through JPEG or anti-aliasing have thousands of colours between the few that were meant:
those that form flat areas are kept and the pixels in between go to the nearest flat area.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from maquette.errors import InputError
from maquette.photos.pixels import Size, nearest_inside, square
from maquette.types import InstanceMask, JsonObject

Masks = tuple[InstanceMask, ...]

MAX_INSTANCES = 255
# PNG text chunk with labels, names and colours; other programs may drop it
TABLE_KEY = "maquette-instances"

LOSSY_FORMATS = ("JPEG", "MPO")
# levels per channel; flat colours closer than this are one, when a picture has compression noise
SAME_COLOR = 24
FLAT_AREA = 4  # pixels inside a flat area; fewer are blocks that compression made
# from so many colours that form no flat area on, a picture counts as anti-aliased or compressed
STRAY_COLORS = 16
EDGE_WIDTH = 6  # pixels; colours between two flat areas reach no farther than this ...
LOSSY_EDGE_WIDTH = 16  # ... or than a block of compressed colour
VOID = (224, 224, 192)  # index 255 of Pascal VOC pictures: undecided outlines


class LabelPicture(NamedTuple):
    """A decoded label picture."""

    labels: np.ndarray  # (H, W) int32, 0 = background
    names: dict[int, str]
    warnings: tuple[str, ...]


def labels_in(labels: np.ndarray) -> np.ndarray:
    """The labels of a label map, ascending, without 0 = background."""
    return np.unique(labels[labels > 0])


def painted_labels(masks: Iterable[InstanceMask], size: Size) -> np.ndarray:
    """(H, W) int32 labels of masks of one size (H, W), 0 where there is none. Where masks overlap
    the smaller one wins, as it usually stands in front.
    """
    labels = np.zeros(size, np.int32)
    for mask in sorted(masks, key=lambda mask: -int(mask.mask.sum())):
        labels[mask.mask] = mask.label
    return labels


def read_label_picture(image: Image.Image, name: str) -> LabelPicture:
    """Decode a label picture as opened by ``open_image``; ``name`` stands in messages. Raises
    InputError.
    """
    table = _instance_table(image)
    names = {entry["label"]: entry["name"] for entry in table}
    if image.mode == "F":
        raise InputError(
            f"{name}: is a picture of floats; "
            "save labels as 8-bit or 16-bit grey, or each object in its own colour"
        )
    if image.mode == "I" or image.mode.startswith("I;"):
        labels = np.asarray(image).astype(np.int32)
        if labels.min() < 0:
            raise InputError(
                f"{name}: has negative labels; "
                "use 0 for the background and positive numbers for objects"
            )
        return LabelPicture(labels, names, ())
    if image.mode == "P" and _palette_means_labels(image):
        return _labels_from_palette(image, names)
    if image.mode == "L" and not image.has_transparency_data:
        labels, warnings = _labels_from_grey(np.asarray(image), image.format in LOSSY_FORMATS, name)
        return LabelPicture(labels, names, warnings)
    rgb, transparent = _colors(image)
    if transparent.any() and not rgb[~transparent].any():  # the opacity is the mask
        return LabelPicture((~transparent).astype(np.int32), {}, ())
    if (rgb == rgb[..., :1]).all():
        labels, warnings = _labels_from_grey(rgb[..., 0], image.format in LOSSY_FORMATS, name)
        labels[transparent] = 0
        return LabelPicture(labels, names, warnings)
    if transparent.any() and _looks_like_photo(rgb):
        note = f"{name}: is a cut-out; its opaque part is taken as one object"
        return LabelPicture((~transparent).astype(np.int32), {}, (note,))
    rgb = np.where(transparent[..., None], 0, rgb).astype(np.uint8)
    return labels_from_colors(rgb, transparent, image.format in LOSSY_FORMATS, name, table)


def labels_from_colors(
    rgb: np.ndarray,
    transparent: np.ndarray,
    lossy: bool,
    name: str,
    table: list[JsonObject] | None = None,
) -> LabelPicture:
    """Turn colours (H, W, 3) uint8 into labels in the order of their codes; ``transparent`` (H, W)
    bool is background, and black there.

    ``table`` holds the label, name and colour of instances when the file tells. Raises InputError.
    """
    index, colors, warnings = _flat_colors(rgb, lossy, name)
    codes = _codes(colors)
    if (codes == 0).any():
        background = int(np.flatnonzero(codes == 0)[0])
    else:
        sides = [*index[[0, -1]], *index[:, [0, -1]].T]  # top, bottom, left, right
        background = int(np.bincount(np.concatenate(sides)).argmax())
        most_frequent = hex_color(colors[background])
        warnings += (
            f"{name}: nothing is black; the most frequent colour along the border, "
            f"{most_frequent}, is the background",
        )
    order = [k for k in np.argsort(codes).tolist() if k != background]
    known = {entry["color"]: entry for entry in table or [] if "color" in entry}
    told = [known.get(hex_color(colors[k])) for k in order]
    ranks = range(1, len(order) + 1)
    named = [entry["label"] for entry in told if entry]
    numbers = named if len(named) == len(order) else list(ranks)
    lookup = np.zeros(len(colors), np.int32)
    lookup[order] = numbers
    labels = lookup[index]
    labels[transparent] = 0
    names = {number: entry["name"] for number, entry in zip(numbers, told) if entry}
    return LabelPicture(labels, names, warnings)


def _instance_table(image: Image.Image) -> list[JsonObject]:
    try:
        table = json.loads(image.info.get(TABLE_KEY, "[]"))
        return [
            {
                **entry,
                "label": int(entry["label"]),
                "name": str(entry["name"]),
            }
            for entry in table
        ]
    # somebody else's text
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
        return []


def _palette_means_labels(image: Image.Image) -> bool:
    # Programs that shrink PNG files turn a picture of few colours into a palette in any order; then
    # the colours count, not the indices.
    palette = image.getpalette("RGB") or [0, 0, 0]
    used = np.flatnonzero(image.histogram())
    colours = [palette[3 * k : 3 * k + 3] for k in used]
    black = [colour == [0, 0, 0] for colour in colours]
    return palette[:3] == [0, 0, 0] or not any(black)


def _labels_from_palette(image: Image.Image, names: dict[int, str]) -> LabelPicture:
    labels = np.asarray(image).astype(np.int32)
    palette = image.getpalette("RGB") or []
    if tuple(palette[3 * 255 : 3 * 256]) == VOID and (labels == 255).any():
        labels[labels == 255] = 0
        return LabelPicture(
            labels, names, ("index 255 (undecided outlines) is taken as background",)
        )
    return LabelPicture(labels, names, ())


def _colors(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), np.zeros((image.height, image.width), bool)
    rgba = np.asarray(image.convert("RGBA"))
    return rgba[..., :3], rgba[..., 3] < 128


def _labels_from_grey(
    grey: np.ndarray, lossy: bool, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    values = _present(grey, 256)
    warnings: tuple[str, ...] = ()
    if len(values) > 2 and (lossy or len(values) >= STRAY_COLORS):
        index, flat, warnings = _flat_colors(grey[..., None], lossy, name)
        grey = flat[index, 0]
        values = _present(grey, 256)
        if lossy and values[0] > 0:  # the black of a compressed picture
            grey = np.where(grey == values[0], 0, grey)
            values = _present(grey, 256)
    if len(values) == 2 and values[0] == 0 and values[1] >= 128:  # black and white: one object
        return (grey > 0).astype(np.int32), warnings
    return grey.astype(np.int32), warnings


def _present(codes: np.ndarray, space: int) -> np.ndarray:
    """Return the sorted values that occur, all below ``space``; sorting the pixels of a large
    picture would take seconds and memory.
    """
    seen = np.zeros(space, bool)
    seen[codes] = True
    return np.flatnonzero(seen)


def _codes(rgb: np.ndarray) -> np.ndarray:
    """Pack the channels (..., C) uint8 of each pixel into one int32."""
    codes = np.zeros(rgb.shape[:-1], np.int32)
    for channel in range(rgb.shape[-1]):
        codes = (codes << 8) | rgb[..., channel]
    return codes


def hex_color(color: Iterable[int]) -> str:
    """A colour as in style sheets, #rrggbb; one channel is #gg."""
    return "#" + bytes(color).hex()


def _interior(rgb: np.ndarray) -> np.ndarray:
    """Mark the pixels (H, W) bool whose 3 x 3 neighbourhood has one colour exactly."""
    kernel = square(1)
    same = cv2.erode(rgb, kernel) == cv2.dilate(rgb, kernel)
    return same.reshape(*rgb.shape[:2], -1).all(-1)


def _looks_like_photo(rgb: np.ndarray, lossy: bool = False) -> bool:
    """Tell whether much of a picture is neither flat nor close to something flat, as edges between
    flat areas would be.
    """
    interior = _interior(rgb)
    if not interior.any():
        return True
    distance = cv2.distanceTransform((~interior).astype(np.uint8), cv2.DIST_C, 3)
    far = distance > (LOSSY_EDGE_WIDTH if lossy else EDGE_WIDTH)
    return bool(far.mean() > 0.01)


def _flat_colors(
    rgb: np.ndarray, lossy: bool, name: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Colours (H, W, C) -> index (H, W) of each pixel's colour, the K colours (K, C), warnings."""
    codes = _codes(rgb)
    space = 1 << (8 * rgb.shape[-1])
    distinct = _present(codes, space)
    table = np.empty(space, np.int32)
    table[distinct] = np.arange(len(distinct))
    index = table[codes]
    interior = _interior(rgb)
    solid = _present(codes[interior], space)
    strays = len(distinct) - len(solid)
    few = strays < STRAY_COLORS or strays < 3 * len(solid)
    stray = ~np.isin(distinct, solid)
    if not lossy and (few or not _scattered(index, stray[index])):
        return index, _unpacked(distinct, rgb.shape[-1]), ()
    lossy = lossy or _looks_like_photo(rgb)  # not every compressed picture says that it is one
    if _looks_like_photo(rgb, lossy):
        raise InputError(
            f"{name}: has {len(distinct)} colours and looks like a photo, not a mask; "
            "give a label picture, or make one with 'maquette masks make'"
        )
    colors = _unpacked(distinct, rgb.shape[-1])
    flat = _merged(colors, np.bincount(index[interior], minlength=len(distinct)))
    if len(flat) > MAX_INSTANCES + 1:
        raise InputError(
            f"{name}: has {len(flat)} flat colours; "
            f"at most {MAX_INSTANCES} objects are supported, select fewer"
        )
    note = (
        f"{name}: has {len(distinct)} colours (compressed or anti-aliased); "
        f"the {len(flat)} flat ones are kept, save masks as plain PNG"
    )
    # Anti-aliasing mixes two flat colours, perhaps into a third; compression only adds noise, so
    # that colour tells more than place.
    trusted = np.ones_like(interior) if lossy else interior
    return _nearest_flat(index, colors, trusted, flat), flat, (note,)


def _scattered(index: np.ndarray, stray: np.ndarray) -> bool:
    """Tell whether most stray pixels touch one of another stray colour, as along anti-aliased
    edges; tiny objects stand alone.
    """
    kernel = square(1)
    highest = cv2.dilate(np.where(stray, index, -1).astype(np.float32), kernel)
    lowest = cv2.erode(np.where(stray, index, 1 << 24).astype(np.float32), kernel)
    return bool((highest != lowest)[stray].mean() > 0.5)


def _unpacked(codes: np.ndarray, channels: int) -> np.ndarray:
    shifts = 8 * np.arange(channels)[::-1]
    return ((codes[:, None] >> shifts) & 255).astype(np.uint8)


def _merged(colors: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the colours (K, C) of flat areas, most frequent first, leaving out those close to a
    more frequent one.
    """
    candidates = np.flatnonzero(inside >= FLAT_AREA)
    candidates = candidates[np.argsort(-inside[candidates], kind="stable")]
    kept = np.zeros((0, colors.shape[1]), np.int32)
    for color in colors[candidates].astype(np.int32):
        if not len(kept) or np.abs(kept - color).max(1).min() > SAME_COLOR:
            kept = np.concatenate([kept, color[None]])
            if len(kept) > 2 * MAX_INSTANCES:
                break
    return kept.astype(np.uint8)


def _nearest_flat(
    index: np.ndarray,
    colors: np.ndarray,
    trusted: np.ndarray,
    flat: np.ndarray,
) -> np.ndarray:
    """Match trusted pixels that are close to a flat colour by colour, all others by place -> index
    (H, W) of the flat colour.
    """
    match = np.zeros(len(colors), np.int32)
    best = np.full(len(colors), 256, np.int32)
    for k, color in enumerate(flat.astype(np.int32)):
        distance = np.abs(colors.astype(np.int32) - color).max(-1)
        match[distance < best] = k
        best = np.minimum(best, distance)
    sure = trusted & (best <= 2 * SAME_COLOR)[index]
    return match[index][nearest_inside(sure)]

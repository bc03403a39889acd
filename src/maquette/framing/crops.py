"""How published models frame a picture: resize the shortest edge, crop the centre, and the whitened
pictures of each instance.

In the flow: photo and masks -> pictures in [0, 1] of the size an encoder was trained with. Every
step is that of the original (Pillow on bytes, the same rounding), because the weights depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from maquette.errors import CheckpointError
from maquette.geometry.boxes import pixel_box
from maquette.photos.pixels import Size, crop


@dataclass(frozen=True)
class Framing:
    """Size of a preprocessed picture, read from a preprocessor_config.json."""

    # resized to, keeping the aspect; None = resized to ``crop`` whatever the aspect
    shortest_edge: int | None
    crop: Size  # height, width
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Image.Resampling = Image.Resampling.BICUBIC


def framing_from_config(config: Mapping[str, Any]) -> Framing:
    """From the settings of transformers' image processors (CLIP, BiT): size, crop, mean, deviation.
    Raises CheckpointError.
    """
    size = config.get("size", {})
    crop = config.get("crop_size")
    size = {"shortest_edge": size} if isinstance(size, int) else size
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    if not config.get("do_center_crop", True) or crop is None:
        crop = size if "height" in size else None
    if crop is None:
        raise CheckpointError(
            "the preprocessor does not crop; "
            "expected a crop_size or a fixed size in preprocessor_config.json"
        )
    mean = tuple(config.get("image_mean", ()))
    std = tuple(config.get("image_std", ()))
    if len(mean) != 3 or len(std) != 3:
        raise CheckpointError(
            f"the preprocessor has image_mean {mean} and image_std {std}; "
            "expected three numbers each"
        )
    resample = Image.Resampling(config.get("resample", 3))
    shape = (crop["height"], crop["width"])
    return Framing(size.get("shortest_edge"), shape, mean, std, resample)


def frame(image: np.ndarray, framing: Framing) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3) float32 in [0, 1]; what a crop takes from beyond the picture is
    black.
    """
    height, width = image.shape[:2]
    if framing.shortest_edge is None:
        size = framing.crop
    elif height <= width:
        size = (framing.shortest_edge, int(framing.shortest_edge * width / height))
    else:
        size = (int(framing.shortest_edge * height / width), framing.shortest_edge)
    resized = np.asarray(Image.fromarray(image).resize(size[::-1], framing.resample))
    return centre_crop(resized, framing.crop).astype(np.float32) / 255.0


def centre_crop(image: np.ndarray, size: Size) -> np.ndarray:
    """The middle (h, w) of a picture (H, W, ...), with zeros where it is smaller."""
    height, width = size
    top = int((image.shape[0] - height) / 2)
    left = int((image.shape[1] - width) / 2)
    return crop(image, (left, top, left + width, top + height))


def whiten(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, white outside the mask (H, W) bool: an instance as MIDI-3D sees it, at its
    place in the full picture.
    """
    return np.where(mask[..., None], image, np.uint8(255))


def pad_square(
    image: np.ndarray, masks: np.ndarray, border: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """A square picture with room around the objects, and the masks (K, H, W) padded alike:
    MIDI-3D's image padding.

    When an object comes within ``border`` of the picture's edge, that share of each side is added
    all around; then the shorter side is filled up at the bottom or right. White, and no object, in
    what is added.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = pixel_box(np.any(masks, axis=0))
    across = x0 < border * width or x1 - 1 >= (1 - border) * width
    down = y0 < border * height or y1 - 1 >= (1 - border) * height
    share = border if across or down else 0
    top = int(share * height)
    left = int(share * width)
    side = max(height + 2 * top, width + 2 * left)
    square = np.full((side, side, 3), 255, np.uint8)
    padded = np.zeros((len(masks), side, side), bool)
    square[top : top + height, left : left + width] = image
    padded[:, top : top + height, left : left + width] = masks
    return square, padded

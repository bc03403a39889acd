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


@dataclass(frozen=True)
class Framing:
    """Size of a preprocessed picture, read from a preprocessor_config.json."""

    shortest_edge: (
        int | None
    )  # resized to, keeping the aspect; None = resized to ``crop`` whatever the aspect
    crop: tuple[int, int]  # height, width
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
            "the preprocessor does not crop; expected a crop_size or a fixed size in preprocessor_config.json"
        )
    mean = tuple(config.get("image_mean", ()))
    std = tuple(config.get("image_std", ()))
    if len(mean) != 3 or len(std) != 3:
        raise CheckpointError(
            f"the preprocessor has image_mean {mean} and image_std {std}; expected three numbers each"
        )
    return Framing(
        size.get("shortest_edge"),
        (crop["height"], crop["width"]),
        mean,
        std,
        Image.Resampling(config.get("resample", 3)),
    )


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


def centre_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle (h, w) of a picture (H, W, ...), with zeros where it is smaller."""
    out = np.zeros((*size, *image.shape[2:]), image.dtype)
    target = []
    source = []
    for have, want in zip(image.shape[:2], size):
        first = (have - want) // 2 if have >= want else -(-(have - want) // 2)
        source.append(slice(max(first, 0), min(first + want, have)))
        target.append(slice(max(-first, 0), max(-first, 0) + source[-1].stop - source[-1].start))
    out[tuple(target)] = image[tuple(source)]
    return out


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
    rows = np.flatnonzero(masks.any(0).any(1))
    columns = np.flatnonzero(masks.any(0).any(0))
    near = (
        rows[0] < border * height
        or rows[-1] >= (1 - border) * height
        or columns[0] < border * width
        or columns[-1] >= (1 - border) * width
    )
    top, left = (int(border * height), int(border * width)) if near else (0, 0)
    side = max(height + 2 * top, width + 2 * left)
    square = np.full((side, side, 3), 255, np.uint8)
    padded = np.zeros((len(masks), side, side), bool)
    square[top : top + height, left : left + width] = image
    padded[:, top : top + height, left : left + width] = masks
    return square, padded

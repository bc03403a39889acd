"""The one way in: a photo and its masks -> a SceneInput, checked and diagnosed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from maquette.images.diagnose import diagnose
from maquette.images.masks import MaskSource, load_masks, select_masks
from maquette.images.read import ImageSource, describe_source, read_photo
from maquette.types import SceneInput

WORKING_SIDE = 2048  # pixels; more detail than any model here can use


def read_scene_input(
    image: ImageSource,
    masks: MaskSource,
    only: Iterable[int | str] | None = None,
    *,
    max_side: int = WORKING_SIDE,
) -> SceneInput:
    """Read a photo, its focal length if its file tells it, and its masks; check that they belong
    together, and collect warnings.

    ``only`` keeps the instances with these labels or names. Photos with a side above ``max_side``
    pixels are reduced, masks with them: the estimated camera then belongs to the reduced picture.
    Raises InputError.
    """
    read = read_photo(image)
    image_name = str(image) if isinstance(image, (str, Path)) else getattr(image, "filename", None)
    size = read.image.shape[:2]
    target = working_size(size, max_side)
    photo = _reduced(read.image, target)
    reading = load_masks(masks, size, target_size=target, image_name=image_name)
    kept = reading.masks if only is None else select_masks(reading.masks, only)
    sentences = [sentence for diagnosis in diagnose(kept) for sentence in diagnosis.warnings]
    warnings = (*filter(None, [read.doubt]), *reading.warnings, *sentences)
    return SceneInput(
        image=photo, masks=kept, source=describe_source(image), warnings=warnings, focal=read.focal
    )


def working_size(size: tuple[int, int], max_side: int = WORKING_SIDE) -> tuple[int, int]:
    """Return (H, W) reduced so that no side is above ``max_side``; unchanged when it is not."""
    scale = max_side / max(size)
    return (
        (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        if scale < 1
        else (size[0], size[1])
    )


def _reduced(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return (
        photo
        if photo.shape[:2] == size
        else cv2.resize(photo, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    )

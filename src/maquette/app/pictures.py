"""Pictures as files of the app: lossless PNG, small JPEG, masks of one bit per pixel, and label
pictures for the page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from maquette.masks.labels import painted_labels
from maquette.masks.overlay import instance_color
from maquette.output import atomic_write, sha256_of
from maquette.photos.pixels import Size, encoded
from maquette.types import Focal, InstanceMask

THUMBNAIL = 320  # pixels
FOCAL = "focal.json"  # beside image.png, when the photo's file told its focal length
OVERLAP = 255


def png(image: np.ndarray) -> bytes:
    """Encode (H, W, 3) or (H, W) uint8 without loss, quickly."""
    picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, content = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return content.tobytes()


def write(path: Path, content: bytes) -> None:
    """Write a file so that it is there completely or not at all. Raises OutputError."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_picture(path: Path, mode: str = "RGB") -> np.ndarray:
    """Read a picture that this module has written."""
    with Image.open(path, formats=["PNG"]) as image:
        return np.array(image.convert(mode))


def thumbnail(image: np.ndarray) -> bytes:
    """A small JPEG of (H, W, 3) uint8."""
    picture = Image.fromarray(image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return encoded(picture, "JPEG", quality=85)


def write_mask(folder: Path, mask: np.ndarray) -> str:
    """Write a mask (H, W) bool under a name that follows from its content; returns the name without
    suffix.
    """
    bits = np.packbits(mask).tobytes()
    digest = sha256_of(repr(mask.shape).encode() + bits)[:16]
    path = folder / f"{digest}.png"
    if not path.exists():
        write(path, encoded(Image.fromarray(mask), "PNG", compress_level=1))
    return digest


def read_mask(folder: Path, digest: str) -> np.ndarray:
    """Read a mask (H, W) bool that ``write_mask`` has written."""
    return read_picture(folder / f"{digest}.png", "1")


def focal_of(folder: Path) -> Focal | None:
    """The focal length that is noted beside a photo."""
    told = folder / FOCAL
    return Focal(**json.loads(told.read_bytes())) if told.exists() else None


def label_picture(masks: Sequence[InstanceMask], size: Size) -> bytes:
    """PNG with label = R + 256 G and B = 255 where objects overlap, smaller ones on top; ``size``
    is (H, W).
    """
    labels = painted_labels(masks, size)
    count = np.zeros(size, np.uint8)
    for m in masks:
        count += m.mask
    overlap = np.where(count > 1, OVERLAP, 0)
    return png(np.stack([labels & 255, labels >> 8, overlap], axis=-1).astype(np.uint8))


def mask_picture(mask: np.ndarray) -> bytes:
    """PNG of one mask (H, W): 255 inside, 0 outside."""
    return png(mask.astype(np.uint8) * 255)


def color(label: int) -> str:
    """The colour in which an object is shown everywhere, as #rrggbb."""
    red, green, blue = instance_color(label)
    return f"#{red:02x}{green:02x}{blue:02x}"

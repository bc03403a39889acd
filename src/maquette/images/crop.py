"""Square crops of photos, masks and depth maps, and the cameras that belong to them. Used by
conditioning.

A box is (x0, y0, x1, y1) in continuous pixel coordinates: the corner of the first pixel is (0, 0),
its centre (0.5, 0.5). Boxes may reach beyond the picture.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from maquette.types import Camera

Box = tuple[float, float, float, float]


def square_box(mask: np.ndarray, margin: float = 0.1) -> Box:
    """Return the square around a mask (H, W) bool with at least one pixel: same centre as its box,
    longer side times 1 + 2 margin.
    """
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    x0 = columns[0]
    x1 = columns[-1] + 1
    y0 = rows[0]
    y1 = rows[-1] + 1
    half = 0.5 * max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    x = 0.5 * (x0 + x1)
    y = 0.5 * (y0 + y1)
    return float(x - half), float(y - half), float(x + half), float(y + half)


def pixel_from_crop(box: Box, size: int) -> np.ndarray:
    """Return the (3, 3) affine from homogeneous pixel coordinates of a ``size`` x ``size`` crop to
    those of the picture.
    """
    x0, y0, x1, y1 = box
    return np.array([[(x1 - x0) / size, 0.0, x0], [0.0, (y1 - y0) / size, y0], [0.0, 0.0, 1.0]])


def crop_resize(
    image: np.ndarray, box: Box, size: int, fill: float | tuple[float, ...] = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Resample the part of a picture inside ``box`` to ``size`` x ``size``; returns it and
    ``pixel_from_crop`` (3, 3).

    ``image`` is (H, W) bool or float, or (H, W[, C]) uint8 or float32. uint8 stays uint8; floats
    stay float32, and a bool mask becomes its float32 coverage in [0, 1]. Reducing averages over the
    pixels that a new pixel covers, enlarging is linear between pixel centres. Beyond the picture
    lies ``fill``: one value, or one per channel.
    """
    padded, (left, top) = _padded(image, box, fill)
    local = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return _resized(padded, local, size), pixel_from_crop(box, size)


def crop_camera(camera: Camera, box: Box, size: int) -> Camera:
    """Return the camera of the crop: the same pose, the intrinsics in the crop's pixels."""
    crop_from_pixel = np.linalg.inv(pixel_from_crop(box, size))
    return Camera(crop_from_pixel @ camera.intrinsics, camera.world_from_camera, size, size)


def _padded(
    image: np.ndarray, box: Box, fill: float | tuple[float, ...]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Cut out the whole pixels that ``box`` touches, with ``fill`` beyond the picture; returns them
    and the cut's first corner (x, y).
    """
    height, width = image.shape[:2]
    left = int(np.floor(box[0]))
    top = int(np.floor(box[1]))
    right = max(int(np.ceil(box[2])), left + 1)
    bottom = max(int(np.ceil(box[3])), top + 1)
    cut = np.empty((bottom - top, right - left, *image.shape[2:]), image.dtype)
    cut[...] = fill
    x0 = max(left, 0)
    x1 = min(right, width)
    y0 = max(top, 0)
    y1 = min(bottom, height)
    if x0 < x1 and y0 < y1:
        cut[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return cut, (left, top)


def _resized(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    # Pillow's filters with a fractional box follow exactly the convention above and widen when
    # reducing.
    box = (
        max(box[0], 0.0),
        max(box[1], 0.0),
        min(box[2], image.shape[1]),
        min(box[3], image.shape[0]),
    )
    if image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] == 3):
        return np.array(
            Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
        )
    planes = image.reshape(*image.shape[:2], -1).astype(np.float32)
    parts = [Image.fromarray(np.ascontiguousarray(planes[..., c])) for c in range(planes.shape[2])]
    stacked = np.stack(
        [np.array(part.resize((size, size), Image.Resampling.BILINEAR, box=box)) for part in parts],
        axis=-1,
    )
    resized = stacked.reshape(size, size, *image.shape[2:])
    return np.rint(resized).astype(np.uint8) if image.dtype == np.uint8 else resized
